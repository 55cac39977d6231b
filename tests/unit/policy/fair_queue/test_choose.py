"""Who is next, by example; the laws stand in tests/properties/test_fair_share.py."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from mezzotint.domain.ids import JobId, TenantId
from mezzotint.domain.tier import Tier
from mezzotint.policy.fair_queue.choose import choose_job
from mezzotint.policy.fair_queue.state import (
    RULES,
    Account,
    BackloggedFlow,
    Candidate,
    ChosenJob,
    Express,
    FairShareRules,
    Flow,
    LaneBacklog,
    Queue,
    Share,
    rate_affinity,
)

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def job(name: str, *, cost: float = 1.0, waited_s: float = 0.0, affinity: float = 0.0) -> Candidate:
    return Candidate(job=JobId(name), cost=cost, created_at=NOW - timedelta(seconds=waited_s), affinity=affinity)


def waiting(
    lane: Tier, tenant: str, *jobs: Candidate, tag: float = 0.0, num_running: int = 0, usage_s: float = 0.0
) -> BackloggedFlow:
    flow = Flow(
        lane=lane,
        tenant=TenantId(tenant),
        backlogged_at=jobs[0].created_at,
        usage_at=NOW,
        usage_s=usage_s,
        start_tag=tag,
        num_queued=len(jobs),
        num_running=num_running,
        is_at_burst=num_running >= RULES.burst[lane],
    )
    return BackloggedFlow(flow=flow, jobs=jobs)


def queue(*lines: LaneBacklog, time: float = 0.0, **accounts: Account) -> Queue:
    shares: dict[Share, Account] = {account.share: account for account in accounts.values()}
    return Queue(virtual_time=time, lines=lines, shares=shares)


def line(lane: Tier, *those: BackloggedFlow, oldest: BackloggedFlow | None = None) -> LaneBacklog:
    return LaneBacklog(lane=lane, waiting=those, oldest=(oldest,) if oldest else ())


EVEN = replace(RULES, head_start=dict.fromkeys(Tier, 0.0))


def chosen(queue: Queue, rules: FairShareRules = EVEN) -> ChosenJob:
    choice = choose_job(queue, NOW, rules)
    assert choice is not None
    return choice


def test_an_empty_queue_chooses_nothing() -> None:
    assert choose_job(queue(), NOW) is None
    assert choose_job(queue(line(Tier.FREE), line(Tier.PRO)), NOW) is None


def test_the_heavier_lane_wins_a_tie_and_both_lanes_wake() -> None:
    lanes = [line(tier, waiting(tier, "t", job(f"{tier}-1"))) for tier in (Tier.FREE, Tier.PRO)]
    choice = chosen(queue(*lanes, time=7.0))
    assert choice.job == "pro-1"
    assert {a.share: (a.start_tag, a.is_idle) for a in choice.shares} == {
        Tier.FREE: (7.0, False),
        Tier.PRO: (7.25, False),
    }
    assert choice.charge.to_share == 0.25


def test_a_lane_gets_no_credit_for_idle_time() -> None:
    pro = Account(share=Tier.PRO, start_tag=100.2, is_idle=False)
    free = Account(share=Tier.FREE, start_tag=3.0, is_idle=True)
    lanes = [line(tier, waiting(tier, "t", job(f"{tier}-1"))) for tier in (Tier.FREE, Tier.PRO)]
    choice = chosen(queue(*lanes, time=100.0, pro=pro, free=free))
    assert choice.job == "free-1"
    assert [a.start_tag for a in choice.shares if a.share is Tier.FREE] == [101.0]


def test_pro_may_run_eight_jobs_ahead_so_that_its_bursts_do_not_wait() -> None:
    lanes = [line(tier, waiting(tier, "t", job(f"{tier}-1"))) for tier in (Tier.FREE, Tier.PRO)]
    free = Account(share=Tier.FREE, start_tag=10.0, is_idle=False)
    within, beyond = (Account(share=Tier.PRO, start_tag=tag, is_idle=False) for tag in (11.9, 12.1))
    assert chosen(queue(*lanes, time=10.0, free=free, pro=within), RULES).job == "pro-1"
    assert chosen(queue(*lanes, time=10.0, free=free, pro=beyond), RULES).job == "free-1"


def test_a_lane_that_ran_empty_is_marked_idle() -> None:
    pro = Account(share=Tier.PRO, start_tag=5.0, is_idle=False)
    choice = chosen(queue(line(Tier.FREE, waiting(Tier.FREE, "t", job("j"))), pro=pro))
    assert Account(share=Tier.PRO, start_tag=5.0, is_idle=True) in choice.shares


def test_a_lane_whose_jobs_are_for_other_workers_keeps_its_place() -> None:
    pro = Account(share=Tier.PRO, start_tag=50.0, is_idle=False)
    free = Account(share=Tier.FREE, start_tag=12.0, is_idle=False)
    paid = Account(share=Tier.PAID, start_tag=3.0, is_idle=True)
    lanes = [
        line(Tier.PRO, waiting(Tier.PRO, "t", job("p"))),
        replace(line(Tier.FREE), since=NOW),
        replace(line(Tier.PAID), since=NOW),
    ]
    choice = chosen(queue(*lanes, time=10.0, pro=pro, free=free, paid=paid))
    assert choice.virtual_time == 10.0, "Paid waits from now on: it is the one with the smallest tag"
    changed = {account.share: account for account in choice.shares}
    assert changed[Tier.PAID] == Account(share=Tier.PAID, start_tag=10.0, is_idle=False)
    assert Tier.FREE not in changed, "neither idle nor moved on"


def test_an_express_whose_jobs_are_for_other_workers_keeps_its_place() -> None:
    promoted = Account(share=Express.PROMOTED, start_tag=4.0, is_idle=False)
    pro = line(Tier.PRO, waiting(Tier.PRO, "t", job("p")))
    late, early = (replace(line(Tier.FREE), since=NOW - timedelta(seconds=s)) for s in (31, 1))
    kept = chosen(queue(pro, late, time=4.0, promoted=promoted))
    assert Express.PROMOTED not in {account.share for account in kept.shares}
    idle = chosen(queue(pro, early, time=4.0, promoted=promoted))
    assert replace(promoted, is_idle=True) in idle.shares


def test_the_tenant_served_least_goes_first_and_pays_for_it() -> None:
    lane = line(
        Tier.PAID,
        waiting(Tier.PAID, "much", job("a"), tag=9.0),
        waiting(Tier.PAID, "little", job("b", cost=3.0), tag=2.0),
    )
    choice = chosen(queue(lane))
    assert choice.job == "b"
    assert (choice.flow.start_tag, choice.flow.num_queued, choice.flow.num_running) == (5.0, 0, 1)
    assert choice.charge.to_flow == 3.0
    assert [a.virtual_time for a in choice.shares if a.share is Tier.PAID] == [2.0]


def test_a_heavy_user_of_the_last_hours_pays_more_for_a_job() -> None:
    heavy = waiting(Tier.FREE, "heavy", job("h"), usage_s=RULES.usage_scale_s)
    assert chosen(queue(line(Tier.FREE, heavy))).flow.start_tag == pytest.approx(2.0)


def test_a_tenant_at_its_burst_limit_goes_after_others_but_not_after_nobody() -> None:
    many = waiting(Tier.FREE, "many", job("m"), tag=1.0, num_running=RULES.burst[Tier.FREE])
    other = waiting(Tier.FREE, "other", job("o"), tag=50.0)
    assert chosen(queue(line(Tier.FREE, many, other))).job == "o"
    assert chosen(queue(line(Tier.FREE, many))).job == "m"


def test_a_job_that_fits_the_worker_goes_first_within_the_slack() -> None:
    cold = waiting(Tier.PAID, "cold", job("c"), tag=10.0)
    warm = waiting(Tier.PAID, "warm", job("w", affinity=rate_affinity(is_warm=True, joins_batch=True)), tag=11.9)
    assert chosen(queue(line(Tier.PAID, cold, warm))).job == "w"
    late = replace(warm, flow=replace(warm.flow, start_tag=12.1))
    assert chosen(queue(line(Tier.PAID, cold, late))).job == "c"


def test_virtual_time_follows_those_passed_over_not_the_one_who_passed() -> None:
    cold = waiting(Tier.PAID, "cold", job("c"), tag=10.0)
    warm = waiting(Tier.PAID, "warm", job("w", affinity=1.0), tag=11.0)
    choice = chosen(queue(line(Tier.PAID, cold, warm)))
    assert [a.virtual_time for a in choice.shares if a.share is Tier.PAID] == [10.0]


def test_waiting_long_goes_before_equals() -> None:
    fresh = waiting(Tier.FREE, "fresh", job("f"), tag=5.0)
    old = waiting(Tier.FREE, "old", job("o", waited_s=119.0), tag=5.9)
    assert chosen(queue(line(Tier.FREE, fresh, old))).job == "o"


def test_a_tenants_jobs_go_in_order_but_for_a_little_affinity() -> None:
    jobs = (job("first", waited_s=15), job("near", waited_s=6, affinity=0.5), job("far", waited_s=1, affinity=1.0))
    assert chosen(queue(line(Tier.FREE, waiting(Tier.FREE, "t", *jobs)))).job == "near"
    aged = (job("first", waited_s=121), job("near", waited_s=115, affinity=0.5))
    assert chosen(queue(line(Tier.FREE, waiting(Tier.FREE, "t", *aged)))).job == "first"


def test_free_is_promoted_after_thirty_seconds_with_a_fifth_of_paids_weight() -> None:
    paid = line(Tier.PAID, waiting(Tier.PAID, "p", job("paid")))
    young, old = (waiting(Tier.FREE, "f", job("free", waited_s=s)) for s in (29.0, 31.0))
    accounts = {
        "paid": Account(share=Tier.PAID, start_tag=5.0, is_idle=False),
        "free": Account(share=Tier.FREE, start_tag=9.0, is_idle=False),
    }
    early = chosen(queue(line(Tier.FREE, young, oldest=young), paid, time=4.0, **accounts))
    assert (early.job, early.charge.to_share) == ("paid", 0.5)
    late = chosen(queue(line(Tier.FREE, old, oldest=old), paid, time=4.0, **accounts))
    assert (late.job, late.charge.share) == ("free", Express.PROMOTED)
    assert late.charge.to_share == pytest.approx(1 / 0.4)
    accounts["promoted"] = Account(share=Express.PROMOTED, start_tag=6.5, is_idle=False)
    after = chosen(queue(line(Tier.FREE, old, oldest=old), paid, time=4.0, **accounts))
    assert (after.job, after.charge.to_share) == ("paid", pytest.approx(1 / 1.6))


def test_an_express_never_puts_a_flow_further_than_one_job_past_virtual_time() -> None:
    old = waiting(Tier.FREE, "f", job("free", waited_s=31), tag=12.0)
    ahead = waiting(Tier.FREE, "g", job("other"), tag=10.0)
    accounts = {
        "free": Account(share=Tier.FREE, start_tag=9.0, virtual_time=11.5, is_idle=False),
    }
    choice = chosen(queue(line(Tier.FREE, ahead, oldest=old), time=4.0, **accounts))
    assert choice.charge.share is Express.PROMOTED
    assert choice.flow.start_tag == 12.5


@pytest.mark.parametrize(("lane", "after_s"), [(Tier.PAID, 300), (Tier.PRO, 60)])
def test_a_job_past_its_tiers_longest_wait_goes_by_the_lanes_own_express(lane: Tier, after_s: int) -> None:
    old = waiting(lane, "old", job("old", waited_s=after_s + 1), tag=99.0)
    first = waiting(lane, "first", job("first"), tag=1.0)
    accounts = {"lane": Account(share=lane, start_tag=9.0, virtual_time=1.0, is_idle=False)}
    choice = chosen(queue(line(lane, first, oldest=old), time=4.0, **accounts))
    assert choice.job == "old"
    assert choice.charge.share in (Express.OVERDUE_PAID, Express.OVERDUE_PRO)
