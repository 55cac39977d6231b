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


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """A spacing of a sampler's noise levels. name: as the web UI shows it; it follows the sampler's own. field: of
    diffusers' configuration, that `value` switches it on by.
    """

    name: str
    field: str
    value: bool | str = True

    @property
    def settings(self) -> tuple[tuple[str, bool | int | str], ...]:
        """The fields of a configuration that switch it on and all others off: diffusers takes one at a time."""
        others = {other.field: False for other in SCHEDULES if other.value is True}
        return tuple((others | {self.field: self.value}).items())


KARRAS = Schedule(name="Karras", field="use_karras_sigmas")
EXPONENTIAL = Schedule(name="Exponential", field="use_exponential_sigmas")
SGM_UNIFORM = Schedule(name="SGM Uniform", field="timestep_spacing", value="trailing")
BETA = Schedule(name="Beta", field="use_beta_sigmas")
SCHEDULES = (KARRAS, EXPONENTIAL, SGM_UNIFORM, BETA)
MULTISTEP = (KARRAS, EXPONENTIAL, SGM_UNIFORM)
"""Beta gives steps the same timestep from some 50 steps on, at which these fail."""
NOISY = "squaredcos_cap_v2"
"""A `beta_schedule` with so much noise at its beginning that steps of some schedules share a timestep."""
METHODS = (
    (Sampler(name="DDIM", scheduler="DDIMScheduler", aliases=("ddim",)), (SGM_UNIFORM,)),
    (Sampler(name="Euler", scheduler="EulerDiscreteScheduler", aliases=("k_euler",)), SCHEDULES),
    (Sampler(name="Euler a", scheduler="EulerAncestralDiscreteScheduler", aliases=("k_euler_a",)), (SGM_UNIFORM,)),
    (Sampler(name="DPM++ 2M", scheduler="DPMSolverMultistepScheduler", aliases=("k_dpmpp_2m",)), MULTISTEP),
    (
        Sampler(
            name="DPM++ 2M SDE",
            scheduler="DPMSolverMultistepScheduler",
            settings=(("algorithm_type", "sde-dpmsolver++"),),
            aliases=("k_dpmpp_2m_sde",),
        ),
        MULTISTEP,
    ),
    (Sampler(name="UniPC", scheduler="UniPCMultistepScheduler", aliases=("unipc",)), MULTISTEP),
)
"""Each method with the schedules that it works with at every number of steps."""
ALIASES = {"DPM++ 2M Karras": ("k_dpmpp_2m_ka",)}
SUITED = frozenset({"Euler Karras", "Euler Exponential"})
"""The schedules of noise levels with which a sampler also works on models of NOISY."""


def _combine(method: Sampler, schedule: Schedule) -> Sampler:
    name = f"{method.name} {schedule.name}"
    return Sampler(
        name=name,
        scheduler=method.scheduler,
        settings=method.settings + schedule.settings,
        aliases=ALIASES.get(name, ()),
        unsuited=frozenset({NOISY} if schedule.value is True and name not in SUITED else ()),
    )


SAMPLERS = tuple(
    sampler
    for method, schedules in METHODS
    for sampler in (method, *(_combine(method, schedule) for schedule in schedules))
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


def split_schedule(name: str) -> tuple[str, str]:
    """A sampler's method and the name of its schedule, empty where it has its model's own."""
    for schedule in SCHEDULES:
        if name.lower().endswith(f" {schedule.name.lower()}"):
            return name[: -len(schedule.name) - 1], schedule.name
    return name, ""
