"""Prompts in the Midjourney manner: words first, then `--name value` parameters.

    prompt     = words { parameter }
    parameter  = dashes name [ value ]
    dashes     = "--" | one or two of the dashes that keyboards make of "--", before a known name

A word that merely contains dashes ("rock--solid"), a lone "--" and a dash before anything but a letter are words.
What follows a parameter up to the next one is its value, so words after a value are refused, never dropped.
"""

import re
from dataclasses import replace
from difflib import get_close_matches
from itertools import pairwise
from typing import Any
from unicodedata import normalize

from mezzotint.domain.prompt import Prompt
from mezzotint.domain.refusal import Refusal, RefusalCode, refuse
from mezzotint.domain.task import Task
from mezzotint.policy.admission.permutations import expand_choices
from mezzotint.policy.admission.prompt_parameters import PARAMETERS, UNSUPPORTED, UNSUPPORTED_SHORT, is_blank
from mezzotint.policy.admission.prompt_syntax import check_syntax
from mezzotint.policy.admission.request import JobRequest, ParsedRequest

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

_DIRECTION_MARKS = dict.fromkeys([0x200E, 0x200F, *range(0x202A, 0x202F), *range(0x2066, 0x206A)])
"""Phones put them around copied Hebrew and Arabic; they are no part of the words."""

_BY_NAME = {name: parameter for parameter in PARAMETERS for name in (parameter.name, *parameter.aliases)}
_KNOWN = frozenset({*_BY_NAME, *UNSUPPORTED, *UNSUPPORTED_SHORT})
_SUPPORTED = ", ".join(f"--{parameter.name}" for parameter in PARAMETERS)


def parse_request(request: JobRequest) -> ParsedRequest:
    """Read the texts of a request. Never raises, whatever they are.

    Direction marks go first, so that what is filtered, drawn and shown to others is one and the same text.
    """
    negative = request.negative_prompt and request.negative_prompt.translate(_DIRECTION_MARKS)
    request = replace(request, prompt=request.prompt.translate(_DIRECTION_MARKS), negative_prompt=negative)
    return ParsedRequest(request=request, prompts=_parse_choices(request))


def _parse_choices(request: JobRequest) -> tuple[Prompt, ...] | Refusal:
    written = (("prompt", request.prompt), ("negative_prompt", request.negative_prompt or ""))
    for param, text in written:
        if len(text) > MAX_WRITTEN:
            message = f"has {len(text)} characters with white space and choices; {MAX_WRITTEN} is the most."
            return _refuse_length(message, param)
    texts = (request.prompt,) if request.is_plain else expand_choices(request.prompt)
    if isinstance(texts, Refusal):
        return texts
    prompts: list[Prompt] = []
    for text in texts:
        is_wordless = request.task in {Task.UPSCALE, Task.VARIATION} and not text.strip()
        prompt = Prompt(text="") if is_wordless else parse_prompt(text, only_at_end=request.is_plain)
        if isinstance(prompt, Refusal):
            return prompt
        if refusal := check_syntax(prompt.text, param="prompt") or check_syntax(prompt.no or "", param="prompt"):
            return refusal
        prompts.append(prompt)
    return check_syntax(request.negative_prompt or "", param="negative_prompt") or tuple(prompts)


def parse_prompt(raw: str, *, only_at_end: bool = False) -> Prompt | Refusal:
    """Read a prompt. Runs of white space become one space; the words are otherwise kept as typed.

    Never raises, whatever the text; time is linear in its length. `parse_prompt(render_prompt(prompt)) == prompt` for
    every prompt that it returns.

    only_at_end: parameters are read at the end alone, and what is none there is words: language models write "--" too.
    """
    if refusal := check_characters(raw, param="prompt"):
        return refusal
    words = raw.split()
    names = [_read_name(word) for word in words]
    if only_at_end:
        names = _keep_last_names(words, names)
    # Counted in its canonical form, in which an em dash is two characters, so that what was read can be written again.
    canonical = [word if name is None else f"--{name}" for word, name in zip(words, names, strict=True)]
    if refusal := check_length(" ".join(canonical), param="prompt"):
        return refusal
    ends = [*(at for at, name in enumerate(names) if name is not None), len(words)]
    text, values = " ".join(words[: ends[0]]), dict[str, Any]()
    for start, end in pairwise(ends):
        refusal = _fill_value(values, names[start] or "", " ".join(words[start + 1 : end]))
        if refusal is not None:
            return refusal
    if is_blank(text):
        hint = "Describe a picture in words, for example: a red apple"
        return refuse(RefusalCode.PROMPT_EMPTY, "The prompt has no words.", hint, "prompt")
    return replace(Prompt(text=text), **values)


def render_prompt(prompt: Prompt) -> str:
    """Write a prompt, its parameters in the order of the table.

    prompt: as `parse_prompt` returns it; in particular no word of its texts may look like a parameter.
    """
    values = ((parameter, getattr(prompt, parameter.field)) for parameter in PARAMETERS)
    written = (
        f"--{parameter.name} {parameter.form.show(value)}".rstrip()
        for parameter, value in values
        if value is not None and value is not False
    )
    return " ".join([prompt.text, *written])


