"""Whether a request becomes a job, and with which parameters."""

from dataclasses import dataclass, replace

from mezzotint.domain.job import Parameters
from mezzotint.domain.model import ModelInfo
from mezzotint.domain.prompt import MAX_SEED, Prompt
from mezzotint.domain.refusal import Refusal, RefusalCode
from mezzotint.domain.sampler import sampler_named
from mezzotint.domain.task import Source, Task
from mezzotint.domain.tier import Tier, limits_of
from mezzotint.policy.admission.capabilities import check_capabilities
from mezzotint.policy.admission.grid import expand_repeats, parse_prompts, render_alone
from mezzotint.policy.admission.prompt_parameters import (
    DRAFT_QUALITY,
    guidance_of,
    strength_of,
)
from mezzotint.policy.admission.request import JobRequest
from mezzotint.policy.admission.size import bounds, can_shape, check_size, size_for
from mezzotint.policy.admission.source_image import DEFAULT_STRENGTH, SourcePlacement, check_task, place_source

NUM_SEEDS = MAX_SEED + 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """A job to be: its prompt as one would type it for this job alone, and every default filled in."""

    raw_prompt: str
    parameters: Parameters


@dataclass(frozen=True, slots=True, kw_only=True)
class Admit:
    """The request may become these jobs: at least one, more with choices and repeats."""

    plans: tuple[Plan, ...]


def admit(  # noqa: PLR0913 - each is a fact the decision depends on
    request: JobRequest,
    *,
    tier: Tier,
    model: ModelInfo,
    num_open_jobs: int,
    fresh_seed: int,
    source: Source | None = None,
    mask: Source | None = None,
) -> Admit | Refusal:
    """Decide on a request.

    num_open_jobs: jobs of the tenant that are queued or running.
    fresh_seed: in 0..MAX_SEED, used when the request names no seed.
    source, mask: what the request's names stand for; None where its owner has no such picture.
    """
    prompts = parse_prompts(request)
    if isinstance(prompts, Refusal):
        return prompts
    if refusal := check_task(request, model, source, mask):
        return refusal
    plans: list[Plan] = []
    for prompt in prompts:
        fresh = (fresh_seed + len(plans)) % NUM_SEEDS
        for nth, one in enumerate(expand_repeats(prompt)):
            parameters = _fill_parameters(request, one, tier, model, fresh_seed=fresh, source=source, mask=mask)
            if isinstance(parameters, Refusal):
                return parameters
            is_alone = len(prompts) == 1 and prompt.repeat in {None, 1}
            raw_prompt = request.prompt if is_alone else render_alone(request, one)
            seed = (parameters.seed + nth) % NUM_SEEDS
            plans.append(Plan(raw_prompt=raw_prompt, parameters=replace(parameters, seed=seed)))
    return check_open_jobs(num_open_jobs, len(plans), tier) or Admit(plans=tuple(plans))


def read_model_name(request: JobRequest) -> str | Refusal | None:
    """The model that the request's field or its prompt names, before anything else is decided."""
    prompts = parse_prompts(request)
    if isinstance(prompts, Refusal):
        return prompts
    names = {prompt.version for prompt in prompts}
    if len(names) > 1:
        return Refusal(
            code=RefusalCode.PARAMETER_INVALID,
            message="The choices of the prompt name several models.",
            hint="Send one request for each --version.",
            param="prompt",
        )
    return request.model or names.pop()


def _fill_parameters(  # noqa: PLR0913 - each is a fact the parameters depend on
    request: JobRequest,
    prompt: Prompt,
    tier: Tier,
    model: ModelInfo,
    *,
    fresh_seed: int,
    source: Source | None,
    mask: Source | None,
) -> Parameters | Refusal:
    where = _place_result(request, prompt, model, source)
    if isinstance(where, Refusal):
        return where
    merged = _merge_fields(request, prompt)
    parameters = Parameters(
        prompt=merged.text,
        negative_prompt=merged.no or "",
        seed=fresh_seed if merged.seed is None else merged.seed,
        num_steps=_num_steps(merged, model, tier),
        guidance_scale=_guidance(request, prompt, model),
        width=where.width,
        height=where.height,
        stop=prompt.stop,
        sampler=sampler.name if request.sampler and (sampler := sampler_named(request.sampler)) else None,
    )
    if source is not None:
        parameters = _add_source(parameters, request, prompt, where, source, mask)
    return check_capabilities(request, prompt, parameters, model, tier) or parameters


