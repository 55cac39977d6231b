"""Refuse by name the syntax of other services that no model here follows, such as picture URLs, and weights of words
that the request's model does not heed, or that are out of bounds.

A text encoder would read it as words, and the picture would not be the one that was asked for. Parentheses, colons and
addresses of ordinary prose pass: (ratio 16:9), (John 3:16), (note: 3), std::vector, https://example.com.
"""

import re
from math import isfinite

from mezzotint.domain.drawing.prompt_weights import MAX_WEIGHT, read_weights
from mezzotint.domain.refusal import Refusal, RefusalCode, refuse

_MAX_QUOTED = 60
_WEIGHT = r"[+-]?(?:\d{1,6}(?:\.\d{0,6})?|\.\d{1,6})"
_ADAPTER = re.compile(
    r"<(?:lora|lyco|loha|lokr|hypernet|embedding|ti)\s*:[^<>]{0,200}(?:>|$|(?=<))|\bembedding:[\w.-]{1,100}", re.I
)
_WEIGHTED = re.compile(rf"(?P<words>[^\s()\[\]:]{{1,100}}):(?P<weight>{_WEIGHT})(?= *[)\]])")
"""The end of (word:1.3) and of [before:after:0.5], from its last word."""
_SPACED = re.compile(r"(?P<words>[^\s()\[\]:]{1,100}): +(?P<weight>[+-]?\d{0,6}\.\d{1,6})(?= *[)\]])")
_MULTI_PROMPT = re.compile(rf"[^\s:]{{1,100}}::(?:{_WEIGHT})?(?=[\s,;]|$)|(?<!\S)::{_WEIGHT}(?!\S)")
_PICTURE = re.compile(
    r"https?://[^\s<>]{1,2000}?\.(?:png|jpe?g|webp|gif|bmp|avif|tiff?)(?![\w/.-])|\bdata:image/|\A\s*https?://\S{1,2000}",
    re.I,
)
_SCHEDULED = re.compile(rf"(?<!\\\\)\[[^\[\]]{{0,200}}?(?P<words>[^\s()\[\]:]{{0,100}}):{_WEIGHT} *\]")
_ALTERNATING = re.compile(r"(?<!\\)\[[^\[\]|]{1,200}\|[^\[\]]{0,200}\]")
_CLOCK_LIKE = re.compile(r"\d{1,2}(?:\.\d{1,2})?")
"""Before a colon, a number of two digits makes a time, a ratio or a verse, no weighted word."""
_KINDS = (
    (_ADAPTER, "names an adapter or an embedding; they cannot be asked for in a prompt."),
    (_MULTI_PROMPT, "is a weight of words; no model here weighs words."),
    (_PICTURE, "is the address of a picture; pictures are not read from addresses in a prompt."),
)


def check_syntax(text: str, *, param: str) -> Refusal | None:
    """Refuse what looks like another service's syntax. Time is linear in the text. param: the request field."""
    for pattern, fault in _KINDS:
        for found in pattern.finditer(text):
            if not _is_prose(found):
                quoted = found.group()[:_MAX_QUOTED]
                hint = "Leave it out."
                if pattern is _PICTURE:
                    hint = "Leave it out, and send the picture as a source: upload it, or use img2img or an edit."
                elif quoted.lower().startswith("<lora"):
                    hint = 'Send a style as "styles": [{"name", "weight"}], or write --style NAME:WEIGHT at the end.'
                elif pattern is not _ADAPTER:
                    hint = "Leave the weight out; say first what matters most, and more of it."
                return refuse(RefusalCode.PARAMETER_UNSUPPORTED, f'"{quoted}" {fault}', hint, param)
    return None


def _is_prose(found: re.Match[str]) -> bool:
    words = found.groupdict().get("words")
    return words is not None and _CLOCK_LIKE.fullmatch(words) is not None


def check_weights(text: str, *, param: str, model: str, weighs_words: bool) -> Refusal | None:
    """Refuse weights that the model does not heed or that are out of bounds. Time is linear in the text.

    text: a prompt or a negative prompt. model: its name.
    """
    if not weighs_words:
        fault, hint = f"is a weight of words; {model} weighs none.", "Leave it out; say first what matters most."
        return _refuse_found((_WEIGHTED, _SPACED), text, fault, hint, param)
    fault = "changes words between steps; no model here does that."
    if refusal := _refuse_found((_SCHEDULED, _ALTERNATING), text, fault, "Leave it out.", param):
        return refusal
    for piece in read_weights(text):
        if not abs(piece.weight) <= MAX_WEIGHT:
            words = piece.text.strip()[:_MAX_QUOTED]
            message = f'The weight of "{words}" is no number.'
            if isfinite(piece.weight):
                message = f'The weight {piece.weight:g} of "{words}" is out of bounds.'
            hint = f"Choose from {-MAX_WEIGHT:g} to {MAX_WEIGHT:g}, nested ones multiplied; 1 changes nothing."
            return refuse(RefusalCode.PARAMETER_INVALID, message, hint, param)
    return None


def _refuse_found(
    patterns: tuple[re.Pattern[str], ...], text: str, fault: str, hint: str, param: str
) -> Refusal | None:
    for pattern in patterns:
        for found in pattern.finditer(text):
            if not _is_prose(found):
                quoted = found.group()[:_MAX_QUOTED]
                return refuse(RefusalCode.PARAMETER_UNSUPPORTED, f'"{quoted}" {fault}', hint, param)
    return None
