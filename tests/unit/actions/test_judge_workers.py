"""Workers whose device draws NaN, or errs, are drained; nothing uses the device until its quarantine is over."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from mezzotint.actions.judge_workers import judge_workers
from mezzotint.domain.fleet.health import HealthVerdict
from mezzotint.domain.fleet.vitals import WorkerReport
from mezzotint.domain.ids import WorkerId
from mezzotint.metrics import Metrics
from mezzotint.policy.fleet.health import HEALTH_RULES
from mezzotint.store import Database, Devices, DrainWish, WorkerHeartbeat, WorkerLabels, Workers
from tests.making import NOW

pytestmark = pytest.mark.anyio
GOOD = WorkerReport(num_runs=200, step_s={"m": 0.1})


class Fleet:
    """Workers of one pool, each with a device of its own, over one database."""

    def __init__(self, database: Database) -> None:
        self.workers, self.devices, self.metrics = Workers(database), Devices(database), Metrics()

    async def beat(self, name: str, report: WorkerReport, at: datetime, device: str | None = None) -> None:
        beat = WorkerHeartbeat(labels=WorkerLabels(pool="p"), device=device or f"gpu of {name}", report=report)
        await self.workers.record_heartbeat(WorkerId(name), at, beat)

    async def judge(self, at: datetime) -> None:
        await judge_workers(self.workers, self.devices, self.metrics, at)

    async def wish(self, name: str, device: str | None = None) -> DrainWish | None:
        return await self.workers.read_drain_wish(WorkerId(name), device or f"gpu of {name}")


@pytest.fixture
async def fleet(tmp_path: Path) -> AsyncIterator[Fleet]:
    database = Database(tmp_path / "mezzotint.db")
    await asyncio.to_thread(database.migrate)
    yield Fleet(database)
    await database.close()


async def test_a_worker_with_nan_in_more_than_one_run_of_a_hundred_is_to_end(fleet: Fleet) -> None:
    sick = replace(GOOD, num_failed=3, num_not_finite=3)
    for name, report in (("well", GOOD), ("other", GOOD), ("sick", sick)):
        await fleet.beat(name, report, NOW)
    await fleet.judge(NOW)
    wish = await fleet.wish("sick")
    assert wish is not None
    assert wish.ends
    assert "3 of 200 runs were not finite" in wish.reason
    assert [await fleet.wish(name) for name in ("well", "other")] == [None, None]
    (status,) = [one for one in await fleet.workers.all(NOW) if one.id == "sick"]
    assert (status.health, status.is_drained) == (HealthVerdict.QUARANTINED, True)


async def test_what_all_workers_of_a_pool_show_is_no_device_of_one(fleet: Fleet) -> None:
    for name in ("one", "two", "three"):
        await fleet.beat(name, replace(GOOD, num_failed=10, num_not_finite=10), NOW)
    await fleet.judge(NOW)
    assert [await fleet.wish(name) for name in ("one", "two", "three")] == [None, None, None]


async def test_a_restarted_worker_waits_until_the_quarantine_of_its_device_is_over(fleet: Fleet) -> None:
    await fleet.beat("sick", replace(GOOD, device_errors=1), NOW)
    await fleet.judge(NOW)
    later = NOW + timedelta(seconds=30)
    await fleet.beat("again", WorkerReport(), later, device="gpu of sick")
    await fleet.judge(later)
    wish = await fleet.wish("again", "gpu of sick")
    assert wish is not None
    assert not wish.ends, "it waits: to end would only start it again"
    over = NOW + timedelta(seconds=HEALTH_RULES.quarantine_s + 1)
    await fleet.beat("again", WorkerReport(), over, device="gpu of sick")
    await fleet.judge(over)
    assert await fleet.wish("again", "gpu of sick") is None
    assert (await fleet.devices.read_records())["gpu of sick"].verdict is HealthVerdict.PROBATION
    await fleet.beat("again", replace(GOOD, num_failed=1, num_not_finite=1), over, device="gpu of sick")
    await fleet.judge(over)
    record = (await fleet.devices.read_records())["gpu of sick"]
    assert (record.verdict, record.num_quarantines) == (HealthVerdict.QUARANTINED, 2)


async def test_of_two_who_judge_at_once_one_writes(fleet: Fleet) -> None:
    await fleet.beat("sick", replace(GOOD, device_errors=1), NOW)
    await asyncio.gather(fleet.judge(NOW), fleet.judge(NOW))
    assert (await fleet.devices.read_records())["gpu of sick"].num_quarantines == 1
    told = fleet.metrics.registry.get_sample_value
    assert told("mezzotint_health_verdicts_total", {"verdict": "quarantined"}) == 1


async def test_a_worker_that_says_nothing_of_a_device_is_not_judged(fleet: Fleet) -> None:
    beat = WorkerHeartbeat(report=replace(GOOD, device_errors=9))
    await fleet.workers.record_heartbeat(WorkerId("embedded"), NOW, beat)
    await fleet.judge(NOW)
    assert await fleet.devices.read_records() == {}
