"""Refuse a request that says one thing twice, or contradicts itself."""

from collections.abc import Sequence

from mezzotint.domain.prompt import Prompt
from mezzotint.domain.refusal import Refusal, RefusalCode, refuse
from mezzotint.policy.admission.permutations import check_job_count
from mezzotint.policy.admission.prompt import check_characters, check_length
from mezzotint.policy.admission.repeats import count_repeats
from mezzotint.policy.admission.request import JobRequest


def check_conflicts(request: JobRequest, prompts: Sequence[Prompt]) -> Refusal | None:
    """Refuse parameters that contradict fields or one another, too many jobs, and a negative prompt that is no text."""
    for prompt in prompts:
        if refusal := _check_steps(prompt) or _check_fields(request, prompt) or _check_chaos(request, prompt):
            return refusal
    negative_prompt = request.negative_prompt or ""
    return (
        check_job_count(sum(count_repeats(request, prompt) for prompt in prompts))
        or check_characters(negative_prompt, param="negative_prompt")
        or check_length(" ".join(negative_prompt.split()), param="negative_prompt")
    )


def _check_steps(prompt: Prompt) -> Refusal | None:
    deciders = {"--steps": prompt.num_steps, "--quality": prompt.quality, "--draft": prompt.is_draft or None}
    written = [name for name, value in deciders.items() if value is not None]
    if len(written) <= 1:
        return None
    message = f"{' and '.join(written)} all decide the number of steps."
    return refuse(RefusalCode.PARAMETER_REPEATED, message, "Keep one of them.", "prompt")


def _check_fields(request: JobRequest, prompt: Prompt) -> Refusal | None:
    pairs = (
        ("--no", prompt.no, "negative_prompt", request.negative_prompt or None),
        ("--seed", prompt.seed, "seed", request.seed),
        ("--steps", prompt.num_steps, "num_steps", request.num_steps),
        ("--ar", prompt.aspect_ratio, "width", request.width),
        ("--ar", prompt.aspect_ratio, "height", request.height),
        ("--repeat", prompt.repeat, "repeat", request.repeat),
        ("--stylize", prompt.stylize, "guidance_scale", request.guidance_scale),
        ("--chaos", prompt.chaos or None, "guidance_scale", request.guidance_scale),
        ("--iw", prompt.iw, "strength", request.strength),
        ("--version", prompt.version, "model", request.model),
        ("--quality", prompt.quality, "num_steps", request.num_steps),
        ("--draft", prompt.is_draft or None, "num_steps", request.num_steps),
    )
    for name, written, field, given in pairs:
        if written is not None and given is not None:
            message = f'{name} is written in the prompt and the field "{field}" is given too.'
            return refuse(RefusalCode.PARAMETER_REPEATED, message, "Keep one of the two.", field)
    return None


def _check_chaos(request: JobRequest, prompt: Prompt) -> Refusal | None:
    if not prompt.chaos or count_repeats(request, prompt) > 1:
        return None
    message = "--chaos is how unlike each other several pictures are; this would be one."
    return refuse(RefusalCode.PARAMETER_MISSING, message, "Add --repeat 4, or leave it out.", "prompt")
