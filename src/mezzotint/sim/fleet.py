"""A fleet under traffic: workers come and go as `policy/fleet/autoscale.py` decides, and claim from one queue.

A new worker claims when its start is over. One that drains gives its runs back with what remains of them, as a worker
with checkpoints does, and is gone. The pools take jobs of every model, lane and tenant.
"""

from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import count

from mezzotint.domain.fleet.pool import Fleet, Pool
from mezzotint.domain.ids import JobId
from mezzotint.domain.tier import Tier
from mezzotint.policy.fair_queue.settle import MeasuredWork
from mezzotint.policy.fleet.autoscale import SCALE_RULES, FleetView, ScaleDecision, ScaleRules, ScaleState, autoscale
from mezzotint.policy.fleet.load_plan import PoolReading, WaitingWork
from mezzotint.policy.fleet.placement import compare_speed
from mezzotint.sim.backlog import Backlog, QueuedJob
from mezzotint.sim.simulation import (
    JobArrival,
    JobRecord,
    Machine,
    SimulatedRun,
    SimulatedWorker,
    enqueue_arrival,
    to_datetime,
)

WINDOW_S = 60.0
"""Over which utilisation and waits are measured."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolMachine:
    """The workers of a pool. speeds: as `Machine.speeds`. start_s: from the decision to the first claim."""

    speeds: Sequence[float]
    start_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class FleetMoment:
    """The fleet after a round of decisions. work_s: seconds of one worker's work that wait. num_ready: by pool."""

    at_s: float
    work_s: float
    num_ready: Mapping[str, int]
    decisions: Sequence[ScaleDecision]


@dataclass(frozen=True, slots=True, kw_only=True)
class FleetHistory:
    """worker_s: seconds of all workers together, starts and drains included."""

    records: Sequence[JobRecord]
    moments: Sequence[FleetMoment]
    worker_s: Mapping[str, float]


@dataclass(slots=True)
class FleetMachine:
    """A worker of a pool. busy_s: seconds in which it had a job, since the last round."""

    pool: Pool
    worker: SimulatedWorker
    made_s: float
    ready_s: float
    busy_s: float = 0.0


