"""Shared by every command: the data folder's flag, the printing of errors and of tables."""

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from mezzotint.domain.errors import MezzotintError
from mezzotint.engine.errors import DeviceLost

Data = Annotated[Path | None, typer.Option(help="Folder of the database, pictures and checkpoints.")]


DEVICE_LOST = 75
"""Exit code of a process whose device failed: a temporary failure, in sysexits.h."""


@contextmanager
def report_errors() -> Iterator[None]:
    """An expected failure ends the command with its message and what to do, without a trace."""
    try:
        yield
    except MezzotintError as error:
        print(f"mezzotint: {error}\n  {error.hint}  [{error.code}]", file=sys.stderr)  # noqa: T201
        raise typer.Exit(1) from error
    except DeviceLost as error:
        hint = "Start it again: a new process gets the device back, where it is whole. See docs/how-to/gpu.md."
        print(f"mezzotint: {error}\n  {hint}  [device_lost]", file=sys.stderr)  # noqa: T201
        raise typer.Exit(DEVICE_LOST) from error


def print_table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Columns that people read and `awk` splits (on two spaces)."""
    widths = [max(len(str(row[column])) for row in (head, *rows)) for column in range(len(head))]
    for row in (head, *rows):
        typer.echo("  ".join(str(cell).ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
