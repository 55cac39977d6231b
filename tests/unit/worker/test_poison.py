"""Errors at every step of a job's life: it ends with its reason; its neighbour, the next job and the worker live."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from mezzotint.actions.finish import BackingServices
from mezzotint.actions.requeue import requeue_lost
from mezzotint.actions.upload import upload_key
from mezzotint.config import Settings
from mezzotint.domain.event import Progressed
from mezzotint.domain.ids import JobId, Sha256, WorkerId
from mezzotint.domain.job import Job, JobState
from mezzotint.domain.task import Task
from mezzotint.domain.tier import Tier
from mezzotint.engine import Hub
from mezzotint.main.served_models import build_catalog, find_models
from mezzotint.policy.safety.images import ImageVerdict
from mezzotint.policy.safety.verdicts import SafetyVerdict
from mezzotint.store import Database, EventBus, Jobs, Objects, WorkerOffer
from mezzotint.worker import (
    Catalog,
    CheckpointInterval,
    DeviceThread,
    LoadedModel,
    Worker,
    WorkerSettings,
    dispatch,
    postprocess,
    progress,
    start,
)
from mezzotint.worker.checkpoints import save as save_checkpoint
from mezzotint.worker.leased_jobs import LeasedJob, LeasedJobs
from mezzotint.worker.messages import RunEnded, Start
from tests.making import make_job, make_parameters

pytestmark = pytest.mark.anyio
SIDE = 96
"""Of the poison, px; all other pictures are smaller."""
Inject = Callable[["Bench", pytest.MonkeyPatch], None]


class Boom(Exception):
    """What nobody expects."""


@dataclass
class Bench:
    """A worker with the starter model over a store in a folder."""

    backing: BackingServices
    catalog: Catalog
    poison: Job
    check: Callable[[Any, Tier], ImageVerdict] = lambda pixels, tier: ImageVerdict(verdict=SafetyVerdict.ALLOW)
    is_preview_blocked: Callable[[Any, Tier], bool] = lambda pixels, tier: False
    max_attempts: int = 1
    broken: list[BaseException] = field(default_factory=list)
    told: dict[JobId, list[Progressed]] = field(default_factory=dict)

    @asynccontextmanager
    async def working(self) -> AsyncIterator[None]:
        settings = WorkerSettings(id=WorkerId("w"), max_runs=4, lease_s=30, max_attempts=self.max_attempts)
        worker = Worker(self.backing, self, settings, lambda: datetime.now(UTC), CheckpointInterval(every=2))
        device = DeviceThread(self.catalog, worker.reporter(), worker.wants_preview, worker.interval, _no_upscaler)
        async with worker.running(device, self.broken.append):
            yield

    async def submit(self, *jobs: Job) -> None:
        await self.backing.jobs.add(*jobs)
        self.backing.bus.ring()

    async def lose(self, jobs: list[Job]) -> None:
        """Leave the jobs as a worker leaves them that ends."""
        await self.backing.jobs.add(*jobs)
        claimed = await self.backing.jobs.claim(WorkerOffer(worker=WorkerId("dead")), datetime.now(UTC), 0, len(jobs))
        await requeue_lost(self.backing, claimed, 5, datetime.now(UTC))

    async def ended(self, job: Job) -> Job:
        async with asyncio.timeout(120):
            with self.backing.bus.watch(job.id) as events:  # whoever is watched gets previews
                while True:
                    row = await self.backing.jobs.get(job.id)
                    assert row is not None
                    if row.state.is_final:
                        return row
                    with suppress(TimeoutError):
                        event = await asyncio.wait_for(events.get(), 1)
                        if isinstance(event, Progressed):
                            self.told.setdefault(job.id, []).append(event)


def _no_upscaler() -> Any:
    raise AssertionError("nothing is enlarged here")


@pytest.fixture(scope="module")
def starter() -> Catalog:
    """The starter model, loaded once for all tests."""
    settings = Settings(device="cpu", threads=1)
    catalog = build_catalog(settings, find_models(settings))
    kept: dict[str, LoadedModel] = {}

    def load(name: str, tell: Callable[[float], None]) -> LoadedModel:
        if name not in kept or kept[name].hub.num_live:  # of a failed engine
            kept[name] = catalog.load(name, tell)
        return kept[name]

    return replace(catalog, load=load)


@pytest.fixture
async def bench(tmp_path: Path, database_file: Path, starter: Catalog) -> AsyncIterator[Bench]:
    database = Database(database_file)
    backing = BackingServices(jobs=Jobs(database), objects=Objects(tmp_path / "objects"), bus=EventBus())
    yield Bench(backing=backing, catalog=starter, poison=a_job(SIDE))
    await database.close()


def a_job(side: int, **more: Any) -> Job:
    parameters = replace(make_parameters(num_steps=4, width=side, height=side), **more)
    now = datetime.now(UTC)
    return replace(make_job(parameters=parameters), model="mezzotint-starter", created_at=now)


def raiser(before: Callable[..., Any], is_poison: Callable[..., bool]) -> Callable[..., Any]:
    """`before`, but it raises where it meets the poison."""
    if asyncio.iscoroutinefunction(before):

        async def later(*args: Any, **kwargs: Any) -> Any:
            if is_poison(*args, **kwargs):
                raise Boom
            return await before(*args, **kwargs)

        return later

    def at_once(*args: Any, **kwargs: Any) -> Any:
        if is_poison(*args, **kwargs):
            raise Boom
        return before(*args, **kwargs)

    return at_once


def decode_upload(bench: Bench, patch: pytest.MonkeyPatch) -> None:
    content = Sha256("5" * 64)
    bench.poison = a_job(SIDE, task=Task.VARIATION, source=content, strength=1.0)

    async def get(key: str) -> bytes | None:
        return b"no picture" if key == upload_key(content) else await before(key)

    before = bench.backing.objects.get
    patch.setattr(bench.backing.objects, "get", get)


def look_for_checkpoints(bench: Bench, patch: pytest.MonkeyPatch) -> None:
    patch.setattr(start, "newest", raiser(start.newest, lambda backing, job: job.id == bench.poison.id))


def make_the_call(bench: Bench, patch: pytest.MonkeyPatch) -> None:
    patch.setattr(LoadedModel, "assign", raiser(LoadedModel.assign, lambda _, order: order.job.id == bench.poison.id))


def step(bench: Bench, patch: pytest.MonkeyPatch) -> None:
    patch.setattr(
        DeviceThread,
        "_report_step",
        raiser(DeviceThread._report_step, lambda _, loaded, job, run: job.id == bench.poison.id),
    )


def tell_of_a_step(bench: Bench, patch: pytest.MonkeyPatch) -> None:
    def is_poison(job: JobId, event: object) -> bool:
        return job == bench.poison.id and isinstance(event, Progressed)

    patch.setattr(bench.backing.bus, "publish", raiser(bench.backing.bus.publish, is_poison))


def decode_latents(bench: Bench, patch: pytest.MonkeyPatch) -> None:
    from diffusers.image_processor import VaeImageProcessor

    def is_poison(_: object, image: Any, *args: object, **kwargs: object) -> bool:
        return bool(image.shape[-1] == SIDE)

    patch.setattr(VaeImageProcessor, "postprocess", raiser(VaeImageProcessor.postprocess, is_poison))


def look_at_the_picture(bench: Bench, patch: pytest.MonkeyPatch) -> None:
    bench.check = raiser(bench.check, lambda pixels, tier: pixels.width == SIDE)


def encode(bench: Bench, patch: pytest.MonkeyPatch) -> None:
    patch.setattr(postprocess, "encode", raiser(postprocess.encode, lambda pixels: pixels.width == SIDE))


def store(bench: Bench, patch: pytest.MonkeyPatch) -> None:
    def is_poison(objects: object, pictures: Any) -> bool:
        return bool(pictures[0].width == SIDE)

    patch.setattr(postprocess, "store_pictures", raiser(postprocess.store_pictures, is_poison))


def finish(bench: Bench, patch: pytest.MonkeyPatch) -> None:
    def is_poison(job: JobId, lease: object, ending: Any) -> bool:
        return job == bench.poison.id and bool(ending.images)

    patch.setattr(bench.backing.jobs, "finish", raiser(bench.backing.jobs.finish, is_poison))


@pytest.mark.parametrize(
    ("inject", "code"),
    [
        (decode_upload, "run_failed"),
        (look_for_checkpoints, "run_failed"),
        (make_the_call, "run_failed"),
        (step, "run_failed"),
        (tell_of_a_step, "run_failed"),
        (decode_latents, "run_failed"),
        (look_at_the_picture, "filter_failed"),
        (encode, "encode_failed"),
        (store, "run_failed"),
        (finish, "run_failed"),
    ],
)
async def test_an_error_ends_its_job_alone_with_its_reason(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, inject: Inject, code: str
) -> None:
    inject(bench, monkeypatch)
    neighbour, following = a_job(64), a_job(64)
    async with bench.working():
        await bench.submit(bench.poison, neighbour)
        poisoned, beside = await asyncio.gather(bench.ended(bench.poison), bench.ended(neighbour))
        await bench.submit(following)
        after = await bench.ended(following)
    assert poisoned.error is not None
    assert (poisoned.state, poisoned.error.code, poisoned.images) == (JobState.FAILED, code, ())
    assert poisoned.error.message
    assert (beside.state, after.state) == (JobState.SUCCEEDED, JobState.SUCCEEDED)
    assert bench.broken == []


def show_a_preview(bench: Bench, patch: pytest.MonkeyPatch) -> None:
    def is_poison(rgb: Any, image_filter: object, tier: object) -> bool:
        return bool(rgb.shape[1] == SIDE)

    patch.setattr(progress, "encode_preview", raiser(progress.encode_preview, is_poison))


def decode_a_preview(bench: Bench, patch: pytest.MonkeyPatch) -> None:
    from mezzotint.engine import PreviewMap

    patch.setattr(
        PreviewMap,
        "image",
        raiser(PreviewMap.image, lambda self, latents, *rest: latents.shape[-1] * self.scale == SIDE),
    )


def encode_a_checkpoint(bench: Bench, patch: pytest.MonkeyPatch) -> None:
    from mezzotint.engine import Snapshot

    patch.setattr(Snapshot, "encode", raiser(Snapshot.encode, lambda snapshot: True))


def store_a_checkpoint(bench: Bench, patch: pytest.MonkeyPatch) -> None:
    patch.setattr(
        save_checkpoint,
        "save",
        raiser(save_checkpoint.save, lambda backing, job, *args, **more: job.id == bench.poison.id),
    )


@pytest.mark.parametrize("inject", [show_a_preview, decode_a_preview, encode_a_checkpoint, store_a_checkpoint])
async def test_an_error_in_what_a_picture_does_not_need_costs_no_picture(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, inject: Inject
) -> None:
    inject(bench, monkeypatch)
    neighbour = a_job(64)
    async with bench.working():
        await bench.submit(bench.poison, neighbour)
        ended = await asyncio.gather(bench.ended(bench.poison), bench.ended(neighbour))
    assert [job.state for job in ended] == [JobState.SUCCEEDED] * 2
    assert bench.broken == []
    if inject in {show_a_preview, decode_a_preview}:
        assert not any(event.preview for event in bench.told[bench.poison.id])
        assert any(event.preview for event in bench.told[neighbour.id])


async def test_previews_stop_at_the_first_that_the_filter_blocks(bench: Bench) -> None:
    looked_at: list[Any] = []

    def blocks_the_second(pixels: Any, tier: Tier) -> bool:
        looked_at.append(pixels)
        return len(looked_at) == 2

    bench.is_preview_blocked = blocks_the_second
    job = a_job(64, num_steps=12)
    async with bench.working():
        await bench.submit(job)
        assert (await bench.ended(job)).state is JobState.SUCCEEDED
    assert len(looked_at) == 2, "no later one is looked at"
    assert len([event for event in bench.told[job.id] if event.preview]) == 1


@pytest.mark.parametrize("work", ["claim", "renew", "come_due"])
async def test_an_error_in_what_a_worker_does_for_ever_passes(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, work: str
) -> None:
    calls: list[object] = []
    failing = raiser(
        getattr(bench.backing.jobs, work), lambda *args, **more: not calls.append(args) and len(calls) == 1
    )
    monkeypatch.setattr(bench.backing.jobs, work, failing)
    job = a_job(64, num_steps=12)
    async with bench.working():
        await bench.submit(job)
        assert (await bench.ended(job)).state is JobState.SUCCEEDED
        async with asyncio.timeout(60):
            while len(calls) < 2:
                await asyncio.sleep(0.05)  # polling a loop of the worker: it tells nobody
                if work == "renew":  # asked for only while there are jobs
                    await bench.submit(a_job(64))
    assert bench.broken == []


async def test_suspects_run_alone_and_others_beside_each_other(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    suspects, others = [a_job(64) for _ in range(2)], [a_job(64) for _ in range(3)]
    await bench.lose(suspects)
    running: set[JobId] = set()
    beside: dict[JobId, int] = {}

    def send(device: DeviceThread, command: Any) -> None:
        if isinstance(command, Start):
            running.add(command.job.id)
            beside.update({id: max(beside.get(id, 0), len(running)) for id in running})
        given(device, command)

    async def finish_job(jobs: LeasedJobs, leased: LeasedJob, report: RunEnded) -> None:
        running.discard(report.job)
        await finished(jobs, leased, report)

    given, finished = DeviceThread.send, dispatch.finish_job
    monkeypatch.setattr(DeviceThread, "send", send)
    monkeypatch.setattr(dispatch, "finish_job", finish_job)
    async with bench.working():
        await bench.submit(*others)
        ended = await asyncio.gather(*(bench.ended(job) for job in (*suspects, *others)))
    assert {job.state for job in ended} == {JobState.SUCCEEDED}
    assert [beside[job.id] for job in suspects] == [1, 1]
    assert max(beside[job.id] for job in others) > 1


async def test_an_engine_that_fails_ends_the_job_that_fails_it_alone_and_not_its_company(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    def holds_poison(hub: Hub) -> bool:
        return any(engine is hub and not run.done for engine, run in poisoned)

    def submit(hub: Hub, kwargs: dict[str, Any], *args: Any, **more: Any) -> Any:
        run = begun(hub, kwargs, *args, **more)
        if kwargs["width"] == SIDE:
            poisoned.append((hub, run))
        return run

    poisoned: list[tuple[Hub, Any]] = []
    begun = Hub.submit
    monkeypatch.setattr(Hub, "submit", submit)
    monkeypatch.setattr(Hub, "turn", raiser(Hub.turn, holds_poison))
    bench.max_attempts = 100
    company = [a_job(64) for _ in range(3)]
    async with bench.working():
        await bench.submit(bench.poison, *company)
        poisoned_job, *beside = await asyncio.gather(*(bench.ended(job) for job in (bench.poison, *company)))
    assert poisoned_job.error is not None
    assert (poisoned_job.state, poisoned_job.error.code) == (JobState.FAILED, "engine_failed")
    assert {job.state for job in beside} == {JobState.SUCCEEDED}
    assert len(poisoned) == 2, "in company, then alone"
    assert bench.broken == []


async def test_a_job_that_cannot_be_read_ends_alone_when_it_is_claimed(bench: Bench) -> None:
    unknown: Any = "sculpt"  # as a later version may know it
    unreadable, neighbour = a_job(64, task=unknown), a_job(64)
    async with bench.working():
        await bench.submit(unreadable, neighbour)
        assert (await bench.ended(neighbour)).state is JobState.SUCCEEDED
    assert await bench.backing.jobs.backlog() == []
    assert bench.broken == []