@dataclass(slots=True, kw_only=True)
class FleetSimulation:
    """The state of a simulation. every_s: between two rounds of decisions."""

    fleet: Fleet
    machines: Mapping[str, PoolMachine]
    backlog: Backlog
    rules: ScaleRules = SCALE_RULES
    every_s: float = 5.0
    now_s: float = 0.0
    workers: list[FleetMachine] = field(default_factory=list)
    states: dict[str, ScaleState] = field(default_factory=dict)
    first: dict[JobId, QueuedJob] = field(default_factory=dict)
    started: dict[JobId, float] = field(default_factory=dict)
    waits: deque[tuple[float, Tier, float]] = field(default_factory=deque)
    usage: dict[str, deque[tuple[float, float]]] = field(default_factory=dict)
    records: list[JobRecord] = field(default_factory=list)
    moments: list[FleetMoment] = field(default_factory=list)
    worker_s: dict[str, float] = field(default_factory=dict)

    @property
    def reference(self) -> float:
        """Step-megapixels a second that count as one worker."""
        return max(next(iter(self.machines.values())).speeds)

    def run(self, arrivals: Iterable[JobArrival], until_s: float) -> FleetHistory:
        """Run to the end of the time, and on until every job has ended."""
        coming = deque(sorted(arrivals, key=lambda arrival: arrival.at_s))
        seqs, next_round_s = count(1), 0.0
        while self.now_s < until_s or coming or len(self.backlog) or any(one.worker.runs for one in self.workers):
            ends_s = min((one.worker.next_end_s() for one in self.workers), default=float("inf"))
            starts_s = min((one.ready_s for one in self.workers if one.ready_s > self.now_s), default=float("inf"))
            arrives_s = coming[0].at_s if coming else float("inf")
            self._advance(min(ends_s, starts_s, arrives_s, next_round_s))
            if self.now_s >= next_round_s:
                self._decide()
                next_round_s += self.every_s
            if coming and coming[0].at_s <= self.now_s:
                ticket = enqueue_arrival(coming.popleft(), next(seqs), self.backlog)
                self.first[ticket.id] = ticket
            for one in self.workers:
                if one.worker.runs and one.worker.next_end_s() <= self.now_s + 1e-9:
                    self._finish(one.worker.finish())
            self._claim()
        for one in self.workers:
            self._count_time(one)
        return FleetHistory(records=self.records, moments=self.moments, worker_s=self.worker_s)

    def _advance(self, now_s: float) -> None:
        for one in self.workers:
            if one.worker.runs:
                one.busy_s += now_s - one.worker.now_s
            one.worker.advance(now_s)
        self.now_s = now_s

    def _claim(self) -> None:
        """Ready workers with room take jobs, the least busy first."""
        ready = [one.worker for one in self.workers if one.ready_s <= self.now_s]
        while ready and len(self.backlog):
            worker = min(ready, key=lambda worker: len(worker.runs))
            taken = None if worker.is_full() else self.backlog.take(to_datetime(self.now_s), worker.affinity)
            if taken is None:
                return
            worker.start(taken)
            ticket = taken.ticket
            if ticket.id not in self.started:
                self.started[ticket.id] = self.now_s
                waited_s = (to_datetime(self.now_s) - ticket.created_at).total_seconds()
                self.waits.append((self.now_s, ticket.lane, waited_s))

    def _finish(self, run: SimulatedRun) -> None:
        ticket = run.taken.ticket
        work = MeasuredWork(cost=ticket.cost, gpu_s=run.gpu_s, at=to_datetime(self.now_s))
        self.backlog.end(run.taken, work)
        first = self.first.pop(ticket.id)
        self.records.append(
            JobRecord(
                lane=ticket.lane,
                share=run.taken.charge.share,
                tenant=ticket.tenant,
                cost=first.cost,
                arrived_s=self.now_s - (to_datetime(self.now_s) - first.created_at).total_seconds(),
                started_s=self.started.pop(ticket.id),
                ended_s=self.now_s,
            )
        )

    def _give_back(self, run: SimulatedRun) -> None:
        """The job waits again with what remains of it."""
        ticket, at = run.taken.ticket, to_datetime(self.now_s)
        self.backlog.end(run.taken, MeasuredWork(cost=max(0.0, ticket.cost - run.remaining), gpu_s=run.gpu_s, at=at))
        self.backlog.add(replace(ticket, cost=min(ticket.cost, run.remaining)), at)

    def _decide(self) -> None:
        view = FleetView(work=self._waiting(), readings=self._read_pools(), states=self.states)
        made = autoscale(self.fleet, view, to_datetime(self.now_s), self.rules)
        self.states = {one.pool: one.state for one in made}
        for one in made:
            self._resize(one)
        ready = {
            pool.name: sum(one.pool is pool and one.ready_s <= self.now_s for one in self.workers)
            for pool in self.fleet.pools
        }
        work_s = sum(kind.work_s for kind in view.work)
        self.moments.append(FleetMoment(at_s=self.now_s, work_s=work_s, num_ready=ready, decisions=made))

    def _resize(self, decision: ScaleDecision) -> None:
        """Start workers, or let the least busy ones go."""
        there = [one for one in self.workers if one.pool.name == decision.pool]
        pool = self.fleet.pool(decision.pool)
        assert pool is not None
        machine = self.machines[pool.name]
        for _ in range(decision.desired - len(there)):
            worker = SimulatedWorker(Machine(num_workers=1, speeds=machine.speeds), now_s=self.now_s)
            self.workers.append(FleetMachine(pool, worker, self.now_s, self.now_s + machine.start_s))
        there.sort(key=lambda one: (one.ready_s <= self.now_s, len(one.worker.runs)))
        for one in there[: max(0, len(there) - decision.desired)]:
            self.workers.remove(one)
            self._count_time(one)
            for run in one.worker.runs:
                self._give_back(run)

    def _count_time(self, one: FleetMachine) -> None:
        self.worker_s[one.pool.name] = self.worker_s.get(one.pool.name, 0.0) + self.now_s - one.made_s

    def _read_pools(self) -> dict[str, PoolReading]:
        readings = {}
        for pool in self.fleet.pools:
            mine = [one for one in self.workers if one.pool is pool]
            ready = [one for one in mine if one.ready_s <= self.now_s]
            readings[pool.name] = PoolReading(
                pool=pool.name,
                num_ready=len(ready),
                num_starting=len(mine) - len(ready),
                utilisation=self._measure_utilisation(pool, ready),
                start_s=self.machines[pool.name].start_s,
                speed=compare_speed({"": 1 / max(self.machines[pool.name].speeds)}, {"": 1 / self.reference}),
            )
        return readings

    def _measure_utilisation(self, pool: Pool, ready: Sequence[FleetMachine]) -> float:
        """Part of the last rounds' time in which the workers that were ready had a job."""
        rounds = self.usage.setdefault(pool.name, deque(maxlen=max(1, int(WINDOW_S / self.every_s))))
        rounds.append(
            (sum(one.busy_s for one in ready), sum(min(self.every_s, self.now_s - one.ready_s) for one in ready))
        )
        for one in ready:
            one.busy_s = 0.0
        there_s = sum(seconds for _, seconds in rounds)
        return min(1.0, sum(busy for busy, _ in rounds) / there_s) if there_s > 0.0 else 0.0

    def _waiting(self) -> list[WaitingWork]:
        while self.waits and self.waits[0][0] < self.now_s - WINDOW_S:
            self.waits.popleft()
        work = []
        now = to_datetime(self.now_s)
        for lane in Tier:
            tickets = [ticket for ticket in self.backlog.queued_jobs() if ticket.lane is lane]
            waited = sorted(
                [wait for _, of, wait in self.waits if of is lane]
                + [(now - ticket.created_at).total_seconds() for ticket in tickets]
            )
            wait_s = waited[min(len(waited) - 1, int(0.95 * len(waited)))] if waited else 0.0
            work_s = sum(ticket.cost for ticket in tickets) / self.reference
            work.append(WaitingWork(model="", lane=lane, work_s=work_s, wait_s=wait_s))
        return work
