"""Workers that claim at once are served in one transaction, one after the other as they came."""

from collections import defaultdict
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime

import structlog
from sqlalchemy import RowMapping
from sqlalchemy.ext.asyncio import AsyncConnection

from mezzotint.domain.errors import JobUnreadable
from mezzotint.domain.ids import JobId, WorkerId
from mezzotint.domain.job import Ending, Job, JobError, JobState, Lease, Timings
from mezzotint.store.database import Database
from mezzotint.store.group_commit import GroupCommit
from mezzotint.store.queue.candidates import WorkerOffer
from mezzotint.store.queue.claim import MAX_LOOKS, ClaimConflict, take_jobs
from mezzotint.store.queue.finish import FinishRequest, finish_jobs
from mezzotint.store.queue.settle import correct
from mezzotint.store.rows import UNREADABLE, claimed_jobs_of, job_of

log = structlog.get_logger()
MOST = 16
"""Claims of one transaction: others wait for the rows of the shares meanwhile."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClaimRequest:
    """lease_s: of each lease. most: jobs that there is room for."""

    offer: WorkerOffer
    now: datetime
    lease_s: float
    most: int


class Claimer:
    def __init__(self, database: Database) -> None:
        self._database = database
        self._group = GroupCommit[ClaimRequest, list[Job]]("claims", self._write, MOST, gives_up=True)

    async def claim(self, request: ClaimRequest) -> list[Job]:
        """The jobs that run under its leases from now on. Raises: StorageUnavailable."""
        return await self._group.submit(request)

    async def _write(self, together: Sequence[ClaimRequest]) -> list[list[Job]]:
        for _ in range(MAX_LOOKS):
            with suppress(ClaimConflict):
                async with self._database.write() as connection:
                    return await _claim_all(connection, together)
        return [[] for _ in together]


async def _claim_all(connection: AsyncConnection, together: Sequence[ClaimRequest]) -> list[list[Job]]:
    """Requests with equal offers share the jobs that one search finds."""
    now = max(request.now for request in together)
    alike: dict[tuple[WorkerOffer, float], list[int]] = defaultdict(list)
    for number, request in enumerate(together):
        alike[request.offer, request.lease_s].append(number)
    served: list[list[Job]] = [[] for _ in together]
    for (offer, lease_s), numbers in alike.items():
        rows = await take_jobs(connection, offer, now, lease_s, sum(together[number].most for number in numbers))
        jobs = await claimed_jobs_of(connection, await _end_unreadable(connection, rows, now))
        for number in numbers:
            most = together[number].most
            served[number], jobs = jobs[:most], jobs[most:]
    return served


async def _end_unreadable(
    connection: AsyncConnection, rows: Sequence[RowMapping], now: datetime
) -> Sequence[RowMapping]:
    """Fail claimed jobs whose rows cannot be read: one would fail every claim of others, too. Returns those others."""
    damaged = [row for row in rows if not _is_readable(row)]
    if not damaged:
        return rows
    error = JobError.of(JobUnreadable("The job's row cannot be read by this version of the worker."))
    ending = Ending(state=JobState.FAILED, at=now, timings=Timings(), step=0, error=error)
    _, corrections = await finish_jobs(
        connection, [FinishRequest(JobId(row["id"]), _lease_of(row), ending) for row in damaged]
    )
    await correct(connection, corrections)
    log.error("jobs failed that cannot be read", jobs=[row["id"] for row in damaged])
    return [row for row in rows if row not in damaged]


def _is_readable(row: RowMapping) -> bool:
    try:
        job_of(row, (), ())
    except UNREADABLE:
        return False
    return True


def _lease_of(row: RowMapping) -> Lease:
    return Lease(worker=WorkerId(row["lease_worker"]), token=row["lease_token"], expires_at=row["lease_expires_at"])
