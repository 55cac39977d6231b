"""Turn a recipe from a picture's file into a request, as far as the models here can follow it."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import gcd
from typing import Any

from mezzotint.domain.drawing.named_weights import NamedWeights
from mezzotint.domain.drawing.options import MAX_ETA
from mezzotint.domain.drawing.recipe import Recipe
from mezzotint.domain.drawing.sampler import find_sampler
from mezzotint.domain.ids import Sha256
from mezzotint.domain.model import ModelInfo, Speed
from mezzotint.domain.prompt import MAX_SENT_SEED, AspectRatio, Prompt
from mezzotint.domain.style import MAX_STYLE_WEIGHT, StyleChoice, StyleInfo, WantedStyle
from mezzotint.domain.task import Task
from mezzotint.policy.admission.permutations import escape_text
from mezzotint.policy.admission.prompt import render_prompt
from mezzotint.policy.admission.prompt_parameters import MAX_CLIP_SKIP, MAX_STEPS_WRITTEN

MAX_RATIO = 999
"""Greatest number that `--ar` takes."""
CONTENT = re.compile("[0-9a-f]{64}")
"""The hash by which a recipe names another picture."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DrawAgain:
    """typed: the prompt with `--` parameters, as one would type it. fields: of a request, by its own names, as exact as
    the recipe is. notes: what was left out, and why."""

    typed: str
    fields: dict[str, Any]
    notes: tuple[str, ...]


def plan_again(recipe: Recipe, models: Sequence[ModelInfo], styles: Sequence[StyleInfo] = ()) -> DrawAgain:
    """models: those that are served, the default first. styles: those that the caller may ask for."""
    notes: list[str] = []
    named = next((one for one in models if recipe.model in {one.name, *one.aliases}), None)
    model = named or models[0]
    if recipe.model is not None and named is None and recipe.task is not Task.UPSCALE:
        notes.append(f'The model "{recipe.model[:80]}" is not served here: {model.name} draws it otherwise.')
    fields: dict[str, Any] = {
        "prompt": escape_text(" ".join(recipe.prompt.split())),
        "negative_prompt": _keep_negative(recipe, model, notes),
        "model": None if named is None else named.name,
        "seed": recipe.seed if recipe.seed is not None and 0 <= recipe.seed <= MAX_SENT_SEED else None,
        "num_steps": recipe.num_steps,
        "guidance_scale": recipe.guidance_scale if model.default_guidance > 1 else None,
        "width": recipe.width if recipe.height is not None else None,
        "height": recipe.height if recipe.width is not None else None,
        "sampler": (sampler := _keep_sampler(recipe, model, notes)),
        **_keep_options(recipe, model, sampler or model.default_sampler, notes),
        "styles": _keep_styles(recipe, model, styles, notes) or None,
        "speed": _keep_speed(recipe, model, notes),
    }
    _tell_other_weights(recipe, model, notes)
    fields |= _keep_source(recipe, model, notes)
    if recipe.task is Task.UPSCALE:
        fields = {name: fields[name] for name in ("prompt", "task", "source", "scale")}
    given = {name: value for name, value in fields.items() if value is not None}
    typed = replace(
        recipe,
        model=given.get("model"),
        negative_prompt=given.get("negative_prompt", ""),
        speed=given.get("speed"),
        sampler=given.get("sampler"),
        eta=given.get("eta"),
        guidance_rescale=given.get("guidance_rescale"),
        clip_skip=given.get("clip_skip"),
        styles=tuple(StyleChoice(**one, sha256=Sha256("")) for one in given.get("styles", ())),
    )
    return DrawAgain(typed=type_recipe(typed), fields=given, notes=tuple(notes))


def _keep_negative(recipe: Recipe, model: ModelInfo, notes: list[str]) -> str | None:
    negative = " ".join(recipe.negative_prompt.split())
    if negative and not model.takes_negative_prompt:
        notes.append(f"{model.name} takes no negative prompt; it is left out.")
        return None
    return negative or None


def _keep_sampler(recipe: Recipe, model: ModelInfo, notes: list[str]) -> str | None:
    known = find_sampler(recipe.sampler) if recipe.sampler else None
    if known is not None and known.name in model.samplers:
        return known.name
    if recipe.sampler:
        notes.append(f'{model.name} has no sampler "{recipe.sampler[:40]}"; its own is used.')
    return None


def _keep_options(recipe: Recipe, model: ModelInfo, sampler: str | None, notes: list[str]) -> dict[str, Any]:
    """sampler: that will draw; None: the model's own."""
    can = model.options
    heeded = {
        "eta": sampler in can.eta_samplers and 0 <= (recipe.eta or 0) <= MAX_ETA,
        "guidance_rescale": recipe.task in can.rescale_tasks and 0 <= (recipe.guidance_rescale or 0) <= 1,
        "clip_skip": 1 <= (recipe.clip_skip or 1) <= can.max_clip_skip,
    }
    wanted = {name: getattr(recipe, name) for name in heeded}
    for name, title in (("eta", "eta"), ("guidance_rescale", "guidance rescale"), ("clip_skip", "clip skip")):
        if wanted[name] and not heeded[name] and (name, wanted[name]) != ("clip_skip", 1):
            notes.append(f"{model.name} cannot follow the {title} {wanted[name]:g}; it is left out.")
    return {name: wanted[name] if heeded[name] else None for name in heeded}


