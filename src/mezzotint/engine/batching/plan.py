"""The plan of a turn: which runs make which passes, and what follows a pass that failed. Pure: values in, values out.

`plan_turn` decides from the calls that wait, `Passes.execute` carries the plan out and asks `revise` about a pass that
could not be made, and the hub settles the outcomes.
"""

from collections import Counter
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum

MAX_WAIT_TURNS = 8  # for so many turns a run that is ahead within its step waits for others to reach the same call
NOT_ALIKE = "sizes, arguments, adapters or states differ"


@dataclass(frozen=True, slots=True, kw_only=True)
class Parked:
    """A run whose next denoiser call waits, as a stepping policy sees it.

    Calls of equal `batch_key` may share a pass. turns: turns in which it was parked; waited_turns: those since its last
    pass. pass_s: rows of a pass -> seconds it took, for calls of this form.
    """

    id: int
    label: str
    batch_key: int
    rows: int
    steps: int
    num_steps: int | None
    waited_turns: int
    turns: int
    cost_s: float
    pass_s: Mapping[int, float]


Chooser = Callable[[Sequence[Parked]], Sequence[int]]


@dataclass(frozen=True, slots=True, kw_only=True)
class ParkedCall:
    """A waiting denoiser call, as the plan sees it.

    key: equal for calls that may share a pass. refusal: the reason why the call must be made alone, if there is one.
    module: identity of the denoiser. text_length: of a text that may be padded, else 0. phase: calls of this step
    before this one; calls_per_step: None before the first step's end. widest: rows of the widest pass that is expected
    to fit into memory; None: any.
    """

    run: Parked
    module: int
    key: Hashable = None
    refusal: str | None = None
    text_length: int = 0
    phase: int = 0
    calls_per_step: int | None = None
    widest: int | None = None


class Way(StrEnum):
    """The way in which a pass is made."""

    MERGED = "merged"
    PADDED = "padded"  # merged, with texts of unequal length padded to the longest
    ALONE = "alone"


class Setback(StrEnum):
    """The reason why a merged pass gave no outcomes."""

    NO_LAYOUT = "no layout"  # under no layout does the merged output equal that of separate calls
    TOO_WIDE = "too wide"  # bits differ at this width
    OUT_OF_MEMORY = "out of memory"  # at this width


@dataclass(frozen=True, slots=True)
class PlannedPass:
    way: Way
    calls: tuple[ParkedCall, ...]


@dataclass(frozen=True, slots=True)
class TurnPlan:
    """passes: in their order. unmerged: why calls do not share a pass, one entry a call or group."""

    passes: tuple[PlannedPass, ...]
    unmerged: tuple[str, ...] = field(default=())


def plan_turn(
    parked: Sequence[ParkedCall], *, max_rows: int, has_fixed_rows: bool = False, choose: Chooser | None = None
) -> TurnPlan:
    """The passes of one turn.

    max_rows: widest pass, which a single call may exceed. has_fixed_rows: every pass is filled up to one width, so that
    a call alone is merged too, with copies of itself. choose: the stepping policy; without one, all go.
    """
    ready = [
        call
        for call in parked
        if call.run.waited_turns > MAX_WAIT_TURNS  # else a run waits that is ahead, within its step, of others
        or not any(other.phase < call.phase < (other.calls_per_step or call.phase + 1) for other in parked)
    ]
    found: dict[Hashable, list[ParkedCall]] = {}
    for call in ready:
        key = ("mergeable", call.key) if call.refusal is None else ("alone", call.run.id)
        found.setdefault(key, []).append(call)
    groups = list(found.values())
    picked = groups
    if choose is not None and groups:
        seen = [replace(call.run, batch_key=i) for i, group in enumerate(groups) for call in group]
        chosen = set(choose(seen)) or {seen[0].id}  # at least one, whatever the policy says
        picked = [[call for call in group if call.run.id in chosen] for group in groups]
    passes = [_plan_pass(batch, has_fixed_rows) for group in picked for batch in _cut(group, max_rows)]
    refusals = [call.refusal for call in ready if call.refusal is not None]
    modules = Counter(call.module for call in ready)
    lonely = [g for g in groups if len(g) == 1 and g[0].refusal is None and modules[g[0].module] > 1]
    return TurnPlan(tuple(passes), (*refusals, *[NOT_ALIKE] * len(lonely)))


def revise(
    failed: PlannedPass, setback: Setback, *, has_fixed_rows: bool = False, widest: int | None = None
) -> tuple[PlannedPass, ...]:
    """The passes to make instead of one that failed: narrower ones, in the end each call alone.

    widest: rows of a pass that are now expected to fit into memory.
    """
    calls = failed.calls
    if setback is Setback.OUT_OF_MEMORY and len(calls) > 1 and widest is not None:
        return tuple(_plan_pass(part, has_fixed_rows) for part in _cut(calls, widest))
    if setback is Setback.TOO_WIDE and len(calls) > 1:
        half = len(calls) // 2
        return tuple(_plan_pass(part, has_fixed_rows) for part in (calls[:half], calls[half:]))
    if setback is Setback.NO_LAYOUT and failed.way is Way.PADDED:
        lengths = dict.fromkeys(call.text_length for call in calls)
        pieces = [tuple(call for call in calls if call.text_length == length) for length in lengths]
        return tuple(_plan_pass(piece, has_fixed_rows) for piece in pieces)
    return tuple(PlannedPass(Way.ALONE, (call,)) for call in calls)


def _plan_pass(calls: Sequence[ParkedCall], has_fixed_rows: bool) -> PlannedPass:
    if len({call.text_length for call in calls}) > 1:
        way = Way.PADDED
    elif len(calls) > 1 or (has_fixed_rows and calls[0].refusal is None):
        way = Way.MERGED
    else:
        way = Way.ALONE
    return PlannedPass(way, tuple(calls))


def _cut(group: Sequence[ParkedCall], max_rows: int) -> list[list[ParkedCall]]:
    """The group in pieces of at most `max_rows` rows that fit into memory; a single call may be wider."""
    max_rows = min([max_rows, *(call.widest for call in group if call.widest is not None)])
    pieces: list[list[ParkedCall]] = []
    rows = 0
    for call in group:
        if not pieces or rows + call.run.rows > max_rows:
            pieces.append([])
            rows = 0
        pieces[-1].append(call)
        rows += call.run.rows
    return pieces
