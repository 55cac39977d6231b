"""Workers claim the jobs of their own region, and those of others that spill over to it."""

from dataclasses import replace
from datetime import timedelta
from itertools import product

import pytest

from mezzotint.domain.fleet.pool import Fleet, Region
from mezzotint.domain.ids import TenantId, WorkerId
from mezzotint.domain.job import Job
from mezzotint.domain.tier import Tier
from mezzotint.policy.fleet.regions import choose_places
from mezzotint.policy.retry import Retry
from mezzotint.store import Database, Jobs, Regions, WorkerHeartbeat, WorkerLabels, WorkerOffer, Workers
from mezzotint.store.fleet.regions import HEARD
from mezzotint.store.fleet.waiting import FIRST_PACE_S, read_waiting
from tests.making import NOW, make_job

pytestmark = pytest.mark.anyio
LATER = NOW + timedelta(minutes=10)
OWN = frozenset((lane, "eu") for lane in Tier)
EU = WorkerOffer(worker=WorkerId("w-eu"), region="eu", places=OWN)


def make_regional(region: str, tenant: str = "ada", tier: Tier = Tier.FREE) -> Job:
    return replace(make_job(tenant=tenant, tier=tier), region=region)


@pytest.mark.parametrize("at", [NOW, LATER])
async def test_a_worker_finds_the_jobs_of_its_region_behind_many_others(jobs: Jobs, at: object) -> None:
    """at: later, the oldest jobs are taken by an express, by another part of the statement."""
    for n in range(40):
        await jobs.add(make_regional("us", f"t{n}", list(Tier)[n % 3]))
    mine = [make_regional("eu", f"t{n}", tier) for n, tier in enumerate(Tier)]
    anybodys = make_job(tenant="t9")
    for job in [*mine, anybodys]:
        await jobs.add(job)
    now = LATER if at is LATER else NOW
    taken = await jobs.claim(EU, now, 30, most=10)
    assert {job.id for job in taken} == {job.id for job in [*mine, anybodys]}
    assert {job.region for job in taken} == {"eu", ""}
    assert await jobs.claim(EU, now, 30, most=10) == []
    spilled = await jobs.claim(replace(EU, places=OWN | {(Tier.PRO, "us")}), now, 30, most=50)
    assert {(job.lane, job.region) for job in spilled} == {(Tier.PRO, "us")}
    assert len(spilled) + len(await jobs.claim(WorkerOffer(worker=WorkerId("any")), now, 30, most=50)) == 40


async def test_of_jobs_alike_those_of_its_own_region_come_first(jobs: Jobs) -> None:
    away, home = make_regional("us"), make_regional("eu")
    await jobs.add(away)
    await jobs.add(home)
    offer = replace(EU, places=OWN | {(Tier.FREE, "us")})
    assert [job.id for job in await jobs.claim(offer, NOW, 30, most=2)] == [home.id, away.id]


async def test_regions_limit_together_with_models_and_tenants(jobs: Jobs) -> None:
    wanted, other = make_regional("eu", "acme"), make_regional("us", "acme")
    for job in (other, wanted, make_regional("eu")):
        await jobs.add(job)
    offer = replace(EU, tenants=frozenset({TenantId("acme")}), models=frozenset({wanted.model}))
    assert [job.id for job in await jobs.claim(offer, LATER, 30, most=5)] == [wanted.id]
    assert await jobs.claim(replace(EU, models=frozenset({"other"})), NOW, 30, most=5) == []


async def test_neither_suspects_nor_pro_jobs_of_another_region_hold_a_worker_up(jobs: Jobs) -> None:
    suspect = make_regional("us", tier=Tier.PRO)
    await jobs.add(suspect)
    assert await jobs.is_waiting(Tier.PRO, None, None, ["us"])
    assert not await jobs.is_waiting(Tier.PRO, None, None, ["eu"])
    (taken,) = await jobs.claim(WorkerOffer(worker=WorkerId("w")), NOW, 30)
    assert taken.lease is not None
    await jobs.requeue(
        suspect.id, taken.lease, NOW, retry=Retry(not_before=NOW, avoid=None, avoid_until=NOW, is_suspect=True)
    )
    assert not await jobs.is_suspect_waiting(EU, NOW)
    assert await jobs.is_suspect_waiting(replace(EU, places=OWN | {(Tier.PRO, "us")}), NOW)


async def test_jobs_of_a_region_that_is_cut_off_are_taken_over_after_their_leases_end(
    database: Database, jobs: Jobs
) -> None:
    regions, workers = Regions(database), Workers(database)
    for name in ("eu", "us", "eu"):
        await regions.add(name)
    homes = await regions.read_homes()
    assert homes == {"eu", "us"}
    for name in ("eu", "us"):
        beat = WorkerHeartbeat(labels=WorkerLabels(region=name))
        await workers.record_heartbeat(WorkerId(f"w-{name}"), NOW, beat)
    job = make_regional("us")
    await jobs.add(job)
    us = WorkerOffer(worker=WorkerId("w-us"), region="us", places=frozenset((lane, "us") for lane in Tier))
    assert [one.id for one in await jobs.claim(us, NOW, 30)] == [job.id]

    cut_off_at = NOW + HEARD + timedelta(seconds=20)
    await workers.record_heartbeat(WorkerId("w-eu"), cut_off_at, WorkerHeartbeat(labels=WorkerLabels(region="eu")))
    places = choose_places(await regions.read(homes, None, cut_off_at), "eu")
    assert places is not None
    assert set(places) == set(product(Tier, ("eu", "us"))), "us has no healthy worker"
    offer = replace(EU, places=frozenset(places))
    assert await jobs.claim(offer, cut_off_at, 30) == [], "its lease is over, but nobody gave it back yet"
    (lost,) = await jobs.running(expired_at=cut_off_at)
    assert lost.lease is not None
    await jobs.requeue(lost.id, lost.lease, cut_off_at, retry=None)
    (taken,) = await jobs.claim(offer, cut_off_at, 30)
    assert (taken.id, taken.region) == (job.id, "us")


async def test_what_waits_in_each_region_is_added_up(database: Database, jobs: Jobs) -> None:
    regions = Regions(database)
    first, second = make_regional("eu", tier=Tier.PAID), make_regional("eu", "eve", Tier.PAID)
    for job in (first, second, make_job()):
        await jobs.add(job)
    fleet = Fleet(pools=(), regions=(Region(name="eu"),))
    view = await regions.read(frozenset({"eu", "us"}), fleet, LATER)
    ((place, work),) = view.waiting.items()
    assert place == ("eu", Tier.PAID)
    assert work.work_s == pytest.approx((first.parameters.cost + second.parameters.cost) * FIRST_PACE_S)
    assert work.oldest_s == 600.0
    assert view.num_healthy == {}
    planned = {one.region: one.lane for one in await read_waiting(database, [], LATER)}
    assert planned == {"eu": Tier.PAID, "default": Tier.FREE}
