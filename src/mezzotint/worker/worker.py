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
from mezzotint.actions.recover import recover
from mezzotint.actions.tend import Maintenance, maintain_queue
from mezzotint.background import BackgroundTasks
from mezzotint.domain.event import LoadProgress
from mezzotint.domain.ids import JobId
from mezzotint.worker.begin import Beginnings
from mezzotint.worker.cadence import Cadence
from mezzotint.worker.claims import CLAIM_S, Claims
from mezzotint.worker.develop import Developer
from mezzotint.worker.device import Device
from mezzotint.worker.drain import Drain
from mezzotint.worker.end import Endings
from mezzotint.worker.heartbeat import TICK_S, Heartbeat
from mezzotint.worker.holding import PARK_S, Habits, Holding
from mezzotint.worker.keep import Keeper
from mezzotint.worker.memory import Memory
from mezzotint.worker.orders import Cancel, Park
from mezzotint.worker.reports import (
    Broken,
    Counted,
    Ended,
    ErrandFailed,
    Preempted,
    Ready,
    Report,
    Saved,
    Shelved,
    Stepped,
)
from mezzotint.worker.show import Shower

log = structlog.get_logger()
Heard = Ready | LoadProgress | Shelved | ErrandFailed | Stepped | Counted | Saved | Ended | Preempted
"""Reports after which the worker goes on."""


@dataclass(slots=True)
class Worker:
    desk: Desk
    developer: Developer
    habits: Habits
    now: Callable[[], datetime]
    cadence: Cadence = field(default_factory=lambda: Cadence(every=10))
    drain: Drain | None = None
    background: BackgroundTasks = field(default_factory=BackgroundTasks)
    _is_broken: bool = field(default=False, init=False)
    _holding: Holding = field(init=False)
    _keeper: Keeper = field(init=False)
    _shower: Shower = field(init=False)
    _endings: Endings = field(init=False)

    def __post_init__(self) -> None:
        self._holding = Holding(self.desk, self.habits, self.now, self.cadence, Memory(metrics=self.desk.metrics))
        self._keeper = Keeper(self._holding)
        self._shower = Shower(self._holding, self.developer)
        self._endings = Endings(self._holding, self.developer, self._keeper)

    @property
    def is_ready(self) -> bool:
        """The models that are to be warm are loaded."""
        return self._holding.is_ready

    @property
    def is_drained(self) -> bool:
        """Operators want it to take no more jobs."""
        return self.drain is not None and self.drain.is_drained

    def reporter(self) -> Callable[[Report], None]:
        """A callback for the device's thread."""
        loop = asyncio.get_running_loop()

        def report(report: Report) -> None:
            loop.call_soon_threadsafe(self._holding.reports.put_nowait, report)

        return report

    def model_states(self) -> dict[str, str]:
        """Name -> cold, loading or warm."""
        return self._holding.memory.states(self.habits.models or frozenset(), is_ready=self.is_ready)

    @property
    def loading(self) -> LoadProgress | None:
        """The model that is being brought into memory."""
        return self._holding.memory.loading

    def wants_preview(self, job: JobId) -> bool:
        """Whether somebody watches the job and a preview of it may be made now. May be asked from any thread."""
        held = self._holding.held.get(job)
        if held is None or held.is_showing or job in self._holding.without_previews:
            return False
        return self.desk.bus.is_watched(job)

    @asynccontextmanager
    async def running(self, device: Device, on_broken: Callable[[BaseException], None]) -> AsyncIterator[None]:
        """Works until the block ends, then parks. on_broken: told when the worker cannot go on."""
        await self._holding.patiently(self._recover)
        device.start()
        beginnings = Beginnings(self._holding, device, self._endings)
        claims, heartbeat = Claims(self._holding, device, beginnings, self.drain), Heartbeat(self._holding, device)
        run = self.background.run_forever
        async with self.background.running(
            run("device reports", 0, lambda: self._hear_next(beginnings, on_broken)),
            run("heartbeat", TICK_S, heartbeat.renew_leases),
        ):
            try:
                async with self.background.running(
                    run("claims", CLAIM_S, claims.claim_or_drain, wake=self.desk.bus.work),
                    *maintain_queue(self.background, self._maintenance(), sweeps=not self.habits.is_alone),
                ):
                    yield
            finally:
                await self._put_runs_aside(device)

    async def _recover(self) -> None:
        """Give back the jobs that a worker of this name left when it died."""
        mine = await self.desk.jobs.running(worker=self.habits.id)
        await recover(self.desk, mine, self.habits.max_attempts, self.now(), self.habits.id, is_start=True)

    def _maintenance(self) -> Maintenance:
        return Maintenance(
            desk=self.desk,
            max_attempts=self.habits.max_attempts,
            now=self.now,
            me=self.habits.id,
            holds=self._holding.held.__contains__,
            lease_s=self.habits.lease_s,
        )

    async def _put_runs_aside(self, device: Device) -> None:
        self._holding.stop()
        device.order(Park())
        await asyncio.to_thread(device.join, PARK_S)
        await self._holding.reports.join()
        await self._holding.idle()
        if not self._is_broken:  # else its jobs are lost, and perhaps one of them is the cause
            await self._endings.give_all_back()

    async def _hear_next(self, beginnings: Beginnings, on_broken: Callable[[BaseException], None]) -> None:
        report = await self._holding.reports.get()
        try:
            if isinstance(report, Broken):
                self._is_broken = True
                self.cadence.uptime.failed()
                on_broken(report.error)
            else:
                self._hear(beginnings, report)
        except Exception as error:  # noqa: BLE001 - it is the end of the report's job
            self._misheard(report, error)
        finally:
            self._holding.reports.task_done()

    def _misheard(self, report: Report, error: Exception) -> None:
        job = getattr(report, "job", None)
        if job is None:
            log.error("report not understood", exc_info=error)
        else:
            self._holding.reports.put_nowait(ErrandFailed(job=job, error=error))

    def _hear(self, beginnings: Beginnings, report: Heard) -> None:
        match report:
            case Ready():
                log.info("model ready")
                self._holding.is_ready = True
                self.desk.bus.work.set()
            case LoadProgress() | Shelved():
                self._holding.memory.note(report)
                for held in self._holding.held.values():
                    self._holding.say_loading(held)
            case ErrandFailed():
                beginnings.device.order(Cancel(job=report.job))
                self._endings.give_up(report)
            case Stepped():
                self._shower.show(report)
            case Counted():
                self.desk.metrics.engine(report.counts)
            case Saved():
                self._keeper.save(report)
            case Ended():
                self._endings.end(report, beginnings.again)
            case Preempted():
                self._endings.put_aside(report)
            case _ as never:
                assert_never(never)
