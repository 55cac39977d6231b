"""Decode what an encoding hides in a text: base64, hexadecimal, percent signs, escapes, ROT13, reversed letters, parts
in variables.

A diffusion model draws noise from such text, but a language model in front of it may be told to decode it. Each decoded
text is one more reading: it never replaces the text as it stands.
"""

import base64
import codecs
import re
from collections.abc import Iterator
from functools import lru_cache
from html import unescape
from urllib.parse import unquote

MAX_DECODED = 4
"""Decoded texts of a prompt that are read."""
_MAX_CHARS = 4_000
_MIN_CHARS = 8
_MIN_READABLE = 0.85
_BASE64 = re.compile(r"[A-Za-z0-9+/_-]{16,}={0,2}")
_HEX = re.compile(r"(?:(?:0x|\\x)?[0-9A-Fa-f]{2}[\s:,]{0,2}){10,}")
_PERCENT = re.compile(r"(?:%[0-9A-Fa-f]{2}.{0,12}){3,}")
_ESCAPES = re.compile(r"(?:\\u[0-9A-Fa-f]{4}){4,}|(?:&#x?[0-9A-Fa-f]{2,6};){4,}")
_PART = re.compile(r"""(\w+)\s*=\s*["'“]([^"'”]{2,})["'”]""")
_JOINED_NAME = re.compile(r"[^\W_]+(?:_[^\W_]+){2,}")
_WORD = re.compile(r"\w+")
# Words that stand in nearly every sentence of some languages.
_COMMON = frozenset(
    re.findall(
        r"\w+",
        "the and with of in his her is at man woman naked blood from der die das und mit auf ein eine von le la les des"
        " une un et dans avec el los una con por il che di uno em com het een van na się sa ktorý",
    )
)
# Words as they stand, some of which are reversed ones.
_ORDINARY = frozenset(re.findall(r"\w+", "al an dekan dna eid id li me nam nov red sad sol te tim van"))
_READ_IN_ROT13 = (
    frozenset(codecs.encode(word, "rot13") for word in _COMMON if word.isascii())
    - _COMMON
    - {"an", "ha", "hab", "han", "har", "ina"}
)
_READ_BACKWARDS = frozenset(word[::-1] for word in _COMMON) - _COMMON - _ORDINARY
_MIN_COMMON = 2


@lru_cache(64)
def list_decoded(text: str) -> tuple[str, ...]:
    """The texts that encodings hide in this one, at most `MAX_DECODED`. text: as it was sent, its case kept.

    The rules and the heads ask one after the other.
    """
    text = text[:_MAX_CHARS]
    found = dict.fromkeys(decoded for decoded in _decode(text) if decoded != text and len(decoded) >= _MIN_CHARS)
    return tuple(found)[:MAX_DECODED]


def _decode(text: str) -> Iterator[str]:
    if "%" in text and _PERCENT.search(text):
        yield unquote(text.replace("+", " "))
    if _ESCAPES.search(text):
        yield unescape(re.sub(r"\\u([0-9A-Fa-f]{4})", lambda match: chr(int(match[1], 16)), text))
    yield from _decode_runs(text)
    parts = _PART.findall(text)
    if len(parts) > 1:
        yield "".join(part for _, part in sorted(parts))
        yield "".join(part for _, part in parts)
    if _JOINED_NAME.search(text):
        yield text.replace("_", " ")
    words = set(_WORD.findall(text.lower()))
    if len(words & _READ_IN_ROT13) >= _MIN_COMMON:
        yield codecs.encode(text, "rot13")
    if len(words & _READ_BACKWARDS) >= _MIN_COMMON:
        yield text[::-1]
        yield " ".join(word[::-1] for word in text.split())


def _decode_runs(text: str) -> Iterator[str]:
    for match in _BASE64.finditer(text):
        run = match[0].rstrip("=").replace("-", "+").replace("_", "/")
        run = run[: len(run) - (len(run) % 4 == 1)]
        yield from _read_bytes(base64.b64decode(run + "=" * (-len(run) % 4)))
    for match in _HEX.finditer(text):
        digits = re.sub(r"0x|\\x|[\s:,]", "", match[0])
        yield from _read_bytes(bytes.fromhex(digits[: len(digits) // 2 * 2]))


def _read_bytes(found: bytes) -> Iterator[str]:
    """The text of the bytes, if they are one."""
    text = found.decode("utf-8", "replace")
    readable = sum(letter.isalpha() or letter in " ,.!?'-:;\"()" for letter in text)
    if text and "\x00" not in text and readable >= _MIN_READABLE * len(text):
        yield text
