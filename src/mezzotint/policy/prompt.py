"""Prompts in the Midjourney manner: words first, then `--name value` parameters.

    prompt     = words { parameter }
    parameter  = dashes name [ value ]
    dashes     = "--" | one or two of the dashes that keyboards make of "--", before a known name

A word that merely contains dashes ("rock--solid"), a lone "--" and a dash before anything but a letter are words.
What follows a parameter up to the next one is its value, so words after a value are refused, never dropped.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from difflib import get_close_matches
from unicodedata import category

from mezzotint.domain.prompt import MAX_SEED, AspectRatio, Prompt
from mezzotint.domain.refusal import Refusal, RefusalCode
from mezzotint.policy.permutation import MAX_JOBS

MAX_CHARACTERS = 2000  # of a prompt, white space between words counted as one; far beyond what any text encoder reads
MAX_STEPS_WRITTEN = 9999  # sanity bound of the grammar; the tier's budget is far lower
_MAX_QUOTED = 40  # characters of a wrong value that a message repeats

_TYPOGRAPHIC_DASHES = "\u2012\u2013\u2014\u2015\u2212"  # figure, en and em dash, horizontal bar, minus sign

# One character class, so linear. Refused: controls but tab and line ends, lone surrogates, noncharacters, and the bidi
# embeddings, overrides and isolates that make a text read otherwise than it is. Merely unassigned code points pass:
# to Python 3.11 every emoji since Unicode 15 is one. So do joiners: emoji, Persian and Hindi need them.
_FORBIDDEN = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff\ufdd0-\ufdef"
    + "".join(f"{chr(plane + 0xFFFE)}{chr(plane + 0xFFFF)}" for plane in range(0, 0x110000, 0x10000))
    + "]"
)
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


def _write_aspect_ratio(prompt: Prompt, value: str) -> Prompt | None:
    left, colon, right = value.partition(":")
    width, height = _whole_number(left, 1, 999), _whole_number(right, 1, 999)
    if not colon or width is None or height is None:
        return None
    return replace(prompt, aspect_ratio=AspectRatio(width=width, height=height))


def _write_no(prompt: Prompt, value: str) -> Prompt | None:
    if _is_blank(value):
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
)

UNSUPPORTED = {
    "chaos": "variety between the pictures of a grid",
    "cref": "a character reference",
    "cw": "weight of a character reference",
    "draft": "draft mode",
    "exp": "experimental aesthetics",
    "fast": "fast mode",
    "hd": "high-definition mode",
    "iw": "weight of an image prompt",
    "loop": "looping video",
    "motion": "motion of a video",
    "niji": "the Niji model",
    "oref": "an omni reference",
    "ow": "weight of an omni reference",
    "personalize": "personal style",
    "profile": "a personal profile",
    "quality": "time spent on a picture",
    "raw": "raw style",
    "relax": "relaxed mode",
    "sref": "a style reference",
    "stop": "stopping before the last step",
    "style": "a model's style variant",
    "stylize": "strength of the house style",
    "sv": "version of style references",
    "sw": "weight of a style reference",
    "tile": "seamless tiles",
    "turbo": "turbo mode",
    "version": "choice of a model version",
    "video": "video output",
    "weird": "unusual aesthetics",
}
"""Parameters of the field that no model here takes yet. They are refused by name, never ignored."""

UNSUPPORTED_SHORT = {
    "c": "chaos",
    "p": "personalize",
    "q": "quality",
    "s": "stylize",
    "v": "version",
    "w": "weird",
}
"""Short names of unsupported parameters."""

_BY_NAME = {name: parameter for parameter in PARAMETERS for name in (parameter.name, *parameter.aliases)}
_KNOWN = frozenset({*_BY_NAME, *UNSUPPORTED, *UNSUPPORTED_SHORT})


@dataclass(slots=True)
class _Written:
    """A parameter as found: its name and the words up to the next parameter."""

    name: str
    words: list[str]


def parse(raw: str) -> Prompt | Refusal:
    """Read a prompt. Runs of white space become one space; the words are otherwise kept as typed.

    Never raises, whatever the text; time is linear in its length. `parse(render(prompt)) == prompt` for every prompt
    that it returns.
    """
    if refusal := check_characters(raw, param="prompt"):
        return refusal
    words = raw.split()
    names = [_name_of(word) for word in words]
    # Counted in its canonical form, in which an em dash is two characters, so that what was read can be written again.
    canonical = [word if name is None else f"--{name}" for word, name in zip(words, names, strict=True)]
    if refusal := check_length(" ".join(canonical), param="prompt"):
        return refusal
    text, written = _split(words, names)
    return _fill(Prompt(text=" ".join(text)), written)


def render(prompt: Prompt) -> str:
    """Write a prompt, its parameters in the order of the table.

    prompt: as `parse` returns it; in particular no word of its texts may look like a parameter.
    """
    written = ((parameter.name, parameter.show(prompt)) for parameter in PARAMETERS)
    return " ".join([prompt.text, *(f"--{name} {value}" for name, value in written if value is not None)])


def check_characters(raw: str, *, param: str) -> Refusal | None:
    """Refuse characters that are no text or that make it read otherwise than it is. param: the request field."""
    found = _FORBIDDEN.search(raw)
    if found is None:
        return None
    return Refusal(
        code=RefusalCode.PROMPT_CONTROL_CHARACTER,
        message=f"Character {found.start() + 1} of the {_field(param)} is U+{ord(found.group()):04X}, "
        "which is not text.",
        hint="Remove control characters; plain text, line breaks and emoji are fine.",
        param=param,
    )


def check_length(text: str, *, param: str) -> Refusal | None:
    """Refuse a text of more than MAX_CHARACTERS. text: with single spaces. param: the request field."""
    if len(text) <= MAX_CHARACTERS:
        return None
    return Refusal(
        code=RefusalCode.PROMPT_TOO_LONG,
        message=f"The {_field(param)} has {len(text)} characters; {MAX_CHARACTERS} is the most.",
        hint="Shorten it: models read its first hundred words at most.",
        param=param,
    )


def _field(param: str) -> str:
    return param.replace("_", " ")


def _name_of(word: str) -> str | None:
    """The parameter's name that the word writes, in lower case; None for an ordinary word."""
    if word.startswith("--"):
        name = word[2:]
        return name.lower() if name[:1].isascii() and name[:1].isalpha() else None
    # A typographic dash is punctuation far more often than "--" is: it counts only before a name that exists.
    name = word.lstrip(_TYPOGRAPHIC_DASHES)
    num_dashes = len(word) - len(name)
    return name.lower() if num_dashes in {1, 2} and name.lower() in _KNOWN else None


