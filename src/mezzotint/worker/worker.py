"""The life of a worker: claim, hand to the device, write down what comes back, keep the leases alive.

Stopping has three stages: stop claiming; put the runs aside with a checkpoint and finish what was already drawn; give
the leases back. A worker that dies instead leaves leases that end by themselves, and its jobs go on from their last
checkpoint elsewhere, or here after a restart.
"""

import asyncio
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, TypeVar, assert_never

import structlog

from mezzotint.actions.checkpoint import discard, newest, save
from mezzotint.actions.claim import claim
from mezzotint.actions.finish import Desk, finish
from mezzotint.actions.recover import recover, requeue
from mezzotint.actions.tend import tending
from mezzotint.actions.upload import read_source
from mezzotint.domain.errors import (
    CheckpointError,
    FingerprintMismatch,
    JobFault,
    LeaseLost,
    MezzotintError,
    SourceMissing,
    StorageFull,
    StorageUnavailable,
)
from mezzotint.domain.event import Progressed
from mezzotint.domain.ids import JobId, WorkerId
from mezzotint.domain.job import CheckpointRef, Ending, Job, JobState, Lease
from mezzotint.domain.tier import Tier
from mezzotint.policy.preemption import Going, least_deserving
from mezzotint.policy.retry import DeadLetter, Failure, Retry, after
from mezzotint.store import Seeker
from mezzotint.worker.cadence import Cadence
from mezzotint.worker.develop import Developer, explain
from mezzotint.worker.device import Device
from mezzotint.worker.drain import Drain
from mezzotint.worker.memory import Memory
from mezzotint.worker.orders import Aside, Cancel, Draw, Park
from mezzotint.worker.reports import (
    Broken,
    Counted,
    Ended,
    Loading,
    Parked,
    Ready,
    Report,
    Saved,
    Shelved,
    Stepped,
    Why,
)

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

