"""Whether a request becomes a job, and with which parameters."""

from dataclasses import dataclass, replace

from mezzotint.domain.job import Parameters
from mezzotint.domain.model import ModelInfo
from mezzotint.domain.prompt import MAX_SEED, Prompt
from mezzotint.domain.refusal import Refusal, RefusalCode
from mezzotint.domain.sampler import sampler_named
from mezzotint.domain.task import Source, Task
from mezzotint.domain.tier import Tier, limits_of
from mezzotint.policy.editing import DEFAULT_STRENGTH, TAKES, Place, check_task, place
from mezzotint.policy.permutation import escape, expand, too_many
from mezzotint.policy.prompt import check_characters, check_length, parse, render
from mezzotint.policy.prompt_parameters import (
    DRAFT_QUALITY,
    NORMAL_STYLIZE,
    guidance_of,
    strength_of,
    stylize_in_grid,
)
from mezzotint.policy.size import bounds, can_shape, check_size, size_for

NUM_SEEDS = MAX_SEED + 1
MAX_GUIDANCE = 30.0  # what front ends offer; beyond it every model's colours burn out


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What a user asks for, as sent. A field may instead be written in the prompt (`--seed 7`), not in both.

    model: its name; None: the default.
    source, mask: a picture's hash, or a job's id for its first picture. zoom, left, top, right, bottom: how an outpaint
    grows the canvas; the sides in px. is_plain: braces in the prompt are characters, not choices.
    """

    prompt: str
    model: str | None = None
    negative_prompt: str | None = None
    seed: int | None = None
    num_steps: int | None = None
    width: int | None = None
    height: int | None = None
    task: Task = Task.GENERATE
    source: str | None = None
    mask: str | None = None
    strength: float | None = None
    scale: int | None = None
    zoom: float | None = None
    left: int | None = None
    top: int | None = None
    right: int | None = None
    bottom: int | None = None
    guidance_scale: float | None = None
    sampler: str | None = None
    repeat: int | None = None
    is_plain: bool = False


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
    request: Request,
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
    prompts = _prompts(request)
    if isinstance(prompts, Refusal):
        return prompts
    if refusal := check_task(request, model, source, mask):
        return refusal
    plans: list[Plan] = []
    for prompt in prompts:
        fresh = (fresh_seed + len(plans)) % NUM_SEEDS
        for nth, one in enumerate(_grid(prompt)):
            parameters = _parameters(request, one, tier, model, fresh_seed=fresh, source=source, mask=mask)
            if isinstance(parameters, Refusal):
                return parameters
            is_alone = len(prompts) == 1 and prompt.repeat in {None, 1}
            raw_prompt = request.prompt if is_alone else _written_alone(request, one)
            seed = (parameters.seed + nth) % NUM_SEEDS
            plans.append(Plan(raw_prompt=raw_prompt, parameters=replace(parameters, seed=seed)))
    return _check_open_jobs(num_open_jobs, len(plans), tier) or Admit(plans=tuple(plans))


def model_named(request: Request) -> str | Refusal | None:
    """The model that the request's field or its prompt names, before anything else is decided."""
    prompts = _prompts(request)
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


def _grid(prompt: Prompt) -> list[Prompt]:
    """The prompt once for each of its repeats, as one would type it for that picture alone."""
    alone = replace(prompt, repeat=None, chaos=None)
    if not prompt.chaos:
        return [alone] * (prompt.repeat or 1)
    usual = NORMAL_STYLIZE if prompt.stylize is None else prompt.stylize
    stylized = (stylize_in_grid(usual, prompt.chaos, nth) for nth in range(prompt.repeat or 1))
    return [replace(alone, stylize=stylize) for stylize in stylized]


def _prompts(request: Request) -> list[Prompt] | Refusal:
    """The prompts that the request stands for, each with its repeats; no more than one request may have."""
    texts = (request.prompt,) if request.is_plain else expand(request.prompt)
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
    return too_many(sum(prompt.repeat or 1 for prompt in prompts)) or _check_negative_prompt(request) or prompts


