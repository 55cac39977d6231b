"""Prompts that stand for several: `a {red, green} apple` is two prompts.

    text   = { literal | choice }
    choice = "{" text { "," text } "}"

Choices may be nested and may stand anywhere, parameters included (`--ar {1:1, 3:2}`). `\\{`, `\\}` and `\\,` are the
characters themselves; any other backslash is a backslash. White space around an option is not part of it, and an
option may be empty.
"""

import re
from dataclasses import dataclass, field
from itertools import product
from math import prod

from mezzotint.domain.refusal import Refusal, RefusalCode, refuse

MAX_JOBS = 40
"""Most jobs that one request may become, permutations and repeats together."""
MAX_DEPTH = 8  # of nesting; what people write has two levels

_TOKEN = re.compile(r"\\([{},])|([{},])|([^\\{},]+|\\)", re.DOTALL)


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """A place where any of several texts may stand."""

    options: tuple["Text", ...]


Text = tuple[str | Choice, ...]
"""Literals and choices in turn; no literal is empty and no two stand side by side."""


@dataclass(slots=True)
class _OpenChoice:
    """A choice whose end has not been read: its options, the pieces of the last one, and the literal under way."""

    options: list[Text] = field(default_factory=list)
    pieces: list[str | Choice] = field(default_factory=list)
    literal: list[str] = field(default_factory=list)

    def end_literal(self) -> None:
        if self.literal:
            self.pieces.append("".join(self.literal))
            self.literal = []

    def end_option(self) -> None:
        """Keep the option without the blanks at its ends."""
        self.end_literal()
        if self.pieces and isinstance(first := self.pieces[0], str):
            self.pieces[0] = first.lstrip()
        if self.pieces and isinstance(last := self.pieces[-1], str):
            self.pieces[-1] = last.rstrip()
        self.options.append(tuple(piece for piece in self.pieces if piece != ""))
        self.pieces = []


def read_choices(raw: str) -> Text | Refusal:
    """Read a text with its choices. `read_choices(write_choices(text)) == text` for every text that it returns."""
    stack = [_OpenChoice()]
    for match in _TOKEN.finditer(raw):
        escaped, mark, literal = match.groups()
        if mark == "{":
            if len(stack) > MAX_DEPTH:
                return _refuse_choices(f"Choices are nested more than {MAX_DEPTH} deep.")
            stack.append(_OpenChoice())
        elif mark == "}":
            if len(stack) == 1:
                return _refuse_choices(f'Character {match.start() + 1} of the prompt is a "}}" without its "{{".')
            closed = stack.pop()
            closed.end_option()
            stack[-1].end_literal()
            stack[-1].pieces.append(Choice(options=tuple(closed.options)))
        elif mark == "," and len(stack) > 1:
            stack[-1].end_option()
        else:
            stack[-1].literal.append(escaped or mark or literal)
    stack[0].end_literal()
    return tuple(stack[0].pieces) if len(stack) == 1 else _refuse_choices('The prompt has a "{" without its "}".')


def write_choices(text: Text, *, is_option: bool = False) -> str:
    """Write a text as `read_choices` takes it. is_option: inside a choice, where a comma ends the option."""
    return "".join(
        re.sub(r"[{},]" if is_option else r"[{}]|(?<=\\),", r"\\\g<0>", piece)
        if isinstance(piece, str)
        else "{" + ", ".join(write_choices(option, is_option=True) for option in piece.options) + "}"
        for piece in text
    )


def escape_text(plain: str) -> str:
    """A text without choices, as `read_choices` takes it."""
    return write_choices((plain,))


def count_texts(text: Text) -> int:
    """Count the texts that it stands for."""
    return prod(sum(map(count_texts, piece.options)) for piece in text if isinstance(piece, Choice))


def expand_choices(raw: str) -> tuple[str, ...] | Refusal:
    """The prompts that a prompt stands for, the last choice varying fastest; at most MAX_JOBS."""
    text = read_choices(raw)
    if isinstance(text, Refusal):
        return text
    return check_job_count(count_texts(text)) or tuple(_list_texts(text))


def check_job_count(num_jobs: int) -> Refusal | None:
    """Refuse more jobs than one request may become."""
    if num_jobs <= MAX_JOBS:
        return None
    stands_for = num_jobs if num_jobs < 10**9 else "more than 10^9"
    message = f"The prompt stands for {stands_for} jobs; {MAX_JOBS} is the most of one request."
    hint = "Give fewer choices or repeats, or send several requests."
    return refuse(RefusalCode.TOO_MANY_JOBS_AT_ONCE, message, hint, "prompt")


def _list_texts(text: Text) -> list[str]:
    choices = (
        [piece] if isinstance(piece, str) else [one for option in piece.options for one in _list_texts(option)]
        for piece in text
    )
    return ["".join(parts) for parts in product(*choices)]


def _refuse_choices(message: str) -> Refusal:
    hint = r"Write choices as {red, green}; for the characters themselves write \{ \} and \, instead."
    return refuse(RefusalCode.PERMUTATION_INVALID, message, hint, "prompt")
