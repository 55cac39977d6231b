"""The ledger read back: what each tenant used. Lines are written where jobs end."""

from collections import defaultdict
from dataclasses import replace
from datetime import datetime

from sqlalchemy import func, select

from mezzotint.domain.ids import TenantId
from mezzotint.domain.job import JobState
from mezzotint.domain.tenant import MonthlyUsage
from mezzotint.store.database import Database
from mezzotint.store.queue.transitions import CHARGED
from mezzotint.store.schema import images, jobs, ledger


class Ledger:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def usage(self, tenant: TenantId, since: str) -> list[MonthlyUsage]:
        """The tenant's months that have a line, newest first. since: the first month, such as `2026-01`."""
        mine = (ledger.c.tenant == tenant) & (ledger.c.month >= since)
        counted = (ledger.c.steps, ledger.c.gpu_s, ledger.c.num_passes, ledger.c.num_forecast)
        sums = (func.count(), *map(func.sum, counted))
        lines = select(ledger.c.month, ledger.c.kind, *sums).where(mine).group_by(ledger.c.month, ledger.c.kind)
        drawn = select(ledger.c.month, func.count()).join(images, images.c.job == ledger.c.job).where(mine)
        found: dict[str, MonthlyUsage] = {}
        async with self._database.read() as connection:
            num_images = defaultdict(int, dict(map(tuple, await connection.execute(drawn.group_by(ledger.c.month)))))
            for month, kind, num_jobs, num_steps, gpu_s, num_passes, num_forecast in await connection.execute(lines):
                so_far = found.get(month, MonthlyUsage(month=month, num_images=num_images[month]))
                found[month] = replace(
                    so_far,
                    num_jobs=so_far.num_jobs + num_jobs,
                    num_steps=so_far.num_steps + num_steps,
                    num_passes=so_far.num_passes + num_passes,
                    num_forecast=so_far.num_forecast + num_forecast,
                    gpu_s=so_far.gpu_s + (gpu_s if kind == CHARGED else 0.0),
                    waived_s=so_far.waived_s + (0.0 if kind == CHARGED else gpu_s),
                )
        return sorted(found.values(), key=lambda usage: usage.month, reverse=True)

    async def spent_by_state(self, since: datetime) -> dict[JobState, tuple[int, float]]:
        """Number and GPU-seconds of all tenants' jobs that ended since then, by the state they ended in."""
        sums = select(jobs.c.state, func.count(), func.sum(ledger.c.gpu_s)).join(jobs, jobs.c.id == ledger.c.job)
        rows = sums.where(ledger.c.at >= since).group_by(jobs.c.state)
        async with self._database.read() as connection:
            return {JobState(state): (num, gpu_s) for state, num, gpu_s in await connection.execute(rows)}
