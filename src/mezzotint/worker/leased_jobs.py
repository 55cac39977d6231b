"""The jobs under this worker's leases, and the asyncio tasks that work for them."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass, field
from datetime import datetime
from typing import TypeVar

import structlog

from mezzotint.actions.finish import BackingServices
from mezzotint.domain.errors import LeaseLost, StorageFull, StorageUnavailable
from mezzotint.domain.event import Progressed
from mezzotint.domain.ids import JobId, TenantId, WorkerId
from mezzotint.domain.job import CheckpointRef, Job, Lease
from mezzotint.domain.tier import Tier
from mezzotint.provenance import JobProvenance
from mezzotint.worker.checkpoints.interval import CheckpointInterval
from mezzotint.worker.fleet.health import HealthCounts
from mezzotint.worker.job_states import JobAction, JobMessage, LeaseState, next_state
from mezzotint.worker.messages import Command, DeviceFailed, Report, TaskFailed
from mezzotint.worker.model_states import ModelStates
from mezzotint.worker.postprocess import ImageFilter

log = structlog.get_logger()
T = TypeVar("T")
STORE_WAIT_S = 120.0
"""A finished picture, or the start of a run, waits so long for a store that is away."""
MAX_WITHOUT_PREVIEWS = 10_000
"""Jobs remembered as those whose previews stopped; also over a preemption."""


@dataclass(slots=True, kw_only=True)
class LeasedJob:
    """A job of this worker. resumed_from: the checkpoint that its run started from. stepped_at: when its last
    step ended, by `time.monotonic`. is_saving, is_previewing: a task
    writes a checkpoint, or makes a preview, now; another one is skipped meanwhile."""

    job: Job
    lease: Lease
    state: LeaseState = LeaseState.STARTING
    resumed_from: CheckpointRef | None = None
    step: int = 0
    claimed_at: float = field(default_factory=time.monotonic)
    stepped_at: float | None = None
    is_saving: bool = False
    is_previewing: bool = False

    @property
    def resumed_cost_s(self) -> float:
        """GPU-seconds before this attempt, up to the checkpoint that it started from."""
        return self.resumed_from.cost_s if self.resumed_from is not None else 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerSettings:
    """max_runs: jobs in the engine at once. lease_s: seconds that a lease lasts without a heartbeat. shutdown_s: those
    that a stop may take.

    models: names of the models that it runs; None: any. lanes: those it takes jobs of. tenants: the only ones it takes
    jobs of; None: all. region: where it runs; empty: nowhere in particular.
    is_alone: there is no other worker that could take a job.
    reuses_pictures: equal requests are answered from the store. reuse_charge: share of the drawing's GPU-seconds that
    is charged then.
    """

    id: WorkerId
    max_runs: int
    lease_s: float
    max_attempts: int
    shutdown_s: float = 20.0
    models: frozenset[str] | None = None
    lanes: frozenset[Tier] = frozenset(Tier)
    tenants: frozenset[TenantId] | None = None
    region: str = ""
    is_alone: bool = True
    reuses_pictures: bool = True
    reuse_charge: float = 0.0
    light_first: bool = False


@dataclass(slots=True, kw_only=True)
class LeasedJobs:
    """by_id: the jobs under lease, and those `LOST` until the device is done with them. send: to the device's thread.

    reports: from the device's thread, not handled yet. without_previews: jobs whose previews stopped, in that order.
    keeps_for_pro: a run was just preempted, and the next claim takes Pro jobs alone. pace_s: GPU-seconds that this
    device takes for a step-megapixel, over all models; None: not measured yet.
    """

    backing: BackingServices
    settings: WorkerSettings
    now: Callable[[], datetime]
    interval: CheckpointInterval
    models: ModelStates
    image_filter: ImageFilter
    job_provenance: JobProvenance | None
    refresh_blocklist: Callable[[], Awaitable[None]] | None = None
    health: HealthCounts = field(default_factory=HealthCounts)
    send: Callable[[Command], None] = field(init=False)
    by_id: dict[JobId, LeasedJob] = field(default_factory=dict)
    reports: asyncio.Queue[Report] = field(default_factory=asyncio.Queue)
    without_previews: dict[JobId, None] = field(default_factory=dict)
    keeps_for_pro: bool = False
    pace_s: float | None = None
    is_ready: bool = False
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)
    _stopped_at: float | None = None

    def held(self) -> list[LeasedJob]:
        """The jobs whose leases this worker renews."""
        return [leased for leased in self.by_id.values() if leased.state is not LeaseState.LOST]

    def count_free_places(self) -> int:
        """Count the jobs that may be claimed now: none beside a suspect."""
        held = self.held()
        return 0 if any(leased.job.is_suspect for leased in held) else self.settings.max_runs - len(held)

    def is_held(self, job: JobId) -> bool:
        """Say whether the worker works for the job, even if its lease is over. May be asked from any thread."""
        leased = self.by_id.get(job)
        return leased is not None and leased.state is not LeaseState.LOST

    def receive(self, leased: LeasedJob, message: JobMessage) -> JobAction:
        """Move the job to its next state; forget it when that is the last. Returns the action that is due now."""
        leased.state, action = next_state(leased.state, message)
        if leased.state is LeaseState.RELEASED and self.by_id.get(leased.job.id) is leased:
            del self.by_id[leased.job.id]
            self.backing.bus.work.set()
        return action

    def spawn(self, job: JobId, work: Coroutine[None, None, None], name: str) -> None:
        """Start a task for a job. A task that fails ends its job, not the worker."""
        task = asyncio.create_task(work, name=f"{name} {job}")
        self._tasks.add(task)
        task.add_done_callback(lambda done: self._end_task(job, done))

    def _end_task(self, job: JobId, work: asyncio.Task[None]) -> None:
        self._tasks.discard(work)
        error = None if work.cancelled() else work.exception()
        if isinstance(error, Exception):
            log.error("work for a job failed", job=job, exc_info=error)
            self.reports.put_nowait(TaskFailed(job=job, error=error))
        elif error is not None:  # an interrupt of the process
            self.reports.put_nowait(DeviceFailed(error=error))

    def stop(self) -> None:
        """Wait no longer than `shutdown_s` for a store from now on."""
        self._stopped_at = time.monotonic()

    async def join_tasks(self, share: float = 1.0) -> bool:
        """Return once every task is done; when the worker stops, after this share of `shutdown_s` at the latest.

        Returns whether all are done.
        """
        while self._tasks:
            left_s = None if self._stopped_at is None else self._stop_at(share) - time.monotonic()
            if left_s is not None and left_s <= 0:
                return False
            await asyncio.wait(self._tasks, timeout=left_s)
        return True

    async def cancel_tasks(self) -> list[str]:
        """End the tasks that are left, as a stop does that has no more time. Returns their names."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        return [task.get_name() for task in tasks]

    def _stop_at(self, share: float) -> float:
        """The instant at which this share of the time of a stop is over."""
        assert self._stopped_at is not None
        return self._stopped_at + share * self.settings.shutdown_s

    def stop_previews(self, job: JobId) -> None:
        """Show no more previews of a job."""
        self.without_previews[job] = None
        if len(self.without_previews) > MAX_WITHOUT_PREVIEWS:
            del self.without_previews[next(iter(self.without_previews))]

    def publish_loading(self, leased: LeasedJob) -> None:
        """Tell the owner that the job waits for its model."""
        job, loading = leased.job, self.models.loading
        if loading is not None and job.model == loading.model:
            of = job.parameters.num_sampled
            event = Progressed(job=job.id, step=leased.step, num_steps=of, preview=None, loading=loading)
            self.backing.bus.publish(job.id, event)

    async def write_and_release(self, leased: LeasedJob, write: Callable[[], Awaitable[None]]) -> bool:
        """Write the end of a job, or its return to the queue, then forget it. Returns whether it was written.

        Without an answer of the store its lease ends by itself. An end that the store refuses is raised: the job's
        table decides whether a failure is written instead.
        """
        is_written = False
        try:
            await self.retry_while_away(write)
            is_written = True
        except LeaseLost:
            log.info("result came after the lease", job=leased.job.id)
        except StorageUnavailable:
            log.error("end of a job not written, it will be run again", job=leased.job.id)
        self.receive(leased, JobMessage.WRITTEN)
        return is_written

    async def retry_while_away(self, work: Callable[[], Awaitable[T]]) -> T:
        """Repeat `work` while the store is away; the job's lease is renewed meanwhile. Raises: StorageUnavailable."""
        until = time.monotonic() + STORE_WAIT_S
        wait_s = 0.25
        while True:
            try:
                return await work()
            except StorageFull:
                raise
            except StorageUnavailable:
                stop_at = until if self._stopped_at is None else min(until, self._stop_at(1.0))
                if time.monotonic() > stop_at:
                    raise
            await asyncio.sleep(wait_s)
            wait_s = min(2 * wait_s, 4.0)
