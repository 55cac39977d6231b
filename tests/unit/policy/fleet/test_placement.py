"""Which jobs the pools of a fleet take, how fast they are, and which jobs are light on a worker."""

from dataclasses import replace

import pytest

from mezzotint.domain.fleet.pool import Fleet, Pool
from mezzotint.domain.ids import TenantId
from mezzotint.domain.refusal import RefusalCode
from mezzotint.domain.tier import Tier
from mezzotint.policy.fair_queue.state import rate_affinity
from mezzotint.policy.fleet.placement import (
    LIGHT_S,
    compare_speed,
    has_mixed_devices,
    light_cost,
    may_claim,
    measure_speeds,
    place_job,
)

ADA, ACME = TenantId("ada"), TenantId("acme")
FLEET = Fleet(
    pools=(
        Pool(name="all", models=("ink",)),
        Pool(name="fast", models=("xl",), lanes=(Tier.PAID, Tier.PRO)),
        Pool(name="acme", models=("ink", "own"), tenants=(ACME,)),
    )
)


@pytest.mark.parametrize(
    ("model", "lane", "tenant", "hint"),
    [
        ("ink", Tier.FREE, ADA, None),
        ("xl", Tier.PRO, ADA, None),
        ("own", Tier.FREE, ACME, None),
        ("ink", Tier.FREE, ACME, None),
        ("xl", Tier.FREE, ADA, "It is drawn for the lanes paid, pro."),
        ("own", Tier.PRO, ADA, "It is drawn for single tenants alone"),
        ("none", Tier.PRO, ADA, "Ask for another model: ink, own, xl."),
    ],
)
def test_a_job_that_no_pool_takes_is_refused_with_what_would_help(
    model: str, lane: Tier, tenant: TenantId, hint: str | None
) -> None:
    refusal = place_job(FLEET, model, lane, tenant)
    if hint is None:
        assert refusal is None
    else:
        assert refusal is not None
        assert (refusal.code, refusal.param) == (RefusalCode.NO_POOL, "model")
        assert refusal.hint.startswith(hint)
        assert model in refusal.message


def test_a_model_that_leaves_no_room_for_its_runs_is_claimed_by_no_small_device() -> None:
    small = Pool(name="small", accelerator="T4", num_gpus=1.0)
    assert may_claim(small, "ink", Tier.FREE, None, num_bytes=12 << 30)
    assert not may_claim(small, "ink", Tier.FREE, None, num_bytes=14 << 30)


def test_speed_is_that_of_the_steps_of_models_that_both_have_measured() -> None:
    fleet = {"ink": 0.2, "xl": 1.0}
    assert compare_speed({"ink": 0.1}, fleet) == pytest.approx(2.0)
    assert compare_speed({"ink": 0.1, "xl": 2.0}, fleet) == pytest.approx(1.0)
    assert compare_speed({"other": 0.1}, fleet) == compare_speed({}, {}) == 1.0
    assert compare_speed({"ink": 1e-9}, fleet) == 64.0


def test_the_slower_a_device_the_smaller_a_job_must_be_to_be_light_on_it() -> None:
    assert light_cost(None) == 0.0
    assert light_cost(0.5) == pytest.approx(LIGHT_S / 0.5)
    assert light_cost(2.0) < light_cost(0.5)


def test_a_light_job_fits_better_than_a_heavy_one_and_less_than_one_that_joins_a_batch() -> None:
    fits = [
        rate_affinity(is_warm=warm, joins_batch=joins, is_light=light)
        for warm, joins, light in (
            (False, False, False),
            (False, False, True),
            (True, False, False),
            (True, False, True),
            (True, True, False),
        )
    ]
    assert fits == sorted(set(fits))
    assert fits[-1] == rate_affinity(is_warm=True, joins_batch=True, is_light=True) == 1.0


def test_the_speed_of_a_pool_is_what_its_workers_measured_beside_the_fleets() -> None:
    measured = [
        ("a", {"m": 1.0, "only": 9.0}),
        ("a", {"m": 1.2}),
        ("a", {"m": 40.0}),
        ("b", {"m": 0.3}),
        ("c", {}),
        ("d", {"own": 2.0}),
    ]
    speeds = measure_speeds(measured)
    assert {pool: round(speed, 3) for pool, speed in speeds.items()} == {
        "a": round(0.75 / 1.2, 3),  # by the model that others have measured, too
        "b": round(0.75 / 0.3, 3),
        "d": 1.0,
    }


def test_workers_leave_heavy_jobs_to_others_where_devices_differ() -> None:
    one, other = Pool(name="a", accelerator="L4"), Pool(name="b", accelerator="H100")
    assert has_mixed_devices(Fleet(pools=(one, other)))
    assert not has_mixed_devices(Fleet(pools=(one, replace(one, name="c"))))
