"""While a fleet is up, a job that nobody can ever run is refused, and one that somebody may run waits."""

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from mezzotint.actions.fleet_placement import KEPT, FleetPlacement
from mezzotint.domain.fleet.desired_fleet import FleetPhase
from mezzotint.domain.ids import TenantId, WorkerId
from mezzotint.domain.refusal import RefusalCode
from mezzotint.domain.tier import Tier
from mezzotint.store import Database, Store, WorkerLabels
from mezzotint.store.workers import WorkerHeartbeat
from tests.making import NOW, make_desired_fleet

pytestmark = pytest.mark.anyio
ADA = TenantId("ada")
WANTED = make_desired_fleet({"name": "a", "max": 1, "models": ["ink"], "lanes": ["pro"]})


@pytest.fixture
async def store(database_file: Path) -> AsyncIterator[Store]:
    database = Database(database_file)
    yield Store(database)
    await database.close()


async def test_only_a_fleet_that_is_up_refuses_and_only_what_no_pool_takes(store: Store) -> None:
    placement = FleetPlacement(rows=store.fleet, workers=store.workers)
    assert await placement.find_refusal("xl", Tier.PRO, ADA, NOW) is None
    await store.fleet.write(WANTED)
    now = NOW + KEPT
    refusal = await placement.find_refusal("xl", Tier.PRO, ADA, now)
    assert refusal is not None
    assert refusal.code is RefusalCode.NO_POOL
    assert await placement.find_refusal("ink", Tier.FREE, ADA, now) is not None
    assert await placement.find_refusal("ink", Tier.PRO, ADA, now) is None, "its pool may get a worker"
    await store.fleet.set_phase(FleetPhase.STOPPING, now)
    assert await placement.find_refusal("xl", Tier.PRO, ADA, now) is not None, "not read again so soon"
    assert await placement.find_refusal("xl", Tier.PRO, ADA, now + KEPT) is None


async def test_a_worker_outside_of_the_fleet_takes_what_no_pool_does(store: Store) -> None:
    await store.fleet.write(WANTED)
    labels = WorkerLabels(models=frozenset({"xl"}), lanes=frozenset({Tier.PRO}), tenants=frozenset({ADA}))
    await store.workers.record_heartbeat(WorkerId("w"), NOW, WorkerHeartbeat(labels=labels))
    placement = FleetPlacement(rows=store.fleet, workers=store.workers)
    assert await placement.find_refusal("xl", Tier.PRO, ADA, NOW) is None
    assert await placement.find_refusal("xl", Tier.PRO, TenantId("bob"), NOW) is not None
    assert await placement.find_refusal("xl", Tier.FREE, ADA, NOW) is not None
    assert await placement.find_refusal("xl", Tier.PRO, ADA, NOW + timedelta(minutes=5)) is not None, "it is gone"


async def test_a_job_that_no_pool_in_reach_of_its_region_draws_is_refused(store: Store) -> None:
    pools = [{"name": "a", "max": 1, "region": "eu"}, {"name": "b", "max": 1, "region": "us", "models": ["ink"]}]
    regions = [{"name": "eu"}, {"name": "us"}, {"name": "asia", "spills_to": ["us"]}]
    await store.fleet.write(replace(WANTED, document={"pools": pools, "regions": regions}))
    placement = FleetPlacement(rows=store.fleet, workers=store.workers)

    async def is_refused(model: str, region: str) -> bool:
        return await placement.find_refusal(model, Tier.PRO, ADA, NOW, region) is not None

    assert not await is_refused("xl", "eu")
    assert await is_refused("xl", "us"), "its jobs never go to eu"
    assert [await is_refused(model, "asia") for model in ("ink", "xl")] == [False, True]
    assert not await is_refused("xl", "elsewhere"), "a region that no file lists spills to all"
    refusal = await placement.find_refusal("xl", Tier.PRO, ADA, NOW, "us")
    assert refusal is not None
    assert refusal.hint == "Send it to a gateway of another region."
    labels = WorkerLabels(region="us", models=frozenset({"xl"}))
    await store.workers.record_heartbeat(WorkerId("w"), NOW, WorkerHeartbeat(labels=labels))
    again = FleetPlacement(rows=store.fleet, workers=store.workers)
    assert await again.find_refusal("xl", Tier.PRO, ADA, NOW, "us") is None, "a worker outside of the fleet does"
