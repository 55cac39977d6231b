"""A job's event stream: numbered, replayed after a break, awake without polling each row."""

import asyncio
import re
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta

import pytest

from mezzotint.actions.claim import claim
from mezzotint.actions.finish import finish
from mezzotint.actions.requeue import requeue_lost
from mezzotint.domain.event import LoadProgress, Progressed, Stale
from mezzotint.domain.ids import WorkerId
from mezzotint.domain.job import Job
from mezzotint.gateway import Service
from mezzotint.gateway.streams.change_poller import ChangePoller
from mezzotint.gateway.streams.job_events import StreamPosition, read_last_event_id, stream_job_events
from mezzotint.store import WorkerOffer
from tests.making import NOW, make_ending, make_image, make_job
from tests.unit.gateway.conftest import Connect

pytestmark = pytest.mark.anyio


async def started(service: Service) -> Job:
    await service.backing.jobs.add(make_job())
    (job,) = await claim(service.backing, WorkerOffer(worker=WorkerId("w")), NOW, 30)
    return job


async def ended(service: Service) -> Job:
    job = await started(service)
    assert job.lease is not None
    await finish(service.backing, job, job.lease, make_ending(job, images=(make_image(job),)))
    return job


def told(text: str) -> list[tuple[str, str]]:
    """(id, event) of a stream's text."""
    return re.findall(r"id: (\S+)\nevent: (\S+)\ndata: ", text)


async def stream(connect: Connect, job: Job, last: str | None = None) -> str:
    headers = {} if last is None else {"Last-Event-ID": last}
    async with connect() as ada:
        return (await ada.get(f"/v1/jobs/{job.id}/events", headers=headers)).text


async def test_a_watcher_that_comes_anew_begins_with_the_present(connect: Connect, service: Service) -> None:
    assert told(await stream(connect, await ended(service))) == [("3", "succeeded")]


@pytest.mark.parametrize(
    ("last", "rest"),
    [
        ("0", [("1", "queued"), ("2", "running"), ("3", "succeeded")]),
        ("1", [("2", "running"), ("3", "succeeded")]),
        ("2.17", [("3", "succeeded")]),
        ("nonsense", [("3", "succeeded")]),
        ("-1", [("3", "succeeded")]),
        ("99999999999999", [("3", "succeeded")]),
    ],
)
async def test_one_that_comes_back_gets_each_change_it_missed(
    connect: Connect, service: Service, last: str, rest: list[tuple[str, str]]
) -> None:
    got = told(await stream(connect, await ended(service), last))
    assert [name for _, name in got] == [name for _, name in rest]
    assert [id for id, _ in got] == [id for id, _ in rest]


async def test_one_that_knows_the_end_is_told_to_stay_away(connect: Connect, service: Service) -> None:
    job = await ended(service)
    async with connect() as ada:
        answer = await ada.get(f"/v1/jobs/{job.id}/events", headers={"Last-Event-ID": "3"})
        assert (answer.status_code, answer.content) == (204, b"")
    async with connect("eve") as eve:
        answer = await eve.get(f"/v1/jobs/{job.id}/events", headers={"Last-Event-ID": "3"})
        assert answer.status_code == 404


async def test_a_client_that_comes_back_for_ever_hears_each_change_once(connect: Connect, service: Service) -> None:
    """As EventSource does it: again with the last id, until the answer is 204."""
    job = await ended(service)
    heard, last = [], "0"
    async with connect() as ada:
        for _ in range(5):
            answer = await ada.get(f"/v1/jobs/{job.id}/events", headers={"Last-Event-ID": last})
            if answer.status_code == 204:
                break
            heard += told(answer.text)
            last = heard[-1][0]
    assert answer.status_code == 204
    assert [name for _, name in heard] == ["queued", "running", "succeeded"]


async def test_a_replayed_change_shows_the_job_as_it_was(connect: Connect, service: Service) -> None:
    text = await stream(connect, await ended(service), "0")
    queued, running, succeeded = text.strip().split("\n\n")
    for early in (queued, running):
        assert '"images":[]' in early
        assert '"finished_at":null' in early
    assert '"started_at":null' in queued
    assert '"images":[{' in succeeded


async def test_a_job_that_was_lost_and_resumed_tells_so(connect: Connect, service: Service) -> None:
    job = await started(service)
    assert job.lease is not None
    await service.backing.jobs.requeue(job.id, job.lease, NOW)
    (again,) = await claim(service.backing, WorkerOffer(worker=WorkerId("w")), NOW, 30)
    assert again.lease is not None
    await finish(service.backing, again, again.lease, make_ending(again))
    assert [name for _, name in told(await stream(connect, job, "1"))] == ["running", "queued", "running", "succeeded"]


async def test_after_its_log_was_swept_the_present_state_is_still_told(connect: Connect, service: Service) -> None:
    job = await ended(service)
    assert await service.changes.sweep(NOW + timedelta(days=365 * 10)) == 3
    for last in ("1", None):
        ((id, name),) = told(await stream(connect, job, last))
        assert name == "succeeded"
        assert told(await stream(connect, job, id)) == [], "and once"


