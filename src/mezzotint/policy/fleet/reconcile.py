"""Decide what a round of the fleet's controller changes: workers to start, to drain, to give up.

The controller may die between any two statements. So a worker is a row first and an actor of that name afterwards, and
an actor that exists is taken over, not made again.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from itertools import takewhile
from types import MappingProxyType

from mezzotint.domain.fleet.desired_fleet import PoolTarget
from mezzotint.domain.fleet.fleet_worker import FleetWorker, FleetWorkerId
from mezzotint.domain.fleet.worker_state import FleetWorkerState
from mezzotint.domain.ids import WorkerId

SILENT, SILENT_AT_START = timedelta(seconds=60), timedelta(minutes=5)
"""A worker that has not answered for so long is given up: its process is frozen, or its machine out of reach. While it
imports its libraries and loads models on a busy machine it may be silent for longer."""
SEEN = timedelta(seconds=5)
"""The time after which it is written down again that a worker of which nothing else changed was there."""
FIRST_PAUSE, MAX_PAUSE = timedelta(seconds=2), timedelta(minutes=5)
"""Before the next try, after a worker of the pool failed to get ready; doubles with each that fails in a row."""


class WorkerStage(StrEnum):
    """The stage of a worker, as it says itself."""

    STARTING = "starting"
    READY = "ready"
    ENDED = "ended"


@dataclass(frozen=True, slots=True, kw_only=True)
class ActorReport:
    """The answer of a worker's actor. num_runs, num_failed: as `FleetWorker` has them. error: why it ended, where that
    was not wished for."""

    stage: WorkerStage
    worker: WorkerId | None = None
    device: str = ""
    node: str = ""
    num_running: int = 0
    num_runs: int = 0
    num_failed: int = 0
    error: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerGone:
    """There is no such actor any more."""

    reason: str


class WorkerSilent:
    """The actor did not answer in time, or waits for a node that has room for it."""


Observation = ActorReport | WorkerGone | WorkerSilent


@dataclass(frozen=True, slots=True, kw_only=True)
class RoundPlan:
    """start: more workers of pools, and why. create: workers whose actor is to be made, or taken over where it exists.
    drain: to be told, and told again until they end. kill: actors of no more use. changed: rows that differ now."""

    start: Sequence[PoolTarget] = ()
    create: Sequence[FleetWorker] = ()
    drain: Sequence[FleetWorkerId] = ()
    kill: Sequence[FleetWorkerId] = ()
    changed: Sequence[FleetWorker] = ()


def judge_worker(row: FleetWorker, seen: Observation, now: datetime, asked_since: datetime) -> FleetWorker:
    """The row as the observation changes it. asked_since: when this controller began to ask."""
    match seen:
        case ActorReport(stage=WorkerStage.ENDED):
            return _note_end(row, seen, now)
        case ActorReport():
            return _note_report(row, seen, now)
        case WorkerGone() if not row.is_created:
            is_unwanted = not row.state.counts
            return _move(row, FleetWorkerState.STOPPED, "it was never started", now) if is_unwanted else row
        case WorkerGone(reason=reason):
            return _move(row, FleetWorkerState.LOST, reason, now)
        case _ if row.state is FleetWorkerState.DRAINING and row.seen_at is None:
            return _move(row, FleetWorkerState.STOPPED, "no node had room for it yet", now)
        case _:
            most = SILENT_AT_START if row.state is FleetWorkerState.STARTING else SILENT
            is_lost = row.seen_at is not None and now - max(row.seen_at, asked_since) > most
            reason = f"no answer for {most.seconds} s"
            return _move(row, FleetWorkerState.LOST, reason, now) if is_lost else row


def _note_end(row: FleetWorker, seen: ActorReport, now: datetime) -> FleetWorker:
    row = _count_runs(row, seen)
    if seen.error is not None:
        return _move(row, FleetWorkerState.LOST, f"its worker ended: {seen.error}", now)
    if row.state is FleetWorkerState.DRAINING:
        return _move(row, FleetWorkerState.STOPPED, "drained", now)
    return _move(row, FleetWorkerState.DRAINING, "it was asked to end, outside of the fleet's commands", now)


def _note_report(row: FleetWorker, seen: ActorReport, now: datetime) -> FleetWorker:
    known = replace(_count_runs(row, seen), worker=seen.worker, device=seen.device, node=seen.node)
    known = replace(known, num_running=seen.num_running)
    if row.seen_at is None and row.state is FleetWorkerState.STARTING:
        known = replace(known, changed_at=now)  # it has a node: its time to start begins
    if known != row or row.seen_at is None or now - row.seen_at > SEEN:
        row = replace(known, seen_at=now)
    if row.state is FleetWorkerState.STARTING and seen.stage is WorkerStage.READY:
        return _move(replace(row, was_ready=True), FleetWorkerState.READY, "its models are loaded", now)
    return row


def _count_runs(row: FleetWorker, seen: ActorReport) -> FleetWorker:
    return replace(row, num_runs=max(row.num_runs, seen.num_runs), num_failed=max(row.num_failed, seen.num_failed))


def _move(row: FleetWorker, state: FleetWorkerState, reason: str, now: datetime) -> FleetWorker:
    """A worker that is lost with runs in its hands failed one more."""
    if state is FleetWorkerState.LOST and row.num_running:
        row = replace(row, num_runs=row.num_runs + 1, num_failed=row.num_failed + 1)
    num_running = 0 if state.is_final else row.num_running
    return replace(row, state=state, reason=reason[:500], changed_at=now, num_running=num_running)


def plan_round(
    targets: Sequence[PoolTarget],
    rows: Sequence[FleetWorker],
    seen: Mapping[FleetWorkerId, Observation],
    now: datetime,
    asked_since: datetime,
    *,
    leaving: Mapping[str, str] = MappingProxyType({}),
) -> RoundPlan:
    """rows: all workers that live, and those that ended lately. seen: of each that lives. asked_since: when this
    controller began to ask. leaving: workers that a rollout drains, and why."""
    judged = [row if row.state.is_final else judge_worker(row, seen[row.id], now, asked_since) for row in rows]
    after = list(_drain_unwanted(judged, targets, leaving, now))
    start = []
    for target in targets:
        mine = [row for row in after if row.pool == target.pool]
        missing = target.num_workers - sum(row.state.counts for row in mine)
        pause_ends = find_pause_end(mine)
        if missing > 0 and (pause_ends is None or now >= pause_ends):
            start.append(replace(target, num_workers=missing))
    changed = [row for row, before in zip(after, rows, strict=True) if row != before]
    return RoundPlan(
        start=start,
        create=[row for row in after if row.state.counts and not row.is_created],
        drain=[row.id for row in after if row.state is FleetWorkerState.DRAINING],
        kill=[row.id for row in changed if row.state.is_final],
        changed=changed,
    )


def _drain_unwanted(
    rows: Sequence[FleetWorker], targets: Sequence[PoolTarget], leaving: Mapping[str, str], now: datetime
) -> Iterator[FleetWorker]:
    unwanted = {row.id: leaving[row.id] for row in rows if row.id in leaving and row.state.counts}
    unwanted |= {row.id: "asked for with `fleet drain`" for row in rows if row.is_drain_wanted and row.state.counts}
    wanted = {target.pool: target for target in targets}
    for pool in {row.pool for row in rows}:
        mine = [row for row in rows if row.pool == pool and row.state.counts and row.id not in unwanted]
        target = wanted.get(pool) or PoolTarget(pool=pool, num_workers=0, reason="the fleet's file has no such pool")
        for row in choose_leavers(mine, len(mine) - target.num_workers):
            unwanted[row.id] = f"{target.num_workers} wanted: {target.reason}"
    for row in rows:
        yield _move(row, FleetWorkerState.DRAINING, unwanted[row.id], now) if row.id in unwanted else row


def choose_leavers(rows: Iterable[FleetWorker], number: int) -> list[FleetWorker]:
    """The workers that go first: those that are not ready, then those with the fewest jobs, then the youngest."""

    def cost_of_going(row: FleetWorker) -> tuple[bool, int, float]:
        return row.state is FleetWorkerState.READY, row.num_running, -row.created_at.timestamp()

    return sorted(rows, key=cost_of_going)[: max(number, 0)]


def find_pause_end(rows: Iterable[FleetWorker]) -> datetime | None:
    """When a pool whose last workers never got ready may try again; None: at once."""
    ends = sorted((row for row in rows if row.state.is_final), key=lambda row: row.changed_at, reverse=True)
    failed: list[FleetWorker] = list(
        takewhile(lambda row: row.state is FleetWorkerState.LOST and not row.was_ready, ends)
    )
    if not failed:
        return None
    pause_s = min(FIRST_PAUSE.total_seconds() * 2.0 ** min(len(failed) - 1, 16), MAX_PAUSE.total_seconds())
    return failed[0].changed_at + timedelta(seconds=pause_s)
