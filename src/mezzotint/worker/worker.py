"""The life of a worker: claim, hand to the device, write down what comes back, keep the leases alive.

Stopping has three stages: stop claiming; put the runs aside with a checkpoint and finish what was already drawn; give
the leases back. A worker that dies instead leaves leases that end by themselves, and its jobs go on from their last
checkpoint elsewhere, or here after a restart.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import assert_never

import structlog

from mezzotint.actions.finish import Desk
from mezzotint.actions.maintain import Maintenance, maintain_queue
from mezzotint.actions.requeue import requeue_lost
from mezzotint.background import BackgroundTasks
from mezzotint.domain.event import LoadProgress
from mezzotint.domain.ids import JobId
from mezzotint.worker.checkpoint_interval import CheckpointInterval
from mezzotint.worker.claim_loop import CLAIM_EVERY_S, ClaimLoop
from mezzotint.worker.device import DeviceThread
from mezzotint.worker.drain import Drain
from mezzotint.worker.finish import JobFinisher
from mezzotint.worker.heartbeat import HEARTBEAT_EVERY_S, Heartbeat
from mezzotint.worker.leased_jobs import SHUTDOWN_S, LeasedJobs, WorkerSettings
from mezzotint.worker.messages import (
    CacheChanged,
    Cancel,
    CheckpointReady,
    DeviceFailed,
    EngineCounted,
    ModelsReady,
    Report,
    RunEnded,
    RunPreempted,
    Shutdown,
    StepDone,
    TaskFailed,
)
from mezzotint.worker.model_states import ModelStates
from mezzotint.worker.postprocess import PostProcessor
from mezzotint.worker.progress import ProgressPublisher
from mezzotint.worker.save_checkpoint import CheckpointSaver
from mezzotint.worker.start import JobStarter

log = structlog.get_logger()
Heard = (
    ModelsReady
    | LoadProgress
    | CacheChanged
    | TaskFailed
    | StepDone
    | EngineCounted
    | CheckpointReady
    | RunEnded
    | RunPreempted
)
"""Reports after which the worker goes on."""


@dataclass(slots=True)
class Worker:
    desk: Desk
    postprocessor: PostProcessor
    settings: WorkerSettings
    now: Callable[[], datetime]
    interval: CheckpointInterval = field(default_factory=lambda: CheckpointInterval(every=10))
    drain: Drain | None = None
    background: BackgroundTasks = field(default_factory=BackgroundTasks)
    _is_broken: bool = field(default=False, init=False)
    _leased: LeasedJobs = field(init=False)
    _saver: CheckpointSaver = field(init=False)
    _publisher: ProgressPublisher = field(init=False)
    _finisher: JobFinisher = field(init=False)

    def __post_init__(self) -> None:
        self._leased = LeasedJobs(
            self.desk, self.settings, self.now, self.interval, ModelStates(metrics=self.desk.metrics)
        )
        self._saver = CheckpointSaver(self._leased)
        self._publisher = ProgressPublisher(self._leased, self.postprocessor)
        self._finisher = JobFinisher(self._leased, self.postprocessor, self._saver)

    @property
    def is_ready(self) -> bool:
        """The models that are to be warm are loaded."""
        return self._leased.is_ready

    @property
    def is_drained(self) -> bool:
        """Operators want it to take no more jobs."""
        return self.drain is not None and self.drain.is_drained

    def reporter(self) -> Callable[[Report], None]:
        """A callback for the device's thread."""
        loop = asyncio.get_running_loop()

        def report(report: Report) -> None:
            loop.call_soon_threadsafe(self._leased.reports.put_nowait, report)

        return report

    def model_states(self) -> dict[str, str]:
        """Name -> cold, loading or warm."""
        return self._leased.models.states(self.settings.models or frozenset(), is_ready=self.is_ready)

    @property
    def loading(self) -> LoadProgress | None:
        """The model that is being brought into memory."""
        return self._leased.models.loading

    def wants_preview(self, job: JobId) -> bool:
        """Whether somebody watches the job and a preview of it may be made now. May be asked from any thread."""
        held = self._leased.jobs.get(job)
        if held is None or held.is_showing or job in self._leased.without_previews:
            return False
        return self.desk.bus.is_watched(job)

    @asynccontextmanager
    async def running(self, device: DeviceThread, on_broken: Callable[[BaseException], None]) -> AsyncIterator[None]:
        """Works until the block ends, then parks. on_broken: told when the worker cannot go on."""
        await self._leased.retry_while_away(self._recover)
        device.start()
        starter = JobStarter(self._leased, device, self._finisher)
        claims, heartbeat = ClaimLoop(self._leased, device, starter, self.drain), Heartbeat(self._leased, device)
        run = self.background.run_forever
        async with self.background.running(
            run("device reports", 0, lambda: self._hear_next(starter, on_broken)),
            run("heartbeat", HEARTBEAT_EVERY_S, heartbeat.renew_leases),
        ):
            try:
                async with self.background.running(
                    run("claims", CLAIM_EVERY_S, claims.claim_or_drain, wake=self.desk.bus.work),
                    *maintain_queue(self.background, self._maintenance(), sweeps=not self.settings.is_alone),
                ):
                    yield
            finally:
                await self._put_runs_aside(device)

    async def _recover(self) -> None:
        """Give back the jobs that a worker of this name left when it died."""
        mine = await self.desk.jobs.running(worker=self.settings.id)
        await requeue_lost(self.desk, mine, self.settings.max_attempts, self.now(), self.settings.id, is_start=True)

    def _maintenance(self) -> Maintenance:
        return Maintenance(
            desk=self.desk,
            max_attempts=self.settings.max_attempts,
            now=self.now,
            me=self.settings.id,
            holds=self._leased.jobs.__contains__,
            lease_s=self.settings.lease_s,
        )

    async def _put_runs_aside(self, device: DeviceThread) -> None:
        self._leased.stop()
        device.send(Shutdown())
        await asyncio.to_thread(device.join, SHUTDOWN_S)
        await self._leased.reports.join()
        await self._leased.idle()
        if not self._is_broken:  # else its jobs are lost, and perhaps one of them is the cause
            await self._finisher.give_all_back()

    async def _hear_next(self, starter: JobStarter, on_broken: Callable[[BaseException], None]) -> None:
        report = await self._leased.reports.get()
        try:
            if isinstance(report, DeviceFailed):
                self._is_broken = True
                self.interval.uptime.failed()
                on_broken(report.error)
            else:
                self._hear(starter, report)
        except Exception as error:  # noqa: BLE001 - it is the end of the report's job
            self._misheard(report, error)
        finally:
            self._leased.reports.task_done()

    def _misheard(self, report: Report, error: Exception) -> None:
        job = getattr(report, "job", None)
        if job is None:
            log.error("report not understood", exc_info=error)
        else:
            self._leased.reports.put_nowait(TaskFailed(job=job, error=error))

    def _hear(self, starter: JobStarter, report: Heard) -> None:
        match report:
            case ModelsReady():
                log.info("model ready")
                self._leased.is_ready = True
                self.desk.bus.work.set()
            case LoadProgress() | CacheChanged():
                self._leased.models.note(report)
                for held in self._leased.jobs.values():
                    self._leased.publish_loading(held)
            case TaskFailed():
                starter.device.send(Cancel(job=report.job))
                self._finisher.give_up(report)
            case StepDone():
                self._publisher.show(report)
            case EngineCounted():
                self.desk.metrics.engine(report.counts)
            case CheckpointReady():
                self._saver.save(report)
            case RunEnded():
                self._finisher.end(report, starter.again)
            case RunPreempted():
                self._finisher.put_aside(report)
            case _ as never:
                assert_never(never)
