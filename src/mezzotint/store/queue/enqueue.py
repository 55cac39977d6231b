"""New jobs come in: all of one submission or nothing, and submissions that come together share a transaction."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import bindparam, func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from mezzotint.domain.ids import TenantId
from mezzotint.domain.job import OPEN, Job
from mezzotint.domain.submission import Once, TooManyOpen
from mezzotint.store.bulk_write import Statement, execute
from mezzotint.store.database import Database
from mezzotint.store.events.changes import LOG_NEW
from mezzotint.store.group_commit import GroupCommit
from mezzotint.store.queue.flows import ENQUEUE_FLOW, QueuedJobs, count_by_flow
from mezzotint.store.rows import row_of
from mezzotint.store.schema import jobs
from mezzotint.store.submissions import remember, withdraw

MOST = 200
"""Submissions of one transaction: a bound for how long it may take."""
SAID = ["id", "tenant", "owner", "tier", "state", "raw_prompt", "parameters", "model", "cost", "lane", "waits_in"]
SAID += ["created_at", "timings", "batch", "reuse_scope", "screening", "region"]
INSERT_JOBS = Statement(
    name="insert_jobs",
    values={name: jobs.c[name].type for name in SAID},
    sql=f"""
    INSERT INTO jobs ({", ".join(SAID)}, step, attempts, lease_token, cost_s, num_losses, lost_step)
    SELECT {", ".join(SAID)}, 0, 0, 0, 0, 0, 0 FROM given""",
)
NUM_OPEN = (
    select(jobs.c.tenant, func.count().label("num_open"))
    .where(jobs.c.tenant.in_(bindparam("of_tenants", expanding=True)), jobs.c.state.in_(OPEN))
    .group_by(jobs.c.tenant)
)


@dataclass(frozen=True, slots=True, eq=False)
class EnqueueRequest:
    """A submission. most_open: how many open jobs its tenant may have with it; None: any number."""

    jobs: Sequence[Job]
    once: Once | None
    most_open: int | None = None

    @property
    def tenant(self) -> TenantId:
        return self.jobs[0].tenant

    @property
    def name(self) -> tuple[TenantId, str] | None:
        return None if self.once is None else (self.tenant, self.once.name)


class Enqueuer:
    def __init__(self, database: Database) -> None:
        self._database = database
        self._group = GroupCommit[EnqueueRequest, bool | TooManyOpen](
            "arrivals", self._write, MOST, key=lambda request: request.name
        )

    async def enqueue(self, added: Sequence[Job], once: Once | None, most_open: int | None) -> bool | TooManyOpen:
        """Returns once the jobs are on the disk: whether they are, or `once` was taken. Raises: StorageUnavailable."""
        return await self._group.submit(EnqueueRequest(added, once, most_open))

    async def _write(self, together: Sequence[EnqueueRequest]) -> list[bool | TooManyOpen]:
        is_alone = all(one.once is None and one.most_open is None for one in together)
        async with self._database.write(is_one=is_alone) as connection:
            limited = {one.tenant for one in together if one.most_open is not None}
            if limited:  # until the transaction ends nobody else adds to their open jobs
                await self._database.lock(connection, *(f"open jobs of {tenant}" for tenant in limited))
            named = [
                (one.tenant, one.once, tuple(job.id for job in one.jobs), one.jobs[0].created_at)
                for one in together
                if one.once is not None
            ]
            ours = await remember(connection, named)  # the names that no other request had before
            num_open = Counter({tenant: number for (tenant, _), number in ours.items()})
            if others := limited - num_open.keys():
                counted = await connection.execute(NUM_OPEN, {"of_tenants": list(others)})
                num_open.update({TenantId(tenant): number for tenant, number in counted})
            told = [_decide(one, num_open, is_taken=one.name is not None and one.name not in ours) for one in together]
            too_many = [one for one, answer in zip(together, told, strict=True) if isinstance(answer, TooManyOpen)]
            await withdraw(connection, [(one.tenant, one.once) for one in too_many if one.once is not None])
            written = [one for one, answer in zip(together, told, strict=True) if answer is True]
            await _insert(connection, [job for one in written for job in one.jobs])
        return told


def _decide(request: EnqueueRequest, num_open: Counter[TenantId], *, is_taken: bool) -> bool | TooManyOpen:
    """Decide whether a request is written; its jobs are then added to its tenant's open ones."""
    if is_taken:
        return False
    before = num_open[request.tenant]
    if request.most_open is not None and before + len(request.jobs) > request.most_open:
        return TooManyOpen(num_open=before)
    num_open[request.tenant] += len(request.jobs)
    return True


async def _insert(connection: AsyncConnection, added: Sequence[Job]) -> None:
    numbers = Counter((job.lane, job.tenant) for job in added)
    since = {(job.lane, job.tenant): job.created_at for job in reversed(added)}
    arrived = [QueuedJobs(*whose, number, since[whose]) for whose, number in numbers.items()]
    logged = [{"job": job.id, "state": job.state, "at": job.created_at} for job in added]
    await execute(
        connection, {INSERT_JOBS: [row_of(job) for job in added], ENQUEUE_FLOW: count_by_flow(arrived), LOG_NEW: logged}
    )
