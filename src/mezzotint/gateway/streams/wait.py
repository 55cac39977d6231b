"""Waiting for a job's end. Notification wakes, polling guarantees: the row is read at least once a second."""

import asyncio
import time

from mezzotint.actions.finish import Desk
from mezzotint.domain.errors import StorageUnavailable
from mezzotint.domain.job import Job, JobState
from mezzotint.gateway.errors import ApiError

POLL_S = 1.0
WAIT_S = 540.0
"""Of a request that answers with pictures: a little less than clients wait."""


async def wait_until_final(desk: Desk, job: Job, within_s: float) -> Job:
    """The job's row after its end, or as it is when the time is over.

    While the database is away it waits on. Raises: StorageUnavailable, if that lasts until the time is over.
    """
    until = time.monotonic() + within_s
    with desk.bus.watch(job.id) as queue:
        while True:
            left = until - time.monotonic()
            try:
                job = await desk.jobs.get(job.id) or job
            except StorageUnavailable:
                if left <= 0:
                    raise
            if job.state.is_final or left <= 0:
                return job
            try:
                async with asyncio.timeout(min(left, POLL_S)):
                    await queue.get()
            except TimeoutError:
                continue


def missing_image_error(job: Job) -> ApiError:
    """Why a job has no picture, with a status by which clients know whether to try again."""
    if job.state is JobState.CANCELLED:
        return ApiError("job_cancelled", hint="Send the request again.")
    if job.state is JobState.EXPIRED:
        return ApiError("job_expired", hint="Send the request again later.")
    if job.error is None:
        hint = f"GET /v1/jobs/{job.id}?wait=60 waits for it."
        return ApiError("job_under_way", hint=hint)
    return ApiError(job.error.code, message=job.error.message, hint=job.error.hint)
