"""Prompts in the Midjourney manner: words first, then `--name value` parameters.

    prompt     = words { parameter }
    parameter  = dashes name [ value ]
    dashes     = "--" | one or two of the dashes that keyboards make of "--", before a known name

A word that merely contains dashes ("rock--solid"), a lone "--" and a dash before anything but a letter are words.
What follows a parameter up to the next one is its value, so words after a value are refused, never dropped.
"""

import re
from dataclasses import dataclass
from difflib import get_close_matches
from unicodedata import normalize

from mezzotint.domain.prompt import Prompt
from mezzotint.domain.refusal import Refusal, RefusalCode
from mezzotint.policy.admission.prompt_parameters import PARAMETERS, UNSUPPORTED, UNSUPPORTED_SHORT, Parameter, is_blank

MAX_CHARACTERS = 2000  # of a prompt, white space between words counted as one; far beyond what any text encoder reads
MAX_WRITTEN = 8 * MAX_CHARACTERS  # as it was sent, with its white space and all of its choices
MAX_UNFOLDED = 4 * MAX_CHARACTERS  # in compatibility forms; no script's letter is more than 4, U+FDFA alone is 18
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


_BY_NAME = {name: parameter for parameter in PARAMETERS for name in (parameter.name, *parameter.aliases)}
_KNOWN = frozenset({*_BY_NAME, *UNSUPPORTED, *UNSUPPORTED_SHORT})


@dataclass(slots=True)
class _Written:
    """A parameter as found: its name and the words up to the next parameter."""

    name: str
    words: list[str]


def parse_prompt(raw: str) -> Prompt | Refusal:
    """Read a prompt. Runs of white space become one space; the words are otherwise kept as typed.

    Never raises, whatever the text; time is linear in its length. `parse_prompt(render_prompt(prompt)) == prompt` for
    every prompt that it returns.
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


def render_prompt(prompt: Prompt) -> str:
    """Write a prompt, its parameters in the order of the table.

    prompt: as `parse_prompt` returns it; in particular no word of its texts may look like a parameter.
    """
    written = ((parameter.name, parameter.show(prompt)) for parameter in PARAMETERS)
    return " ".join([prompt.text, *(f"--{name} {value}".rstrip() for name, value in written if value is not None)])


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
    """Refuse a text of more than MAX_CHARACTERS, or of ligatures that stand for more than MAX_UNFOLDED.

    text: with single spaces. param: the request field.
    """
    if len(text) > MAX_CHARACTERS:
        return _too_long(f"has {len(text)} characters; {MAX_CHARACTERS} is the most.", param)
    num_unfolded = len(text) if text.isascii() else len(normalize("NFKD", text))
    if num_unfolded > MAX_UNFOLDED:
        return _too_long(f"has ligatures for {num_unfolded} characters; {MAX_UNFOLDED} is the most.", param)
    return None


def check_written(raw: str, *, param: str) -> Refusal | None:
    """Refuse more than MAX_WRITTEN characters, before anything reads them. param: the request field."""
    if len(raw) <= MAX_WRITTEN:
        return None
    return _too_long(f"has {len(raw)} characters with white space and choices; {MAX_WRITTEN} is the most.", param)


def _too_long(what: str, param: str) -> Refusal:
    return Refusal(
        code=RefusalCode.PROMPT_TOO_LONG,
        message=f"The {_field(param)} {what}",
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
    return _empty() if is_blank(prompt.text) else prompt


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
