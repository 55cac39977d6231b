"""The work that waits, by kind, as autoscaling sees it."""

from collections.abc import Collection
from datetime import datetime
from typing import Any

from sqlalchemy import case, func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from mezzotint.domain.fleet.pool import DEFAULT_REGION
from mezzotint.domain.ids import TenantId
from mezzotint.domain.tier import Tier
from mezzotint.policy.fleet.load_plan import WaitingWork
from mezzotint.store.database import Database
from mezzotint.store.queue.flows import ROOT
from mezzotint.store.schema import jobs, shares

FIRST_PACE_S = 1.0
"""GPU-seconds a step-megapixel, before any was measured."""


async def read_waiting(database: Database, dedicated: Collection[TenantId], now: datetime) -> list[WaitingWork]:
    """The jobs that may be claimed, added up by model, lane and region. dedicated: tenants with a pool of their own,
    whose work stands apart. `wait_s` is that of the job which waits longest."""
    kind: list[Any] = [jobs.c.model, jobs.c.waits_in, jobs.c.region]
    if dedicated:
        kind.append(case((jobs.c.tenant.in_(sorted(dedicated)), jobs.c.tenant), else_=""))
    sums = select(func.sum(jobs.c.cost), func.min(jobs.c.created_at), *kind)
    sums = sums.where(jobs.c.waits_in.is_not(None)).group_by(*kind)
    async with database.read() as connection:
        pace_s = await read_pace(connection)
        rows = (await connection.execute(sums)).all()
    return [
        WaitingWork(
            model=model,
            lane=Tier(lane),
            tenant=TenantId(tenant[0]) if tenant and tenant[0] else None,
            work_s=cost * pace_s,
            region=region or DEFAULT_REGION,
            wait_s=max((now - oldest).total_seconds(), 0.0),
        )
        for cost, oldest, model, lane, region, *tenant in rows
    ]


async def read_pace(connection: AsyncConnection) -> float:
    """GPU-seconds that a step-megapixel takes, over all models and workers."""
    query = select(shares.c.pace_s).where(shares.c.share == ROOT)
    return (await connection.execute(query)).scalar_one_or_none() or FIRST_PACE_S
