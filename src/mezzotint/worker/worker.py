"""The life of a worker: claim, hand to the device, write the ends of jobs, keep the leases alive.

Stopping has three stages: stop claiming; preempt the runs with a checkpoint and finish the pictures that are drawn;
give the leases back. A worker that dies instead leaves leases that end by themselves, and its jobs go on from their
last checkpoint elsewhere, or here after a restart.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime

import structlog

from mezzotint.actions.finish import BackingServices
from mezzotint.actions.maintain import Maintenance, maintain_queue
from mezzotint.actions.region_routing import RegionRouting
from mezzotint.actions.requeue import requeue_lost
from mezzotint.background import BackgroundTasks
from mezzotint.domain.errors import StorageUnavailable
from mezzotint.domain.event import LoadProgress
from mezzotint.domain.ids import JobId
from mezzotint.engine.errors import DeviceLost
from mezzotint.provenance import JobProvenance
from mezzotint.store import Devices, Workers
from mezzotint.worker.checkpoints.interval import CheckpointInterval
from mezzotint.worker.claim_loop import CLAIM_EVERY_S, ClaimLoop
from mezzotint.worker.device import DeviceThread
from mezzotint.worker.dispatch import give_all_back, handle_report
from mezzotint.worker.drain import Drain
from mezzotint.worker.fleet.health import HealthCounts
from mezzotint.worker.heartbeat import HEARTBEAT_EVERY_S, Heartbeat
from mezzotint.worker.leased_jobs import LeasedJobs, WorkerSettings
from mezzotint.worker.messages import (
    CacheChanged,
    DeviceFailed,
    EngineCounted,
    ModelsReady,
    PreemptReason,
    Report,
    Shutdown,
    TaskFailed,
)
from mezzotint.worker.model_states import ModelStates
from mezzotint.worker.postprocess import ImageFilter

log = structlog.get_logger()
DEVICE_SHARE, SAVE_SHARE = 0.6, 0.85
"""Shares of the time of a stop: the device has put its runs aside by the first, their checkpoints are stored by the
second."""


@dataclass(slots=True)
class Worker:
    """drain: None where operators cannot drain it. fleet: where the health of workers is kept and
    judged; None: it is not. find_device: the identity of its device, once the models are ready;
    None: its health is not judged. routing: the regions whose jobs it takes; None: all. job_provenance: None where
    pictures are stored as they are. refresh_blocklist: lets the image filter know the pictures taken down until now;
    None where it knows none."""

    backing: BackingServices
    image_filter: ImageFilter
    settings: WorkerSettings
    now: Callable[[], datetime]
    interval: CheckpointInterval = field(default_factory=lambda: CheckpointInterval(every=10))
    drain: Drain | None = None
    fleet: tuple[Workers, Devices] | None = None
    find_device: Callable[[], str] | None = None
    routing: RegionRouting | None = None
    job_provenance: JobProvenance | None = None
    refresh_blocklist: Callable[[], Awaitable[None]] | None = None
    background: BackgroundTasks = field(default_factory=BackgroundTasks)
    is_device_busy: bool = field(default=False, init=False)
    """After a stop: whether the device's thread still computes."""
    _broken_by: DeviceFailed | None = field(default=None, init=False)
    _jobs: LeasedJobs = field(init=False)

    def __post_init__(self) -> None:
        self._jobs = LeasedJobs(
            backing=self.backing,
            settings=self.settings,
            now=self.now,
            interval=self.interval,
            models=ModelStates(metrics=self.backing.metrics),
            image_filter=self.image_filter,
            job_provenance=self.job_provenance,
            refresh_blocklist=self.refresh_blocklist,
        )
        if self.drain is not None:
            self._jobs.health = self.drain.health
        self._jobs.health.fingerprints = self._jobs.models.fingerprints

    @property
    def is_ready(self) -> bool:
        """Say whether the models that are to be warm are loaded."""
        return self._jobs.is_ready

    @property
    def num_running(self) -> int:
        """Jobs under its leases. May be asked from any thread."""
        return len(list(self._jobs.by_id))

    @property
    def health(self) -> HealthCounts:
        return self._jobs.health

    @property
    def is_drained(self) -> bool:
        """Say whether operators want it to take no more jobs."""
        return self.drain is not None and self.drain.is_drained

    def reporter(self) -> Callable[[Report], None]:
        """A callback for the device's thread."""
        loop = asyncio.get_running_loop()

        def report(report: Report) -> None:
            if not loop.is_closed():  # else the worker has stopped, and did not wait for this
                loop.call_soon_threadsafe(self._jobs.reports.put_nowait, report)

        return report

    def model_states(self) -> dict[str, str]:
        """Name -> cold, loading or warm."""
        return self._jobs.models.states(self.settings.models or frozenset(), is_ready=self.is_ready)

    @property
    def loading(self) -> LoadProgress | None:
        """The model that is being brought into memory."""
        return self._jobs.models.loading

    def wants_preview(self, job: JobId) -> bool:
        """Say whether somebody watches the job and a preview of it may be made now. May be asked from any thread."""
        leased = self._jobs.by_id.get(job)
        if leased is None or leased.is_previewing or job in self._jobs.without_previews:
            return False
        return self.backing.bus.is_watched(job)

    @asynccontextmanager
    async def running(self, device: DeviceThread, on_broken: Callable[[BaseException], None]) -> AsyncIterator[None]:
        """Work until the block ends, then stop. on_broken: called with the error when the worker cannot go on."""
        jobs, run = self._jobs, self.background.run_forever
        jobs.send = device.send

        async def requeue_left() -> None:
            """Give back the jobs that a worker of this name left when it died."""
            mine = await self.backing.jobs.running(worker=self.settings.id)
            most = self.settings.max_attempts
            await requeue_lost(self.backing, mine, most, self.now(), self.settings.id, is_start=True)

        await jobs.retry_while_away(requeue_left)
        device.start()
        claims, heartbeat = ClaimLoop(jobs, self.drain, self.find_device, self.routing), Heartbeat(jobs)
        maintenance = Maintenance(
            backing=self.backing,
            max_attempts=self.settings.max_attempts,
            now=self.now,
            me=self.settings.id,
            holds=jobs.is_held,
            lease_s=self.settings.lease_s,
            fleet=self.fleet,
        )
        async with self.background.running(
            run("device reports", 0, lambda: self._handle_next(on_broken)),
            run("heartbeat", HEARTBEAT_EVERY_S, heartbeat.renew_leases),
        ):
            try:
                async with self.background.running(
                    run("claims", CLAIM_EVERY_S, claims.claim_or_drain, wake=self.backing.bus.work),
                    *maintain_queue(self.background, maintenance, sweeps=not self.settings.is_alone),
                ):
                    yield
            finally:
                await self._stop(device)

    async def _stop(self, device: DeviceThread) -> None:
        self._jobs.stop()
        device.send(Shutdown())
        await asyncio.to_thread(device.join, DEVICE_SHARE * self.settings.shutdown_s)
        self.is_device_busy = device.is_alive
        await self._jobs.reports.join()
        await self._jobs.join_tasks(SAVE_SHARE)
        if self.is_device_busy:
            left = sorted(leased.job.id for leased in self._jobs.held())
            log.warning("the device did not stop in time: jobs go on from their last checkpoints", jobs=left)
        if self._broken_by is None:
            give_all_back(self._jobs, PreemptReason.DRAIN)
        elif isinstance(self._broken_by.error, DeviceLost):
            give_all_back(self._jobs, PreemptReason.DEVICE_LOST, self._broken_by.at_work)
        # else its jobs are lost, and perhaps one of them is the cause
        if not await self._jobs.join_tasks():
            cut = await self._jobs.cancel_tasks()
            log.error("the store did not answer in time: jobs go on when their leases end", cut_off=cut)
        elif self.drain is not None:
            with suppress(StorageUnavailable, TimeoutError):  # then its row says so by its age
                async with asyncio.timeout(2):
                    await self.drain.record_heartbeat(self.now())

    async def _handle_next(self, on_broken: Callable[[BaseException], None]) -> None:
        report = await self._jobs.reports.get()
        try:
            self._handle(report, on_broken)
        except Exception as error:
            job = getattr(report, "job", None)
            log.error("report not handled", job=job, exc_info=error)
            if job is not None:
                self._jobs.reports.put_nowait(TaskFailed(job=job, error=error))
        finally:
            self._jobs.reports.task_done()

    def _handle(self, report: Report, on_broken: Callable[[BaseException], None]) -> None:
        match report:
            case DeviceFailed():
                self._broken_by, self._jobs.is_ready = report, False
                self.interval.uptime.record_failure()
                on_broken(report.error)
            case ModelsReady():
                log.info("model ready")
                self._jobs.is_ready = True
                self.backing.bus.work.set()
            case LoadProgress() | CacheChanged():
                self._jobs.models.note(report)
                for leased in self._jobs.held():
                    self._jobs.publish_loading(leased)
            case EngineCounted():
                self.backing.metrics.engine(report.counts)
            case _:
                handle_report(self._jobs, report)
