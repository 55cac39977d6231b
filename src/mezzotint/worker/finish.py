"""Write the end of a leased job: its pictures, its failure, or its return to the queue."""

import random
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, replace
from typing import assert_never

import structlog

from mezzotint.actions.finish import finish
from mezzotint.actions.requeue import requeue
from mezzotint.domain.errors import EngineFailed, JobFault, StorageUnavailable, WorkerLost
from mezzotint.domain.event import Moved
from mezzotint.domain.job import Ending, JobState, remaining_cost
from mezzotint.policy.fair_queue.settle import next_pace
from mezzotint.policy.poison import WorkerLoss
from mezzotint.policy.retry import DeadLetter, Failure, Retry, decide_retry
from mezzotint.policy.safety.verdicts import SafetyVerdict
from mezzotint.worker.checkpoints.save import save_checkpoint
from mezzotint.worker.leased_jobs import LeasedJob, LeasedJobs
from mezzotint.worker.messages import PreemptReason, RunEnded, RunPreempted
from mezzotint.worker.postprocess import UNTOUCHED, PictureStorage, explain, postprocess
from mezzotint.worker.reuse import make_key

log = structlog.get_logger()
MOVES: Mapping[str, str] = {
    PreemptReason.DRAIN: "its worker stops or is being drained",
    PreemptReason.DEVICE_LOST: "the device of its worker failed",
}
"""Reasons for which a job goes on elsewhere -> in words for its owner."""


async def finish_job(jobs: LeasedJobs, leased: LeasedJob, report: RunEnded) -> None:
    """Filter and store the pictures of a run, or write its failure."""
    if report.error is not None:
        await fail_job(jobs, leased, explain(leased.job, report.error), report.cost_s)
        return
    load_s = report.begun_at - leased.claimed_at if report.begun_at is not None else None
    storage = PictureStorage(objects=jobs.backing.objects, originals=jobs.backing.originals)
    if jobs.refresh_blocklist is not None:  # a picture drawn again after its takedown is not delivered
        await jobs.retry_while_away(jobs.refresh_blocklist)
    try:
        tools = UNTOUCHED
        if (provenance := jobs.job_provenance) is not None:
            tools = await jobs.retry_while_away(lambda: provenance.prepare(leased.job, jobs.now()))
        ending = await jobs.retry_while_away(
            lambda: postprocess(leased.job, report, jobs.image_filter, storage, jobs.now, tools=tools)
        )
    except JobFault as error:
        log.warning("picture not kept", job=leased.job.id, exc_info=error)
        await fail_job(jobs, leased, error, report.cost_s)
        return
    timings = replace(ending.timings, load_s=load_s)
    if report.fingerprint is not None and all(image.verdict == SafetyVerdict.ALLOW for image in ending.images):
        fingerprint = report.fingerprint
        key = await jobs.retry_while_away(lambda: make_key(jobs, leased.job, fingerprint))
        ending = replace(ending, reuse_key=key if ending.images else None)
    ending = replace(ending, timings=timings, cost_s=report.cost_s, resumed_cost_s=leased.resumed_cost_s)
    ending = replace(ending, num_passes=report.num_passes, num_forecast=report.num_forecast)
    work = remaining_cost(leased.job.parameters, leased.job.step) * ending.computed_share
    jobs.pace_s = next_pace(jobs.pace_s, work, report.cost_s)
    jobs.health.record_pace(leased.job.model, work, report.cost_s)
    jobs.health.record_end(None)
    if await jobs.write_and_release(leased, lambda: finish(jobs.backing, leased.job, leased.lease, ending)):
        took = {name: round(took, 3) for name, took in asdict(ending.timings).items() if took is not None}
        log.info("job ended", job=leased.job.id, state=ending.state, **took)


async def fail_job(jobs: LeasedJobs, leased: LeasedJob, fault: JobFault, cost_s: float) -> None:
    """Retry the job later, on another worker if possible; after the last try mark it failed. cost_s: of this try."""
    settings, job = jobs.settings, leased.job
    jobs.health.record_end(fault)
    is_loss = isinstance(fault, EngineFailed | WorkerLost)
    loss = WorkerLoss(worker=settings.id, job=job.id, at=jobs.now())
    losses = jobs.backing.jobs.losses
    num_other_ends = 0
    if is_loss and job.is_suspect:
        with suppress(StorageUnavailable):  # then the decision cannot be written either
            num_other_ends = await jobs.retry_while_away(lambda: losses.count_other_ends(loss))
    failure = Failure(
        fault=fault,
        num_tries=0 if isinstance(fault, WorkerLost) else job.attempts,  # a lost device is charged to no job
        worker=None if settings.is_alone else settings.id,
        at=loss.at,
        jitter=random.random(),
        num_losses=job.num_losses + 1 if is_loss else 0,
        num_other_ends=num_other_ends,
    )
    if is_loss:
        with suppress(StorageUnavailable):  # evidence for other jobs only
            await losses.record(loss)
    match decide_retry(failure, max_tries=settings.max_attempts):
        case Retry() as retry:
            log.warning("run failed, tried again", job=job.id, code=fault.code)
            await requeue_job(jobs, leased, "failed", retry=retry, cost_s=cost_s)
        case DeadLetter(error=error):
            log.warning("run failed", job=job.id, code=fault.code, tries=job.attempts)
            ending = Ending(
                state=JobState.FAILED,
                at=jobs.now(),
                timings=job.timings,
                step=leased.step,
                error=error,
                cost_s=cost_s,
                resumed_cost_s=leased.resumed_cost_s,
            )
            await jobs.write_and_release(leased, lambda: finish(jobs.backing, job, leased.lease, ending))
        case _ as never:
            assert_never(never)


async def requeue_job(
    jobs: LeasedJobs, leased: LeasedJob, reason: str, *, retry: Retry | None = None, cost_s: float = 0.0
) -> None:
    """Give the lease back, so that any worker may claim the job. reason: label of the metric."""

    moved = None if jobs.settings.is_alone else MOVES.get(reason)

    async def write() -> None:
        is_written = await requeue(jobs.backing, leased.job, reason, jobs.now(), retry=retry, gpu_s=cost_s)
        if is_written and moved is not None:
            jobs.backing.bus.publish(leased.job.id, Moved(job=leased.job.id, reason=moved))

    await jobs.write_and_release(leased, write)


async def requeue_preempted_job(jobs: LeasedJobs, leased: LeasedJob, report: RunPreempted) -> None:
    """Save the run's last step, then give the lease back."""
    if report.snapshot is not None:
        await save_checkpoint(jobs, leased, report.snapshot, report.cost_s)
    await requeue_job(jobs, leased, report.why, cost_s=report.cost_s)
    jobs.keeps_for_pro = report.why is PreemptReason.PREEMPTED


async def settle_lost_job(jobs: LeasedJobs, leased: LeasedJob, cost_s: float) -> None:
    """Charge a cancelled job for the passes that its run took part in."""
    with suppress(StorageUnavailable):  # then the cost of its checkpoints is charged
        await jobs.backing.jobs.charge_cancelled(leased.job.id, leased.lease, leased.resumed_cost_s + cost_s)
