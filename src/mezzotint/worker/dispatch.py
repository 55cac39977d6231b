"""Route a report about a job through the job's state table to the function that is due."""

import structlog

from mezzotint.domain.errors import CheckpointError, FingerprintMismatch, WorkerLost
from mezzotint.domain.ids import JobId
from mezzotint.engine.errors import RunCancelled
from mezzotint.worker.checkpoints.save import save_checkpoint
from mezzotint.worker.finish import fail_job, finish_job, requeue_job, requeue_preempted_job, settle_lost_job
from mezzotint.worker.job_states import JobAction, JobMessage
from mezzotint.worker.leased_jobs import LeasedJob, LeasedJobs
from mezzotint.worker.messages import (
    Cancel,
    CheckpointReady,
    PreemptReason,
    RunEnded,
    RunPreempted,
    StepDone,
    TaskFailed,
)
from mezzotint.worker.postprocess import explain
from mezzotint.worker.progress import publish_progress
from mezzotint.worker.start import restart_job

log = structlog.get_logger()
JobReport = StepDone | CheckpointReady | RunEnded | RunPreempted | TaskFailed


def handle_report(jobs: LeasedJobs, report: JobReport) -> None:
    """A report about a job that this worker has forgotten is dropped."""
    leased = jobs.by_id.get(report.job)
    if leased is None:
        return
    match report:
        case StepDone():
            if jobs.receive(leased, JobMessage.STEPPED) is JobAction.PUBLISH:
                publish_progress(jobs, leased, report)
        case CheckpointReady():
            if jobs.receive(leased, JobMessage.CHECKPOINTED) is JobAction.SAVE:
                _save_unless_saving(jobs, leased, report)
        case RunEnded():
            _handle_end(jobs, leased, report)
        case RunPreempted():
            if jobs.receive(leased, JobMessage.RUN_PREEMPTED) is JobAction.REQUEUE:
                jobs.spawn(report.job, requeue_preempted_job(jobs, leased, report), "requeue")
        case TaskFailed():
            _handle_failure(jobs, leased, report)


def give_all_back(jobs: LeasedJobs, reason: PreemptReason, suspects: frozenset[JobId] = frozenset()) -> None:
    """Give back the jobs whose runs the device did not put aside in time: the worker stops, but it did not crash.

    suspects: jobs of which one may have cost the device. They run alone next.
    """
    for leased in jobs.held():
        if jobs.receive(leased, JobMessage.WORKER_STOPS) is not JobAction.REQUEUE:
            continue
        if leased.job.id in suspects:
            fault = WorkerLost("The device failed while it drew this job, and the worker with it.")
            jobs.spawn(leased.job.id, fail_job(jobs, leased, fault, 0.0), "fail")
        else:
            jobs.spawn(leased.job.id, requeue_job(jobs, leased, reason), "requeue")


def _save_unless_saving(jobs: LeasedJobs, leased: LeasedJob, report: CheckpointReady) -> None:
    if leased.is_saving:
        jobs.backing.metrics.checkpoints.labels(result="skipped").inc()
        return
    leased.is_saving = True
    jobs.spawn(report.job, save_checkpoint(jobs, leased, report.snapshot, report.cost_s), "save")


def _handle_end(jobs: LeasedJobs, leased: LeasedJob, report: RunEnded) -> None:
    refused = leased.resumed_from if isinstance(report.error, CheckpointError) else None
    if isinstance(report.error, RunCancelled):
        message = JobMessage.RUN_CANCELLED
    else:
        message = JobMessage.RUN_ENDED if refused is None else JobMessage.CHECKPOINT_REFUSED
    match jobs.receive(leased, message):
        case JobAction.FINISH:
            jobs.spawn(report.job, finish_job(jobs, leased, report), "finish")
        case JobAction.RESTART:
            assert refused is not None, "the message says so"
            why = "other_numerics" if isinstance(report.error, FingerprintMismatch) else "corrupt"
            jobs.backing.metrics.unusable.labels(why=why).inc()
            log.warning("checkpoint refused", job=report.job, step=refused.step, why=why)
            jobs.spawn(report.job, restart_job(jobs, leased, refused), "restart")
        case JobAction.SETTLE:
            jobs.spawn(report.job, settle_lost_job(jobs, leased, report.cost_s), "settle")
        case _:
            pass  # ignored


def _handle_failure(jobs: LeasedJobs, leased: LeasedJob, report: TaskFailed) -> None:
    if jobs.receive(leased, JobMessage.TASK_FAILED) is JobAction.FAIL:
        jobs.send(Cancel(job=report.job))
        jobs.spawn(report.job, fail_job(jobs, leased, explain(leased.job, report.error), 0.0), "fail")
