"""Refuse by name what a model, a task or a tier cannot do."""

from mezzotint.domain.drawing.sampler import find_sampler
from mezzotint.domain.job import Parameters
from mezzotint.domain.model import ModelInfo, Speed
from mezzotint.domain.prompt import MAX_SENT_SEED, Prompt
from mezzotint.domain.refusal import Refusal, RefusalCode, refuse
from mezzotint.domain.task import Task
from mezzotint.domain.tier import Tier, limits_of
from mezzotint.policy.admission.drawing_options import check_options
from mezzotint.policy.admission.prompt_syntax import check_weights
from mezzotint.policy.admission.request import JobRequest
from mezzotint.policy.admission.source_image import TAKES

MAX_GUIDANCE = 30.0  # what front ends offer; beyond it every model's colours burn out


def check_capabilities(
    request: JobRequest, prompt: Prompt, parameters: Parameters, model: ModelInfo, tier: Tier
) -> Refusal | None:
    """Refuse a request that asks for more than is possible. parameters: those that it and its prompt come to."""
    return (
        _check_meaning(request, prompt, parameters, model)
        or _check_weights(request, parameters, model)
        or _check_numbers(parameters, tier, written_in="prompt" if request.num_steps is None else "num_steps")
        or _check_guidance(request, prompt, model)
        or _check_sampler(request, prompt, model)
        or check_options(request, prompt, parameters, model)
        or _check_speed(request, prompt, model, tier)
    )


def _check_meaning(request: JobRequest, prompt: Prompt, parameters: Parameters, model: ModelInfo) -> Refusal | None:
    """Refuse a source's weight, an early stop and a negative prompt that mean nothing to the task or the model."""
    if prompt.iw is not None and "strength" not in TAKES[request.task]:
        message = f"--iw weighs a source picture against the words; the task {request.task} does not."
        hint = "Leave it out, or set the task to variation or inpaint with a source."
        return refuse(RefusalCode.PARAMETER_UNSUPPORTED, message, hint, "prompt")
    if prompt.stop is not None and (request.task is Task.UPSCALE or not model.can_stop):
        subject = f"the task {request.task}" if model.can_stop else model.name
        message = f"--stop means nothing to {subject}, which has nothing to show before its end."
        return refuse(RefusalCode.PARAMETER_UNSUPPORTED, message, "Leave it out, or ask for fewer --steps.", "prompt")
    if parameters.negative_prompt and not model.takes_negative_prompt:
        message = f"{model.name} takes no negative prompt: --no and negative_prompt mean nothing to it."
        hint = "Leave it out, and say what is to be in the picture."
        param = "negative_prompt" if request.negative_prompt else "prompt"
        return refuse(RefusalCode.PARAMETER_UNSUPPORTED, message, hint, param)
    return None


def _check_weights(request: JobRequest, parameters: Parameters, model: ModelInfo) -> Refusal | None:
    if request.task is Task.UPSCALE:
        return None
    negative = "negative_prompt" if request.negative_prompt else "prompt"
    for text, param in ((parameters.prompt, "prompt"), (parameters.negative_prompt, negative)):
        if refusal := check_weights(text, param=param, model=model.name, weighs_words=model.weighs_words):
            return refusal
    return None


def _check_guidance(request: JobRequest, prompt: Prompt, model: ModelInfo) -> Refusal | None:
    asked = request.guidance_scale
    param = "prompt" if asked is None else "guidance_scale"
    if asked is not None and not 0 <= asked <= MAX_GUIDANCE:
        hint = f"Choose from 0 to {MAX_GUIDANCE:g}; {model.default_guidance:g} is the model's own."
        return refuse(RefusalCode.PARAMETER_INVALID, f"The guidance scale {asked:g} is out of range.", hint, param)
    if model.default_guidance > 1 or (prompt.stylize is None and asked in {None, model.default_guidance}):
        return None
    message = f"{model.name} draws without guidance: --stylize, --chaos and guidance_scale mean nothing to it."
    return refuse(RefusalCode.PARAMETER_UNSUPPORTED, message, "Leave it out.", param)


def _check_sampler(request: JobRequest, prompt: Prompt, model: ModelInfo) -> Refusal | None:
    wanted, param = request.sampler or prompt.sampler, "prompt" if request.sampler is None else "sampler"
    if wanted is None:
        return None
    sampler = find_sampler(wanted)
    if sampler is not None and sampler.name in model.samplers:
        return None
    message = f'{model.name} has no sampler "{wanted[:40]}".'
    hint = f"It takes: {', '.join(model.samplers)}." if model.samplers else "Leave it out: only its own suits it."
    return refuse(RefusalCode.PARAMETER_UNSUPPORTED, message, hint, param)


def _check_speed(request: JobRequest, prompt: Prompt, model: ModelInfo, tier: Tier) -> Refusal | None:
    speed, param = request.speed or prompt.speed, "prompt" if request.speed is None else "speed"
    if speed is None:
        return None
    if request.task is Task.UPSCALE:
        message = "--speed means nothing to the task upscale, which has no sampler steps."
        return refuse(RefusalCode.PARAMETER_UNSUPPORTED, message, "Leave it out.", param)
    can, may = model.forecast.speeds, model.forecast.speeds_of(tier)
    if speed in may:
        return None
    message = f"{model.name} cannot foretell steps at the speed {speed}."
    if speed in can or speed is Speed.EXACT:
        message = f"The {tier} tier does not draw with {model.name} at the speed {speed}."
    return refuse(RefusalCode.PARAMETER_UNSUPPORTED, message, f"Choose of: {', '.join(may)}.", param)


def _check_numbers(parameters: Parameters, tier: Tier, *, written_in: str) -> Refusal | None:
    """Refuse a seed, a number of steps or a strength out of range. written_in: the field that has the steps."""
    seed, num, budget = parameters.seed, parameters.num_steps, limits_of(tier).step_budget
    if not 0 <= seed <= MAX_SENT_SEED:
        hint = f"Choose a whole number from 0 to {MAX_SENT_SEED}."
        return refuse(RefusalCode.PARAMETER_INVALID, f"The seed {seed} is out of range.", hint, "seed")
    if num < 1:
        hint = f"Choose a whole number from 1 to {budget}."
        return refuse(RefusalCode.PARAMETER_INVALID, f"{num} steps make no picture.", hint, written_in)
    if num > budget:
        message = f"{num} steps were asked for; the {tier} tier's budget is {budget} a job."
        larger = [f"{other} {limits_of(other).step_budget}" for other in Tier if limits_of(other).step_budget > budget]
        hint = f"Ask for at most {budget} steps" + (f", or use a larger tier ({', '.join(larger)})." if larger else ".")
        return refuse(RefusalCode.STEPS_OVER_BUDGET, message, hint, written_in)
    if parameters.num_sampled < 1 and parameters.strength is not None:
        message = f"A strength of {parameters.strength:g} leaves none of the {num} steps."
        return refuse(
            RefusalCode.PARAMETER_INVALID, message, f"Choose at least {1 / num:.2g}, or more steps.", "strength"
        )
    return None
