"""Reads JSON within bounds: no database, encoder or loop behind it meets a value that it cannot take.

A JSON parser holds the interpreter's lock until it has read everything, in a thread too. So the characters that make
parsing slow (of many small values, of many escapes) are counted first, a piece at a time.
"""

import json
import math
import re
from codecs import getincrementaldecoder
from collections.abc import Iterator
from typing import Any

from mezzotint.gateway.errors import ApiError

MAX_VALUES = 1000
"""Members of objects and lists, all together; clients of every API spoken here send fewer than a hundred."""
MAX_DEPTH = 32
MAX_MARKS = 64 * 1024
"""Commas and opening brackets, in texts too."""
MAX_ESCAPES = 512 * 1024
"""Some clients write each slash of base64 as `\\/`: one character of 64."""
MAX_DIGITS = 20
PIECE = 2**20
JSON_HINT = 'Send JSON such as {"prompt": "a red apple"}.'
SURROGATE = re.compile(r"[\ud800-\udfff]")
INTEGERS = range(-(2**63), 2**64)
"""Seeds go up to 2^64-1; routes bound their other numbers."""


def read_json_value(body: bytes) -> Any:
    """The body's value. It has no lone surrogates, no U+0000, no integers beyond 64 bits, no NaN and no infinity.

    Answers 400 if it is not JSON in UTF-8, 422 if it is beyond the bounds.
    """
    _check_marks(body)
    decoder = getincrementaldecoder("utf-8-sig")()
    try:
        pieces = [decoder.decode(body[start : start + PIECE]) for start in range(0, len(body), PIECE)]
        text = "".join([*pieces, decoder.decode(b"", final=True)])
        value = json.loads(text, parse_int=_parse_integer, parse_float=_parse_number, parse_constant=_parse_number)
    except RecursionError:
        raise _limit_error(f"It is nested more than {MAX_DEPTH} deep.") from None
    except ValueError:
        raise ApiError("body_invalid", hint=JSON_HINT) from None
    has_escapes = b"\\u" in body
    for num_values, (one, depth) in enumerate(_walk(value)):
        if num_values > MAX_VALUES:
            raise _limit_error(f"It has more than {MAX_VALUES} values.")
        if depth > MAX_DEPTH:
            raise _limit_error(f"It is nested more than {MAX_DEPTH} deep.")
        if has_escapes and isinstance(one, str):
            if SURROGATE.search(one):
                raise _limit_error("A text has half of a surrogate pair.")
            if "\0" in one:
                raise _limit_error("A text has the character U+0000.")
    return value


def _limit_error(message: str) -> ApiError:
    return ApiError("field_invalid", message=f"The body cannot be used. {message}", hint="See docs/reference/api.md.")


def _check_marks(body: bytes) -> None:
    num_marks = num_escapes = 0
    for start in range(0, len(body), PIECE):
        end = start + PIECE
        num_marks += sum(body.count(mark, start, end) for mark in (b",", b"[", b"{"))
        num_escapes += body.count(b"\\", start, end)
        if num_marks > MAX_MARKS or num_escapes > MAX_ESCAPES:
            raise _limit_error("It has too many values or escapes.")


def _parse_integer(digits: str) -> int:
    number = int(digits) if len(digits) <= MAX_DIGITS else None
    if number is None or number not in INTEGERS:
        raise _limit_error("An integer does not fit into 64 bits.")
    return number


def _parse_number(digits: str) -> float:
    number = float(digits)
    if not math.isfinite(number):
        is_name = digits[-1].isalpha()  # NaN, Infinity, -Infinity
        raise _limit_error(f"{digits} is no number of JSON." if is_name else "A number is too large.")
    return number


def _walk(value: Any) -> Iterator[tuple[Any, int]]:
    """Iterate over the value and everything in it, names of members too, each with its depth."""
    waiting = [(value, 1)]
    while waiting:
        one, depth = waiting.pop()
        yield one, depth
        if isinstance(one, dict):
            waiting.extend((inner, depth + 1) for member in one.items() for inner in member)
        elif isinstance(one, list):
            waiting.extend((inner, depth + 1) for inner in one)
