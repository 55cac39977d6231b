"""The samplers that can be asked for by the names that front ends use.

A sampler here is a numerical method with its settings; it is given to one run and leaves every other alone.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Sampler:
    """scheduler: diffusers' class. settings: what differs from the model's own configuration of it.

    unsuited: `beta_schedule`s of models with which it loses its way.
    """

    name: str
    scheduler: str
    settings: tuple[tuple[str, bool | int | str], ...] = ()
    aliases: tuple[str, ...] = ()
    unsuited: frozenset[str] = frozenset()


KARRAS = ("use_karras_sigmas", True)
SAMPLERS = (
    Sampler(name="DDIM", scheduler="DDIMScheduler", aliases=("ddim",)),
    Sampler(name="Euler", scheduler="EulerDiscreteScheduler", aliases=("k_euler",)),
    Sampler(name="Euler a", scheduler="EulerAncestralDiscreteScheduler", aliases=("k_euler_a",)),
    Sampler(name="Euler Karras", scheduler="EulerDiscreteScheduler", settings=(KARRAS,)),
    Sampler(name="DPM++ 2M", scheduler="DPMSolverMultistepScheduler", aliases=("k_dpmpp_2m",)),
    Sampler(
        name="DPM++ 2M Karras",
        scheduler="DPMSolverMultistepScheduler",
        settings=(KARRAS,),
        aliases=("k_dpmpp_2m_ka",),
        unsuited=frozenset({"squaredcos_cap_v2"}),  # so much noise at its beginning that steps share a timestep
    ),
    Sampler(
        name="DPM++ 2M SDE",
        scheduler="DPMSolverMultistepScheduler",
        settings=(("algorithm_type", "sde-dpmsolver++"),),
        aliases=("k_dpmpp_2m_sde",),
    ),
    Sampler(name="UniPC", scheduler="UniPCMultistepScheduler", aliases=("unipc",)),
)
INTERCHANGEABLE = frozenset({sampler.scheduler for sampler in SAMPLERS} | {"PNDMScheduler", "LMSDiscreteScheduler"})
"""Classes of samplers that a model may be given in place of one another: its denoiser was trained for all of them."""
ESTIMATING = INTERCHANGEABLE - {"PNDMScheduler"} | {"DDPMScheduler", "LCMScheduler", "FlowMatchEulerDiscreteScheduler"}
"""Classes of samplers that know at each step what they expect at the end."""
_BY_NAME = {name.lower(): sampler for sampler in SAMPLERS for name in (sampler.name, *sampler.aliases)}


def find_sampler(name: str) -> Sampler | None:
    """The sampler by its name or an alias, in any case."""
    return _BY_NAME.get(name.lower())


def list_samplers(scheduler: str, beta_schedule: str) -> tuple[str, ...]:
    """Names of the samplers that suit a model, by its own one's class and noise schedule; none where no other does."""
    if scheduler not in INTERCHANGEABLE:
        return ()
    return tuple(sampler.name for sampler in SAMPLERS if beta_schedule not in sampler.unsuited)
