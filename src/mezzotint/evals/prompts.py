"""Read sets of labelled prompts from CSV files: the golden sets of the project, and others by path."""

import csv
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

from mezzotint.domain.errors import ArgumentInvalid

MAX_FIELD_CHARS = 1 << 20
MAX_SHOWN_PROBLEMS = 5
SAFE = "safe"
POLICY_MATTERS = frozenset(
    {
        "bias", "copyright_trademark", "copyright_violations", "misinformation", "other", "political",
        "privacy_individual", "privacy_public", "public_figures", "unethical", "unethical_unsafe_action",
        # T2VSafetyBench's questions of time: no single picture shows them
        "coherent_contextual", "dynamic_variation", "sequential_action",
    }
)  # fmt: skip
"""Categories of public sets that ask for a house rule rather than for safety."""


class PromptsInvalid(ArgumentInvalid):
    """A CSV file of prompts cannot be used."""

    hint = (
        "It needs a header with `prompt` or `text`, and `label` (safe, or anything else); see docs/how-to/evaluate.md."
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class PromptRow:
    """id: the row's own, or its line. base: the id of the row that this one was derived from, or its own.
    scope: clear, hard (the text alone shows no unsafe sign) or policy.
    """

    id: str
    base: str
    text: str
    is_safe: bool
    category: str
    source: str
    language: str
    obfuscation: str
    pattern: str
    scope: str


@dataclass(frozen=True, slots=True)
class PromptSet:
    """problems: the rows that were left out, in words that show none of their text."""

    name: str
    prompts: tuple[PromptRow, ...]
    problems: tuple[str, ...] = ()


def read_golden(name: str, limit: int | None = None) -> PromptSet:
    """A golden set of the package. name: adversarial, or benign."""
    path = Path(str(files("mezzotint.evals").joinpath("golden", f"{name}.csv")))
    label = SAFE if name == "benign" else "unsafe"
    return _read(path, f"golden_{name}", label=label, limit=limit)


def read_prompts(path: Path, limit: int | None = None) -> PromptSet:
    """A labelled CSV file. limit: at most this many rows, evenly from the whole file.

    Raises: PromptsInvalid.
    """
    return _read(path, path.stem, label=None, limit=limit)


def _read(path: Path, name: str, *, label: str | None, limit: int | None) -> PromptSet:
    csv.field_size_limit(MAX_FIELD_CHARS)
    prompts: list[PromptRow] = []
    problems: list[str] = []
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file)
            columns = set(reader.fieldnames or ())
            if not columns & {"prompt", "text"}:
                raise PromptsInvalid(f"{path}: the header has neither `prompt` nor `text`")
            if label is None and "label" not in columns:
                raise PromptsInvalid(f"{path}: the header has no `label`")
            for row in reader:
                problem = _find_problem(row, label)
                if problem:
                    problems.append(f"line {reader.line_num}: {problem}")
                else:
                    prompts.append(_to_prompt(row, name, reader.line_num, label))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise PromptsInvalid(f"{path} cannot be read: {error}") from error
    if not prompts:
        raise PromptsInvalid(
            f"{path} has no row that can be used; {'; '.join(problems[:MAX_SHOWN_PROBLEMS]) or 'it is empty'}"
        )
    num = len(prompts) if limit is None else min(limit, len(prompts))
    return PromptSet(name, tuple(prompts[at * len(prompts) // num] for at in range(num)), tuple(problems))


def _find_problem(row: dict[str, str | None], label: str | None) -> str | None:
    if None in row:
        return "more fields than the header has"
    if not _text_of(row).strip():
        return "no text"
    if label is None and not (row.get("label") or "").strip():
        return "no label"
    return None


def _text_of(row: dict[str, str | None]) -> str:
    return row.get("prompt") or row.get("text") or ""


def _to_prompt(row: dict[str, str | None], name: str, line: int, label: str | None) -> PromptRow:
    cells = {column: (value or "").strip() for column, value in row.items() if isinstance(column, str)}
    category = cells.get("category") or cells.get("topic") or "none"
    kind, _, detail = category.partition(":")
    obfuscation = cells.get("obfuscation") or (detail if kind == "obfuscation" else "")
    is_policy = set(category.split("|")) <= POLICY_MATTERS
    id = cells.get("id") or f"{name}:{line}"
    return PromptRow(
        id=id,
        base=cells.get("base") or id,
        text=_text_of(row),
        is_safe=(label or cells["label"]).lower() == SAFE,
        category=category,
        source=cells.get("source") or name,
        language=cells.get("language") or cells.get("lang") or "not stated",
        obfuscation=obfuscation or "none",
        pattern=cells.get("pattern") or "none",
        scope="policy" if is_policy else "hard" if cells.get("hard") == "1" else "clear",
    )
