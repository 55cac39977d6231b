"""The parameters of a prompt: one table of what each takes and does, and those that are refused by name.

The parser, the refusals and the reference page are all made from it.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from unicodedata import category

from mezzotint.domain.model import Speed
from mezzotint.domain.prompt import MAX_SENT_SEED, AspectRatio
from mezzotint.domain.style import MAX_STYLE_WEIGHT, STYLE_NAME, WantedStyle
from mezzotint.policy.admission.permutations import MAX_JOBS

MAX_STEPS_WRITTEN = 9999  # sanity bound of the grammar; the tier's budget is far lower
MIN_QUALITY, MAX_QUALITY = 0.1, 4.0  # of the usual steps; the tier's budget is the ceiling of the result
DRAFT_QUALITY = 0.5
MAX_STYLIZE = 1000
NORMAL_STYLIZE = 100
STRONGEST = 3.0  # times the model's own guidance, at MAX_STYLIZE; far beyond it colours burn out
MAX_CHAOS = 100
MIN_STOP, MAX_STOP = 10, 100  # percent; before the tenth part there is nothing to see
MAX_IMAGE_WEIGHT = 3
EVEN_WEIGHT = 1.5  # an image weight of 1 is then a strength of 0.6, which is a variation's own
MAX_VERSION = 200  # characters
MAX_SAMPLER = 80  # characters
MAX_CLIP_SKIP = 12  # as the web UI offers; a model's encoders may have fewer layers
_INVISIBLE = frozenset({"Cf", "Mn", "Mc", "Me", "Pd", "Zs", "Zl", "Zp"})


@dataclass(frozen=True, slots=True, kw_only=True)
class ValueForm:
    """The written form of a parameter's value.

    takes: in words that complete "--name takes ...". read: the value of a text; None when it cannot be read.
    """

    placeholder: str
    takes: str
    read: Callable[[str], Any]
    show: Callable[[Any], str] = str


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameter:
    """A parameter that may be written in a prompt. field: of `Prompt`, where its value goes."""

    name: str
    field: str
    form: ValueForm
    does: str
    example: str
    aliases: tuple[str, ...] = ()
    is_repeatable: bool = False


def integer(low: int, high: int) -> ValueForm:
    takes = f"a whole number from {low} to {high}"
    return ValueForm(placeholder="N", takes=takes, read=lambda text: _read_integer(text, low, high))


def decimal(low: float, high: float) -> ValueForm:
    """A number of one digit before the point and at most two after it."""

    def read(text: str) -> float | None:
        number = float(text) if re.fullmatch(r"[0-9]?\.?[0-9]{1,2}", text, re.ASCII) else None
        return number if number is not None and low <= number <= high else None

    takes = f"a number from {low} to {high}, at most two decimals"
    return ValueForm(placeholder="X", takes=takes, read=read, show="{:g}".format)


def _read_integer(text: str, low: int, high: int) -> int | None:
    is_short = len(text) <= len(str(high)) + 2  # a few leading zeros; int() of thousands of digits is quadratic
    if not (is_short and text.isascii() and text.isdigit()):
        return None
    number = int(text)
    return number if low <= number <= high else None


def _read_ratio(text: str) -> AspectRatio | None:
    left, _, right = text.partition(":")
    width, height = _read_integer(left, 1, 999), _read_integer(right, 1, 999)
    return None if width is None or height is None else AspectRatio(width=width, height=height)


def _read_style(text: str) -> tuple[WantedStyle, ...] | None:
    found = re.fullmatch(rf"({STYLE_NAME})(?::([+-]?[0-9]?\.?[0-9]{{1,2}}))?", text, re.ASCII)
    weight = float(found[2]) if found and found[2] else None
    if found is None or (weight is not None and abs(weight) > MAX_STYLE_WEIGHT):
        return None
    return (WantedStyle(name=found[1], weight=weight),)


def show_styles(styles: tuple[WantedStyle, ...]) -> str:
    """The value of `--style`, and further ones, each after `--style`."""
    written = [one.name if one.weight is None else f"{one.name}:{one.weight:g}" for one in styles]
    return " --style ".join(written)


def is_blank(text: str) -> bool:
    """Tell whether the text has nothing but dashes and what cannot be seen."""
    return all(category(character) in _INVISIBLE for character in text)


RATIO = ValueForm(
    placeholder="W:H",
    takes="width to height as W:H, whole numbers from 1 to 999",
    read=_read_ratio,
    show=lambda ratio: f"{ratio.width}:{ratio.height}",
)
WORDS = ValueForm(
    placeholder="WORDS",
    takes="the words for what must not be in the picture",
    read=lambda text: None if is_blank(text) else text,
)
MODEL_NAME = ValueForm(
    placeholder="NAME",
    takes="the name of a model",
    read=lambda text: None if " " in text or is_blank(text) or len(text) > MAX_VERSION else text,
)
STYLE = ValueForm(
    placeholder="NAME[:WEIGHT]",
    takes=f"the name of a style, and after a colon its weight from -{MAX_STYLE_WEIGHT:g} to {MAX_STYLE_WEIGHT:g}",
    read=_read_style,
    show=show_styles,
)
SAMPLER = ValueForm(
    placeholder="NAME",
    takes="the name of a sampler",
    read=lambda text: None if is_blank(text) or len(text) > MAX_SAMPLER else text,
)
SPEED = ValueForm(
    placeholder="SPEED",
    takes="exact, balanced or fast",
    read=lambda text: Speed(text) if text in set(Speed) else None,
)
SWITCH = ValueForm(placeholder="", takes="no value", read=lambda text: None if text else True, show=lambda _: "")

PARAMETERS = (
    Parameter(
        name="ar",
        field="aspect_ratio",
        form=RATIO,
        aliases=("aspect",),
        does="Shape of the picture, at about the model's native area.",
        example="--ar 3:2",
    ),
    Parameter(
        name="chaos",
        field="chaos",
        form=integer(0, MAX_CHAOS),
        aliases=("c",),
        does="How unlike each other the pictures of a grid (`--repeat`) are: their `--stylize` goes apart, at 100 "
        "from one end of its scale to the other.",
        example="--repeat 4 --chaos 50",
    ),
    Parameter(
        name="clip-skip",
        field="clip_skip",
        form=integer(1, MAX_CLIP_SKIP),
        does="Which layer of the text encoder is read, counted from its end as AUTOMATIC1111 does: 1 the last, 2 the "
        "last but one. SDXL reads the last but one for both.",
        example="--clip-skip 2",
    ),
    Parameter(
        name="draft",
        field="is_draft",
        form=SWITCH,
        does="Half of the usual steps: a picture in half the time, less finished. The same as `--quality .5`.",
        example="--draft",
    ),
    Parameter(
        name="eta",
        field="eta",
        form=decimal(0, 1),
        does="How much noise a step of DDIM adds: 0 none, 1 as much as DDPM. Other samplers refuse it.",
        example="--eta .5",
    ),
    Parameter(
        name="iw",
        field="iw",
        form=decimal(0, MAX_IMAGE_WEIGHT),
        does="Weight of the source picture against the words, in a variation or an inpaint: 0 is the words alone, "
        "3 stays near the picture.",
        example="--iw 2",
    ),
    Parameter(
        name="no",
        field="no",
        form=WORDS,
        does="What must not be in the picture: everything up to the next parameter. "
        "Written several times, the words are joined by commas.",
        example="--no text, people",
        is_repeatable=True,
    ),
    Parameter(
        name="quality",
        field="quality",
        form=decimal(MIN_QUALITY, MAX_QUALITY),
        aliases=("q",),
        does="So many times the usual steps; `--steps` says the number itself.",
        example="--quality .5",
    ),
    Parameter(
        name="repeat",
        field="repeat",
        form=integer(2, MAX_JOBS),
        aliases=("r",),
        does="So many jobs from one prompt. Each has a seed of its own: the given one, the next, and so on.",
        example="--repeat 4",
    ),
    Parameter(
        name="rescale",
        field="guidance_rescale",
        form=decimal(0, 1),
        does="Takes back the contrast that guidance adds, against burnt colours: 0 none of it, 1 all, .7 is usual.",
        example="--rescale .7",
    ),
    Parameter(
        name="sampler",
        field="sampler",
        form=SAMPLER,
        does="The sampler, with its schedule; `GET /v1/models` lists those of each model.",
        example="--sampler DPM++ 2M Karras",
    ),
    Parameter(
        name="seed",
        field="seed",
        form=integer(0, MAX_SENT_SEED),
        does="Where the noise starts: the same prompt, seed and settings give the same picture.",
        example="--seed 7",
    ),
    Parameter(
        name="speed",
        field="speed",
        form=SPEED,
        does="How many steps are foretold from those before, in the place of a pass of the model: `exact` none, "
        "`balanced` as far as nobody sees it, `fast` as far as only details differ. The number of steps stays.",
        example="--speed balanced",
    ),
    Parameter(
        name="steps",
        field="num_steps",
        form=integer(1, MAX_STEPS_WRITTEN),
        does="Number of sampler steps; your tier's step budget is the ceiling.",
        example="--steps 20",
    ),
    Parameter(
        name="stop",
        field="stop",
        form=integer(MIN_STOP, MAX_STOP),
        does="End after so many percent of the steps, with the picture as it was then expected to become: rougher, and "
        "sooner there.",
        example="--stop 60",
    ),
    Parameter(
        name="style",
        field="styles",
        form=STYLE,
        does="A style (LoRA) of the server, such as a manner of drawing; `GET /v1/styles` lists them. The number says "
        "how much of it there is: 1 as it was trained, .5 half, below 0 away from it; without one, the style's own. "
        "May be written several times. Midjourney's variants, such as `--style raw`, are no styles of a server.",
        example="--style woodcut:.8",
        is_repeatable=True,
    ),
    Parameter(
        name="stylize",
        field="stylize",
        form=integer(0, MAX_STYLIZE),
        aliases=("s",),
        does="How hard the words pull, by guidance: 100 is the model's own, 0 none, 1000 three times as much.",
        example="--stylize 250",
    ),
    Parameter(
        name="version",
        field="version",
        form=MODEL_NAME,
        aliases=("v",),
        does="The model that draws; `GET /v1/models` lists those that are served.",
        example="--version mezzotint-starter",
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


def guidance_of(stylize: int, normal: float) -> float:
    """The guidance scale of `--stylize`. normal: the model's own, at 100."""
    if stylize <= NORMAL_STYLIZE:
        return 1 + (normal - 1) * stylize / NORMAL_STYLIZE
    return normal * (1 + (STRONGEST - 1) * (stylize - NORMAL_STYLIZE) / (MAX_STYLIZE - NORMAL_STYLIZE))


def strength_of(iw: float) -> float:
    """The strength of `--iw`: the share of the steps that is run on the source."""
    return EVEN_WEIGHT / (EVEN_WEIGHT + iw)
