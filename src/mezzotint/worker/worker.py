"""The life of a worker: claim, hand to the device, write down what comes back, keep the leases alive.

Stopping has three stages: stop claiming; put the runs aside with a checkpoint and finish what was already drawn; give
the leases back. A worker that dies instead leaves leases that end by themselves, and its jobs go on from their last
checkpoint elsewhere, or here after a restart.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, assert_never

import structlog

from mezzotint.actions.checkpoint import discard, newest, save
from mezzotint.actions.claim import claim
from mezzotint.actions.finish import Desk, finish
from mezzotint.actions.recover import recover, requeue
from mezzotint.actions.upload import read_source
from mezzotint.domain.errors import CheckpointError, FingerprintMismatch, LeaseLost, MezzotintError, SourceMissing
from mezzotint.domain.event import Progressed
from mezzotint.domain.ids import JobId, WorkerId
from mezzotint.domain.job import CheckpointRef, Job, Lease
from mezzotint.worker.develop import Developer
from mezzotint.worker.device import Cancel, Device, Draw, Park
from mezzotint.worker.reports import Broken, Counted, Ended, Parked, Ready, Report, Saved, Stepped

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

log = structlog.get_logger()
PARK_S = 20.0
"""Longest wait for the device's thread; what it has not put aside goes on from its last checkpoint after a restart."""
TICK_S = 0.25
"""How often reached steps are written and lost leases noticed."""


@dataclass(slots=True, kw_only=True)
class Held:
    """A job under this worker's lease. resumed_from: the checkpoint it went on from."""

    job: Job
    lease: Lease
    resumed_from: CheckpointRef | None = None
    step: int = 0
    claimed_at: float = field(default_factory=time.monotonic)
    is_saving: bool = False
    is_showing: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Habits:
    """max_runs: jobs in the engine at once. lease_s: seconds that a lease lasts without a heartbeat."""

    id: WorkerId
    max_runs: int
    lease_s: float
    max_attempts: int


