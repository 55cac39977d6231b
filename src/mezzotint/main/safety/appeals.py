"""`mezzotint appeals list | decide | export`."""

import csv
import io
import json
from collections.abc import Sequence
from dataclasses import asdict, fields
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from mezzotint.actions.safety.appeals import DecidedPrompt, list_decided_prompts
from mezzotint.actions.safety.controls import SafetyControls
from mezzotint.config import read_settings
from mezzotint.domain.errors import ArgumentInvalid, NotKnown, OutputUnwritable
from mezzotint.main.options import Data, print_table, report_errors
from mezzotint.main.safety.arguments import describe_change
from mezzotint.policy.safety.appeals import AppealState

app = typer.Typer(help="Appeals of refused users.", no_args_is_help=True)


class DecidedState(StrEnum):
    UPHELD = "upheld"
    OVERTURNED = "overturned"


@app.command("list")
def show(
    state: Annotated[AppealState | None, typer.Option(help="Only these; default: open ones.")] = AppealState.OPEN,
    every: Annotated[bool, typer.Option("--all", metavar="", help="Decided ones, too.")] = False,
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="How many, the latest first.")] = 50,
    data: Data = None,
) -> None:
    """The queue of appeals."""
    from mezzotint.main.safety.controls import with_controls

    states = [] if every or state is None else [state]
    with report_errors():
        page = with_controls(read_settings(data=data), lambda controls: controls.appeals.page(limit, None, states))
        head = ("appeal", "state", "tenant", "category", "sent", "explanation", "prompt")
        rows = [
            (
                one.id,
                one.state,
                one.tenant,
                one.evidence.category,
                f"{one.created_at:%Y-%m-%d %H:%M}",
                _quote(one.explanation),
                "" if one.prompt is None else _quote(one.prompt),
            )
            for _, one in page
        ]
        print_table(head, rows)


@app.command()
def decide(
    id: Annotated[str, typer.Argument(help="The appeal's id.")],
    outcome: Annotated[DecidedState, typer.Argument(help="upheld: the refusal was right; overturned: it was wrong.")],
    note: Annotated[str, typer.Option(help="The user reads it, the audit keeps it.")],
    data: Data = None,
) -> None:
    """Decide an appeal, or decide anew."""
    from mezzotint.main.safety.controls import with_controls

    with report_errors():
        change = describe_change(note)
        state = AppealState(outcome)
        decided = with_controls(read_settings(data=data), lambda controls: controls.appeals.decide(id, state, change))
        if decided is None:
            raise NotKnown(f"there is no appeal {id[:80]!r}", "appeals list --all")
        if isinstance(decided, AppealState):
            raise ArgumentInvalid(f"the appeal {id} is {decided} already")
        typer.echo(f"{id}  {state}")


@app.command()
def export(
    out: Annotated[Path, typer.Option(help="The file, .csv or .jsonl.")],
    data: Data = None,
) -> None:
    """Write the decided appeals as labelled prompts; `mezzotint eval safety --extra FILE.csv` measures on them."""
    from mezzotint.main.safety.controls import with_controls

    async def read(controls: SafetyControls) -> list[DecidedPrompt]:
        return [row async for row in list_decided_prompts(controls)]

    with report_errors():
        if out.suffix not in {".csv", ".jsonl"}:
            raise ArgumentInvalid(f"{out}: the file's name ends in .csv or .jsonl")
        rows = with_controls(read_settings(data=data), read)
        try:
            out.write_text(_format(rows, out.suffix), encoding="utf-8")
        except OSError as error:
            raise OutputUnwritable(f"{out} cannot be written: {error.strerror}") from error
        num_with_text = sum(1 for row in rows if row.prompt)
        typer.echo(f"{out}  {len(rows)} decided appeals, {num_with_text} with their text")


def _format(rows: Sequence[DecidedPrompt], suffix: str) -> str:
    """CSV has the prompts with their text alone: the harness reads it."""
    documents = [{**asdict(row), "decided_at": f"{row.decided_at:%Y-%m-%dT%H:%M:%SZ}"} for row in rows]
    if suffix == ".jsonl":
        return "".join(json.dumps(document, ensure_ascii=False) + "\n" for document in documents)
    text = io.StringIO()
    writer = csv.DictWriter(text, [field.name for field in fields(DecidedPrompt)], lineterminator="\n")
    writer.writeheader()
    writer.writerows(document for document in documents if document["prompt"] and document["of"] == "prompt")
    return text.getvalue()


def _quote(text: str) -> str:
    return json.dumps(text[:80], ensure_ascii=False)
