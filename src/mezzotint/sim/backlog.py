"""The queue's rows in memory, read and written as a store does it: by index, a bounded number for each decision.

The simulator and the property tests run policy through it; `store/` does the same in SQL.
"""

from bisect import bisect_left, insort
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import TypeVar

from mezzotint.domain.ids import JobId, TenantId
from mezzotint.domain.tier import Tier
from mezzotint.policy.fair_queue.choose import choose_job
from mezzotint.policy.fair_queue.settle import MeasuredWork, add_waiting_job, remove_waiting_job, settle_job
from mezzotint.policy.fair_queue.state import (
    RULES,
    Account,
    BackloggedFlow,
    Candidate,
    Charge,
    ChosenJob,
    FairShareRules,
    Flow,
    LaneBacklog,
    Queue,
    Share,
    base_weights,
)

Place = tuple[Tier, TenantId]
Chooser = Callable[[Queue, datetime, FairShareRules], ChosenJob | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadLimits:
    """The number of rows that one decision reads: flows of a lane, jobs of a flow, oldest jobs of a lane."""

    num_flows: int = 8
    num_jobs: int = 3
    num_oldest: int = 4


READ_LIMITS = ReadLimits()


@dataclass(frozen=True, slots=True, kw_only=True)
class QueuedJob:
    """A job as the queue knows it. seq: order of submission; it keeps its place when it comes back. cost: what
    remains, in step-megapixels."""

    id: JobId
    seq: int
    lane: Tier
    tenant: TenantId
    cost: float
    created_at: datetime
    model: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClaimedJob:
    """A job that runs, with what it was charged."""

    ticket: QueuedJob
    charge: Charge


class Backlog:
    """Jobs that wait, their flows and shares."""

    def __init__(
        self, rules: FairShareRules = RULES, chooser: Chooser = choose_job, limits: ReadLimits = READ_LIMITS
    ) -> None:
        """chooser: fair share, or what it is compared with."""
        self.rules = rules
        self._chooser, self._limits = chooser, limits
        self.virtual_time = 0.0
        self.weights = dict(base_weights())
        self.shares: dict[Share, Account] = {}
        self.flows: dict[Place, Flow] = {}
        self._jobs: dict[Place, list[tuple[int, QueuedJob]]] = {}
        self._order: dict[Tier, list[tuple[bool, float, datetime, TenantId]]] = {lane: [] for lane in Tier}
        self._ages: dict[Tier, list[tuple[int, TenantId]]] = {lane: [] for lane in Tier}

    def __len__(self) -> int:
        return sum(map(len, self._ages.values()))

    def num_queued(self, lane: Tier) -> int:
        return len(self._ages[lane])

    def oldest(self, lane: Tier) -> QueuedJob | None:
        """The waiting job of the lane that was submitted first."""
        ages = self._ages[lane]
        return self._jobs[lane, ages[0][1]][0][1] if ages else None

    def queued_jobs(self) -> Iterator[QueuedJob]:
        """The jobs that wait."""
        for jobs in self._jobs.values():
            yield from (ticket for _, ticket in jobs)

    def add(self, ticket: QueuedJob, now: datetime) -> None:
        """A job begins to wait, or comes back after `end`."""
        place = (ticket.lane, ticket.tenant)
        insort(self._jobs.setdefault(place, []), (ticket.seq, ticket))
        insort(self._ages[ticket.lane], (ticket.seq, ticket.tenant))
        before = self.flows.get(place)
        time = self.account(ticket.lane).virtual_time
        self._write(before, add_waiting_job(before, lane=ticket.lane, tenant=ticket.tenant, lane_time=time, now=now))

    def drop(self, ticket: QueuedJob) -> None:
        """A waiting job stops waiting."""
        self._remove(ticket)
        flow = self.flows[ticket.lane, ticket.tenant]
        self._write(flow, remove_waiting_job(flow))

    def take(self, now: datetime, affinity: Callable[[QueuedJob], float]) -> ClaimedJob | None:
        """Claim a job. affinity: how well it fits the worker that asks."""
        choice = self._chooser(self.read(now, affinity), now, self.rules)
        return None if choice is None else self._store(choice)

    def end(self, taken: ClaimedJob, done: MeasuredWork) -> None:
        """A running job ended, or goes back: then `add` follows."""
        ticket, charge = taken.ticket, taken.charge
        flow, share = self.flows[ticket.lane, ticket.tenant], self.account(charge.share)
        time = self.account(ticket.lane).virtual_time
        settled = settle_job(flow, share, charge, done, lane_time=time, rules=self.rules)
        self._write(flow, settled.flow)
        self.shares[charge.share] = settled.share

    def account(self, share: Share) -> Account:
        return self.shares.get(share) or Account(share=share)

    def read(self, now: datetime, affinity: Callable[[QueuedJob], float]) -> Queue:
        """The rows that a decision reads."""
        lines = [self._line(lane, now, affinity) for lane in Tier if self._ages[lane]]
        return Queue(virtual_time=self.virtual_time, lines=lines, shares=self.shares, weights=self.weights)

    def _line(self, lane: Tier, now: datetime, affinity: Callable[[QueuedJob], float]) -> LaneBacklog:
        tenants = [entry[3] for entry in self._order[lane][: self._limits.num_flows]]
        old = dict.fromkeys(tenant for _, tenant in self._ages[lane][: self._limits.num_oldest])
        return LaneBacklog(
            lane=lane,
            waiting=[self._waiting((lane, tenant), affinity) for tenant in tenants],
            oldest=[self._waiting((lane, tenant), affinity) for tenant in old],
        )

    def _waiting(self, place: Place, affinity: Callable[[QueuedJob], float]) -> BackloggedFlow:
        jobs = [
            Candidate(job=ticket.id, cost=ticket.cost, created_at=ticket.created_at, affinity=affinity(ticket))
            for _, ticket in self._jobs[place][: self._limits.num_jobs]
        ]
        return BackloggedFlow(flow=self.flows[place], jobs=jobs)

    def _store(self, choice: ChosenJob) -> ClaimedJob:
        place = (choice.flow.lane, choice.flow.tenant)
        ticket = next(ticket for _, ticket in self._jobs[place] if ticket.id == choice.job)
        self._remove(ticket)
        self._write(self.flows[place], choice.flow)
        self.virtual_time = choice.virtual_time
        self.shares.update({account.share: account for account in choice.shares})
        return ClaimedJob(ticket=ticket, charge=choice.charge)

    def _remove(self, ticket: QueuedJob) -> None:
        _remove_row(self._ages[ticket.lane], (ticket.seq, ticket.tenant))
        jobs = self._jobs[ticket.lane, ticket.tenant]
        del jobs[bisect_left(jobs, ticket.seq, key=lambda entry: entry[0])]

    def _write(self, before: Flow | None, after: Flow) -> None:
        """Store a flow's row, and keep the index that finds those with jobs waiting."""
        order = self._order[after.lane]
        if before is not None and before.num_queued > 0:
            _remove_row(order, _key(before))
        if after.num_queued > 0:
            insort(order, _key(after))
        self.flows[after.lane, after.tenant] = after


def _key(flow: Flow) -> tuple[bool, float, datetime, TenantId]:
    return flow.is_at_burst, flow.start_tag, flow.backlogged_at, flow.tenant


Row = TypeVar("Row", tuple[bool, float, datetime, TenantId], tuple[int, TenantId])


def _remove_row(rows: list[Row], row: Row) -> None:
    del rows[bisect_left(rows, row)]
