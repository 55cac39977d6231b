"""Rows of workers: labels, limits, and the wish that one ends."""

from datetime import timedelta

import pytest

from mezzotint.domain.ids import JobId, TenantId, WorkerId
from mezzotint.domain.tier import Tier
from mezzotint.policy.retry import AVOID_S, Retry
from mezzotint.store import Database, DrainWish, Jobs, WorkerHeartbeat, WorkerLabels, WorkerOffer, Workers, WorkerState
from tests.making import NOW, make_job

pytestmark = pytest.mark.anyio
ME = WorkerId("me")
LABELS = WorkerLabels(
    pool="enterprise",
    region="eu",
    version="0.1.0",
    models=frozenset({"a", "b"}),
    lanes=frozenset({Tier.PRO}),
    tenants=frozenset({TenantId("acme")}),
    max_runs=8,
)


async def test_labels_and_limits_are_read_back_as_they_were_told(database: Database) -> None:
    workers = Workers(database)
    await workers.record_heartbeat(ME, NOW)
    assert [status.labels for status in await workers.all(NOW)] == [WorkerLabels()]
    await workers.record_heartbeat(ME, NOW, WorkerHeartbeat(labels=LABELS))
    (status,) = await workers.all(NOW)
    assert (status.labels, status.state) == (LABELS, WorkerState.ACTIVE)


async def test_the_first_reason_of_a_wish_stays_until_it_is_taken_back(database: Database) -> None:
    workers = Workers(database)
    assert not await workers.want_end(ME, NOW, "nobody")
    await workers.record_heartbeat(ME, NOW)
    assert await workers.read_drain_wish(ME) is None
    for n, reason in enumerate(("first", "second")):
        assert await workers.want_end(ME, NOW + timedelta(seconds=n), reason)
    assert await workers.read_drain_wish(ME) == DrainWish(ends=True, reason="first")
    await workers.record_heartbeat(ME, NOW)
    (status,) = await workers.all(NOW)
    assert (status.drain_wanted_at, status.state, status.is_drained) == (NOW, WorkerState.DRAINING, True)
    await workers.record_heartbeat(ME, NOW, WorkerHeartbeat(drained_at=NOW))
    assert [status.state for status in await workers.all(NOW)] == [WorkerState.DRAINED]
    await workers.record_heartbeat(ME, NOW)
    await workers.drain_all(is_drained=False)
    assert await workers.read_drain_wish(ME) is None
    await workers.drain_all(is_drained=True)
    assert await workers.read_drain_wish(ME) == DrainWish()


async def test_a_job_that_a_version_failed_goes_to_the_other_one_while_that_is_there(database: Database) -> None:
    workers, jobs = Workers(database), Jobs(database)
    labels = {name: WorkerLabels(pool="p", version=name[:3]) for name in ("old-1", "new-1", "new-2")}
    for name, label in labels.items():
        await workers.record_heartbeat(WorkerId(name), NOW, WorkerHeartbeat(labels=label))

    async def claim(name: str) -> list[JobId]:
        siblings = await workers.read_siblings(labels[name], NOW)
        return [job.id for job in await jobs.claim(WorkerOffer(worker=WorkerId(name), siblings=siblings), NOW, 30)]

    job = make_job()
    await jobs.add(job)
    assert await claim("new-1") == [job.id]
    (running,) = await jobs.running(worker=WorkerId("new-1"))
    assert running.lease is not None
    retry = Retry(not_before=NOW, avoid=WorkerId("new-1"), avoid_until=NOW + timedelta(seconds=AVOID_S))
    assert await jobs.requeue(job.id, running.lease, NOW, retry=retry)
    await jobs.come_due(NOW)
    assert await claim("new-2") == []
    await workers.want_end(WorkerId("old-1"), NOW, "it goes")
    assert await workers.read_siblings(labels["new-2"], NOW) == frozenset(), "nobody else is there"
    await workers.drain_all(is_drained=False)
    assert await claim("old-1") == [job.id]