def check_characters(raw: str, *, param: str) -> Refusal | None:
    """Refuse characters that are no text or that make it read otherwise than it is. param: the request field."""
    found = _FORBIDDEN.search(raw)
    if found is None:
        return None
    where = f"Character {found.start() + 1} of the {param.replace('_', ' ')}"
    message = f"{where} is U+{ord(found.group()):04X}, which is not text."
    hint = "Remove control characters; plain text, line breaks and emoji are fine."
    return refuse(RefusalCode.PROMPT_CONTROL_CHARACTER, message, hint, param)


def check_length(text: str, *, param: str) -> Refusal | None:
    """Refuse a text of more than MAX_CHARACTERS, or of ligatures that stand for more than MAX_UNFOLDED.

    text: with single spaces. param: the request field.
    """
    if len(text) > MAX_CHARACTERS:
        return _refuse_length(f"has {len(text)} characters; {MAX_CHARACTERS} is the most.", param)
    num_unfolded = len(text) if text.isascii() else len(normalize("NFKD", text))
    if num_unfolded > MAX_UNFOLDED:
        return _refuse_length(f"has ligatures for {num_unfolded} characters; {MAX_UNFOLDED} is the most.", param)
    return None


def _refuse_length(excess: str, param: str) -> Refusal:
    message = f"The {param.replace('_', ' ')} {excess}"
    return refuse(
        RefusalCode.PROMPT_TOO_LONG, message, "Shorten it: models read its first hundred words at most.", param
    )


def _read_name(word: str) -> str | None:
    """The parameter's name that the word writes, in lower case; None for an ordinary word."""
    if word.startswith("--"):
        name = word[2:]
        return name.lower() if name[:1].isascii() and name[:1].isalpha() else None
    # A typographic dash is punctuation far more often than "--" is: it counts only before a name that exists.
    name = word.lstrip(_TYPOGRAPHIC_DASHES)
    num_dashes = len(word) - len(name)
    return name.lower() if num_dashes in {1, 2} and name.lower() in _KNOWN else None


def _keep_last_names(words: list[str], names: list[str | None]) -> list[str | None]:
    """The names of the parameters that end the prompt; None for all that stands before."""
    end = len(words)
    for at in range(len(words) - 1, -1, -1):
        name = names[at]
        if name is None:
            continue
        if not _is_parameter(name, words[at + 1 : end]):
            return [None] * (at + 1) + names[at + 1 :]
        end = at
    return names


def _is_parameter(name: str, value: list[str]) -> bool:
    """Tell whether a name with what follows it is meant as a parameter, though perhaps one that is refused."""
    parameter = _BY_NAME.get(name)
    if parameter is not None and parameter.form.read(" ".join(value)) is not None:
        return True
    if parameter is None and name not in _KNOWN:
        return False
    return len(value) == 1 and any(letter.isdigit() for letter in value[0])


def _fill_value(values: dict[str, Any], name: str, text: str) -> Refusal | None:
    """Read the value of a parameter into `values`, by the field of `Prompt`."""
    parameter = _BY_NAME.get(name)
    if parameter is None:
        return _refuse_name(name)
    before = values.get(parameter.field)
    if before is not None and not parameter.is_repeatable:
        message = f"--{parameter.name} is written more than once."
        return refuse(RefusalCode.PARAMETER_REPEATED, message, "Keep the one that you mean.", "prompt")
    value = parameter.form.read(text)
    if value is None:
        given = f'"{_quote(text)}" is not that' if text else "nothing follows it"
        message = f"--{parameter.name} takes {parameter.form.takes}; {given}."
        hint = f"Write the words first, then the parameters, for example: a red apple {parameter.example}"
        return refuse(RefusalCode.PARAMETER_INVALID, message, hint, "prompt")
    if before is None:
        values[parameter.field] = value
    elif isinstance(before, str):
        values[parameter.field] = f"{before}{'' if before.endswith(',') else ','} {value}"
    else:
        values[parameter.field] = before + value
    return None


def _refuse_name(name: str) -> Refusal:
    meaning = UNSUPPORTED.get(UNSUPPORTED_SHORT.get(name, name))
    if meaning is not None:
        message = f"--{name} ({meaning}) is not supported by this model."
        return refuse(RefusalCode.PARAMETER_UNSUPPORTED, message, f"Leave it out. Supported: {_SUPPORTED}.", "prompt")
    letters = re.match("[a-z]*", name[:_MAX_QUOTED])  # "--ar=3:2" and "--ar3:2" mean --ar
    close = get_close_matches(letters.group() if letters else "", _BY_NAME, n=1, cutoff=0.6)
    hint = (f"Did you mean {_BY_NAME[close[0]].example}? " if close else "") + f"Known parameters: {_SUPPORTED}."
    return refuse(RefusalCode.PARAMETER_UNKNOWN, f"There is no parameter --{_quote(name)}.", hint, "prompt")


def _quote(value: str) -> str:
    return value if len(value) <= _MAX_QUOTED else f"{value[:_MAX_QUOTED]}…"
