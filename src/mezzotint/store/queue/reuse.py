"""Find a stored picture that answers a job, and make sure of it in the transaction that ends the job with it."""

from typing import Any

from sqlalchemy import Select, bindparam, exists, func, or_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from mezzotint.domain.ids import OF_TENANT
from mezzotint.domain.job import Ending, Job, JobState, ReuseScope
from mezzotint.store.rows import jobs_of
from mezzotint.store.safety.takedown_tables import blocklist
from mezzotint.store.schema import images, jobs, tenants


def _reusable_query() -> Select[Any]:
    switched_off = exists().where(tenants.c.id == jobs.c.tenant, tenants.c.reuses_pictures.is_(False))
    return (
        select(jobs)
        .where(jobs.c.tenant == bindparam("of_tenant"), jobs.c.reuse_key == bindparam("by_key"), ~switched_off)
        .where(jobs.c.state == JobState.SUCCEEDED)
        .order_by(jobs.c.seq.desc())
        .limit(1)
    )


OF_ANYBODY = _reusable_query()
OF_OWNER = _reusable_query().where(or_(jobs.c.owner == bindparam("of_owner"), jobs.c.owner == OF_TENANT))


async def find_reusable(connection: AsyncConnection, job: Job, key: str) -> Job | None:
    """The newest job of the tenant with that key whose pictures the asker sees, while the tenant reuses pictures."""
    given = {"of_tenant": job.tenant, "by_key": key}
    if job.reuse_scope is ReuseScope.OWN:
        found = await connection.execute(OF_OWNER, {**given, "of_owner": job.owner})
    else:
        found = await connection.execute(OF_ANYBODY, given)
    source = next(iter(await jobs_of(connection, found.mappings().all())), None)
    return source if source is not None and source.images else None


async def is_source_there(connection: AsyncConnection, ending: Ending) -> bool:
    """Say whether the pictures of an end with reused ones are still those of their source, and none was taken down.

    The source's row stays locked, so that a takedown of it comes before this or after the end.
    """
    state = select(jobs.c.state).where(jobs.c.id == ending.reused_from).with_for_update(read=True)
    if await connection.scalar(state) != JobState.SUCCEEDED:
        return False
    pngs = {image.png for image in ending.images}
    kept = select(func.count()).where(images.c.job == ending.reused_from, images.c.png.in_(pngs))
    listed = select(blocklist.c.seq).where(blocklist.c.content.in_(pngs | {image.webp for image in ending.images}))
    is_kept = await connection.scalar(kept) == len(ending.images)
    return is_kept and (await connection.execute(listed.limit(1))).first() is None
