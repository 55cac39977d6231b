from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from mezzotint.domain.ids import TenantId
from mezzotint.domain.tier import Tier
from mezzotint.policy.fair_queue.settle import (
    MeasuredWork,
    add_waiting_job,
    measured_cost,
    next_pace,
    remove_waiting_job,
    settle_job,
    usage_at,
    usage_weight,
)
from mezzotint.policy.fair_queue.state import RULES, Account, Charge, Flow

NOW = datetime(2026, 1, 1, tzinfo=UTC)
FLOW = Flow(lane=Tier.FREE, tenant=TenantId("t"), backlogged_at=NOW, usage_at=NOW, start_tag=4.0, num_running=1)
CHARGE = Charge(share=Tier.FREE, cost=2.0, to_share=2.0, to_flow=4.0)


def done(cost: float, gpu_s: float = 1.0) -> MeasuredWork:
    return MeasuredWork(cost=cost, gpu_s=gpu_s, at=NOW)


def test_a_tenant_with_nothing_waiting_starts_at_virtual_time() -> None:
    first = add_waiting_job(None, lane=Tier.FREE, tenant=TenantId("t"), lane_time=9.0, now=NOW)
    assert (first.start_tag, first.num_queued, first.backlogged_at) == (9.0, 1, NOW)
    later = NOW + timedelta(seconds=5)
    second = add_waiting_job(first, lane=Tier.FREE, tenant=TenantId("t"), lane_time=11.0, now=later)
    assert (second.start_tag, second.num_queued, second.backlogged_at) == (9.0, 2, NOW)
    back = add_waiting_job(
        remove_waiting_job(remove_waiting_job(second)), lane=Tier.FREE, tenant=TenantId("t"), lane_time=11.0, now=later
    )
    assert (back.start_tag, back.num_queued, back.backlogged_at) == (11.0, 1, later)


def test_what_a_job_really_cost_takes_the_place_of_what_was_predicted() -> None:
    share = Account(share=Tier.FREE, start_tag=8.0)
    more = settle_job(FLOW, share, CHARGE, done(3.0), lane_time=0.0)
    assert (more.flow.start_tag, more.share.start_tag, more.flow.num_running) == (6.0, 9.0, 0)
    lost = settle_job(FLOW, share, CHARGE, done(0.0), lane_time=0.0)
    assert (lost.flow.start_tag, lost.share.start_tag) == (0.0, 6.0)


def test_a_correction_is_bounded() -> None:
    wild = settle_job(FLOW, Account(share=Tier.FREE), CHARGE, done(1e9), lane_time=0.0)
    assert wild.flow.start_tag == FLOW.start_tag + (RULES.max_correction - 1) * CHARGE.to_flow


def test_a_tenant_freed_from_its_burst_limit_starts_at_virtual_time() -> None:
    held = replace(FLOW, num_running=2, is_at_burst=True)
    freed = settle_job(held, Account(share=Tier.FREE), CHARGE, done(2.0), lane_time=30.0).flow
    assert (freed.is_at_burst, freed.start_tag) == (False, 30.0)


def test_usage_halves_with_each_half_life() -> None:
    used = settle_job(FLOW, Account(share=Tier.FREE), CHARGE, done(2.0, gpu_s=600.0), lane_time=0.0).flow
    assert usage_weight(used, NOW) == pytest.approx(0.5)
    later = NOW + timedelta(seconds=RULES.usage_half_life_s)
    assert usage_at(used, later) == pytest.approx(300.0)
    assert usage_weight(used, later) == pytest.approx(1 / 1.5)


def test_usage_never_costs_more_than_three_quarters_of_a_tenants_weight() -> None:
    assert usage_weight(replace(FLOW, usage_s=1e12), NOW) == RULES.min_usage_weight
    assert usage_weight(FLOW, NOW) == 1.0


def test_a_clock_that_goes_back_does_not_grow_usage() -> None:
    assert usage_at(replace(FLOW, usage_s=5.0), NOW - timedelta(hours=3)) == 5.0


def test_measured_seconds_become_cost_at_the_usual_pace() -> None:
    assert measured_cost(10.0, 6.0, None) == 10.0
    assert measured_cost(10.0, 6.0, 0.3) == pytest.approx(20.0)


def test_pace_follows_the_jobs_and_no_single_one_moves_it_far() -> None:
    assert next_pace(None, 10.0, 5.0) == 0.5
    assert next_pace(0.5, 10.0, 0.0) == 0.5
    assert next_pace(0.5, 1.0, 1e6) == pytest.approx(0.525)
    pace = 0.5
    for _ in range(100):
        pace = next_pace(pace, 10.0, 8.0) or 0.0
    assert pace == pytest.approx(0.8, rel=0.01)