def _split(words: list[str], names: list[str | None]) -> tuple[list[str], list[_Written]]:
    text: list[str] = []
    written: list[_Written] = []
    into = text
    for word, name in zip(words, names, strict=True):
        if name is None:
            into.append(word)
        else:
            written.append(_Written(name=name, words=[]))
            into = written[-1].words
    return text, written


def _fill(prompt: Prompt, written: list[_Written]) -> Prompt | Refusal:
    seen: set[str] = set()
    for one in written:
        parameter = _BY_NAME.get(one.name)
        if parameter is None:
            return _not_taken(one.name)
        if parameter.name in seen and not parameter.is_repeatable:
            return _repeated(parameter)
        seen.add(parameter.name)
        filled = parameter.write(prompt, " ".join(one.words))
        if filled is None:
            return _invalid(parameter, " ".join(one.words))
        prompt = filled
    return _empty() if _is_blank(prompt.text) else prompt


def _is_blank(text: str) -> bool:
    """Whether the text has nothing but dashes and what cannot be seen."""
    return all(category(character) in _INVISIBLE for character in text)


def _empty() -> Refusal:
    return Refusal(
        code=RefusalCode.PROMPT_EMPTY,
        message="The prompt has no words.",
        hint="Describe a picture in words, for example: a red apple",
        param="prompt",
    )


def _not_taken(name: str) -> Refusal:
    known = ", ".join(f"--{parameter.name}" for parameter in PARAMETERS)
    meaning = UNSUPPORTED.get(UNSUPPORTED_SHORT.get(name, name))
    if meaning is not None:
        return Refusal(
            code=RefusalCode.PARAMETER_UNSUPPORTED,
            message=f"--{name} ({meaning}) is not supported by this model.",
            hint=f"Leave it out. Supported: {known}.",
            param="prompt",
        )
    nearest = _nearest(name)
    return Refusal(
        code=RefusalCode.PARAMETER_UNKNOWN,
        message=f"There is no parameter --{_quoted(name)}.",
        hint=(f"Did you mean {nearest.example}? " if nearest else "") + f"Known parameters: {known}.",
        param="prompt",
    )


def _nearest(name: str) -> Parameter | None:
    letters = re.match("[a-z]*", name[:_MAX_QUOTED])  # "--ar=3:2" and "--ar3:2" mean --ar
    close = get_close_matches(letters.group() if letters else "", _BY_NAME, n=1, cutoff=0.6)
    return _BY_NAME[close[0]] if close else None


def _repeated(parameter: Parameter) -> Refusal:
    return Refusal(
        code=RefusalCode.PARAMETER_REPEATED,
        message=f"--{parameter.name} is written more than once.",
        hint="Keep the one that you mean.",
        param="prompt",
    )


def _invalid(parameter: Parameter, value: str) -> Refusal:
    given = f'"{_quoted(value)}" is not that' if value else "nothing follows it"
    return Refusal(
        code=RefusalCode.PARAMETER_INVALID,
        message=f"--{parameter.name} takes {parameter.takes}; {given}.",
        hint=f"Write the words first, then the parameters, for example: a red apple {parameter.example}",
        param="prompt",
    )


def _quoted(value: str) -> str:
    return value if len(value) <= _MAX_QUOTED else f"{value[:_MAX_QUOTED]}…"
