"""Draining: one action for the route and the command."""

import asyncio
from datetime import timedelta
from pathlib import Path

import pytest

from mezzotint.actions.drain import set_drained
from mezzotint.domain.ids import WorkerId
from mezzotint.store import Database, EventBus, Workers
from tests.making import NOW

pytestmark = pytest.mark.anyio
ONE, TWO, LATER = WorkerId("one"), WorkerId("two"), WorkerId("later")


async def test_named_workers_or_all_are_drained_and_the_claim_loops_are_woken(tmp_path: Path) -> None:
    database = Database(tmp_path / "mezzotint.db")
    await asyncio.to_thread(database.migrate)
    workers, bus = Workers(database), EventBus()
    for id in (ONE, TWO):
        await workers.record_heartbeat(id, NOW)
    bus.work.clear()
    assert await set_drained(workers, bus, [WorkerId("none"), ONE], NOW, is_drained=True) == ["none"]
    assert bus.work.is_set()
    assert [await workers.is_drained(id) for id in (ONE, TWO, LATER)] == [True, False, False]
    assert await set_drained(workers, bus, None, NOW, is_drained=True) == []
    assert [await workers.is_drained(id) for id in (ONE, TWO, LATER)] == [True, True, True]
    assert await set_drained(workers, bus, None, NOW, is_drained=False) == []
    assert [await workers.is_drained(id) for id in (ONE, TWO, LATER)] == [False, False, False]
    gone = NOW + timedelta(minutes=3)
    assert await set_drained(workers, bus, [ONE], gone, is_drained=True) == [ONE], "not heard of for minutes"
    await database.close()