def _prompt_of(request: Request, text: str) -> Prompt | Refusal:
    if request.task in {Task.UPSCALE, Task.VARIATION} and not text.strip():
        return Prompt(text="")
    return parse(text)


def _written_alone(request: Request, prompt: Prompt) -> str:
    written = render(prompt)
    return written if request.is_plain else escape(written)


def _parameters(  # noqa: PLR0913 - each is a fact the parameters depend on
    request: Request,
    prompt: Prompt,
    tier: Tier,
    model: ModelInfo,
    *,
    fresh_seed: int,
    source: Source | None,
    mask: Source | None,
) -> Parameters | Refusal:
    where = _place(request, prompt, model, source)
    if isinstance(where, Refusal):
        return where
    merged = _merge(request, prompt)
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
        parameters = _with_source(parameters, request, prompt, where, source, mask)
    return (
        _check_image_weight(request, prompt)
        or _check_stop(request, prompt, model)
        or _check_no(request, merged, model)
        or _check_seed(parameters)
        or _check_steps(parameters, tier, written_in="prompt" if request.num_steps is None else "num_steps")
        or _check_strength(parameters)
        or _check_guidance(request, prompt, model)
        or _check_sampler(request, model)
        or parameters
    )


def _place(request: Request, prompt: Prompt, model: ModelInfo, source: Source | None) -> Place | Refusal:
    """The result's size: as asked for, else the source's, else the model's own."""
    has_size = request.width is not None or request.height is not None or prompt.aspect_ratio is not None
    if source is not None and not has_size:
        return place(request, model, source)
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
    return Place(width=size[0], height=size[1], source_width=size[0], source_height=size[1])


