"""The end of every evaluation: judge, save, print, exit code."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from mezzotint.config import Settings
from mezzotint.evals.gates import Gates, judge, load_gates
from mezzotint.evals.report import JudgedResult, format_figure
from mezzotint.evals.result import EvalResult
from mezzotint.evals.results_folder import ResultsFolder
from mezzotint.main.options import ExitCode, print_table


@dataclass(frozen=True, slots=True)
class EvalRun:
    """The folder and the gates of a run, read before anything is measured."""

    settings: Settings
    folder: ResultsFolder
    gates: Gates

    @classmethod
    def open(cls, settings: Settings, out: Path, gates: Path | None) -> Self:
        """Raises: GatesInvalid."""
        return cls(settings, ResultsFolder(out), load_gates(gates))


def finish(run: EvalRun, results: Sequence[EvalResult], name: str | None = None) -> ExitCode:
    """Judge the results, keep them and their report, and print both. Returns the exit code."""
    judged = []
    for result in results:
        accepted = run.folder.find_accepted(result.suite, result.inputs)
        judged.append(JudgedResult(result, judge(result, run.gates, accepted), accepted))
    report = run.folder.save(judged, name or results[0].suite)
    for one in judged:
        _print_judged(one)
    typer.echo(f"report: {report}")
    return ExitCode.GATE_FAILED if any(one.has_failed for one in judged) else ExitCode.DONE


def _print_judged(one: JudgedResult) -> None:
    before = one.accepted.figures if one.accepted else {}
    rows = [
        (name, format_figure(figure), str(figure.num or ""), format_figure(before[name]) if name in before else "-")
        for name, figure in one.result.figures.items()
    ]
    print_table((one.result.suite, "this run (95 % interval)", "of", "accepted"), rows)
    for note in one.result.notes:
        typer.echo(f"  note: {note}")
    for verdict in one.verdicts:
        reason = f": {verdict.reason}" if verdict.reason else ""
        typer.echo(f"gate {verdict.outcome}: {verdict.figure} {verdict.gate.describe()}{reason}")


@contextmanager
def progress_bar() -> Iterator[Progress]:
    """A bar on standard error; none where that is no terminal."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        yield bar
