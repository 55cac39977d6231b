"""Shared by every command: the data folder's flag, the printing of errors and of tables."""

import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from enum import IntEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from mezzotint.config import Settings
from mezzotint.domain.errors import ArgumentInvalid, MezzotintError, SettingInvalid
from mezzotint.engine.errors import DeviceLost


def setting_option(setting: str, help: str, *flags: str) -> Any:
    """The flag of a setting: without it the environment's value holds, or the default, which the help shows."""
    default = Settings.model_fields[setting].default
    is_switch = isinstance(default, bool) or bool(flags)
    shown = "" if default is None or is_switch else str(default)
    return typer.Option(
        *(flags or (f"--{setting.replace('_', '-')}",)),
        help=help,
        show_default=shown or False,
        metavar="" if is_switch else None,
    )


Data = Annotated[Path | None, setting_option("data", "Folder of the database, pictures and checkpoints.")]


class ExitCode(IntEnum):
    """The code that a command ended with. The page docs/reference/commands.md lists them."""

    DONE = 0
    FAILED = 1
    """The command cannot go on; the message says why."""
    USAGE = 2
    """A flag, an argument or a setting that cannot be used."""
    BLOCKED = 3
    """The finished picture did not pass the image filter."""
    REFUSED = 4
    """The prompt or what it asks for was refused."""
    UNAUTHORIZED = 5
    """The server takes no such token, or wants one."""
    GATE_FAILED = 6
    """A figure of an evaluation missed the bound of its gate."""
    UNPROVEN = 7
    """The file bears no content credentials, or they do not hold, or nobody trusted vouches for them."""
    DEVICE_LOST = 75
    """The device failed: a temporary failure, in sysexits.h."""


@contextmanager
def report_errors() -> Iterator[None]:
    """An expected failure ends the command with its message and what to do, without a trace."""
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGINT, signal.default_int_handler)  # from here on Ctrl-C is an exception again
    try:
        yield
    except MezzotintError as error:
        lines = (*f"mezzotint: {error}".split("\n"), f"  {error.hint}  [{error.code}]")
        print("\n".join(map(make_printable, lines)), file=sys.stderr)  # noqa: T201
        is_usage = isinstance(error, SettingInvalid | ArgumentInvalid)
        raise typer.Exit(ExitCode.USAGE if is_usage else ExitCode.FAILED) from error
    except DeviceLost as error:
        hint = "Start it again: a new process gets the device back, where it is whole. See docs/how-to/gpu.md."
        print(f"mezzotint: {error}\n  {hint}  [device_lost]", file=sys.stderr)  # noqa: T201
        raise typer.Exit(ExitCode.DEVICE_LOST) from error


def make_printable(text: object) -> str:
    """Replace what is not printable by blanks, so that texts of strangers do nothing to a terminal."""
    return "".join(letter if letter.isprintable() else " " for letter in str(text))


def print_table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Columns that people read and `awk` splits (on two spaces)."""
    lines = [[make_printable(cell) for cell in row] for row in (head, *rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(head))]
    for line in lines:
        typer.echo("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())