@dataclass(slots=True)
class Worker:
    desk: Desk
    developer: Developer
    habits: Habits
    now: Callable[[], datetime]
    is_ready: bool = False
    _held: dict[JobId, Held] = field(default_factory=dict)
    _reports: asyncio.Queue[Report] = field(default_factory=asyncio.Queue)
    _errands: set[asyncio.Task[None]] = field(default_factory=set)

    def reporter(self) -> Callable[[Report], None]:
        """A callback for the device's thread."""
        loop = asyncio.get_running_loop()

        def report(report: Report) -> None:
            loop.call_soon_threadsafe(self._reports.put_nowait, report)

        return report

    def wants_preview(self, job: JobId) -> bool:
        """Whether somebody watches the job and no preview of it is being made. May be asked from any thread."""
        held = self._held.get(job)
        return held is not None and not held.is_showing and self.desk.bus.is_watched(job)

    @asynccontextmanager
    async def running(self, device: Device, on_broken: Callable[[BaseException], None]) -> AsyncIterator[None]:
        """Works until the block ends, then parks. on_broken: told when the worker cannot go on."""
        mine = await self.desk.jobs.running(worker=self.habits.id)
        await recover(self.desk, mine, self.habits.max_attempts, self.now())
        device.start()
        tasks = [
            asyncio.create_task(self._claims(device), name="claims"),
            asyncio.create_task(self._heartbeat(device), name="heartbeat"),
            asyncio.create_task(self._listen(device), name="listen"),
        ]
        for task in tasks:
            task.add_done_callback(lambda done: _tell(done, on_broken))
        try:
            yield
        finally:
            await self._stop(device, tasks)

    async def _stop(self, device: Device, tasks: list[asyncio.Task[None]]) -> None:
        claims, heartbeat, listen = tasks
        claims.cancel()
        await asyncio.wait([claims])
        device.order(Park())
        await asyncio.to_thread(device.join, PARK_S)
        heard = asyncio.create_task(self._reports.join(), name="heard")
        await asyncio.wait([heard, listen], return_when=asyncio.FIRST_COMPLETED)
        heard.cancel()
        while self._errands:
            await asyncio.wait(self._errands)
        heartbeat.cancel()
        listen.cancel()
        await asyncio.wait([heartbeat, listen])

    async def _claims(self, device: Device) -> None:
        while True:
            self.desk.bus.work.clear()
            while self.is_ready and len(self._held) < self.habits.max_runs:
                job = await claim(self.desk, self.habits.id, self.now(), self.habits.lease_s)
                if job is None or job.lease is None:
                    break
                held = Held(job=job, lease=job.lease, step=job.step)
                self._held[job.id] = held
                await self._draw(device, held)
            try:
                async with asyncio.timeout(1.0):
                    await self.desk.bus.work.wait()
            except TimeoutError:
                continue

    async def _draw(self, device: Device, held: Held) -> None:
        """Hand a job to the device, from its newest checkpoint that is there."""
        saved = await newest(self.desk, held.job)
        if held.job.checkpoints or held.resumed_from is not None:
            self.desk.metrics.resumed.labels(source=_source(held, saved[0] if saved else None)).inc()
        held.resumed_from = saved[0] if saved else None
        if saved:
            log.info("job goes on from its checkpoint", job=held.job.id, step=saved[0].step)
        parameters = held.job.parameters
        contents = [content for content in (parameters.source, parameters.mask) if content is not None]
        pictures = [await read_source(self.desk.objects, content) for content in contents]
        if None in pictures:
            self._end(device, Ended(job=held.job.id, step=held.job.step, error=SourceMissing("It was deleted.")))
            return
        source, mask = (*pictures, None, None)[:2]
        device.order(Draw(job=held.job, resume=saved[1] if saved else None, source=source, mask=mask))

    async def _heartbeat(self, device: Device) -> None:
        written: dict[JobId, int] = {}
        renewed_at = self.now()
        while True:
            await asyncio.sleep(TICK_S)
            now = self.now()
            steps = {job: held.step for job, held in self._held.items() if held.step != written.get(job)}
            is_due = (now - renewed_at).total_seconds() > self.habits.lease_s / 3
            if is_due:
                lost = await self.desk.jobs.running(expired_at=now)
                await recover(self.desk, lost, self.habits.max_attempts, now)
            if not self._held or not (steps or is_due):
                continue
            leases = {job: held.lease for job, held in self._held.items()}
            alive = await self.desk.jobs.renew(leases, steps, now + timedelta(seconds=self.habits.lease_s))
            renewed_at, written = now, {job: held.step for job, held in self._held.items()}
            for job in set(leases) - alive:
                if self._held.pop(job, None) is not None:
                    device.order(Cancel(job=job))

    async def _listen(self, device: Device) -> None:
        while True:
            report = await self._reports.get()
            match report:
                case Ready():
                    log.info("model ready")
                    self.is_ready = True
                    self.desk.bus.work.set()
                case Broken():
                    raise report.error
                case Stepped():
                    self._progress(report)
                case Counted():
                    self.desk.metrics.engine(report.counts)
                case Saved():
                    self._save(report)
                case Ended():
                    self._end(device, report)
                case Parked():
                    self._put_aside(report)
                case _ as never:
                    assert_never(never)
            self._reports.task_done()

    def _errand(self, work: asyncio.Task[None]) -> None:
        self._errands.add(work)
        work.add_done_callback(self._errand_done)

    def _errand_done(self, work: asyncio.Task[None]) -> None:
        self._errands.discard(work)
        error = None if work.cancelled() else work.exception()
        if error is not None:  # the rows may not say what happened: better to stop than to go on beside them
            self._reports.put_nowait(Broken(error=error))

    def _progress(self, report: Stepped) -> None:
        held = self._held.get(report.job)
        if held is None:
            return
        held.step = report.step
        if report.preview is None:
            event = Progressed(job=report.job, step=report.step, num_steps=report.num_steps, preview=None)
            self.desk.bus.publish(report.job, event)
        else:
            held.is_showing = True
            work = self._show(held, report.preview, report.num_steps)
            self._errand(asyncio.create_task(work, name=f"show {report.job}"))

    async def _show(self, held: Held, rgb: "NDArray[np.uint8]", num_steps: int) -> None:
        try:
            preview = await asyncio.to_thread(self.developer.preview, rgb)
        finally:
            held.is_showing = False
        # the step reached by now: later steps may have been told already
        event = Progressed(job=held.job.id, step=held.step, num_steps=num_steps, preview=preview)
        self.desk.bus.publish(held.job.id, event)

    def _save(self, report: Saved) -> None:
        held = self._held.get(report.job)
        if held is None:
            return
        if held.is_saving:
            self.desk.metrics.checkpoints.labels(result="skipped").inc()
            return
        held.is_saving = True
        self._errand(asyncio.create_task(self._save_now(held, report), name=f"save {report.job}"))

    async def _save_now(self, held: Held, report: Saved | Parked) -> None:
        assert report.snapshot is not None, "callers look"
        metrics, started_at = self.desk.metrics, time.monotonic()
        try:
            data = await asyncio.to_thread(report.snapshot.encode)
            await save(self.desk, held.job, report.snapshot.steps, data, self.now())
            metrics.checkpoint_write.observe(time.monotonic() - started_at)
            metrics.checkpoint_bytes.inc(len(data))
            metrics.checkpoints.labels(result="written").inc()
        except LeaseLost:
            metrics.checkpoints.labels(result="late").inc()
            log.info("checkpoint came after the lease", job=held.job.id)
        except MezzotintError as error:
            metrics.checkpoints.labels(result="failed").inc()
            log.warning("checkpoint not kept", job=held.job.id, step=report.snapshot.steps, why=str(error))
        finally:
            held.is_saving = False

    def _end(self, device: Device, report: Ended) -> None:
        held = self._held.get(report.job)
        if held is not None:
            self._errand(asyncio.create_task(self._end_now(device, held, report), name=f"end {report.job}"))

    async def _end_now(self, device: Device, held: Held, report: Ended) -> None:
        if isinstance(report.error, CheckpointError) and held.resumed_from is not None:
            why = "other_numerics" if isinstance(report.error, FingerprintMismatch) else "corrupt"
            self.desk.metrics.unusable.labels(why=why).inc()
            log.warning("checkpoint refused", job=held.job.id, step=held.resumed_from.step, code=report.error.code)
            await discard(self.desk, held.job.id, held.resumed_from)
            held.job = await self.desk.jobs.get(held.job.id) or held.job
            await self._draw(device, held)
            return
        try:
            load_s = report.begun_at - held.claimed_at if report.begun_at is not None else None
            ending = await self.developer.ending(held.job, report, self.now, load_s)
            await finish(self.desk, held.job, held.lease, ending)
            self.desk.metrics.gpu_seconds.labels(lane=held.job.tier).inc(report.cost_s)
            log.info("job ended", job=held.job.id, state=ending.state, **asdict(ending.timings))
        except LeaseLost:
            log.info("result came after the lease", job=held.job.id)
        finally:
            self._held.pop(held.job.id, None)
            self.desk.bus.work.set()

    def _put_aside(self, report: Parked) -> None:
        held = self._held.get(report.job)
        if held is not None:
            held.is_saving = True
            self._errand(asyncio.create_task(self._put_aside_now(held, report), name=f"park {report.job}"))

    async def _put_aside_now(self, held: Held, report: Parked) -> None:
        if report.snapshot is not None:
            await self._save_now(held, report)
        await requeue(self.desk, held.job, "drain")
        self._held.pop(held.job.id, None)


def _source(held: Held, used: CheckpointRef | None) -> str:
    """What a job that had run before goes on from."""
    if used is None:
        return "noise"
    is_newest = held.resumed_from is None and used == held.job.checkpoints[0]
    return "newest" if is_newest else "older"


def _tell(task: asyncio.Task[None], on_broken: Callable[[BaseException], None]) -> None:
    error = None if task.cancelled() else task.exception()
    if error is not None:
        on_broken(error)
