"""What the device gives back is written down: pictures, a failure, a run put aside."""

import random
from collections.abc import Callable, Coroutine
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from functools import partial
from typing import assert_never

import structlog

from mezzotint.actions.finish import finish
from mezzotint.actions.requeue import requeue
from mezzotint.domain.errors import CheckpointError, EngineFailed, FingerprintMismatch, JobFault, StorageUnavailable
from mezzotint.domain.job import CheckpointRef, Ending, JobState
from mezzotint.engine.errors import RunCancelled
from mezzotint.policy.retry import DeadLetter, Failure, Retry, decide_retry
from mezzotint.worker.leased_jobs import LeasedJob, LeasedJobs
from mezzotint.worker.messages import PreemptReason, RunEnded, RunPreempted, TaskFailed
from mezzotint.worker.postprocess import PostProcessor, explain
from mezzotint.worker.save_checkpoint import CheckpointSaver

log = structlog.get_logger()
Again = Callable[[LeasedJob, CheckpointRef], Coroutine[None, None, None]]
"""Begins a job again without the checkpoint that was refused."""


@dataclass(slots=True)
class JobFinisher:
    leased: LeasedJobs
    postprocessor: PostProcessor
    saver: CheckpointSaver

    def end(self, report: RunEnded, again: Again) -> None:
        held, lost = self.leased.jobs.get(report.job), self.leased.lost.pop(report.job, None)
        if held is None and lost is not None:
            self.leased.spawn(report.job, self._settle_lost(lost, report.cost_s), "settle")
        elif held is not None and not held.is_failing and not isinstance(report.error, RunCancelled):
            # who is held is never cancelled: that is the run of an earlier lease
            self.leased.spawn(report.job, self._end(held, report, again), "end")

    def give_up(self, report: TaskFailed) -> None:
        """End a job by an error outside its run. When even that cannot be written, its lease ends by itself."""
        log.error("work for a job failed", job=report.job, exc_info=report.error)
        held = self.leased.jobs.get(report.job)
        if held is None:
            return
        if held.is_failing:
            del self.leased.jobs[report.job]
            return
        held.is_failing = True
        self.leased.spawn(report.job, self.failed(held, explain(held.job, report.error), 0.0), "give up")

    async def _settle_lost(self, held: LeasedJob, cost_s: float) -> None:
        with suppress(StorageUnavailable):  # then what its checkpoints say is charged
            await self.leased.desk.jobs.charge_cancelled(held.job.id, held.lease, held.resumed_cost_s + cost_s)

    async def _end(self, held: LeasedJob, report: RunEnded, again: Again) -> None:
        desk = self.leased.desk
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
            ending = await self.leased.retry_while_away(
                lambda: self.postprocessor.ending(held.job, report, self.leased.now, load_s)
            )
        except JobFault as error:
            log.warning("picture not kept", job=held.job.id, exc_info=error)
            await self.failed(held, error, report.cost_s)
            return
        ending = replace(ending, cost_s=report.cost_s, resumed_cost_s=held.resumed_cost_s)
        if await self.leased.release(held, lambda: finish(desk, held.job, held.lease, ending)):
            took = {name: round(took, 3) for name, took in asdict(ending.timings).items() if took is not None}
            log.info("job ended", job=held.job.id, state=ending.state, **took)

    async def failed(self, held: LeasedJob, fault: JobFault, cost_s: float) -> None:
        """A run failed: it tries again later, elsewhere if there is an elsewhere, or is a dead letter."""
        settings = self.leased.settings
        decision = decide_retry(
            Failure(
                fault=fault,
                num_tries=held.job.attempts,
                worker=None if settings.is_alone else settings.id,
                at=self.leased.now(),
                jitter=random.random(),
                num_losses=held.job.num_losses + 1 if isinstance(fault, EngineFailed) else 0,
            ),
            max_tries=settings.max_attempts,
        )
        match decision:
            case Retry():
                log.warning("run failed, tried again", job=held.job.id, code=fault.code)
                await self.leased.release(held, lambda: self._requeue(held, "failed", decision, cost_s))
            case DeadLetter():
                log.warning("run failed", job=held.job.id, code=fault.code, tries=held.job.attempts)
                ending = Ending(
                    state=JobState.FAILED,
                    at=self.leased.now(),
                    timings=held.job.timings,
                    step=held.step,
                    error=decision.error,
                    cost_s=cost_s,
                    resumed_cost_s=held.resumed_cost_s,
                )
                await self.leased.release(held, lambda: finish(self.leased.desk, held.job, held.lease, ending))
            case _ as never:
                assert_never(never)

    async def _requeue(self, held: LeasedJob, reason: str, decision: Retry | None, cost_s: float) -> None:
        await requeue(self.leased.desk, held.job, reason, self.leased.now(), retry=decision, gpu_s=cost_s)

    async def give_all_back(self) -> None:
        """Give back what the device's thread did not put aside in time: the worker stops, but it did not crash."""
        for held in list(self.leased.jobs.values()):
            await self.leased.release(held, partial(self._requeue, held, PreemptReason.DRAIN, None, 0.0))

    def put_aside(self, report: RunPreempted) -> None:
        held = self.leased.jobs.get(report.job)
        self.leased.lost.pop(report.job, None)
        if held is not None and not held.is_failing:
            held.is_saving = True
            self.leased.spawn(report.job, self._put_aside(held, report), "park")

    async def _put_aside(self, held: LeasedJob, report: RunPreempted) -> None:
        if report.snapshot is not None:
            await self.saver.keep(held, report.snapshot, report.cost_s)
        await self.leased.release(held, lambda: self._requeue(held, report.why, None, report.cost_s))
        self.leased.keeps_for_pro = report.why is PreemptReason.PREEMPTED
