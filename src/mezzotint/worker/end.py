"""What the device gives back is written down: pictures, a failure, a run put aside."""

import random
from collections.abc import Callable, Coroutine
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from functools import partial
from typing import assert_never

import structlog

from mezzotint.actions.finish import finish
from mezzotint.actions.recover import requeue
from mezzotint.domain.errors import CheckpointError, EngineFailed, FingerprintMismatch, JobFault, StorageUnavailable
from mezzotint.domain.job import CheckpointRef, Ending, JobState
from mezzotint.engine.errors import RunCancelled
from mezzotint.policy.retry import DeadLetter, Failure, Retry, decide_retry
from mezzotint.worker.develop import Developer, explain
from mezzotint.worker.holding import Held, Holding
from mezzotint.worker.keep import Keeper
from mezzotint.worker.reports import Ended, ErrandFailed, Preempted, Why

log = structlog.get_logger()
Again = Callable[[Held, CheckpointRef], Coroutine[None, None, None]]
"""Begins a job again without the checkpoint that was refused."""


@dataclass(slots=True)
class Endings:
    holding: Holding
    developer: Developer
    keeper: Keeper

    def end(self, report: Ended, again: Again) -> None:
        held, lost = self.holding.held.get(report.job), self.holding.lost.pop(report.job, None)
        if held is None and lost is not None:
            self.holding.errand(report.job, self._settle_lost(lost, report.cost_s), "settle")
        elif held is not None and not held.is_failing and not isinstance(report.error, RunCancelled):
            # who is held is never cancelled: that is the run of an earlier lease
            self.holding.errand(report.job, self._end(held, report, again), "end")

    def give_up(self, report: ErrandFailed) -> None:
        """End a job by an error outside its run. When even that cannot be written, its lease ends by itself."""
        log.error("work for a job failed", job=report.job, exc_info=report.error)
        held = self.holding.held.get(report.job)
        if held is None:
            return
        if held.is_failing:
            del self.holding.held[report.job]
            return
        held.is_failing = True
        self.holding.errand(report.job, self.failed(held, explain(held.job, report.error), 0.0), "give up")

    async def _settle_lost(self, held: Held, cost_s: float) -> None:
        with suppress(StorageUnavailable):  # then what its checkpoints say is charged
            await self.holding.desk.jobs.charge_cancelled(held.job.id, held.lease, held.resumed_cost_s + cost_s)

    async def _end(self, held: Held, report: Ended, again: Again) -> None:
        desk = self.holding.desk
        if isinstance(report.error, CheckpointError) and held.resumed_from is not None:
            why = "other_numerics" if isinstance(report.error, FingerprintMismatch) else "corrupt"
            desk.metrics.unusable.labels(why=why).inc()
            log.warning("checkpoint refused", job=held.job.id, step=held.resumed_from.step, code=report.error.code)
            await again(held, held.resumed_from)
            return
        load_s = report.begun_at - held.claimed_at if report.begun_at is not None else None
        if report.error is not None:
            await self.failed(held, explain(held.job, report.error), report.cost_s)
            return
        try:
            ending = await self.holding.patiently(
                lambda: self.developer.ending(held.job, report, self.holding.now, load_s)
            )
        except JobFault as error:
            log.warning("picture not kept", job=held.job.id, exc_info=error)
            await self.failed(held, error, report.cost_s)
            return
        ending = replace(ending, cost_s=report.cost_s, resumed_cost_s=held.resumed_cost_s)
        if await self.holding.let_go(held, lambda: finish(desk, held.job, held.lease, ending)):
            took = {name: round(took, 3) for name, took in asdict(ending.timings).items() if took is not None}
            log.info("job ended", job=held.job.id, state=ending.state, **took)

    async def failed(self, held: Held, fault: JobFault, cost_s: float) -> None:
        """A run failed: it tries again later, elsewhere if there is an elsewhere, or is a dead letter."""
        habits = self.holding.habits
        decision = decide_retry(
            Failure(
                fault=fault,
                num_tries=held.job.attempts,
                worker=None if habits.is_alone else habits.id,
                at=self.holding.now(),
                jitter=random.random(),
                num_losses=held.job.num_losses + 1 if isinstance(fault, EngineFailed) else 0,
            ),
            max_tries=habits.max_attempts,
        )
        match decision:
            case Retry():
                log.warning("run failed, tried again", job=held.job.id, code=fault.code)
                await self.holding.let_go(held, lambda: self._requeue(held, "failed", decision, cost_s))
            case DeadLetter():
                log.warning("run failed", job=held.job.id, code=fault.code, tries=held.job.attempts)
                ending = Ending(
                    state=JobState.FAILED,
                    at=self.holding.now(),
                    timings=held.job.timings,
                    step=held.step,
                    error=decision.error,
                    cost_s=cost_s,
                    resumed_cost_s=held.resumed_cost_s,
                )
                await self.holding.let_go(held, lambda: finish(self.holding.desk, held.job, held.lease, ending))
            case _ as never:
                assert_never(never)

    async def _requeue(self, held: Held, reason: str, decision: Retry | None, cost_s: float) -> None:
        await requeue(self.holding.desk, held.job, reason, self.holding.now(), retry=decision, gpu_s=cost_s)

    async def give_all_back(self) -> None:
        """Give back what the device's thread did not put aside in time: the worker stops, but it did not crash."""
        for held in list(self.holding.held.values()):
            await self.holding.let_go(held, partial(self._requeue, held, Why.DRAIN, None, 0.0))

    def put_aside(self, report: Preempted) -> None:
        held = self.holding.held.get(report.job)
        self.holding.lost.pop(report.job, None)
        if held is not None and not held.is_failing:
            held.is_saving = True
            self.holding.errand(report.job, self._put_aside(held, report), "park")

    async def _put_aside(self, held: Held, report: Preempted) -> None:
        if report.snapshot is not None:
            await self.keeper.keep(held, report.snapshot, report.cost_s)
        await self.holding.let_go(held, lambda: self._requeue(held, report.why, None, report.cost_s))
        self.holding.keeps_for_pro = report.why is Why.PREEMPTED
