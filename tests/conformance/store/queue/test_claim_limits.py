"""A worker that takes jobs of some lanes and tenants alone, among many that it may not take."""

from datetime import timedelta

import pytest

from mezzotint.domain.ids import TenantId, WorkerId
from mezzotint.domain.tier import Tier
from mezzotint.policy.retry import Retry
from mezzotint.store import Jobs, WorkerOffer
from tests.making import NOW, make_job

pytestmark = pytest.mark.anyio
ACME = WorkerOffer(worker=WorkerId("w"), tenants=frozenset({TenantId("acme")}))
LATER = NOW + timedelta(minutes=10)
LOST = Retry(not_before=NOW, avoid=None, avoid_until=NOW, is_suspect=True)


@pytest.mark.parametrize("now", [NOW, LATER])
async def test_a_dedicated_worker_finds_its_tenants_jobs_behind_many_others(jobs: Jobs, now: object) -> None:
    """now: later, the oldest jobs are taken by an express, by another part of the statement."""
    for n in range(30):
        await jobs.add(make_job(tenant=f"t{n}", tier=list(Tier)[n % 3]))
    mine = [make_job(tenant="acme", tier=tier) for tier in Tier]
    for job in mine:
        await jobs.add(job)
    at = LATER if now is LATER else NOW
    taken = await jobs.claim(ACME, at, 30, most=10)
    assert {job.id for job in taken} == {job.id for job in mine}
    assert await jobs.claim(ACME, at, 30, most=10) == []
    assert len(await jobs.claim(WorkerOffer(worker=WorkerId("any")), at, 30, most=40)) == 30


async def test_lanes_and_tenants_limit_together(jobs: Jobs) -> None:
    pro, free = make_job(tenant="acme", tier=Tier.PRO), make_job(tenant="acme", tier=Tier.FREE)
    await jobs.add(pro)
    await jobs.add(free)
    offer = WorkerOffer(worker=WorkerId("w"), tenants=ACME.tenants, lanes=frozenset({Tier.FREE}))
    assert [job.id for job in await jobs.claim(offer, NOW, 30, most=5)] == [free.id]
    assert await jobs.is_waiting(Tier.PRO, None, ACME.tenants)
    assert not await jobs.is_waiting(Tier.PRO, None, frozenset({TenantId("ada")}))


async def test_a_suspect_of_another_tenant_is_none_for_a_dedicated_worker(jobs: Jobs) -> None:
    suspect = make_job(tenant="ada")
    await jobs.add(suspect)
    (taken,) = await jobs.claim(WorkerOffer(worker=WorkerId("w")), NOW, 30)
    assert taken.lease is not None
    await jobs.requeue(suspect.id, taken.lease, NOW, retry=LOST)
    assert not await jobs.is_suspect_waiting(ACME, NOW)
    assert await jobs.is_suspect_waiting(WorkerOffer(worker=WorkerId("w")), NOW)
