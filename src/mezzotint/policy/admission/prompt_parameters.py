"""The parameters of a prompt: one table of what each takes and does, and those that are refused by name.

The parser, the refusals and the reference page are all made from it.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from unicodedata import category

from mezzotint.domain.prompt import MAX_SEED, AspectRatio, Prompt
from mezzotint.policy.admission.permutations import MAX_JOBS

MAX_STEPS_WRITTEN = 9999  # sanity bound of the grammar; the tier's budget is far lower
MIN_QUALITY, MAX_QUALITY = 0.1, 4.0  # of the usual steps; the tier's budget is the ceiling of the result
DRAFT_QUALITY = 0.5
MAX_STYLIZE = 1000
NORMAL_STYLIZE = 100
STRONGEST = 3.0  # times the model's own guidance, at MAX_STYLIZE; far beyond it colours burn out
MAX_CHAOS = 100
MIN_STOP, MAX_STOP = 10, 100  # percent; before the tenth part there is nothing to see
MAX_IMAGE_WEIGHT = 3.0
EVEN_WEIGHT = 1.5  # an image weight of 1 is then a strength of 0.6, which is a variation's own
MAX_VERSION = 200  # characters
_INVISIBLE = frozenset({"Cf", "Mn", "Mc", "Me", "Pd", "Zs", "Zl", "Zp"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameter:
    """A parameter that may be written in a prompt.

    takes: the value, in words that complete "--name takes ...".
    write: puts a value into the prompt; None when the value cannot be read.
    show: the value of a prompt as it would be written; None when it has none.
    """

    name: str
    placeholder: str
    takes: str
    does: str
    example: str
    write: Callable[[Prompt, str], Prompt | None]
    show: Callable[[Prompt], str | None]
    aliases: tuple[str, ...] = ()
    is_repeatable: bool = False


def _whole_number(value: str, low: int, high: int) -> int | None:
    is_short = len(value) <= len(str(high)) + 2  # a few leading zeros; int() of thousands of digits is quadratic
    if not (is_short and value.isascii() and value.isdigit()):
        return None
    number = int(value)
    return number if low <= number <= high else None


def _number(value: str) -> float | None:
    """A number of one digit and at most two decimals."""
    return float(value) if re.fullmatch(r"[0-9]?\.?[0-9]{1,2}", value, re.ASCII) else None


def _write_aspect_ratio(prompt: Prompt, value: str) -> Prompt | None:
    left, colon, right = value.partition(":")
    width, height = _whole_number(left, 1, 999), _whole_number(right, 1, 999)
    if not colon or width is None or height is None:
        return None
    return replace(prompt, aspect_ratio=AspectRatio(width=width, height=height))


def _write_no(prompt: Prompt, value: str) -> Prompt | None:
    if is_blank(value):
        return None
    if prompt.no is None:
        return replace(prompt, no=value)
    return replace(prompt, no=f"{prompt.no}{'' if prompt.no.endswith(',') else ','} {value}")


def _write_repeat(prompt: Prompt, value: str) -> Prompt | None:
    repeat = _whole_number(value, 2, MAX_JOBS)
    return None if repeat is None else replace(prompt, repeat=repeat)


def _write_seed(prompt: Prompt, value: str) -> Prompt | None:
    seed = _whole_number(value, 0, MAX_SEED)
    return None if seed is None else replace(prompt, seed=seed)


def _write_steps(prompt: Prompt, value: str) -> Prompt | None:
    num_steps = _whole_number(value, 1, MAX_STEPS_WRITTEN)
    return None if num_steps is None else replace(prompt, num_steps=num_steps)


def _write_quality(prompt: Prompt, value: str) -> Prompt | None:
    quality = _number(value)
    return None if quality is None or not MIN_QUALITY <= quality <= MAX_QUALITY else replace(prompt, quality=quality)


def _write_stylize(prompt: Prompt, value: str) -> Prompt | None:
    stylize = _whole_number(value, 0, MAX_STYLIZE)
    return None if stylize is None else replace(prompt, stylize=stylize)


def _write_chaos(prompt: Prompt, value: str) -> Prompt | None:
    chaos = _whole_number(value, 0, MAX_CHAOS)
    return None if chaos is None else replace(prompt, chaos=chaos)


def _write_iw(prompt: Prompt, value: str) -> Prompt | None:
    iw = _number(value)
    return None if iw is None or iw > MAX_IMAGE_WEIGHT else replace(prompt, iw=iw)


def _write_stop(prompt: Prompt, value: str) -> Prompt | None:
    stop = _whole_number(value, MIN_STOP, MAX_STOP)
    return None if stop is None else replace(prompt, stop=stop)


def _write_version(prompt: Prompt, value: str) -> Prompt | None:
    is_name = " " not in value and not is_blank(value) and len(value) <= MAX_VERSION
    return replace(prompt, version=value) if is_name else None


def _write_draft(prompt: Prompt, value: str) -> Prompt | None:
    return None if value else replace(prompt, is_draft=True)


def _show_aspect_ratio(prompt: Prompt) -> str | None:
    return None if prompt.aspect_ratio is None else f"{prompt.aspect_ratio.width}:{prompt.aspect_ratio.height}"


PARAMETERS = (
    Parameter(
        name="ar",
        aliases=("aspect",),
        placeholder="W:H",
        takes="width to height as W:H, whole numbers from 1 to 999",
        does="Shape of the picture, at about the model's native area.",
        example="--ar 3:2",
        write=_write_aspect_ratio,
        show=_show_aspect_ratio,
    ),
    Parameter(
        name="chaos",
        aliases=("c",),
        placeholder="N",
        takes=f"a whole number from 0 to {MAX_CHAOS}",
        does="How unlike each other the pictures of a grid (`--repeat`) are: their `--stylize` goes apart, at 100 "
        "from one end of its scale to the other.",
        example="--repeat 4 --chaos 50",
        write=_write_chaos,
        show=lambda prompt: None if prompt.chaos is None else str(prompt.chaos),
    ),
    Parameter(
        name="draft",
        placeholder="",
        takes="no value",
        does="Half of the usual steps: a picture in half the time, less finished. The same as `--quality .5`.",
        example="--draft",
        write=_write_draft,
        show=lambda prompt: "" if prompt.is_draft else None,
    ),
    Parameter(
        name="iw",
        placeholder="X",
        takes=f"a number from 0 to {MAX_IMAGE_WEIGHT:g}, at most two decimals",
        does="Weight of the source picture against the words, in a variation or an inpaint: 0 is the words alone, "
        "3 stays near the picture.",
        example="--iw 2",
        write=_write_iw,
        show=lambda prompt: None if prompt.iw is None else f"{prompt.iw:g}",
    ),
    Parameter(
        name="no",
        placeholder="WORDS",
        takes="the words for what must not be in the picture",
        does="What must not be in the picture: everything up to the next parameter. "
        "Written several times, the words are joined by commas.",
        example="--no text, people",
        write=_write_no,
        show=lambda prompt: prompt.no,
        is_repeatable=True,
    ),
    Parameter(
        name="quality",
        aliases=("q",),
        placeholder="X",
        takes=f"a number from {MIN_QUALITY} to {MAX_QUALITY}, at most two decimals",
        does="So many times the usual steps; `--steps` says the number itself.",
        example="--quality .5",
        write=_write_quality,
        show=lambda prompt: None if prompt.quality is None else f"{prompt.quality:g}",
    ),
    Parameter(
        name="repeat",
        aliases=("r",),
        placeholder="N",
        takes=f"a whole number from 2 to {MAX_JOBS}",
        does="So many jobs from one prompt. Each has a seed of its own: the given one, the next, and so on.",
        example="--repeat 4",
        write=_write_repeat,
        show=lambda prompt: None if prompt.repeat is None else str(prompt.repeat),
    ),
    Parameter(
        name="seed",
        placeholder="N",
        takes=f"a whole number from 0 to {MAX_SEED}",
        does="Where the noise starts: the same prompt, seed and settings give the same picture.",
        example="--seed 7",
        write=_write_seed,
        show=lambda prompt: None if prompt.seed is None else str(prompt.seed),
    ),
    Parameter(
        name="steps",
        placeholder="N",
        takes=f"a whole number from 1 to {MAX_STEPS_WRITTEN}",
        does="Number of sampler steps; your tier's step budget is the ceiling.",
        example="--steps 20",
        write=_write_steps,
        show=lambda prompt: None if prompt.num_steps is None else str(prompt.num_steps),
    ),
    Parameter(
        name="stop",
        placeholder="N",
        takes=f"a whole number from {MIN_STOP} to {MAX_STOP}",
        does="End after so many percent of the steps, with the picture as it was then expected to become: rougher, and "
        "sooner there.",
        example="--stop 60",
        write=_write_stop,
        show=lambda prompt: None if prompt.stop is None else str(prompt.stop),
    ),
    Parameter(
        name="stylize",
        aliases=("s",),
        placeholder="N",
        takes=f"a whole number from 0 to {MAX_STYLIZE}",
        does="How hard the words pull, by guidance: 100 is the model's own, 0 none, 1000 three times as much.",
        example="--stylize 250",
        write=_write_stylize,
        show=lambda prompt: None if prompt.stylize is None else str(prompt.stylize),
    ),
    Parameter(
        name="version",
        aliases=("v",),
        placeholder="NAME",
        takes="the name of a model",
        does="The model that draws; `GET /v1/models` lists those that are served.",
        example="--version mezzotint-starter",
        write=_write_version,
        show=lambda prompt: prompt.version,
    ),
)

UNSUPPORTED = {
    "cref": "a character reference",
    "cw": "weight of a character reference",
    "exp": "experimental aesthetics",
    "fast": "fast mode; the lane is your tier's",
    "hd": "high-definition mode",
    "loop": "looping video",
    "motion": "motion of a video",
    "niji": "the Niji model",
    "oref": "an omni reference",
    "ow": "weight of an omni reference",
    "personalize": "personal style",
    "profile": "a personal profile",
    "raw": "raw style; your words are never added to",
    "relax": "relaxed mode; the lane is your tier's",
    "sref": "a style reference",
    "style": "a model's style variant; your words are never added to",
    "sv": "version of style references",
    "sw": "weight of a style reference",
    "tile": "seamless tiles; its convolutions would be those of all pictures of a pass",
    "turbo": "turbo mode; the lane is your tier's",
    "video": "video output",
    "weird": "unusual aesthetics",
}
"""Parameters of the field that no model here takes yet. They are refused by name, never ignored."""

UNSUPPORTED_SHORT = {
    "p": "personalize",
    "w": "weird",
}
"""Short names of unsupported parameters."""


def is_blank(text: str) -> bool:
    """Whether the text has nothing but dashes and what cannot be seen."""
    return all(category(character) in _INVISIBLE for character in text)


def guidance_of(stylize: int, normal: float) -> float:
    """The guidance scale of `--stylize`. normal: the model's own, at 100."""
    if stylize <= NORMAL_STYLIZE:
        return 1 + (normal - 1) * stylize / NORMAL_STYLIZE
    return normal * (1 + (STRONGEST - 1) * (stylize - NORMAL_STYLIZE) / (MAX_STYLIZE - NORMAL_STYLIZE))


def strength_of(iw: float) -> float:
    """The strength of `--iw`: the share of the steps that is run on the source."""
    return EVEN_WEIGHT / (EVEN_WEIGHT + iw)


def stylize_in_grid(stylize: int, chaos: int, nth: int) -> int:
    """The `--stylize` of the nth picture of a grid, counted from 0; the first keeps `stylize`.

    Down and up in turns: to the ends of the scale, then half the way, then between (van der Corput's sequence), each as
    far as `chaos` of 100 says.
    """
    if nth == 0:
        return stylize
    share = chaos / MAX_CHAOS * (1 - _between((nth - 1) // 2))
    end = 0 if nth % 2 else MAX_STYLIZE
    return round(stylize + share * (end - stylize))


def _between(number: int) -> float:
    """Van der Corput: 0, 1/2, 1/4, 3/4, 1/8 ..."""
    return int(f"{number:b}"[::-1], 2) / (1 << number.bit_length()) if number else 0.0
