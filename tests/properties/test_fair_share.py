"""Laws of the fair queue. The bounds are derived in docs/explanation/fair-queue.md; `benchmarks/fairness.py` runs the
same trials over a million decisions."""

from collections import defaultdict
from datetime import UTC, datetime, timedelta
from itertools import count

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from mezzotint.domain.ids import JobId, TenantId
from mezzotint.domain.tier import Tier
from mezzotint.policy.fair_queue.choose import choose_job
from mezzotint.policy.fair_queue.settle import MeasuredWork
from mezzotint.policy.fair_queue.state import RULES, Express
from mezzotint.sim.backlog import Backlog, Chooser, ClaimedJob, QueuedJob
from mezzotint.sim.baselines import choose_first_come, choose_strict_priority
from mezzotint.sim.fuzz import QueueFuzzer, Report

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def ticket(seq: int, lane: Tier, tenant: str, *, cost: float = 1.0, created_at: datetime = NOW) -> QueuedJob:
    return QueuedJob(id=JobId(f"j{seq}"), seq=seq, lane=lane, tenant=TenantId(tenant), cost=cost, created_at=created_at)


def cold(ticket: QueuedJob) -> float:
    return 0.0


def done(taken: ClaimedJob, at: datetime) -> MeasuredWork:
    return MeasuredWork(cost=taken.ticket.cost, gpu_s=0.0, at=at)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**63))
def test_service_of_those_who_wait_stays_within_the_bound_and_nobody_idles(seed: int) -> None:
    report = QueueFuzzer(seed).run(400)
    assert report.num_violations == 0, report
    assert report.num_idle == 0


@pytest.mark.parametrize("unfair", [choose_strict_priority, choose_first_come])
def test_the_audit_catches_a_queue_that_is_not_fair(unfair: Chooser) -> None:
    total = Report()
    for seed in range(6):
        total.merge(QueueFuzzer(seed, unfair).run(300))
    assert total.num_violations > 50


def serve(backlog: Backlog, num_jobs: int, *, at: datetime) -> list[ClaimedJob]:
    """Take jobs one after the other, each done before the next."""
    served = []
    for _ in range(num_jobs):
        taken = backlog.take(at, cold)
        if taken is None:
            break
        served.append(taken)
        backlog.end(taken, done(taken, at))
    return served


def fill(backlog: Backlog, jobs_of: dict[Tier, int], *, num_tenants: int = 4, at: datetime = NOW) -> None:
    seq = count(len(backlog))
    for lane, num_jobs in jobs_of.items():
        for i in range(num_jobs):
            backlog.add(ticket(next(seq), lane, f"t{i % num_tenants}", created_at=at), at)


def test_lanes_with_enough_to_do_get_four_two_and_one_of_seven() -> None:
    backlog = Backlog()
    fill(backlog, dict.fromkeys(Tier, 500))
    served: dict[Tier, int] = defaultdict(int)
    for taken in serve(backlog, 700, at=NOW):
        served[taken.ticket.lane] += 1
    assert served[Tier.PRO] == pytest.approx(400, abs=6)
    assert served[Tier.PAID] == pytest.approx(200, abs=3)
    assert served[Tier.FREE] == pytest.approx(100, abs=3)


def test_promoted_jobs_get_a_fifth_of_paids_share_and_no_more() -> None:
    backlog = Backlog()
    fill(backlog, dict.fromkeys(Tier, 500))
    served: dict[object, int] = defaultdict(int)
    for taken in serve(backlog, 700, at=NOW + timedelta(seconds=45)):
        served[taken.charge.share] += 1
    assert served[Tier.PRO] == pytest.approx(400, abs=6)
    assert served[Tier.PAID] == pytest.approx(160, abs=3)
    assert served[Express.PROMOTED] == pytest.approx(40, abs=2)
    assert served[Tier.FREE] == pytest.approx(100, abs=2)


def test_a_rush_of_free_jobs_leaves_pro_its_share() -> None:
    backlog = Backlog()
    fill(backlog, {Tier.FREE: 2000, Tier.PRO: 400}, num_tenants=100)
    served = [taken.ticket.lane for taken in serve(backlog, 500, at=NOW + timedelta(seconds=60))]
    assert served.count(Tier.PRO) >= 500 * 4 / 5.4 - 3


def test_a_heavy_user_waits_longer_by_at_most_the_stated_factor() -> None:
    backlog = Backlog()
    heavy = ticket(0, Tier.FREE, "heavy")
    backlog.add(heavy, NOW)
    taken = backlog.take(NOW, cold)
    assert taken is not None
    backlog.end(taken, MeasuredWork(cost=1.0, gpu_s=1e9, at=NOW))
    for i in range(1, 400):
        backlog.add(ticket(i, Tier.FREE, "heavy" if i % 2 else "light"), NOW)
    served = [taken.ticket.tenant for taken in serve(backlog, 200, at=NOW)]
    assert served.count(TenantId("heavy")) == pytest.approx(200 * RULES.min_usage_weight / 1.25, abs=3)


