"""Choose the parked runs of the next passes: as many as pay together, the least served lane first, none starved.

Within a group (runs that may share a pass) at most `paying_width` rows go: on small pictures wide passes cost little
more than narrow ones, on large ones they only make everybody wait. Between lanes, service received over weight decides,
so that a run in a lane of twice the weight gets twice the time. Within a lane goes first who has the fewest steps left
less the turns it has been here: short runs end soon, and none overtakes a long one that has waited for as long as that
lasts. Whoever has waited `PATIENCE_TURNS` goes before all that, longest first.
"""

from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import Protocol

PATIENCE_TURNS = 16
WORTHWHILE = 0.85  # of the best measured rows a second: a wider pass below that only delays; less is noise, which
# on machines shared with others is as large (measured: widths of equal worth looked up to 15 % apart)


class WaitingRun(Protocol):
    """A run whose next denoiser call waits. Equal batch keys may share a pass; turns: those it has been here;
    waited_turns: those since its last pass; pass_s: rows of a pass -> its seconds, measured, for this form of call."""

    @property
    def id(self) -> int: ...
    @property
    def label(self) -> str: ...
    @property
    def batch_key(self) -> int: ...
    @property
    def rows(self) -> int: ...
    @property
    def steps(self) -> int: ...
    @property
    def num_steps(self) -> int | None: ...
    @property
    def waited_turns(self) -> int: ...
    @property
    def turns(self) -> int: ...
    @property
    def cost_s(self) -> float: ...
    @property
    def pass_s(self) -> Mapping[int, float]: ...


def choose_runs(parked: Sequence[WaitingRun], weights: Mapping[str, float], max_rows: int) -> list[int]:
    """Choose the runs that go next, some of every group; returns their ids.

    weights: by label, positive; 1 for labels not in it.
    """
    groups: dict[int, list[WaitingRun]] = {}
    for run in parked:
        groups.setdefault(run.batch_key, []).append(run)
    chosen: list[int] = []
    for group in groups.values():
        width = paying_width(group[0].pass_s, max_rows)
        served = _service(group, weights)
        chosen += _take_fitting(sorted(group, key=lambda run: _rank(run, served)), width)
    return chosen


def paying_width(pass_s: Mapping[int, float], max_rows: int) -> int:
    """Choose the widest measured width that pays; `max_rows` where that is the widest of all: wider ones may pay too.

    One that was measured badly between two that pay does not count: a slow moment of the machine, not of the width.
    """
    speeds = {rows: rows / seconds for rows, seconds in pass_s.items() if rows <= max_rows and seconds > 0}
    if not speeds:
        return max_rows
    best = max(speeds.values())
    widest = max(rows for rows, speed in speeds.items() if speed >= best * WORTHWHILE)
    return max_rows if widest == max(speeds) else widest


def _service(group: Sequence[WaitingRun], weights: Mapping[str, float]) -> dict[str, float]:
    """Mean seconds that a run of each lane has had, over the lane's weight."""
    costs: dict[str, list[float]] = {}
    for run in group:
        costs.setdefault(run.label, []).append(run.cost_s)
    return {label: fmean(found) / weights.get(label, 1.0) for label, found in costs.items()}


def _rank(run: WaitingRun, served: Mapping[str, float]) -> tuple[bool, float, float, int, int]:
    """Sorts by who should go first: the impatient by their waiting, the others by their lane's service, then by the
    steps that are left (not known before the first step, which tells) less its turns."""
    is_impatient = run.waited_turns >= PATIENCE_TURNS
    waiting = -run.waited_turns if is_impatient else 0
    remaining = 0 if run.num_steps is None else run.num_steps - run.steps
    return not is_impatient, waiting, served[run.label], remaining - run.turns, run.id


def _take_fitting(ranked: Sequence[WaitingRun], width: int) -> list[int]:
    """The first runs whose rows fit into `width`; at least one."""
    taken, held = [ranked[0].id], ranked[0].rows
    for run in ranked[1:]:
        if held + run.rows > width:
            break
        taken.append(run.id)
        held += run.rows
    return taken
