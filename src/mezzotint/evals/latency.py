"""Measure how long the stages of a request take on this machine."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from time import perf_counter

import numpy as np

from mezzotint.evals.result import EvalResult, Figure, Suite, Table, now
from mezzotint.evals.statistics import Floats, bootstrap_interval

PERCENTILES = (50, 95, 99)
NOTE = "wall-clock times on one machine with whatever else ran on it; compare runs on the same idle machine alone"


def time_calls(calls: Iterable[Callable[[], object]]) -> list[float]:
    """The seconds of each call."""
    seconds = []
    for call in calls:
        started_at = perf_counter()
        call()
        seconds.append(perf_counter() - started_at)
    return seconds


def measure_latency(stages: Mapping[str, Sequence[float]], *, inputs: Mapping[str, str]) -> EvalResult:
    """Percentiles of each stage. stages: the seconds of each run of a stage."""
    figures: dict[str, Figure] = {}
    rows: list[tuple[str | int | Figure, ...]] = []
    for name, seconds in stages.items():
        found = {percentile: _percentile(percentile, seconds) for percentile in PERCENTILES}
        figures.update({f"{name}.p{percentile}": figure for percentile, figure in found.items()})
        rows.append((name, len(seconds), *found.values()))
    table = Table(title="Stages", head=("stage", "runs", *(f"p{one}" for one in PERCENTILES)), rows=tuple(rows))
    return EvalResult(
        suite=Suite.LATENCY, created_at=now(), inputs=inputs, figures=figures, tables=(table,), notes=(NOTE,)
    )


def _percentile(percentile: int, seconds: Sequence[float]) -> Figure:
    def of(some: Floats) -> float:
        return float(np.percentile(some, percentile))

    times_ms = np.array(seconds) * 1e3
    return Figure.of(of(times_ms), bootstrap_interval(of, times_ms), num=len(seconds), unit="ms")