@pytest.mark.parametrize("lane", list(Tier))
def test_no_job_waits_for_ever_behind_an_endless_stream_of_new_tenants(lane: Tier) -> None:
    """A newcomer starts at virtual time, before one that was served; without the expresses it could always be first."""
    backlog, seq, now = Backlog(), count(), NOW
    for _ in range(3):
        backlog.add(ticket(next(seq), lane, "patient", created_at=now), now)
    backlog.take(now, cold)
    after_s = next(rule.after_s for rule in RULES.expresses.values() if rule.lane is lane)
    for _ in range(2000):
        now += timedelta(seconds=1)
        for _ in range(2):
            newcomer = next(seq)
            backlog.add(ticket(newcomer, lane, f"new{newcomer}", created_at=now), now)
        serve(backlog, 1, at=now)
        if backlog.oldest(lane) is None or backlog.oldest(lane).created_at > NOW:  # type: ignore[union-attr]
            break
    assert (now - NOW).total_seconds() <= after_s + 2 / 0.2 + 5


def test_a_small_tenant_does_not_wait_behind_a_large_ones_backlog() -> None:
    backlog = Backlog()
    for i in range(400):
        backlog.add(ticket(i, Tier.PAID, "large"), NOW)
    serve(backlog, 50, at=NOW)
    backlog.add(ticket(1000, Tier.PAID, "small"), NOW)
    assert TenantId("small") in [taken.ticket.tenant for taken in serve(backlog, 2, at=NOW)]


class LifeOfAQueue(RuleBasedStateMachine):
    """Jobs come, go, run, end, come back and are cancelled in any order."""

    def __init__(self) -> None:
        super().__init__()
        self.backlog, self.now, self.seq = Backlog(), NOW, count()
        self.waiting: dict[JobId, QueuedJob] = {}
        self.running: list[ClaimedJob] = []
        self.virtual_time = 0.0

    @rule(lane=st.sampled_from(Tier), tenant=st.sampled_from("abc"), cost=st.floats(0.01, 50), num=st.integers(1, 5))
    def submit(self, lane: Tier, tenant: str, cost: float, num: int) -> None:
        for _ in range(num):
            new = ticket(next(self.seq), lane, tenant, cost=cost, created_at=self.now)
            self.waiting[new.id] = new
            self.backlog.add(new, self.now)

    @rule(affinities=st.lists(st.sampled_from([0.0, 0.5, 1.0]), min_size=7, max_size=7))
    def claim(self, affinities: list[float]) -> None:
        fits = lambda ticket: affinities[ticket.seq % 7]  # noqa: E731
        seen = self.backlog.read(self.now, fits)
        assert choose_job(seen, self.now) == choose_job(seen, self.now)
        taken = self.backlog.take(self.now, fits)
        assert (taken is None) == (not self.waiting), "work-conserving"
        if taken is not None:
            assert self.waiting.pop(taken.ticket.id) == taken.ticket
            self.running.append(taken)
        assert self.backlog.virtual_time >= self.virtual_time
        self.virtual_time = self.backlog.virtual_time

    @precondition(lambda self: self.running)
    @rule(data=st.data(), factor=st.floats(0, 9), gpu_s=st.floats(0, 1e4), again=st.booleans())
    def end(self, data: st.DataObject, factor: float, gpu_s: float, again: bool) -> None:
        taken = self.running.pop(data.draw(st.integers(0, len(self.running) - 1)))
        self.backlog.end(taken, MeasuredWork(cost=factor * taken.ticket.cost, gpu_s=gpu_s, at=self.now))
        if again:
            self.waiting[taken.ticket.id] = taken.ticket
            self.backlog.add(taken.ticket, self.now)

    @precondition(lambda self: self.waiting)
    @rule(data=st.data())
    def cancel(self, data: st.DataObject) -> None:
        self.backlog.drop(self.waiting.pop(data.draw(st.sampled_from(sorted(self.waiting)))))

    @rule(seconds=st.floats(0, 400))
    def wait(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)

    @invariant()
    def the_flows_count_what_waits_and_what_runs(self) -> None:
        for (lane, tenant), flow in self.backlog.flows.items():
            mine = [job for job in self.waiting.values() if (job.lane, job.tenant) == (lane, tenant)]
            runs = [taken for taken in self.running if (taken.ticket.lane, taken.ticket.tenant) == (lane, tenant)]
            assert (flow.num_queued, flow.num_running) == (len(mine), len(runs))
            assert flow.is_at_burst == (flow.num_running >= RULES.burst[lane])


LifeOfAQueue.TestCase.settings = settings(max_examples=40, stateful_step_count=40, deadline=None)
test_life_of_a_queue = LifeOfAQueue.TestCase
