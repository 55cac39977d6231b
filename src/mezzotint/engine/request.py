"""A job's parameters as the keyword arguments of a stock pipeline call."""

import inspect
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mezzotint.domain.errors import RunFailed
from mezzotint.domain.job import Parameters

if TYPE_CHECKING:
    from diffusers import DiffusionPipeline


SPRINT_STEPS = 2
"""Steps that SanaSprint's default `intermediate_timesteps` are made for; with others it must be None."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Slot:
    """A keyword argument of a pipeline. is_required: without it the picture would not be the one asked for."""

    value: Any
    is_required: bool


def call_kwargs(pipeline: "DiffusionPipeline", parameters: Parameters) -> dict[str, Any]:
    """The call for one picture, but for the source of a task that has one.

    The generator lives on the CPU: a seed means the same noise on every device.

    Raises: RunFailed when the pipeline cannot do what was asked.
    """
    import torch

    accepted = inspect.signature(type(pipeline).__call__).parameters
    # a call without one has the text or None that the pipeline says: PixArt's and Sana's fail at None
    default = accepted["negative_prompt"].default if "negative_prompt" in accepted else None
    empty = default if isinstance(default, str) else None
    guidance, _ = find_guidance(type(pipeline))
    if guidance == "true_cfg_scale":  # without a text against which it weighs the prompt, such a family does not guide
        empty = " "
    slots = {
        "prompt": Slot(value=parameters.prompt, is_required=True),
        "negative_prompt": Slot(
            value=parameters.negative_prompt or empty, is_required=bool(parameters.negative_prompt)
        ),
        "num_inference_steps": Slot(value=parameters.num_steps, is_required=True),
        "guidance_scale": Slot(value=parameters.guidance_scale, is_required=False),
        guidance: Slot(value=parameters.guidance_scale, is_required=False),
        "width": Slot(value=parameters.width, is_required=parameters.source is None),
        "height": Slot(value=parameters.height, is_required=parameters.source is None),
        "generator": Slot(value=torch.Generator("cpu").manual_seed(parameters.seed), is_required=True),
        "use_resolution_binning": Slot(value=False, is_required=False),  # draw the size that was asked for
        "_auto_resize": Slot(value=False, is_required=False),  # and keep a source at that size
        "max_area": Slot(value=parameters.width * parameters.height, is_required=False),  # so does FLUX Kontext
        "output_type": Slot(value="pil", is_required=True),
    }
    if parameters.strength is not None:
        slots["strength"] = Slot(value=parameters.strength, is_required=True)
    more = {"eta": parameters.eta, "guidance_rescale": parameters.guidance_rescale}
    for name, wanted in (more | {"image_guidance_scale": parameters.image_guidance}).items():
        if wanted:
            slots[name] = Slot(value=wanted, is_required=True)
    if (skipped := count_skipped(pipeline, parameters.clip_skip)) is not None:
        slots["clip_skip"] = Slot(value=skipped, is_required=True)
    if parameters.num_steps != SPRINT_STEPS:
        slots["intermediate_timesteps"] = Slot(value=None, is_required=False)
    for name, slot in slots.items():
        if slot.is_required and name not in accepted:
            raise RunFailed(f"{type(pipeline).__name__} takes no {name}")
    return {name: slot.value for name, slot in slots.items() if name in accepted}


def find_guidance(pipeline: Any) -> tuple[str, float]:
    """Find the argument of a pipeline class that weighs the words, and its usual value; 1: the class draws without.

    Qwen-Image's is `true_cfg_scale`; its `guidance_scale` is for distilled models. FLUX's `true_cfg_scale` is 1 unless
    asked for, so that it stays as it is.
    """
    parameters = inspect.signature(pipeline.__call__).parameters
    name = "true_cfg_scale" if read_default_scale(parameters, "true_cfg_scale") > 1 else "guidance_scale"
    return name, read_default_scale(parameters, name)


def read_default_scale(parameters: Mapping[str, inspect.Parameter], name: str) -> float:
    """The default of an argument of a call; 1 where it has none, which is no guidance."""
    default = parameters[name].default if name in parameters else None
    return float(default) if isinstance(default, int | float) else 1.0


def count_skipped(pipeline: "DiffusionPipeline", clip_skip: int | None) -> int | None:
    """diffusers' `clip_skip`, counted from the layer that the family reads: XL reads its encoders' last but one."""
    usual = 2 if hasattr(pipeline, "text_encoder_2") else 1
    return clip_skip - usual if clip_skip is not None and clip_skip > usual else None