log = structlog.get_logger()
T = TypeVar("T")
PARK_S = 20.0
"""Longest wait for the device's thread; what it has not put aside goes on from its last checkpoint after a restart."""
PATIENCE_S = 120.0
"""How long a finished picture, or the start of a run, waits for a store that is away."""
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
    is_ordered: bool = False
    is_leaving: bool = False

    @property
    def resumed_cost_s(self) -> float:
        """GPU-seconds before this attempt, as far as it goes on from them."""
        return self.resumed_from.cost_s if self.resumed_from is not None else 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Habits:
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
class Worker:
    desk: Desk
    developer: Developer
    habits: Habits
    now: Callable[[], datetime]
    cadence: Cadence = field(default_factory=lambda: Cadence(every=10))
    drain: Drain | None = None
    is_ready: bool = False
    _held: dict[JobId, Held] = field(default_factory=dict)
    _lost: dict[JobId, Held] = field(default_factory=dict)
    _keeps_for_pro: bool = False
    _is_stopping: bool = False
    _written: dict[JobId, int] = field(default_factory=dict)
    _renewed_at: float = 0.0
    _stopped_at: float = 0.0
    _reports: asyncio.Queue[Report] = field(default_factory=asyncio.Queue)
    _errands: set[asyncio.Task[None]] = field(default_factory=set)
    _memory: Memory = field(init=False)

    def __post_init__(self) -> None:
        self._memory = Memory(metrics=self.desk.metrics)

    def reporter(self) -> Callable[[Report], None]:
        """A callback for the device's thread."""
        loop = asyncio.get_running_loop()

        def report(report: Report) -> None:
            loop.call_soon_threadsafe(self._reports.put_nowait, report)

        return report

    def model_states(self) -> dict[str, str]:
        """Name -> cold, loading or warm."""
        return self._memory.states(self.habits.models or frozenset(), is_ready=self.is_ready)

    def wants_preview(self, job: JobId) -> bool:
        """Whether somebody watches the job and no preview of it is being made. May be asked from any thread."""
        held = self._held.get(job)
        return held is not None and not held.is_showing and self.desk.bus.is_watched(job)

    @asynccontextmanager
    async def running(self, device: Device, on_broken: Callable[[BaseException], None]) -> AsyncIterator[None]:
        """Works until the block ends, then parks. on_broken: told when the worker cannot go on."""
        mine = await self.desk.jobs.running(worker=self.habits.id)
        await recover(self.desk, mine, self.habits.max_attempts, self.now(), self.habits.id)
        device.start()
        tasks = [
            asyncio.create_task(self._claims(device), name="claims"),
            asyncio.create_task(self._heartbeat(device), name="heartbeat"),
            asyncio.create_task(self._listen(device), name="listen"),
            asyncio.create_task(self._tend(), name="tend"),
        ]
        for task in tasks:
            task.add_done_callback(lambda done: _tell(done, on_broken))
        try:
            yield
        finally:
            await self._stop(device, tasks)

    async def _stop(self, device: Device, tasks: list[asyncio.Task[None]]) -> None:
        self._is_stopping, self._stopped_at = True, time.monotonic()
        claims, heartbeat, listen, tend = tasks
        claims.cancel()
        tend.cancel()
        await asyncio.wait([claims, tend])
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
            try:
                if self.drain is not None and await self.drain.is_wanted():
                    self._put_all_aside(device)
                else:
                    await self._fill(device)
            except StorageUnavailable as error:
                log.warning("cannot claim", why=str(error))
            try:
                async with asyncio.timeout(1.0):
                    await self.desk.bus.work.wait()
            except TimeoutError:
                continue

    def _put_all_aside(self, device: Device) -> None:
        for job, held in self._held.items():
            if not held.is_leaving and held.is_ordered:
                held.is_leaving = True
                device.order(Aside(job=job, why=Why.DRAIN))

    async def _fill(self, device: Device) -> None:
        """Claim while there is room; without room, make some for a Pro job that waits."""
        while self.is_ready and (room := self.habits.max_runs - len(self._held)) > 0:
            lanes = frozenset({Tier.PRO}) if self._keeps_for_pro else frozenset(Tier)
            jobs = await claim(self.desk, self._seeker(lanes), self.now(), self.habits.lease_s, room)
            for job in jobs:
                assert job.lease is not None, "it was just claimed"
                held = Held(job=job, lease=job.lease, step=job.step)
                self._held[job.id] = held
                self._say_loading(held)
                self._errand(asyncio.create_task(self._begin(device, held), name=f"begin {job.id}"))
            if not jobs and not self._keeps_for_pro:
                return
            self._keeps_for_pro = False
        if self._held and not self._keeps_for_pro:
            await self._make_room(device)

    def _seeker(self, lanes: frozenset[Tier]) -> Seeker:
        going = [held.job for held in self._held.values()]
        shapes = frozenset((job.model, job.parameters.width, job.parameters.height) for job in going)
        models = self.habits.models
        warm = self._memory.warm(models or frozenset())
        return Seeker(worker=self.habits.id, models=models, lanes=lanes, warm=warm, shapes=shapes)

    async def _make_room(self, device: Device) -> None:
        now = time.monotonic()
        going = [
            Going(
                job=held.job.id,
                lane=held.job.lane,
                step=held.step,
                num_steps=held.job.parameters.num_sampled,
                ran_s=now - held.claimed_at,
            )
            for held in self._held.values()
        ]
        job = least_deserving(going, Tier.PRO)
        if job is None or any(held.is_leaving for held in self._held.values()):
            return
        if await self.desk.jobs.is_waiting(Tier.PRO, self.habits.models):
            log.info("run makes room", job=job, lane=self._held[job].job.lane)
            self._held[job].is_leaving = True
            device.order(Aside(job=job))

    async def _begin(self, device: Device, held: Held) -> None:
        try:
            await self._patiently(lambda: self._draw(device, held))
        except StorageUnavailable as error:
            await self._failed(held, error, 0.0)

    async def _draw(self, device: Device, held: Held) -> None:
        """Hand a job to the device, from its newest checkpoint that is there."""
        saved = await newest(self.desk, held.job)
        if held.job.checkpoints or held.resumed_from is not None:
            self.desk.metrics.resumed.labels(source=_source(held, saved[0] if saved else None)).inc()
            if saved is None:
                log.warning("job begins again in spite of its checkpoints", job=held.job.id)
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
        held.is_ordered = True
        device.order(Draw(job=held.job, resume=saved[1] if saved else None, source=source, mask=mask))

    async def _heartbeat(self, device: Device) -> None:
        while True:
            await asyncio.sleep(TICK_S)
            self.cadence.uptime.tick(is_working=bool(self._held))
            try:
                await self._renew(device)
            except StorageUnavailable as error:
                log.warning("heartbeat missed", why=str(error))
                await asyncio.sleep(1.0)

    async def _tend(self) -> None:
        await tending(self.desk, self.habits.max_attempts, self.now, self.habits.id, not self.habits.is_alone)

    async def _renew(self, device: Device) -> None:
        """Keep the leases alive and write the steps reached; let go of what was cancelled or lost."""
        steps = {job: held.step for job, held in self._held.items() if held.step != self._written.get(job)}
        is_due = time.monotonic() - self._renewed_at > self.habits.lease_s / 3
        if not self._held or not (steps or is_due):
            return
        leases = {job: held.lease for job, held in self._held.items()}
        alive = await self.desk.jobs.renew(leases, steps, self.now() + timedelta(seconds=self.habits.lease_s))
        self._renewed_at, self._written = time.monotonic(), {job: held.step for job, held in self._held.items()}
        for job in set(leases) - alive:
            held = self._held.pop(job, None)
            if held is not None and held.lease == leases[job]:
                self._lost[job] = held
                device.order(Cancel(job=job))

    async def _listen(self, device: Device) -> None:
        while True:
            self._hear(device, await self._reports.get())
            self._reports.task_done()

    def _hear(self, device: Device, report: Report) -> None:
        match report:
            case Ready():
                log.info("model ready")
                self.is_ready = True
                self.desk.bus.work.set()
            case Loading() | Shelved():
                self._memory.note(report)
                for held in self._held.values():
                    self._say_loading(held)
            case Broken():
                self.cadence.uptime.failed()
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

    def _say_loading(self, held: Held) -> None:
        """Tell the owner that the job waits for its model."""
        job = held.job
        if job.model == self._memory.loading:
            of = job.parameters.num_sampled
            event = Progressed(job=job.id, step=held.step, num_steps=of, preview=None, loading=job.model)
            self.desk.bus.publish(job.id, event)

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
            cost_s = held.resumed_cost_s + report.cost_s
            await save(self.desk, held.job, report.snapshot.steps, data, self.now(), cost_s=cost_s)
            spent_s = time.monotonic() - started_at
            metrics.checkpoint_write.observe(spent_s)
            self.cadence.wrote(spent_s)
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
        held, lost = self._held.get(report.job), self._lost.pop(report.job, None)
        if held is not None:
            self._errand(asyncio.create_task(self._end_now(device, held, report), name=f"end {report.job}"))
        elif lost is not None:
            self._errand(asyncio.create_task(self._settle_lost(lost, report.cost_s), name=f"settle {report.job}"))

    async def _settle_lost(self, held: Held, cost_s: float) -> None:
        with suppress(StorageUnavailable):  # then what its checkpoints say is charged
            await self.desk.jobs.charge_cancelled(held.job.id, held.lease, held.resumed_cost_s + cost_s)

    async def _end_now(self, device: Device, held: Held, report: Ended) -> None:
        if isinstance(report.error, CheckpointError) and held.resumed_from is not None:
            why = "other_numerics" if isinstance(report.error, FingerprintMismatch) else "corrupt"
            self.desk.metrics.unusable.labels(why=why).inc()
            log.warning("checkpoint refused", job=held.job.id, step=held.resumed_from.step, code=report.error.code)
            await self._drop_and_begin(device, held, held.resumed_from)
            return
        load_s = report.begun_at - held.claimed_at if report.begun_at is not None else None
        if report.error is not None:
            await self._failed(held, explain(held.job, report.error), report.cost_s)
            return
        try:
            ending = await self._patiently(lambda: self.developer.ending(held.job, report, self.now, load_s))
        except StorageUnavailable as error:
            await self._failed(held, error, report.cost_s)
            return
        ending = replace(ending, cost_s=report.cost_s, resumed_cost_s=held.resumed_cost_s)
        if await self._let_go(held, lambda: finish(self.desk, held.job, held.lease, ending)):
            took = {name: round(took, 3) for name, took in asdict(ending.timings).items() if took is not None}
            log.info("job ended", job=held.job.id, state=ending.state, **took)

    async def _drop_and_begin(self, device: Device, held: Held, refused: CheckpointRef) -> None:
        """Go on from the checkpoint before the one that cannot be used, or from noise."""

        async def drop() -> None:
            await discard(self.desk, held.job.id, refused)
            held.job = await self.desk.jobs.get(held.job.id) or held.job

        with suppress(StorageUnavailable):  # it is refused again then, and dropped
            await self._patiently(drop)
        await self._begin(device, held)

    async def _failed(self, held: Held, fault: JobFault, cost_s: float) -> None:
        """A run failed: it tries again later, elsewhere if there is an elsewhere, or is a dead letter."""
        decision = after(
            Failure(
                fault=fault,
                num_tries=held.job.attempts,
                worker=None if self.habits.is_alone else self.habits.id,
                at=self.now(),
                jitter=random.random(),
            ),
            max_tries=self.habits.max_attempts,
        )
        match decision:
            case Retry():
                log.warning("run failed, tried again", job=held.job.id, code=fault.code)
                await self._let_go(held, lambda: self._requeue(held, "failed", decision, cost_s))
            case DeadLetter():
                log.warning("run failed", job=held.job.id, code=fault.code, tries=held.job.attempts)
                ending = Ending(
                    state=JobState.FAILED,
                    at=self.now(),
                    timings=held.job.timings,
                    step=held.step,
                    error=decision.error,
                    cost_s=cost_s,
                    resumed_cost_s=held.resumed_cost_s,
                )
                await self._let_go(held, lambda: finish(self.desk, held.job, held.lease, ending))
            case _ as never:
                assert_never(never)

    async def _requeue(self, held: Held, reason: str, decision: Retry | None, cost_s: float) -> None:
        await requeue(self.desk, held.job, reason, self.now(), retry=decision, gpu_s=cost_s)

    async def _let_go(self, held: Held, write: Callable[[], Awaitable[None]]) -> bool:
        """Write down what became of a job, and hold it no more. Without an answer its lease ends by itself.

        Returns whether it was written.
        """
        try:
            await self._patiently(write)
            return True
        except LeaseLost:
            log.info("result came after the lease", job=held.job.id)
        except StorageUnavailable:
            log.error("end of a job not written, it will be run again", job=held.job.id)
        finally:
            if self._held.get(held.job.id) is held:
                del self._held[held.job.id]
            self.desk.bus.work.set()
        return False

    async def _patiently(self, work: Callable[[], Awaitable[T]]) -> T:
        """Do it again while the store is away; its lease is renewed meanwhile. Raises: StorageUnavailable."""
        until = time.monotonic() + PATIENCE_S
        wait_s = 0.25
        while True:
            try:
                return await work()
            except StorageFull:
                raise
            except StorageUnavailable:
                if time.monotonic() > (until if not self._is_stopping else min(until, self._stopped_at + PARK_S)):
                    raise
            await asyncio.sleep(wait_s)
            wait_s = min(2 * wait_s, 4.0)

    def _put_aside(self, report: Parked) -> None:
        held = self._held.get(report.job)
        self._lost.pop(report.job, None)
        if held is not None:
            held.is_saving = True
            self._errand(asyncio.create_task(self._put_aside_now(held, report), name=f"park {report.job}"))

    async def _put_aside_now(self, held: Held, report: Parked) -> None:
        if report.snapshot is not None:
            await self._save_now(held, report)
        await self._let_go(held, lambda: self._requeue(held, report.why, None, report.cost_s))
        self._keeps_for_pro = report.why is Why.PREEMPTED


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
