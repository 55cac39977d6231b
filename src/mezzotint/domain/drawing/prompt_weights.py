"""Words with weight, as AUTOMATIC1111's web UI writes them.

    (word)      1.1 times as strong          (word:1.3)  1.3 times
    [word]      as strong divided by 1.1     \\( \\) \\[ \\]  the characters themselves
    BREAK       the next words begin a new chunk

They nest, and multiply. A bracket that is never closed holds to the end of the text; one that was never opened is a
character. Reading never fails, and takes time linear in the text. Source: `parse_prompt_attention` of the web UI.
"""

import re
from dataclasses import dataclass

ROUND, SQUARE = 1.1, 1 / 1.1
MAX_WEIGHT = 10.0
"""Largest weight either way, nested ones multiplied: far beyond it there is noise alone."""
NUMBER = r"[+-]?[.\d]{1,40}(?:[eE][+-]?\d{1,4})?"
SPACED = r"[+-]?\d{0,6}\.\d{1,6}"
"""Behind a space a whole number is prose: (note: 3), (rated R: 18)."""
TOKEN = re.compile(rf"\\([()\[\]\\])|([(\[\]])|:(?:({NUMBER})| +({SPACED})) *\)|(\))|([^\\()\[\]:]+|[\\:])", re.DOTALL)
CLOCK = re.compile(r"(?:^|[^\w.:])\d{1,2}(?:\.\d{1,2})?$")
"""Before a colon, a number of two digits makes a time, a ratio or a verse: (ratio 16:9), (John 3:16)."""
BREAK = re.compile(r"\s*\bBREAK\b\s*")


@dataclass(frozen=True, slots=True)
class Piece:
    """Neighbouring words of one weight. begins_chunk: they stand behind a BREAK."""

    text: str
    weight: float = 1.0
    begins_chunk: bool = False


def read_weights(text: str) -> tuple[Piece, ...]:
    """The text's pieces, from left to right; no two neighbours of one chunk have the same weight."""
    pieces: list[tuple[str, float]] = []
    opened: dict[str, list[int]] = {"(": [], "[": []}
    for found in TOKEN.finditer(text):
        escaped, mark, tight, spaced, closed, plain = found.groups()
        number = tight or spaced
        if escaped is not None:
            pieces.append((escaped, 1.0))
        elif mark in {"(", "["}:
            opened[mark].append(len(pieces))
        elif number is not None and opened["("] and not CLOCK.search(pieces[-1][0][-8:] if pieces else ""):
            _multiply(pieces, opened["("].pop(), _to_weight(number))
        elif number is not None:
            pieces.append((found.group()[:-1], 1.0))
            _close(pieces, opened["("], ")", ROUND)
        elif closed is not None:
            _close(pieces, opened["("], ")", ROUND)
        elif mark == "]":
            _close(pieces, opened["["], "]", SQUARE)
        else:
            pieces.append((plain, 1.0))
    for mark, factor in (("(", ROUND), ("[", SQUARE)):
        for start in opened[mark]:
            _multiply(pieces, start, factor)
    return _join(pieces)


def strip_weights(text: str) -> str:
    """The words alone, as a reader and the text filter see them."""
    return " ".join("".join(f" {one.text}" if one.begins_chunk else one.text for one in read_weights(text)).split())


def is_weighted(text: str) -> bool:
    """Tell whether reading the weights gives anything but the text itself."""
    return read_weights(text) != ((Piece(text),) if text else ())


def _to_weight(number: str) -> float:
    """Read a weight; text that is no number, such as 1.2.3, gives infinity, which is out of bounds."""
    try:
        return float(number)
    except ValueError:
        return float("inf")


def _close(pieces: list[tuple[str, float]], opened: list[int], mark: str, factor: float) -> None:
    if opened:
        _multiply(pieces, opened.pop(), factor)
    else:
        pieces.append((mark, 1.0))


def _multiply(pieces: list[tuple[str, float]], start: int, factor: float) -> None:
    pieces[start:] = [(text, weight * factor) for text, weight in pieces[start:]]


def _join(pieces: list[tuple[str, float]]) -> tuple[Piece, ...]:
    joined: list[Piece] = []
    for text, weight in pieces:
        for number, part in enumerate(BREAK.split(text)):
            last = joined[-1] if joined else None
            if number == 0 and last is not None and last.weight == weight:
                joined[-1] = Piece(last.text + part, weight, last.begins_chunk)
            elif part or number:
                joined.append(Piece(part, weight, begins_chunk=number > 0))
    return tuple(one for one in joined if one.text or one.begins_chunk)
