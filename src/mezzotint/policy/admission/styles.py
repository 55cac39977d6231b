"""The styles of a job: those that a request names, refused by name where they are unknown, do not fit or may not be."""

import math
from collections import Counter
from collections.abc import Sequence

from mezzotint.domain.model import ModelInfo
from mezzotint.domain.prompt import Prompt
from mezzotint.domain.refusal import Refusal, RefusalCode, refuse
from mezzotint.domain.style import MAX_STYLE_WEIGHT, MAX_STYLES, StyleChoice, StyleInfo, WantedStyle
from mezzotint.domain.task import Task
from mezzotint.domain.tier import Tier
from mezzotint.policy.admission.request import JobRequest


def choose_styles(
    request: JobRequest, prompt: Prompt, model: ModelInfo, tier: Tier, served: Sequence[StyleInfo]
) -> tuple[StyleChoice, ...] | Refusal:
    """The styles of the request's field or of the prompt, in the order of their names. served: those of the server."""
    wanted, param = (request.styles, "styles") if request.styles else (prompt.styles or (), "prompt")
    if not wanted:
        return ()
    if refusal := _check_wanted(request, wanted, param):
        return refusal
    usable = list_usable_styles(served, tier, model.name)
    by_name = {style.name: style for style in usable}
    for one in wanted:
        if one.name not in by_name:
            return _refuse_style(one.name, model, tier, served, param)
    found = ((by_name[one.name], one.weight) for one in sorted(wanted, key=lambda one: one.name))
    return tuple(
        StyleChoice(name=style.name, weight=style.default_weight if weight is None else weight, sha256=style.sha256)
        for style, weight in found
    )


def list_usable_styles(served: Sequence[StyleInfo], tier: Tier, model: str | None = None) -> list[StyleInfo]:
    """The styles that a tier may ask for. model: the name of one that they must fit; None: any."""
    return [style for style in served if tier in style.tiers and (model is None or model in style.models)]


def add_trigger_words(text: str, styles: Sequence[StyleChoice], served: Sequence[StyleInfo]) -> str:
    """The text with the trigger words of those styles that want them added, but for words that it has already."""
    chosen = {style.name for style in styles}
    for style in served:
        if style.name in chosen and style.adds_trigger_words:
            missing = [words for words in style.trigger_words if words.lower() not in text.lower()]
            text = ", ".join(filter(None, [text, *missing]))
    return text


def _check_wanted(request: JobRequest, wanted: Sequence[WantedStyle], param: str) -> Refusal | None:
    if request.task is Task.UPSCALE:
        message = "An upscale is no model's work: it takes no styles."
        return refuse(RefusalCode.PARAMETER_UNSUPPORTED, message, "Leave the style out.", param)
    if len(wanted) > MAX_STYLES:
        message = f"{len(wanted)} styles were asked for; {MAX_STYLES} is the most."
        return refuse(RefusalCode.PARAMETER_INVALID, message, "Keep those that matter most.", param)
    for one in wanted:
        if one.weight is not None and not (math.isfinite(one.weight) and abs(one.weight) <= MAX_STYLE_WEIGHT):
            message = f'The style "{one.name[:100]}" has the weight {one.weight:g}.'
            hint = f"Choose a number from -{MAX_STYLE_WEIGHT:g} to {MAX_STYLE_WEIGHT:g}; 1 is as it was trained."
            return refuse(RefusalCode.PARAMETER_INVALID, message, hint, param)
    name, times = Counter(one.name for one in wanted).most_common(1)[0]
    if times > 1:
        message = f'The style "{name[:100]}" is named {times} times.'
        return refuse(RefusalCode.PARAMETER_REPEATED, message, "Name it once, with one weight.", param)
    return None


def _refuse_style(name: str, model: ModelInfo, tier: Tier, served: Sequence[StyleInfo], param: str) -> Refusal:
    usable = list_usable_styles(served, tier, model.name)
    hint = f"Styles for {model.name}: {', '.join(style.name for style in usable)}." if usable else "Leave it out: "
    hint += "" if usable else f"there is no style for {model.name}."
    known = next((style for style in served if style.name == name), None)
    if known is None:
        return refuse(RefusalCode.STYLE_NOT_FOUND, f'There is no style "{name[:100]}".', hint, param)
    if model.name not in known.models:
        message = f'The style "{name}" does not fit {model.name}; it is one of {", ".join(known.models)}.'
        return refuse(RefusalCode.STYLE_UNSUPPORTED, message, hint, param)
    message = f'The style "{name}" is not for the {tier} tier; it is for {", ".join(known.tiers)}.'
    return refuse(RefusalCode.STYLE_UNSUPPORTED, message, hint, param)
