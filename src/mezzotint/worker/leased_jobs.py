"""What a worker has in hand: the jobs under its leases, and the errands that it runs for them."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass, field
from datetime import datetime
from typing import TypeVar

import structlog

from mezzotint.actions.finish import Desk
from mezzotint.domain.errors import LeaseLost, StorageFull, StorageUnavailable
from mezzotint.domain.event import Progressed
from mezzotint.domain.ids import JobId, WorkerId
from mezzotint.domain.job import CheckpointRef, Job, Lease
from mezzotint.worker.checkpoint_interval import CheckpointInterval
from mezzotint.worker.messages import DeviceFailed, Report, TaskFailed
from mezzotint.worker.model_states import ModelStates

log = structlog.get_logger()
T = TypeVar("T")
SHUTDOWN_S = 20.0
"""Longest wait for the device's thread; what it has not put aside goes on from its last checkpoint after a restart."""
STORE_WAIT_S = 120.0
"""How long a finished picture, or the start of a run, waits for a store that is away."""
MAX_WITHOUT_PREVIEWS = 10_000
"""Jobs remembered as those whose previews stopped; also over a preemption."""


@dataclass(slots=True, kw_only=True)
class LeasedJob:
    """A job under this worker's lease. resumed_from: the checkpoint it went on from. is_failing: it ends by an error
    that its run knows nothing of; whatever the device still says of the run does not matter."""

    job: Job
    lease: Lease
    resumed_from: CheckpointRef | None = None
    step: int = 0
    claimed_at: float = field(default_factory=time.monotonic)
    is_saving: bool = False
    is_showing: bool = False
    is_started: bool = False
    is_leaving: bool = False
    is_failing: bool = False

    @property
    def resumed_cost_s(self) -> float:
        """GPU-seconds before this attempt, as far as it goes on from them."""
        return self.resumed_from.cost_s if self.resumed_from is not None else 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerSettings:
    """max_runs: jobs in the engine at once. lease_s: seconds that a lease lasts without a heartbeat.

    models: those it can run; None: any. is_alone: there is no other worker that could take a job instead.
    """

    id: WorkerId
    max_runs: int
    lease_s: float
    max_attempts: int
    models: frozenset[str] | None = None
    is_alone: bool = True


@dataclass(slots=True)
class LeasedJobs:
    """jobs: by id. lost: cancelled or lost, and not yet given back by the device. keeps_for_pro: a run has just made
    room for a Pro job. reports: of the device's thread, not yet heard. without_previews: jobs whose previews stopped,
    in that command."""

    desk: Desk
    settings: WorkerSettings
    now: Callable[[], datetime]
    interval: CheckpointInterval
    models: ModelStates
    jobs: dict[JobId, LeasedJob] = field(default_factory=dict)
    lost: dict[JobId, LeasedJob] = field(default_factory=dict)
    reports: asyncio.Queue[Report] = field(default_factory=asyncio.Queue)
    without_previews: dict[JobId, None] = field(default_factory=dict)
    keeps_for_pro: bool = False
    is_ready: bool = False
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)
    _stopped_at: float | None = None

    def spawn(self, job: JobId, work: Coroutine[None, None, None], name: str) -> None:
        """Begin what takes a while for a job. When it fails, the job ends by that: the worker goes on."""
        task = asyncio.create_task(work, name=f"{name} {job}")
        self._tasks.add(task)
        task.add_done_callback(lambda done: self._end_task(job, done))

    def _end_task(self, job: JobId, work: asyncio.Task[None]) -> None:
        self._tasks.discard(work)
        error = None if work.cancelled() else work.exception()
        if isinstance(error, Exception):
            self.reports.put_nowait(TaskFailed(job=job, error=error))
        elif error is not None:  # an interrupt of the process
            self.reports.put_nowait(DeviceFailed(error=error))

    def stop(self) -> None:
        """From now on there is less patience."""
        self._stopped_at = time.monotonic()

    async def idle(self) -> None:
        """Returns once every spawn is run."""
        while self._tasks:
            await asyncio.wait(self._tasks)

    def stop_previews(self, job: JobId) -> None:
        """Show no more previews of a job."""
        self.without_previews[job] = None
        if len(self.without_previews) > MAX_WITHOUT_PREVIEWS:
            del self.without_previews[next(iter(self.without_previews))]

    def publish_loading(self, held: LeasedJob) -> None:
        """Tell the owner that the job waits for its model."""
        job, loading = held.job, self.models.loading
        if loading is not None and job.model == loading.model:
            of = job.parameters.num_sampled
            event = Progressed(job=job.id, step=held.step, num_steps=of, preview=None, loading=loading)
            self.desk.bus.publish(job.id, event)

    async def release(self, held: LeasedJob, write: Callable[[], Awaitable[None]]) -> bool:
        """Write down what became of a job, and hold it no more. Without an answer its lease ends by itself.

        Returns whether it was written. An end that the store refuses is raised, and the job still held, once: another
        end is written instead.
        """
        is_over = True
        try:
            await self.retry_while_away(write)
            return True
        except LeaseLost:
            log.info("result came after the lease", job=held.job.id)
        except StorageUnavailable:
            log.error("end of a job not written, it will be run again", job=held.job.id)
        except Exception:
            is_over = held.is_failing
            raise
        finally:
            if is_over and self.jobs.get(held.job.id) is held:
                del self.jobs[held.job.id]
            self.desk.bus.work.set()
        return False

    async def retry_while_away(self, work: Callable[[], Awaitable[T]]) -> T:
        """Do it again while the store is away; its lease is renewed meanwhile. Raises: StorageUnavailable."""
        until = time.monotonic() + STORE_WAIT_S
        wait_s = 0.25
        while True:
            try:
                return await work()
            except StorageFull:
                raise
            except StorageUnavailable:
                if time.monotonic() > (
                    until if self._stopped_at is None else min(until, self._stopped_at + SHUTDOWN_S)
                ):
                    raise
            await asyncio.sleep(wait_s)
            wait_s = min(2 * wait_s, 4.0)
