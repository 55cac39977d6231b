"""Eta, guidance rescale, clip skip and image guidance of a job: the request's, else the model's; refused where they
mean nothing."""

from typing import Any

from mezzotint.domain.drawing.options import MAX_ETA, MAX_IMAGE_GUIDANCE, MIN_IMAGE_GUIDANCE
from mezzotint.domain.job import Parameters
from mezzotint.domain.model import ModelInfo
from mezzotint.domain.prompt import Prompt
from mezzotint.domain.refusal import Refusal, RefusalCode, refuse
from mezzotint.domain.task import Task
from mezzotint.policy.admission.request import JobRequest


def fill_options(request: JobRequest, prompt: Prompt, parameters: Parameters, model: ModelInfo) -> dict[str, Any]:
    """The values of these options, by their names. parameters: with task, sampler and guidance filled in.

    The model's own values hold where a request names none, as far as its sampler and its task heed them.
    """
    if request.task is Task.UPSCALE:
        return {}
    usual = model.options
    eta, rescale, clip_skip = _find_wanted(request, prompt)
    if eta is None:
        eta = usual.eta if parameters.sampler in usual.eta_samplers else 0.0
    if rescale is None:
        is_heeded = request.task in usual.rescale_tasks and parameters.guidance_scale > 1
        rescale = usual.guidance_rescale if is_heeded else 0.0
    clip_skip = usual.clip_skip if clip_skip is None else clip_skip
    nearness = request.image_guidance
    if nearness is None and request.task is Task.EDIT and parameters.guidance_scale > 1:
        nearness = usual.image_guidance
    return {"eta": eta, "guidance_rescale": rescale, "clip_skip": clip_skip, "image_guidance": nearness}


def check_options(request: JobRequest, prompt: Prompt, parameters: Parameters, model: ModelInfo) -> Refusal | None:
    """Refuse those that the request names and the drawing would pass over, or that are out of range."""
    eta, rescale, clip_skip = _find_wanted(request, prompt)
    wanted = {"eta": eta, "guidance_rescale": rescale, "clip_skip": clip_skip}
    named = next((name for name, value in wanted.items() if value is not None), None)
    if named is not None and request.task is Task.UPSCALE:
        message = f"{named} means nothing to the task upscale, which has no sampler steps."
        return refuse(RefusalCode.PARAMETER_UNSUPPORTED, message, "Leave it out.", _find_param(request, named))
    return (
        _check_eta(request, eta, parameters, model)
        or _check_rescale(request, rescale, parameters, model)
        or _check_clip_skip(request, clip_skip, model)
        or _check_image_guidance(request, parameters, model)
    )


def _find_wanted(request: JobRequest, prompt: Prompt) -> tuple[float | None, float | None, int | None]:
    pairs = (
        (request.eta, prompt.eta),
        (request.guidance_rescale, prompt.guidance_rescale),
        (request.clip_skip, prompt.clip_skip),
    )
    eta, rescale, clip_skip = (written if given is None else given for given, written in pairs)
    return eta, rescale, None if clip_skip is None else int(clip_skip)


def _find_param(request: JobRequest, name: str) -> str:
    return "prompt" if getattr(request, name) is None else name


def _check_eta(request: JobRequest, eta: float | None, parameters: Parameters, model: ModelInfo) -> Refusal | None:
    if eta is None:
        return None
    param = _find_param(request, "eta")
    if not 0 <= eta <= MAX_ETA:
        hint = f"Choose from 0 to {MAX_ETA:g}: how much noise each step adds."
        return refuse(RefusalCode.PARAMETER_INVALID, f"The eta {eta:g} is out of range.", hint, param)
    if eta == 0 or parameters.sampler in model.options.eta_samplers:
        return None
    message = f"{parameters.sampler or 'Its own sampler'} passes over eta with {model.name}."
    takes = ", ".join(name or "the model's own" for name in model.options.eta_samplers)
    hint = f"Samplers that heed it: {takes}." if takes else "Leave it out: no sampler of the model heeds it."
    return refuse(RefusalCode.PARAMETER_UNSUPPORTED, message, hint, param)


def _check_rescale(
    request: JobRequest, rescale: float | None, parameters: Parameters, model: ModelInfo
) -> Refusal | None:
    if rescale is None:
        return None
    param = _find_param(request, "guidance_rescale")
    if not 0 <= rescale <= 1:
        hint = "Choose from 0 to 1; 0.7 is usual."
        return refuse(RefusalCode.PARAMETER_INVALID, f"The guidance rescale {rescale:g} is out of range.", hint, param)
    tasks = model.options.rescale_tasks
    if rescale == 0:
        return None
    if request.task not in tasks:
        message = f"{model.name} does not rescale guidance in the task {request.task}."
        hint = f"It does in: {', '.join(tasks)}." if tasks else "Leave it out."
        return refuse(RefusalCode.PARAMETER_UNSUPPORTED, message, hint, param)
    if parameters.guidance_scale <= 1:
        message = f"With a guidance scale of {parameters.guidance_scale:g} there is no guidance to rescale."
        return refuse(RefusalCode.PARAMETER_UNSUPPORTED, message, "Leave it out, or choose a scale above 1.", param)
    return None


def _check_clip_skip(request: JobRequest, clip_skip: int | None, model: ModelInfo) -> Refusal | None:
    largest = model.options.max_clip_skip
    if clip_skip is None or 1 <= clip_skip <= largest:
        return None
    param = _find_param(request, "clip_skip")
    if not largest:
        message = f"{model.name} always reads the same layer of its text encoders: clip_skip means nothing to it."
        return refuse(RefusalCode.PARAMETER_UNSUPPORTED, message, "Leave it out.", param)
    hint = f"Choose a whole number from 1 to {largest}; 1 is the last layer."
    return refuse(RefusalCode.PARAMETER_INVALID, f"The clip skip {clip_skip} is out of range.", hint, param)


def _check_image_guidance(request: JobRequest, parameters: Parameters, model: ModelInfo) -> Refusal | None:
    wanted, usual, param = request.image_guidance, model.options.image_guidance, "image_guidance"
    if wanted is None:
        return None
    if usual is None:
        message = f"{model.name} weighs no picture against the words: image_guidance means nothing to it."
        return refuse(RefusalCode.PARAMETER_UNSUPPORTED, message, "Leave it out.", param)
    if not MIN_IMAGE_GUIDANCE <= wanted <= MAX_IMAGE_GUIDANCE:
        hint = f"Choose from {MIN_IMAGE_GUIDANCE:g} to {MAX_IMAGE_GUIDANCE:g}; {usual:g} is usual, more stays nearer."
        return refuse(RefusalCode.PARAMETER_INVALID, f"The image guidance {wanted:g} is out of range.", hint, param)
    if parameters.guidance_scale <= 1:
        message = f"With a guidance scale of {parameters.guidance_scale:g} the picture has no weight of its own."
        return refuse(RefusalCode.PARAMETER_UNSUPPORTED, message, "Leave it out, or choose a scale above 1.", param)
    return None
