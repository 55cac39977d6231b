"""The pressure on the queue, read from its index."""

from datetime import datetime

from sqlalchemy import func, select

from mezzotint.domain.tier import Tier
from mezzotint.policy.fair_queue.overload import Pressure
from mezzotint.store.database import Database
from mezzotint.store.schema import jobs


async def read_pressure(database: Database, now: datetime) -> Pressure:
    """The number of waiting jobs, and the 99th percentile of their waits in the lane where it is longest."""
    num_queued, longest_s = 0, 0.0
    async with database.read() as connection:
        for tier in Tier:
            line = jobs.c.waits_in == tier
            count = int((await connection.execute(select(func.count()).where(line))).scalar_one())
            if count == 0:
                continue
            oldest = select(jobs.c.created_at).where(line).order_by(jobs.c.seq).offset(count // 100).limit(1)
            created_at = (await connection.execute(oldest)).scalar_one_or_none()
            num_queued += count
            if created_at is not None:  # taken between the two looks
                longest_s = max(longest_s, (now - created_at).total_seconds())
    return Pressure(num_queued=num_queued, p99_wait_s=longest_s)
