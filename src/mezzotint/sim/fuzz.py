"""Random scenarios in which every decision of the queue is audited against docs/explanation/fair-queue.md's bounds.

Tenants come and go, jobs of all sizes run on a random number of workers and end in random order, cost more or less than
predicted, go back to the queue, are cancelled; weights move; some jobs fit the worker that asks.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from mezzotint.domain.ids import JobId, TenantId
from mezzotint.domain.tier import Tier
from mezzotint.policy.fair_queue.choose import choose_job
from mezzotint.policy.fair_queue.settle import MeasuredWork, usage_weight
from mezzotint.policy.fair_queue.state import (
    RULES,
    BackloggedFlow,
    ChosenJob,
    FairShareRules,
    Queue,
    Share,
    base_weights,
)
from mezzotint.sim.audit import Audit
from mezzotint.sim.backlog import Backlog, Chooser, ClaimedJob, QueuedJob
from mezzotint.sim.rng import Rng

EPOCH = datetime(2026, 1, 1, tzinfo=UTC)
LARGEST_COST = 30.0
NOBODY: Mapping[Tier, float] = {}

SIZES: Mapping[str, Callable[[Rng], float]] = {
    "equal": lambda rng: 1.0,
    "uniform": lambda rng: rng.uniform(0.1, 4.0),
    "heavy": lambda rng: min(LARGEST_COST, 0.3 / (1.0 - rng.uniform())),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """The constants of a fuzzing run, drawn once.

    num_workers: jobs in service at once. corrects: costs differ from predictions and jobs go back to the queue. gap_s:
    mean time between two events.
    """

    rules: FairShareRules
    num_workers: int
    num_tenants: int
    size: str
    corrects: bool
    eagerness: float
    gap_s: float


def draw_scenario(rng: Rng) -> Scenario:
    """A random scenario."""
    slack = rng.choice((0.0, 1.0, 2.0))
    rules = replace(
        RULES,
        affinity_slack=slack,
        age_slack=slack / 2,
        lane_slack=slack / 2,
        head_start={tier: most * rng.choice((0.0, 0.5, 1.0)) for tier, most in RULES.head_start.items()},
        burst={tier: rng.choice((1, 3, 1000)) for tier in Tier},
    )
    return Scenario(
        rules=rules,
        num_workers=rng.choice((1, 1, 2, 4, 8)),
        num_tenants=1 + rng.below(6),
        size=rng.choice(tuple(SIZES)),
        corrects=rng.below(2) == 0,
        eagerness=rng.uniform(0.6, 1.6),
        gap_s=rng.choice((0.01, 0.3, 3.0)),
    )


@dataclass(slots=True, kw_only=True)
class Report:
    """The findings of the audits. num_idle: nothing was taken though something waited. worst: drift over bound."""

    num_decisions: int = 0
    num_by_express: int = 0
    num_idle: int = 0
    num_checks: int = 0
    num_violations: int = 0
    worst: dict[str, float] = field(default_factory=dict)

    def add(self, name: str, audit: Audit[Any]) -> None:
        self.num_checks += audit.num_checks
        self.num_violations += audit.num_violations
        self.worst[name] = max(audit.worst, self.worst.get(name, 0.0))

    def merge(self, other: "Report") -> None:
        self.num_decisions += other.num_decisions
        self.num_by_express += other.num_by_express
        self.num_idle += other.num_idle
        self.num_checks += other.num_checks
        self.num_violations += other.num_violations
        for name, worst in other.worst.items():
            self.worst[name] = max(worst, self.worst.get(name, 0.0))


@dataclass(frozen=True, slots=True, kw_only=True)
class Running:
    """A job in service, with what its share and its flow were charged by this module's own reckoning.

    size: in its flow's normalised cost; an express charges the flow at most that.
    """

    taken: ClaimedJob
    to_share: float
    to_flow: float
    size: float


class QueueFuzzer:
    """Drives one scenario, decision by decision."""

    def __init__(self, seed: int, chooser: Chooser = choose_job) -> None:
        self._rng = Rng(seed)
        self.scenario = draw_scenario(self._rng)
        self.backlog = Backlog(self.scenario.rules, self._watch_choices(chooser))
        self.report = Report()
        self._now = EPOCH
        self._num_jobs = 0
        self._running: list[Running] = []
        rules = self.scenario.rules
        self._shares: dict[str, Audit[Share]] = self._make_audits(rules.lane_slack, rules.head_start)
        slack = rules.affinity_slack + rules.age_slack
        self._flows: dict[Tier, dict[str, Audit[TenantId]]] = {lane: self._make_audits(slack) for lane in Tier}

    def run(self, num_decisions: int) -> Report:
        """Make so many decisions and tell what the audits found."""
        while self.report.num_decisions < num_decisions:
            self._now += timedelta(seconds=self._rng.exponential(self.scenario.gap_s))
            self._arrive()
            if len(self._running) < self.scenario.num_workers and len(self.backlog):
                self._decide()
            elif self._running:
                self._end(self._running.pop(self._rng.below(len(self._running))))
            self._compete()
        for name, root in self._shares.items():
            self.report.add(f"shares, {name}", root)
        for audits in self._flows.values():
            for name, lane in audits.items():
                self.report.add(f"tenants, {name}", lane)
        return self.report

    def _make_audits(self, slack: float, head_start: Mapping[Tier, float] = NOBODY) -> dict[str, Audit[Any]]:
        workers = self.scenario.num_workers
        num = {"corrected": 2 * workers - 1} if self.scenario.corrects else {"started": 1, "finished": workers + 1}
        return {name: Audit(num_largest=n, slack=slack, head_start=head_start) for name, n in num.items()}

    def _arrive(self) -> None:
        """About as many jobs as leave; tenants fall silent and come back with several."""
        rng = self._rng
        if rng.uniform() < self.scenario.eagerness / 5:
            lane, tenant = rng.choice(tuple(Tier)), TenantId(f"t{rng.below(self.scenario.num_tenants)}")
            for _ in range(1 + rng.below(4)):
                self._num_jobs += 1
                job = JobId(f"j{self._num_jobs}")
                cost = SIZES[self.scenario.size](rng)
                self.backlog.add(
                    QueuedJob(id=job, seq=self._num_jobs, lane=lane, tenant=tenant, cost=cost, created_at=self._now),
                    self._now,
                )
        if rng.below(50) == 0 and len(self.backlog):
            self.backlog.drop(rng.choice(tuple(self.backlog.queued_jobs())))
        if rng.below(500) == 0:
            self.backlog.weights = {tier: base * rng.uniform(1.0, 1.5) for tier, base in base_weights().items()}

    def _decide(self) -> None:
        weights = self._weights()
        for root in self._shares.values():
            root.compete(weights)
        self._compete()
        usage = {
            place: usage_weight(flow, self._now, self.scenario.rules) for place, flow in self.backlog.flows.items()
        }
        self._weights_now, self._usage_now = weights, usage
        taken = self.backlog.take(self._now, lambda ticket: self._rng.choice((0.0, 0.0, 0.5, 1.0)))
        self.report.num_decisions += 1
        if taken is None:
            self.report.num_idle += 1
            return
        ticket, share = taken.ticket, taken.charge.share
        by_express = not isinstance(share, Tier)
        self.report.num_by_express += by_express
        size = ticket.cost / usage[ticket.lane, ticket.tenant]
        to_flow = taken.charge.to_flow if by_express else size
        running = Running(taken=taken, to_share=ticket.cost / weights[share], to_flow=to_flow, size=size)
        self._meet(running, 1.0)
        self._serve(running, 1.0, "started", "corrected")
        self._running.append(running)

    def _end(self, running: Running) -> None:
        """A job ends, now and then to come back; where costs are corrected, with another than predicted."""
        ticket, rng = running.taken.ticket, self._rng
        factor = rng.uniform(0.0, 2.0) if self.scenario.corrects else 1.0
        done = MeasuredWork(cost=factor * ticket.cost, gpu_s=5.0 * ticket.cost, at=self._now)
        self.backlog.end(running.taken, done)
        if self.scenario.corrects:
            self._meet(running, factor)
            self._serve(running, factor - 1.0, "corrected")
        else:
            self._serve(running, 1.0, "finished")
        self._compete()
        if self.scenario.corrects and rng.below(10) == 0:
            self.backlog.add(ticket, self._now)

    def _weights(self) -> dict[Share, float]:
        """The shares that compete, with their weights: the expresses take theirs from the lanes that give them."""
        weights: dict[Share, float] = {t: w for t, w in self.backlog.weights.items() if self.backlog.num_queued(t)}
        for express, rule in self.scenario.rules.expresses.items():
            oldest = self.backlog.oldest(rule.lane)
            if oldest and oldest.created_at <= self._now - timedelta(seconds=rule.after_s):
                weights[express] = rule.part * self.backlog.weights[rule.donor]
                if rule.donor in weights:
                    weights[rule.donor] -= weights[express]
        return weights

    def _compete(self) -> None:
        """Tenants compete while they wait and their burst limit does not hold them back."""
        for lane, audits in self._flows.items():
            flows = [flow for (place, _), flow in self.backlog.flows.items() if place is lane]
            tenants = [flow.tenant for flow in flows if flow.num_queued and not flow.is_at_burst]
            for audit in audits.values():
                audit.compete(tenants)

    def _meet(self, running: Running, factor: float) -> None:
        ticket, share = running.taken.ticket, running.taken.charge.share
        for root in self._shares.values():
            root.note_size(share, factor * running.to_share)
        for lane in self._flows[ticket.lane].values():
            lane.note_size(ticket.tenant, factor * running.size)

    def _serve(self, running: Running, factor: float, *names: str) -> None:
        ticket, share = running.taken.ticket, running.taken.charge.share
        for name in names:
            if name in self._shares:
                self._shares[name].serve(share, factor * running.to_share)
                self._flows[ticket.lane][name].serve(ticket.tenant, factor * running.to_flow)

    def _watch_choices(self, chooser: Chooser) -> Chooser:
        """The chooser; on the way, the audits see the jobs that may be passed over."""

        def look(queue: Queue, now: datetime, rules: FairShareRules) -> ChosenJob | None:
            for line in queue.lines:
                for waiting in (*line.waiting, *line.oldest):
                    self._see(line.lane, waiting)
            return chooser(queue, now, rules)

        return look

    def _see(self, lane: Tier, waiting: BackloggedFlow) -> None:
        largest = max(job.cost for job in waiting.jobs)
        shares: list[Share] = [lane]
        shares += [express for express, rule in self.scenario.rules.expresses.items() if rule.lane is lane]
        weight = min(self._weights_now[share] for share in shares if share in self._weights_now)
        for root in self._shares.values():
            root.note_passed(largest / weight)
        for audit in self._flows[lane].values():
            audit.note_passed(waiting.jobs[0].cost / self._usage_now[lane, waiting.flow.tenant])
