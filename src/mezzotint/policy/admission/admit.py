"""Decide whether a request becomes jobs, and with which parameters."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from mezzotint.domain.drawing.sampler import find_sampler
from mezzotint.domain.job import Parameters
from mezzotint.domain.model import ModelInfo, Speed
from mezzotint.domain.prompt import MAX_SEED, Prompt
from mezzotint.domain.refusal import Refusal, RefusalCode, refuse
from mezzotint.domain.style import StyleInfo
from mezzotint.domain.task import Source, Task
from mezzotint.domain.tier import Tier, limits_of
from mezzotint.policy.admission.capabilities import check_capabilities
from mezzotint.policy.admission.drawing_options import fill_options
from mezzotint.policy.admission.embeddings import choose_embeddings
from mezzotint.policy.admission.model_choice import choose_requested_model
from mezzotint.policy.admission.permutations import check_job_count, escape_text
from mezzotint.policy.admission.prompt import check_characters, check_length, render_prompt
from mezzotint.policy.admission.prompt_parameters import (
    DRAFT_QUALITY,
    MAX_CHAOS,
    MAX_STYLIZE,
    NORMAL_STYLIZE,
    guidance_of,
    strength_of,
)
from mezzotint.policy.admission.request import JobRequest, ParsedRequest
from mezzotint.policy.admission.source_image import DEFAULT_STRENGTH, check_task, choose_placement
from mezzotint.policy.admission.styles import add_trigger_words, choose_styles

NUM_SEEDS = MAX_SEED + 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """A job to be made. raw_prompt: as one would type it for this job alone."""

    raw_prompt: str
    parameters: Parameters


@dataclass(frozen=True, slots=True, kw_only=True)
class Admit:
    """The request may become these jobs: at least one, more with choices and repeats."""

    model: ModelInfo
    plans: tuple[Plan, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """The facts that a request is admitted by.

    models: those that are served, the default first. upscaler: its name; empty where there is none. styles: those that
    are served.
    num_open_jobs: jobs of the tenant that are queued or running.
    fresh_seed: in 0..MAX_SEED, used when the request names no seed.
    source, mask: the pictures that the request names; None where its owner has no such picture.
    """

    tier: Tier
    models: Sequence[ModelInfo]
    upscaler: str = ""
    num_open_jobs: int
    fresh_seed: int
    source: Source | None = None
    mask: Source | None = None
    styles: Sequence[StyleInfo] = ()


def admit(parsed: ParsedRequest, terms: Terms) -> Admit | Refusal:
    """Turn a request into plans of jobs, or refuse it."""
    request, prompts = parsed.request, parsed.prompts
    if isinstance(prompts, Refusal):
        return prompts
    if refusal := check_conflicts(request, prompts):
        return refusal
    model = choose_requested_model(parsed, terms.models, terms.upscaler)
    if isinstance(model, Refusal):
        return model
    if refusal := check_task(request, model, terms.models, terms.source, terms.mask):
        return refusal
    plans: list[Plan] = []
    for prompt in prompts:
        num_repeats, num_before = count_repeats(request, prompt), len(plans)
        for nth, alone in enumerate(expand_repeats(prompt, num_repeats)):
            parameters = _fill_parameters(request, alone, model, terms)
            if isinstance(parameters, Refusal):
                return parameters
            is_fresh = request.seed is None and prompt.seed is None
            seed = (parameters.seed + nth + (num_before if is_fresh else 0)) % NUM_SEEDS
            is_only = len(prompts) == 1 and num_repeats == 1
            raw_prompt = request.prompt
            if not is_only:
                raw_prompt = render_prompt(alone) if request.is_plain else escape_text(render_prompt(alone))
            plans.append(Plan(raw_prompt=raw_prompt, parameters=replace(parameters, seed=seed)))
    return check_open_jobs(terms.num_open_jobs, len(plans), terms.tier) or Admit(model=model, plans=tuple(plans))


def check_conflicts(request: JobRequest, prompts: Sequence[Prompt]) -> Refusal | None:
    """Refuse parameters that contradict fields or one another, too many jobs, and a negative prompt that is no text."""
    for prompt in prompts:
        if refusal := _check_contradictions(request, prompt):
            return refusal
    negative_prompt = request.negative_prompt or ""
    return (
        check_job_count(sum(count_repeats(request, prompt) for prompt in prompts))
        or check_characters(negative_prompt, param="negative_prompt")
        or check_length(" ".join(negative_prompt.split()), param="negative_prompt")
    )


def _check_contradictions(request: JobRequest, prompt: Prompt) -> Refusal | None:
    deciders = {"--steps": prompt.num_steps, "--quality": prompt.quality, "--draft": prompt.is_draft or None}
    written = [name for name, value in deciders.items() if value is not None]
    if len(written) > 1:
        message = f"{' and '.join(written)} all decide the number of steps."
        return refuse(RefusalCode.PARAMETER_REPEATED, message, "Keep one of them.", "prompt")
    if refusal := _check_said_once(request, prompt):
        return refusal
    if prompt.chaos and count_repeats(request, prompt) <= 1:
        message = "--chaos is how unlike each other several pictures are; this would be one."
        return refuse(RefusalCode.PARAMETER_MISSING, message, "Add --repeat 4, or leave it out.", "prompt")
    return None


def _check_said_once(request: JobRequest, prompt: Prompt) -> Refusal | None:
    pairs = (
        ("--no", prompt.no, "negative_prompt", request.negative_prompt or None),
        ("--seed", prompt.seed, "seed", request.seed),
        ("--steps", prompt.num_steps, "num_steps", request.num_steps),
        ("--speed", prompt.speed, "speed", request.speed),
        ("--ar", prompt.aspect_ratio, "width", request.width),
        ("--ar", prompt.aspect_ratio, "height", request.height),
        ("--repeat", prompt.repeat, "repeat", request.repeat),
        ("--stylize", prompt.stylize, "guidance_scale", request.guidance_scale),
        ("--chaos", prompt.chaos or None, "guidance_scale", request.guidance_scale),
        ("--iw", prompt.iw, "strength", request.strength),
        ("--version", prompt.version, "model", request.model),
        ("--quality", prompt.quality, "num_steps", request.num_steps),
        ("--draft", prompt.is_draft or None, "num_steps", request.num_steps),
        ("--style", prompt.styles, "styles", request.styles or None),
        ("--sampler", prompt.sampler, "sampler", request.sampler),
        ("--eta", prompt.eta, "eta", request.eta),
        ("--rescale", prompt.guidance_rescale, "guidance_rescale", request.guidance_rescale),
        ("--clip-skip", prompt.clip_skip, "clip_skip", request.clip_skip),
    )
    for name, written, field, given in pairs:
        if written is not None and given is not None:
            message = f'{name} is written in the prompt and the field "{field}" is given too.'
            return refuse(RefusalCode.PARAMETER_REPEATED, message, "Keep one of the two.", field)
    return None


def count_repeats(request: JobRequest, prompt: Prompt) -> int:
    return (prompt.repeat if request.repeat is None else request.repeat) or 1


def expand_repeats(prompt: Prompt, num: int) -> list[Prompt]:
    """The prompt `num` times, each as one would type it for that picture alone."""
    alone = replace(prompt, repeat=None, chaos=None)
    if not prompt.chaos:
        return [alone] * num
    usual = NORMAL_STYLIZE if prompt.stylize is None else prompt.stylize
    return [replace(alone, stylize=stylize_in_grid(usual, prompt.chaos, nth)) for nth in range(num)]


def stylize_in_grid(stylize: int, chaos: int, nth: int) -> int:
    """The `--stylize` of the nth picture of a grid, counted from 0; the first keeps `stylize`.

    Down and up in turns: to the ends of the scale, then half the way, then between (van der Corput's sequence), each as
    far as `chaos` of 100 says.
    """
    if nth == 0:
        return stylize
    number = (nth - 1) // 2
    between = int(f"{number:b}"[::-1], 2) / (1 << number.bit_length()) if number else 0.0  # 0, 1/2, 1/4, 3/4, 1/8 ...
    share = chaos / MAX_CHAOS * (1 - between)
    end = 0 if nth % 2 else MAX_STYLIZE
    return round(stylize + share * (end - stylize))


def _fill_parameters(request: JobRequest, prompt: Prompt, model: ModelInfo, terms: Terms) -> Parameters | Refusal:
    placement = choose_placement(request, prompt, model, terms.source)
    if isinstance(placement, Refusal):
        return placement
    styles = choose_styles(request, prompt, model, terms.tier, terms.styles)
    if isinstance(styles, Refusal):
        return styles
    is_upscale = request.task is Task.UPSCALE
    usual_sampler = None if is_upscale else model.default_sampler
    sampler = find_sampler(wanted) if (wanted := request.sampler or prompt.sampler or usual_sampler) else None
    usual_speed = Speed.EXACT if is_upscale else model.forecast.default_of(terms.tier)
    speed = usual_speed if is_upscale else request.speed or prompt.speed or usual_speed
    parameters = Parameters(
        prompt=add_trigger_words(prompt.text, styles, terms.styles),
        negative_prompt=prompt.no or " ".join((request.negative_prompt or "").split()),
        seed=next(seed for seed in (request.seed, prompt.seed, terms.fresh_seed) if seed is not None),
        num_steps=1 if is_upscale else _choose_steps(request, prompt, model, terms.tier),
        guidance_scale=_choose_guidance(request, prompt, model),
        width=placement.width,
        height=placement.height,
        stop=prompt.stop,
        sampler=sampler.name if sampler else None,
        styles=styles,
        speed=speed,
        forecast=model.forecast.bounds.get(speed),
    )
    if source := terms.source:
        usual = DEFAULT_STRENGTH.get(request.task) if prompt.iw is None else strength_of(prompt.iw)
        parameters = replace(
            parameters,
            task=request.task,
            source=source.content,
            mask=terms.mask.content if terms.mask else None,
            strength=usual if request.strength is None else request.strength,
            scale=placement.width // source.width if is_upscale else None,
            left=placement.left,
            top=placement.top,
            source_width=placement.source_width,
            source_height=placement.source_height,
        )
    embeddings = choose_embeddings(parameters, model, terms.models)
    if isinstance(embeddings, Refusal):
        return embeddings
    options = fill_options(request, prompt, parameters, model)
    parameters = replace(parameters, embeddings=embeddings, vae=None if is_upscale else model.vae, **options)
    return check_capabilities(request, prompt, parameters, model, terms.tier) or parameters


def _choose_steps(request: JobRequest, prompt: Prompt, model: ModelInfo, tier: Tier) -> int:
    usual = min(model.default_steps, limits_of(tier).step_budget)
    quality = DRAFT_QUALITY if prompt.is_draft else prompt.quality
    if quality is not None:
        return max(1, round(usual * quality))
    return next(num for num in (request.num_steps, prompt.num_steps, usual) if num is not None)


def _choose_guidance(request: JobRequest, prompt: Prompt, model: ModelInfo) -> float:
    if prompt.stylize is not None:
        return guidance_of(prompt.stylize, model.default_guidance)
    return model.default_guidance if request.guidance_scale is None else request.guidance_scale


def check_open_jobs(num_open: int, num_new: int, tier: Tier) -> Refusal | None:
    """Refuse jobs with which a tenant would have more queued or running than its tier allows."""
    most = limits_of(tier).max_open_jobs
    if num_open + num_new <= most:
        return None
    made = "" if num_new == 1 else f"The request makes {num_new} jobs. "
    message = f"{made}You have {num_open} jobs queued or running; the {tier} tier allows {most}."
    hint = "Wait until one ends, or cancel one." if num_new <= most else "Ask for fewer at once."
    return refuse(RefusalCode.TOO_MANY_OPEN_JOBS, message, hint)
