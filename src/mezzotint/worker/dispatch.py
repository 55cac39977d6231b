"""Route a report about a job through the job's state table to the function that is due."""

from collections.abc import Mapping
from types import MappingProxyType

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
MESSAGES: Mapping[type[JobReport], JobMessage] = MappingProxyType(
    {
        StepDone: JobMessage.STEPPED,
        CheckpointReady: JobMessage.CHECKPOINTED,
        RunEnded: JobMessage.RUN_ENDED,
        RunPreempted: JobMessage.RUN_PREEMPTED,
        TaskFailed: JobMessage.TASK_FAILED,
    }
)


def handle_report(jobs: LeasedJobs, report: JobReport) -> None:
    """A report about a job that this worker has forgotten is dropped."""
    leased = jobs.by_id.get(report.job)
    if leased is None:
        return
    match report, jobs.receive(leased, choose_message(leased, report)):
        case StepDone() as step, JobAction.PUBLISH:
            publish_progress(jobs, leased, step)
        case CheckpointReady(), JobAction.SAVE if leased.is_saving:
            jobs.backing.metrics.checkpoints.labels(result="skipped").inc()
        case CheckpointReady() as ready, JobAction.SAVE:
            leased.is_saving = True
            jobs.spawn(report.job, save_checkpoint(jobs, leased, ready.snapshot, ready.cost_s), "save")
        case RunEnded() as ended, JobAction.FINISH:
            jobs.spawn(report.job, finish_job(jobs, leased, ended), "finish")
        case RunEnded(error=error), JobAction.RESTART:
            refused = leased.resumed_from
            assert refused is not None, "the message says so"
            why = "other_numerics" if isinstance(error, FingerprintMismatch) else "corrupt"
            jobs.backing.metrics.unusable.labels(why=why).inc()
            log.warning("checkpoint refused", job=report.job, step=refused.step, why=why)
            jobs.spawn(report.job, restart_job(jobs, leased, refused), "restart")
        case RunEnded(cost_s=cost_s), JobAction.SETTLE:
            jobs.spawn(report.job, settle_lost_job(jobs, leased, cost_s), "settle")
        case RunPreempted() as preempted, JobAction.REQUEUE:
            jobs.spawn(report.job, requeue_preempted_job(jobs, leased, preempted), "requeue")
        case TaskFailed(error=fault), JobAction.FAIL:
            jobs.send(Cancel(job=report.job))
            jobs.spawn(report.job, fail_job(jobs, leased, explain(leased.job, fault), 0.0), "fail")


def choose_message(leased: LeasedJob, report: JobReport) -> JobMessage:
    """The message of a report to the job's state table."""
    match report:
        case RunEnded(error=RunCancelled()):
            return JobMessage.RUN_CANCELLED
        case RunEnded(error=CheckpointError()) if leased.resumed_from is not None:
            return JobMessage.CHECKPOINT_REFUSED
        case _:
            return MESSAGES[type(report)]


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
