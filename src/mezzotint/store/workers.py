"""Rows of workers: who draws here, and who is to put its runs aside and take no more."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import and_, delete, func, or_, select, update

from mezzotint.domain.ids import WorkerId
from mezzotint.domain.job import JobState
from mezzotint.store.database import Database, insert_on
from mezzotint.store.schema import jobs, workers

EVERYBODY = "*"
"""Stands for all workers, also for those that start later."""
GONE = timedelta(minutes=2)
"""A worker that was not heard of for so long is no longer listed."""
FORGOTTEN = timedelta(days=1)
"""Its row goes long after that: a clock that steps ahead must not make a drained worker take jobs again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerStatus:
    """A worker as operators see it."""

    id: WorkerId
    seen_at: datetime
    num_running: int
    is_drained: bool


class Workers:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def record_heartbeat(self, worker: WorkerId, now: datetime) -> None:
        """The worker is alive."""
        gone = and_(workers.c.seen_at < now - FORGOTTEN, workers.c.id != worker)
        async with self._database.write() as connection:
            new = insert_on(connection, workers).values(id=worker, seen_at=now, is_drained=False)
            await connection.execute(new.on_conflict_do_update(index_elements=["id"], set_={"seen_at": now}))
            await connection.execute(delete(workers).where(gone))

    async def is_drained(self, worker: WorkerId) -> bool:
        """Whether the worker, or everybody, is to take no more."""
        mine = and_(workers.c.id.in_([worker, EVERYBODY]), workers.c.is_drained)
        async with self._database.read() as connection:
            return (await connection.execute(select(workers.c.id).where(mine))).first() is not None

    async def drain(self, worker: WorkerId, now: datetime, *, is_drained: bool) -> bool:
        """Returns whether there is such a worker."""
        here = and_(workers.c.id == worker, workers.c.seen_at >= now - GONE)
        async with self._database.write() as connection:
            found = await connection.execute(update(workers).where(here).values(is_drained=is_drained))
            return bool(found.rowcount)

    async def drain_all(self, *, is_drained: bool) -> None:
        """Drain workers that start later, too. The end of it ends single drains."""
        async with self._database.write() as connection:
            new = insert_on(connection, workers).values(id=EVERYBODY, is_drained=is_drained)
            values = {"is_drained": is_drained}
            await connection.execute(new.on_conflict_do_update(index_elements=["id"], set_=values))
            if not is_drained:
                await connection.execute(update(workers).values(values))

    async def all(self, now: datetime) -> list[WorkerStatus]:
        """The workers with a recent heartbeat, by name."""
        is_running = and_(jobs.c.lease_worker == workers.c.id, jobs.c.state == JobState.RUNNING)
        running = select(func.count()).where(is_running).scalar_subquery()
        everybody = select(workers.c.id).where(workers.c.id == EVERYBODY, workers.c.is_drained).exists()
        query = select(workers.c.id, workers.c.seen_at, running, or_(workers.c.is_drained, everybody))
        query = query.where(workers.c.seen_at >= now - GONE).order_by(workers.c.id)
        async with self._database.read() as connection:
            return [
                WorkerStatus(id=WorkerId(id), seen_at=seen_at, num_running=number, is_drained=bool(is_drained))
                for id, seen_at, number, is_drained in await connection.execute(query)
            ]
