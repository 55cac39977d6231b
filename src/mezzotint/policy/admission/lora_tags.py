"""`<lora:NAME:WEIGHT>` in a prompt, as AUTOMATIC1111's clients and files name styles."""

import re
from collections.abc import Iterable

from mezzotint.domain.refusal import Refusal, RefusalCode, refuse
from mezzotint.domain.style import StyleChoice, WantedStyle

TAG = re.compile(r"<lora:([^<>:]{1,200})(?::([^<>]{0,60}))?>", re.I)


def take_tags(prompt: str) -> tuple[str, tuple[WantedStyle, ...]] | Refusal:
    """The prompt without its tags, and the styles that they name. Weights by network or by block are refused."""
    styles = []
    for found in TAG.finditer(prompt):
        name, text = found[1].strip(), (found[2] or "").strip()
        try:
            styles.append(WantedStyle(name=name, weight=float(text) if text else None))
        except ValueError:
            message = f'"{found[0][:60]}" has weights for parts of the model; one weight is taken for all of it.'
            return refuse(RefusalCode.PARAMETER_UNSUPPORTED, message, f"Write <lora:{name[:60]}:1>.", "prompt")
    return TAG.sub(" ", prompt) if styles else prompt, tuple(styles)


def write_tags(styles: Iterable[StyleChoice]) -> str:
    """The tags of a job's styles, each with a space before it."""
    return "".join(f" <lora:{style.name}:{style.weight:g}>" for style in styles)