def _with_source(  # noqa: PLR0917
    parameters: Parameters, request: Request, prompt: Prompt, where: Place, source: Source, mask: Source | None
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


def _check_grid(prompt: Prompt) -> Refusal | None:
    if not prompt.chaos or (prompt.repeat or 1) > 1:
        return None
    return Refusal(
        code=RefusalCode.PARAMETER_MISSING,
        message="--chaos is how unlike each other several pictures are; this would be one.",
        hint="Add --repeat 4, or leave it out.",
        param="prompt",
    )


def _check_image_weight(request: Request, prompt: Prompt) -> Refusal | None:
    if prompt.iw is None or "strength" in TAKES[request.task]:
        return None
    return Refusal(
        code=RefusalCode.PARAMETER_UNSUPPORTED,
        message=f"--iw weighs a source picture against the words; the task {request.task} does not.",
        hint="Leave it out, or set the task to variation or inpaint with a source.",
        param="prompt",
    )


def _check_no(request: Request, merged: Prompt, model: ModelInfo) -> Refusal | None:
    if not merged.no or model.takes_negative_prompt:
        return None
    return Refusal(
        code=RefusalCode.PARAMETER_UNSUPPORTED,
        message=f"{model.name} takes no negative prompt: --no and negative_prompt mean nothing to it.",
        hint="Leave it out, and say what is to be in the picture.",
        param="negative_prompt" if request.negative_prompt else "prompt",
    )


def _check_stop(request: Request, prompt: Prompt, model: ModelInfo) -> Refusal | None:
    if prompt.stop is None or (model.can_stop and request.task is not Task.UPSCALE):
        return None
    what = f"the task {request.task}" if model.can_stop else model.name
    return Refusal(
        code=RefusalCode.PARAMETER_UNSUPPORTED,
        message=f"--stop means nothing to {what}, which has nothing to show before its end.",
        hint="Leave it out, or ask for fewer --steps.",
        param="prompt",
    )


def _check_strength(parameters: Parameters) -> Refusal | None:
    if parameters.num_sampled >= 1 or parameters.strength is None:
        return None
    return Refusal(
        code=RefusalCode.PARAMETER_INVALID,
        message=f"A strength of {parameters.strength:g} leaves none of the {parameters.num_steps} steps.",
        hint=f"Choose at least {1 / parameters.num_steps:.2g}, or more steps.",
        param="strength",
    )


def _merge(request: Request, prompt: Prompt) -> Prompt:
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


def _guidance(request: Request, prompt: Prompt, model: ModelInfo) -> float:
    if prompt.stylize is not None:
        return guidance_of(prompt.stylize, model.default_guidance)
    return model.default_guidance if request.guidance_scale is None else request.guidance_scale


def _check_guidance(request: Request, prompt: Prompt, model: ModelInfo) -> Refusal | None:
    asked = request.guidance_scale
    param = "prompt" if asked is None else "guidance_scale"
    if asked is not None and not 0 <= asked <= MAX_GUIDANCE:
        return Refusal(
            code=RefusalCode.PARAMETER_INVALID,
            message=f"The guidance scale {asked:g} is out of range.",
            hint=f"Choose from 0 to {MAX_GUIDANCE:g}; {model.default_guidance:g} is the model's own.",
            param=param,
        )
    if model.default_guidance > 1 or (prompt.stylize is None and asked in {None, model.default_guidance}):
        return None
    return Refusal(
        code=RefusalCode.PARAMETER_UNSUPPORTED,
        message=f"{model.name} draws without guidance: --stylize, --chaos and guidance_scale mean nothing to it.",
        hint="Leave it out.",
        param=param,
    )


def _check_sampler(request: Request, model: ModelInfo) -> Refusal | None:
    if request.sampler is None:
        return None
    sampler = sampler_named(request.sampler)
    if sampler is not None and sampler.name in model.samplers:
        return None
    hint = f"It takes: {', '.join(model.samplers)}." if model.samplers else "Leave it out: only its own suits it."
    return Refusal(
        code=RefusalCode.PARAMETER_UNSUPPORTED,
        message=f'{model.name} has no sampler "{request.sampler[:40]}".',
        hint=hint,
        param="sampler",
    )


def _check_repeats(request: Request, prompt: Prompt) -> Refusal | None:
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


def _check_negative_prompt(request: Request) -> Refusal | None:
    text = request.negative_prompt or ""
    return check_characters(text, param="negative_prompt") or check_length(
        " ".join(text.split()), param="negative_prompt"
    )


def _choose_size(request: Request, prompt: Prompt, model: ModelInfo) -> tuple[int, int] | Refusal:
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


def _check_seed(parameters: Parameters) -> Refusal | None:
    if 0 <= parameters.seed <= MAX_SEED:
        return None
    return Refusal(
        code=RefusalCode.PARAMETER_INVALID,
        message=f"The seed {parameters.seed} is out of range.",
        hint=f"Choose a whole number from 0 to {MAX_SEED}.",
        param="seed",
    )


def _check_steps(parameters: Parameters, tier: Tier, *, written_in: str) -> Refusal | None:
    budget = limits_of(tier).step_budget
    if 1 <= parameters.num_steps <= budget:
        return None
    if parameters.num_steps < 1:
        return Refusal(
            code=RefusalCode.PARAMETER_INVALID,
            message=f"{parameters.num_steps} steps make no picture.",
            hint=f"Choose a whole number from 1 to {budget}.",
            param=written_in,
        )
    larger = ", ".join(
        f"{other} {limits_of(other).step_budget}" for other in Tier if limits_of(other).step_budget > budget
    )
    return Refusal(
        code=RefusalCode.STEPS_OVER_BUDGET,
        message=f"{parameters.num_steps} steps were asked for; the {tier} tier's budget is {budget} a job.",
        hint=f"Ask for at most {budget} steps" + (f", or use a larger tier ({larger})." if larger else "."),
        param=written_in,
    )


def _check_open_jobs(num_open: int, num_new: int, tier: Tier) -> Refusal | None:
    most = limits_of(tier).max_open_jobs
    if num_open + num_new <= most:
        return None
    made = "" if num_new == 1 else f"The request makes {num_new} jobs. "
    return Refusal(
        code=RefusalCode.TOO_MANY_OPEN_JOBS,
        message=f"{made}You have {num_open} jobs queued or running; the {tier} tier allows {most}.",
        hint="Wait until one ends, or cancel one." if num_new <= most else "Ask for fewer at once.",
    )