def _place_result(
    request: JobRequest, prompt: Prompt, model: ModelInfo, source: Source | None
) -> SourcePlacement | Refusal:
    """The result's size: as asked for, else the source's, else the model's own."""
    has_size = request.width is not None or request.height is not None or prompt.aspect_ratio is not None
    if source is not None and not has_size:
        return place_source(request, model, source)
    if request.task in {Task.OUTPAINT, Task.UPSCALE}:
        return Refusal(
            code=RefusalCode.PARAMETER_UNSUPPORTED,
            message=f"The task {request.task} takes no size and no --ar: its size follows from the source's.",
            hint='An outpaint takes "zoom" or "left", "top", "right", "bottom" in px; an upscale takes "scale".',
            param="width" if prompt.aspect_ratio is None else "prompt",
        )
    size = _choose_size(request, prompt, model)
    if isinstance(size, Refusal):
        return size
    return SourcePlacement(width=size[0], height=size[1], source_width=size[0], source_height=size[1])


def _add_source(  # noqa: PLR0917
    parameters: Parameters,
    request: JobRequest,
    prompt: Prompt,
    where: SourcePlacement,
    source: Source,
    mask: Source | None,
) -> Parameters:
    is_upscale = request.task is Task.UPSCALE
    usual = DEFAULT_STRENGTH.get(request.task) if prompt.iw is None else strength_of(prompt.iw)
    strength = usual if request.strength is None else request.strength
    return replace(
        parameters,
        num_steps=1 if is_upscale else parameters.num_steps,
        task=request.task,
        source=source.content,
        mask=mask.content if mask else None,
        strength=strength,
        scale=where.width // source.width if is_upscale else None,
        left=where.left,
        top=where.top,
        source_width=where.source_width,
        source_height=where.source_height,
    )


def _merge_fields(request: JobRequest, prompt: Prompt) -> Prompt:
    return replace(
        prompt,
        no=prompt.no or " ".join((request.negative_prompt or "").split()),
        seed=prompt.seed if request.seed is None else request.seed,
        num_steps=prompt.num_steps if request.num_steps is None else request.num_steps,
    )


def _num_steps(prompt: Prompt, model: ModelInfo, tier: Tier) -> int:
    usual = min(model.default_steps, limits_of(tier).step_budget)
    quality = DRAFT_QUALITY if prompt.is_draft else prompt.quality
    if quality is not None:
        return max(1, round(usual * quality))
    return usual if prompt.num_steps is None else prompt.num_steps


def _guidance(request: JobRequest, prompt: Prompt, model: ModelInfo) -> float:
    if prompt.stylize is not None:
        return guidance_of(prompt.stylize, model.default_guidance)
    return model.default_guidance if request.guidance_scale is None else request.guidance_scale


def _choose_size(request: JobRequest, prompt: Prompt, model: ModelInfo) -> tuple[int, int] | Refusal:
    if request.width is not None and request.height is not None:
        return check_size(model, request.width, request.height) or (request.width, request.height)
    if request.width is not None or request.height is not None:
        given, missing = ("width", "height") if request.height is None else ("height", "width")
        return Refusal(
            code=RefusalCode.SIZE_INVALID,
            message=f'"{given}" is given without "{missing}".',
            hint=f"Give both, or neither for {model.native_width} x {model.native_height} px, "
            'or write "--ar W:H" in the prompt.',
            param=missing,
        )
    if prompt.aspect_ratio is not None and not can_shape(model, prompt.aspect_ratio):
        low, high = bounds(model)
        return Refusal(
            code=RefusalCode.PARAMETER_INVALID,
            message=f"--ar {prompt.aspect_ratio.width}:{prompt.aspect_ratio.height} is too narrow for {model.name}, "
            f"whose sides go from {low} to {high} px.",
            hint=f"The longer side can be at most {high / low:.3g} times the shorter.",
            param="prompt",
        )
    return size_for(model, prompt.aspect_ratio)


def check_open_jobs(num_open: int, num_new: int, tier: Tier) -> Refusal | None:
    """Refuse jobs with which a tenant would have more queued or running than its tier allows."""
    most = limits_of(tier).max_open_jobs
    if num_open + num_new <= most:
        return None
    made = "" if num_new == 1 else f"The request makes {num_new} jobs. "
    return Refusal(
        code=RefusalCode.TOO_MANY_OPEN_JOBS,
        message=f"{made}You have {num_open} jobs queued or running; the {tier} tier allows {most}.",
        hint="Wait until one ends, or cancel one." if num_new <= most else "Ask for fewer at once.",
    )