class Listener:
    """Reads a stream one event at a time."""

    def __init__(self, lines: AsyncIterator[str]) -> None:
        self._lines = lines

    async def next(self) -> tuple[str, str]:
        async with asyncio.timeout(10):
            return told(await anext(self._lines))[0]


async def test_progress_carries_the_change_and_the_step_and_the_last_is_repeated(service: Service) -> None:
    job = await started(service)
    listener = Listener(stream_job_events(service.backing, service.changes, job.id, None))
    assert await listener.next() == ("2", "running")
    for step in (1, 2):
        service.backing.bus.publish(job.id, Progressed(job=job.id, step=step, num_steps=30, preview=None))
    assert await listener.next() == ("2.2", "progress"), "the last replaces those before it"
    service.backing.bus.publish(job.id, Progressed(job=job.id, step=3, num_steps=30, preview=None))
    assert await listener.next() == ("2.3", "progress")
    back = Listener(stream_job_events(service.backing, service.changes, job.id, StreamPosition(number=2, step=1)))
    assert await back.next() == ("2.3", "progress")
    anew = Listener(stream_job_events(service.backing, service.changes, job.id, None))
    assert [await anew.next(), await anew.next()] == [("2", "running"), ("2.3", "progress")]


async def test_a_job_that_waits_for_its_model_says_so_until_its_first_step(service: Service) -> None:
    job = await started(service)
    listener = Listener(stream_job_events(service.backing, service.changes, job.id, None))
    assert await listener.next() == ("2", "running")
    waits = Progressed(job=job.id, step=0, num_steps=30, preview=None, loading=LoadProgress(model="ink", share=0.25))
    service.backing.bus.publish(job.id, waits)
    assert await listener.next() == ("2", "loading"), "it is no step: who comes back with this id misses none"
    back = Listener(stream_job_events(service.backing, service.changes, job.id, StreamPosition(number=2)))
    assert await back.next() == ("2", "loading")
    service.backing.bus.publish(job.id, replace(waits, step=1, loading=None))
    assert await listener.next() == ("2.1", "progress")


async def test_the_owner_of_a_moved_job_is_told_why_and_then_its_state(service: Service) -> None:
    job = await started(service)
    lines = stream_job_events(service.backing, service.changes, job.id, None)
    assert "running" in await anext(lines)
    (running,) = await service.backing.jobs.running()
    assert await requeue_lost(service.backing, [running], 5, NOW) == 1
    told = [await anext(lines), await anext(lines)]
    assert any("event: queued" in line for line in told)
    assert any('{"message":"moved to another worker","reason":"its worker ended"}' in line for line in told)


async def test_shares_of_a_model_that_is_loaded_are_told_once_and_never_go_back(service: Service) -> None:
    job = await started(service)
    lines = stream_job_events(service.backing, service.changes, job.id, None)
    assert "running" in await anext(lines)
    for share in (0.0, 0.25, 0.5):
        loading = LoadProgress(model="ink", share=share)
        service.backing.bus.publish(job.id, Progressed(job=job.id, step=0, num_steps=30, preview=None, loading=loading))
    assert '{"model":"ink","share":0.5}' in await anext(lines), "the newest replaces those that were not heard"
    service.backing.bus.publish(job.id, Stale())
    loading = LoadProgress(model="ink", share=1.0)
    service.backing.bus.publish(job.id, Progressed(job=job.id, step=0, num_steps=30, preview=None, loading=loading))
    assert '{"model":"ink","share":1.0}' in await anext(lines)


async def test_a_change_whose_event_was_lost_is_found_by_one_look(service: Service) -> None:
    job = await started(service)
    change_poller = ChangePoller(service.backing.bus, service.changes)
    listener = Listener(stream_job_events(service.backing, service.changes, job.id, None))
    assert await listener.next() == ("2", "running")
    await change_poller.poll()
    assert job.lease is not None
    await service.backing.jobs.finish(job.id, job.lease, make_ending(job))  # no event is published
    following = asyncio.create_task(listener.next())
    await asyncio.sleep(0)
    await change_poller.poll()
    assert await following == ("3", "succeeded")


async def test_a_look_wakes_nobody_while_nothing_changes(service: Service) -> None:
    job = await started(service)
    change_poller = ChangePoller(service.backing.bus, service.changes)
    with service.backing.bus.watch(job.id) as queue:
        await change_poller.poll()
        assert queue.qsize() == 1, "a job that was not looked at before may have changed unseen"
        await change_poller.poll()
        assert queue.qsize() == 1


@pytest.mark.parametrize(
    ("header", "seen"),
    [
        ("7", StreamPosition(number=7)),
        ("7.30", StreamPosition(number=7, step=30)),
        (None, None),
        ("", None),
        ("7.", None),
        ("٧", None),
    ],
)
def test_event_ids_are_read_strictly(header: str | None, seen: StreamPosition | None) -> None:
    assert read_last_event_id(header) == seen
    if seen is not None:
        assert read_last_event_id(seen.id) == seen


async def test_a_stream_ends_when_the_job_is_gone(service: Service) -> None:
    gone = replace(make_job())
    assert [line async for line in stream_job_events(service.backing, service.changes, gone.id, None)] == []
