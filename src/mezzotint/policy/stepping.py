"""Which parked runs go through the next passes: as many as pay together, the least served first, nobody for ever last.

Within a group (runs that may share a pass) at most `paying_width` rows go: on small pictures wide passes cost little
more than narrow ones, on large ones they only make everybody wait. Who goes is decided by service received over
weight, so that a lane of twice the weight gets twice the time; whoever has waited `PATIENCE_TURNS` goes before all
that, longest first.
"""

from collections.abc import Mapping, Sequence
from typing import Protocol

PATIENCE_TURNS = 8
WORTHWHILE = 0.97  # of the best measured rows a second: below that, a wider pass only delays


class Parked(Protocol):
    """A run whose next denoiser call waits. Equal batch keys may share a pass; pass_s: rows of a pass -> its seconds,
    measured, for this form of call."""

    @property
    def id(self) -> int: ...
    @property
    def label(self) -> str: ...
    @property
    def batch_key(self) -> int: ...
    @property
    def rows(self) -> int: ...
    @property
    def waited_turns(self) -> int: ...
    @property
    def cost_s(self) -> float: ...
    @property
    def pass_s(self) -> Mapping[int, float]: ...


def choose(parked: Sequence[Parked], weights: Mapping[str, float], max_rows: int) -> list[int]:
    """Ids of the runs that go next, some of every group. weights: by label, positive; 1 for labels not in it."""
    groups: dict[int, list[Parked]] = {}
    for run in parked:
        groups.setdefault(run.batch_key, []).append(run)
    chosen: list[int] = []
    for group in groups.values():
        width = paying_width(group[0].pass_s, max_rows)
        chosen += _fitting(sorted(group, key=lambda run: _rank(run, weights)), width)
    return chosen


def paying_width(pass_s: Mapping[int, float], max_rows: int) -> int:
    """The most rows that still pay, of those measured; `max_rows` while nothing wider than one row is known not to pay.

    A width that was not measured yet counts as paying as long as every measured one below it does.
    """
    best, width = 0.0, 0
    for rows in sorted(rows for rows in pass_s if rows <= max_rows and pass_s[rows] > 0):
        speed = rows / pass_s[rows]
        if speed < best * WORTHWHILE:
            return width
        best, width = max(best, speed), rows
    return max_rows


def _rank(run: Parked, weights: Mapping[str, float]) -> tuple[bool, float, float, int]:
    """Sorts by who should go first: the impatient by their waiting, the others by service over weight."""
    is_impatient = run.waited_turns >= PATIENCE_TURNS
    waiting = -run.waited_turns if is_impatient else 0
    return not is_impatient, waiting, run.cost_s / weights.get(run.label, 1.0), run.id


def _fitting(ranked: Sequence[Parked], width: int) -> list[int]:
    """The first runs whose rows fit into `width`; at least one."""
    taken, held = [ranked[0].id], ranked[0].rows
    for run in ranked[1:]:
        if held + run.rows > width:
            break
        taken.append(run.id)
        held += run.rows
    return taken
