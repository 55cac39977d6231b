"""Answer a job with the stored pictures of an equal one, in the place of drawing them again.

The filter looks at the pictures anew: its thresholds, its classifiers and the blocklist may have changed. Pictures that
do not simply pass are drawn again, and the ordinary way decides what becomes of them.
"""

import asyncio
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from io import BytesIO

import structlog
from PIL import Image as Pixels

from mezzotint.actions.finish import finish_reused, image_key
from mezzotint.domain.errors import LeaseLost
from mezzotint.domain.job import Ending, Image, Job, JobState, Timings
from mezzotint.policy.reuse import make_reuse_key
from mezzotint.policy.safety.images import ImageVerdict
from mezzotint.policy.safety.verdicts import SafetyVerdict
from mezzotint.worker.job_states import JobAction, JobMessage
from mezzotint.worker.leased_jobs import LeasedJob, LeasedJobs

log = structlog.get_logger()


async def make_key(jobs: LeasedJobs, job: Job, fingerprint: str) -> str:
    """The key by which the job's pictures are found. Raises: StorageUnavailable."""
    provenance = jobs.job_provenance
    finishing = "" if provenance is None else await provenance.describe(job.tenant)
    return make_reuse_key(job.model, fingerprint, job.parameters, finishing)


async def reuse_pictures(jobs: LeasedJobs, leased: LeasedJob) -> bool:
    """End the job with stored pictures, where there are any for it. Returns False where it is to be drawn.

    Raises: StorageUnavailable.
    """
    job, fingerprint = leased.job, jobs.models.fingerprints.get(leased.job.model)
    if not jobs.settings.reuses_pictures or job.reuse_scope is None or fingerprint is None:
        return False
    source = await jobs.backing.jobs.find_reusable(job, await make_key(jobs, job, fingerprint))
    result = "miss" if source is None else await _answer(jobs, leased, source)
    jobs.backing.metrics.reuses.labels(result=result).inc()
    return result == "hit"


async def _answer(jobs: LeasedJobs, leased: LeasedJob, source: Job) -> str:
    """Returns the label of the metric: hit, gone or blocked."""
    backing, job = jobs.backing, leased.job
    files = [await backing.objects.get(image_key(image.png, "png")) for image in source.images]
    pngs = [file for file in files if file is not None]
    if len(pngs) < len(files):
        return "gone"
    started_at = time.monotonic()

    def judge_files() -> list[ImageVerdict]:
        return [jobs.image_filter.check(Pixels.open(BytesIO(png)), job.tier) for png in pngs]

    try:
        verdicts = await asyncio.to_thread(judge_files)
    except Exception as error:  # the filter will be asked again about the new ones
        log.warning("stored picture not checked", job=job.id, exc_info=error)
        return "blocked"
    if any(verdict.verdict is not SafetyVerdict.ALLOW for verdict in verdicts):
        return "blocked"
    ending = _make_ending(jobs, job, source, verdicts, filter_s=time.monotonic() - started_at)
    with suppress(LeaseLost):  # then its holder ends it, or it was cancelled
        if not await finish_reused(backing, job, leased.lease, ending):
            return "gone"
        log.info("job answered with a stored picture", job=job.id, source=source.id)
        backing.metrics.reuse_saved.inc(source.cost_s)
    if jobs.receive(leased, JobMessage.RUN_ENDED) is JobAction.FINISH:
        jobs.receive(leased, JobMessage.WRITTEN)
    return "hit"


def _make_ending(
    jobs: LeasedJobs, job: Job, source: Job, verdicts: Sequence[ImageVerdict], *, filter_s: float
) -> Ending:
    at = jobs.now()

    def take_over(image: Image, verdict: ImageVerdict) -> Image:
        checked = replace(image, verdict=verdict.verdict, scores=verdict.kept_scores, filter_version=verdict.version)
        return replace(checked, job=job.id, created_at=at, pdq=verdict.pdq, pdq_quality=verdict.pdq_quality)

    queue_s = max((job.started_at - job.created_at).total_seconds(), 0.0) if job.started_at else None
    return Ending(
        state=JobState.SUCCEEDED,
        at=at,
        timings=Timings(queue_s=queue_s, filter_s=filter_s),
        step=0,
        images=tuple(take_over(*pair) for pair in zip(source.images, verdicts, strict=True)),
        cut_texts=source.cut_texts,
        reused_from=source.id,
        reuse_charge_s=jobs.settings.reuse_charge * source.cost_s,
    )
