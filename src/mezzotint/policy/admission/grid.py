"""The prompts that one request stands for: one for each of its choices, each as often as it is repeated."""

from dataclasses import replace

from mezzotint.domain.prompt import Prompt
from mezzotint.domain.refusal import Refusal, RefusalCode
from mezzotint.domain.task import Task
from mezzotint.policy.admission.permutations import check_job_count, escape_text, expand_choices
from mezzotint.policy.admission.prompt import check_characters, check_length, check_written, parse_prompt, render_prompt
from mezzotint.policy.admission.prompt_parameters import NORMAL_STYLIZE, stylize_in_grid
from mezzotint.policy.admission.request import JobRequest


def parse_prompts(request: JobRequest) -> list[Prompt] | Refusal:
    """The prompts that the request stands for, each with its repeats; no more than one request may have."""
    if refusal := _check_written(request):
        return refusal
    texts = (request.prompt,) if request.is_plain else expand_choices(request.prompt)
    if isinstance(texts, Refusal):
        return texts
    prompts: list[Prompt] = []
    for text in texts:
        prompt = _prompt_of(request, text)
        if isinstance(prompt, Refusal):
            return prompt
        if refusal := _check_repeats(request, prompt):
            return refusal
        prompt = prompt if request.repeat is None else replace(prompt, repeat=request.repeat)
        if refusal := _check_grid(prompt):
            return refusal
        prompts.append(prompt)
    return check_job_count(sum(prompt.repeat or 1 for prompt in prompts)) or _check_negative_prompt(request) or prompts


def expand_repeats(prompt: Prompt) -> list[Prompt]:
    """The prompt once for each of its repeats, as one would type it for that picture alone."""
    alone = replace(prompt, repeat=None, chaos=None)
    if not prompt.chaos:
        return [alone] * (prompt.repeat or 1)
    usual = NORMAL_STYLIZE if prompt.stylize is None else prompt.stylize
    stylized = (stylize_in_grid(usual, prompt.chaos, nth) for nth in range(prompt.repeat or 1))
    return [replace(alone, stylize=stylize) for stylize in stylized]


def render_alone(request: JobRequest, prompt: Prompt) -> str:
    written = render_prompt(prompt)
    return written if request.is_plain else escape_text(written)


def _check_written(request: JobRequest) -> Refusal | None:
    return check_written(request.prompt, param="prompt") or check_written(
        request.negative_prompt or "", param="negative_prompt"
    )


def _prompt_of(request: JobRequest, text: str) -> Prompt | Refusal:
    if request.task in {Task.UPSCALE, Task.VARIATION} and not text.strip():
        return Prompt(text="")
    return parse_prompt(text)


def _check_repeats(request: JobRequest, prompt: Prompt) -> Refusal | None:
    size_field = "width" if request.width is not None else "height"
    has_size = request.width is not None or request.height is not None
    both = (
        ("--no", prompt.no is not None, "negative_prompt", bool(request.negative_prompt)),
        ("--seed", prompt.seed is not None, "seed", request.seed is not None),
        ("--steps", prompt.num_steps is not None, "num_steps", request.num_steps is not None),
        ("--ar", prompt.aspect_ratio is not None, size_field, has_size),
        ("--repeat", prompt.repeat is not None, "repeat", request.repeat is not None),
        ("--stylize", prompt.stylize is not None, "guidance_scale", request.guidance_scale is not None),
        ("--chaos", bool(prompt.chaos), "guidance_scale", request.guidance_scale is not None),
        ("--iw", prompt.iw is not None, "strength", request.strength is not None),
        ("--version", prompt.version is not None, "model", request.model is not None),
        ("--quality", prompt.quality is not None, "num_steps", request.num_steps is not None),
        ("--draft", prompt.is_draft, "num_steps", request.num_steps is not None),
    )
    deciders = {"--steps": prompt.num_steps, "--quality": prompt.quality, "--draft": prompt.is_draft or None}
    written = [name for name, value in deciders.items() if value is not None]
    if len(written) > 1:
        return Refusal(
            code=RefusalCode.PARAMETER_REPEATED,
            message=f"{' and '.join(written)} all decide the number of steps.",
            hint="Keep one of them.",
            param="prompt",
        )
    for name, is_written, field, is_given in both:
        if is_written and is_given:
            return Refusal(
                code=RefusalCode.PARAMETER_REPEATED,
                message=f'{name} is written in the prompt and the field "{field}" is given too.',
                hint="Keep one of the two.",
                param=field,
            )
    return None


def _check_grid(prompt: Prompt) -> Refusal | None:
    if not prompt.chaos or (prompt.repeat or 1) > 1:
        return None
    return Refusal(
        code=RefusalCode.PARAMETER_MISSING,
        message="--chaos is how unlike each other several pictures are; this would be one.",
        hint="Add --repeat 4, or leave it out.",
        param="prompt",
    )


def _check_negative_prompt(request: JobRequest) -> Refusal | None:
    text = request.negative_prompt or ""
    return check_characters(text, param="negative_prompt") or check_length(
        " ".join(text.split()), param="negative_prompt"
    )
