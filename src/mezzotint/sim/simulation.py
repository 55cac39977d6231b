"""A discrete-event simulation: jobs arrive, workers claim them through the policy of production, and run them.

A worker runs several jobs at once, which share its speed; how much it gains from each further one is what step-level
batching measured. Time is in seconds from the start.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import count

from mezzotint.domain.ids import JobId, TenantId
from mezzotint.domain.tier import Tier
from mezzotint.policy.fair_queue.settle import MeasuredWork
from mezzotint.policy.fair_queue.state import Share, rate_affinity
from mezzotint.sim.backlog import Backlog, ClaimedJob, QueuedJob

EPOCH = datetime(2026, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class JobArrival:
    """A job that will be submitted. cost: step-megapixels."""

    at_s: float
    lane: Tier
    tenant: TenantId
    cost: float
    model: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """speeds: step-megapixels a second of one worker with 1, 2, ... jobs at once; as many as it takes.

    load_s: what the first job of another model than the last one spends on loading it.
    """

    num_workers: int
    speeds: Sequence[float]
    load_s: float = 0.0

    @property
    def capacity(self) -> float:
        """Step-megapixels a second of all workers, fully used."""
        return self.num_workers * max(self.speeds)


@dataclass(frozen=True, slots=True, kw_only=True)
class JobRecord:
    """The history of a job. share: the share of the machine through which it was claimed."""

    lane: Tier
    share: Share
    tenant: TenantId
    cost: float
    arrived_s: float
    started_s: float
    ended_s: float

    @property
    def wait_s(self) -> float:
        return self.started_s - self.arrived_s


@dataclass(slots=True)
class SimulatedRun:
    """A job on a worker. remaining: step-megapixels, loading included. gpu_s: its part of the worker's time."""

    taken: ClaimedJob
    started_s: float
    remaining: float
    gpu_s: float = 0.0


@dataclass(slots=True)
class SimulatedWorker:
    """A device that runs up to `len(machine.speeds)` jobs at once."""

    machine: Machine
    runs: list[SimulatedRun] = field(default_factory=list)
    model: str = ""
    now_s: float = 0.0

    def is_full(self) -> bool:
        return len(self.runs) == len(self.machine.speeds)

    def pace(self) -> float:
        """Step-megapixels a second of each of its jobs."""
        return self.machine.speeds[len(self.runs) - 1] / len(self.runs)

    def next_end_s(self) -> float:
        if not self.runs:
            return float("inf")
        return self.now_s + min(run.remaining for run in self.runs) / self.pace()

    def advance(self, now_s: float) -> None:
        if self.runs:
            done = self.pace() * (now_s - self.now_s)
            for run in self.runs:
                run.remaining -= done
                run.gpu_s += (now_s - self.now_s) / len(self.runs)
        self.now_s = now_s

    def start(self, taken: ClaimedJob) -> None:
        model = taken.ticket.model
        load_s = self.machine.load_s if model != self.model else 0.0
        self.model = model
        self.runs.append(SimulatedRun(taken, self.now_s, taken.ticket.cost + load_s * self.machine.speeds[0]))

    def finish(self) -> SimulatedRun:
        """The run that ends now."""
        run = min(self.runs, key=lambda run: run.remaining)
        self.runs.remove(run)
        return run

    def affinity(self, ticket: QueuedJob) -> float:
        is_warm = ticket.model == self.model
        return rate_affinity(is_warm=is_warm, joins_batch=is_warm and bool(self.runs))


def simulate(arrivals: Iterable[JobArrival], machine: Machine, backlog: Backlog) -> list[JobRecord]:
    """Run until all jobs have ended; their records come in the order of their ends. The backlog brings the rules."""
    workers = [SimulatedWorker(machine) for _ in range(machine.num_workers)]
    coming = sorted(arrivals, key=lambda arrival: arrival.at_s)
    coming.reverse()
    seqs, records = count(1), []
    while coming or any(worker.runs for worker in workers):
        busiest = min(workers, key=SimulatedWorker.next_end_s)
        now_s = min(busiest.next_end_s(), coming[-1].at_s if coming else float("inf"))
        for worker in workers:
            worker.advance(now_s)
        if coming and coming[-1].at_s <= now_s:
            enqueue_arrival(coming.pop(), next(seqs), backlog)
        else:
            records.append(_end(busiest.finish(), backlog, now_s))
        _claim(workers, backlog, now_s)
    return records


def enqueue_arrival(arrival: JobArrival, seq: int, backlog: Backlog) -> QueuedJob:
    at = to_datetime(arrival.at_s)
    ticket = QueuedJob(
        id=JobId(f"job_{seq}"),
        seq=seq,
        lane=arrival.lane,
        tenant=arrival.tenant,
        cost=arrival.cost,
        created_at=at,
        model=arrival.model,
    )
    backlog.add(ticket, at)
    return ticket


def _claim(workers: Sequence[SimulatedWorker], backlog: Backlog, now_s: float) -> None:
    """Workers with room take jobs, the least busy first."""
    while len(backlog):
        worker = min(workers, key=lambda worker: len(worker.runs))
        if worker.is_full():
            return
        taken = backlog.take(to_datetime(now_s), worker.affinity)
        if taken is None:
            return
        worker.start(taken)


def _end(run: SimulatedRun, backlog: Backlog, now_s: float) -> JobRecord:
    ticket = run.taken.ticket
    backlog.end(run.taken, MeasuredWork(cost=ticket.cost, gpu_s=run.gpu_s, at=to_datetime(now_s)))
    return JobRecord(
        lane=ticket.lane,
        share=run.taken.charge.share,
        tenant=ticket.tenant,
        cost=ticket.cost,
        arrived_s=(ticket.created_at - EPOCH).total_seconds(),
        started_s=run.started_s,
        ended_s=now_s,
    )


def to_datetime(at_s: float) -> datetime:
    """The instant so many seconds after the start."""
    return EPOCH + timedelta(seconds=at_s)