def _keep_styles(
    recipe: Recipe, model: ModelInfo, styles: Sequence[StyleInfo], notes: list[str]
) -> list[dict[str, Any]]:
    fitting = {style.name: style for style in styles if model.name in style.models}
    kept: list[dict[str, Any]] = []
    for style in recipe.styles:
        known = fitting.get(style.name)
        is_repeated = any(one["name"] == style.name for one in kept)
        if known is None or is_repeated or not abs(style.weight) <= MAX_STYLE_WEIGHT:  # NaN is within no bound
            notes.append(f'The style "{style.name[:80]}" cannot be had so for {model.name}; it is left out.')
            continue
        if style.sha256 not in ("", known.sha256):
            notes.append(f'The style "{style.name[:80]}" is another file here: it draws otherwise.')
        kept.append({"name": style.name, "weight": style.weight})
    return kept


def _tell_other_weights(recipe: Recipe, model: ModelInfo, notes: list[str]) -> None:
    if recipe.task is Task.UPSCALE:
        return
    if recipe.vae is not None and (model.vae is None or not is_same(recipe.vae, model.vae)):
        notes.append(f'{model.name} has not the autoencoder "{recipe.vae.name[:80]}" here: colours may differ.')
    own = {one.name.lower(): one for one in model.embeddings}
    for one in recipe.embeddings:
        known = own.get(one.name.lower())
        if known is None:
            notes.append(f'{model.name} has no embedding "{one.name[:80]}" here: it is read as any word.')
        elif not is_same(one, known):
            notes.append(f'The embedding "{one.name[:80]}" is another file here: it draws otherwise.')


def is_same(told: NamedWeights, known: NamedWeights) -> bool:
    """told: by a file, whose hash may be cut or left out."""
    return known.sha256.startswith(told.sha256) if told.sha256 else told.name == known.name


def _keep_speed(recipe: Recipe, model: ModelInfo, notes: list[str]) -> str | None:
    if recipe.speed is None or recipe.speed in model.forecast.speeds:
        return recipe.speed
    notes.append(f'{model.name} cannot be drawn at the speed "{recipe.speed[:40]}"; its usual one is taken.')
    return None


def _keep_source(recipe: Recipe, model: ModelInfo, notes: list[str]) -> dict[str, Any]:
    named = [name for name in (recipe.source, recipe.mask) if name is not None]
    if recipe.source is not None and recipe.task is not Task.OUTPAINT and all(map(CONTENT.fullmatch, named)):
        if recipe.task is Task.EDIT and Task.EDIT not in model.tasks:
            notes.append(f"{model.name} cannot edit: choose a model that can.")
        nearness = None if model.options.image_guidance is None else recipe.image_guidance
        kept = (recipe.task.value, recipe.source, recipe.mask, recipe.strength, recipe.scale, nearness)
        return dict(zip(("task", "source", "mask", "strength", "scale", "image_guidance"), kept, strict=True))
    if recipe.task is Task.OUTPAINT:
        notes.append("It is an outpaint, and a file does not tell where its source lay: it is drawn from words alone.")
    elif recipe.strength is not None or recipe.task is not Task.GENERATE:
        notes.append("It began with another picture, which the file does not hold: it is drawn from words alone.")
    return {"task": Task.GENERATE.value, "source": None, "scale": None}


def type_recipe(recipe: Recipe) -> str:
    """The prompt with `--` parameters, as far as those can say it."""
    width, height, num_steps, seed = recipe.width, recipe.height, recipe.num_steps, recipe.seed
    ratio = None
    if width and height and width != height:
        part = gcd(width, height)
        if max(width, height) // part <= MAX_RATIO:
            ratio = AspectRatio(width=width // part, height=height // part)
    prompt = Prompt(
        text=" ".join(recipe.prompt.split()),
        aspect_ratio=ratio,
        seed=seed if seed is not None and 0 <= seed <= MAX_SENT_SEED else None,
        no=" ".join(recipe.negative_prompt.split()) or None,
        num_steps=num_steps if num_steps is not None and 1 <= num_steps <= MAX_STEPS_WRITTEN else None,
        styles=tuple(WantedStyle(name=style.name, weight=round(style.weight, 2)) for style in recipe.styles) or None,
        sampler=recipe.sampler if recipe.sampler and find_sampler(recipe.sampler) else None,
        eta=_round_share(recipe.eta),
        guidance_rescale=_round_share(recipe.guidance_rescale),
        clip_skip=recipe.clip_skip if 1 <= (recipe.clip_skip or 0) <= MAX_CLIP_SKIP else None,
        speed=Speed(recipe.speed) if recipe.speed in set(Speed) else None,
        version=recipe.model if recipe.model is not None and re.fullmatch(r"\S{1,200}", recipe.model) else None,
    )
    return escape_text(render_prompt(prompt))


def _round_share(share: float | None) -> float | None:
    return None if share is None or not 0 < share <= 1 else round(share, 2)
