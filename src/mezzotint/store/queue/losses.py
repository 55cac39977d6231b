"""Jobs that workers left behind when they ended: the evidence by which a poison pill is told from bad luck."""

from sqlalchemy import delete, select

from mezzotint.domain.ids import JobId, WorkerId
from mezzotint.policy.poison import LATELY, WorkerLoss, count_other_ends
from mezzotint.store.database import Database, insert_on
from mezzotint.store.schema import worker_losses

MOST = 1000
"""Rows that are read for one decision, the newest; only whether any is of another end matters."""


class WorkerLosses:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def record(self, loss: WorkerLoss) -> None:
        """Keep the loss while it is evidence; drop those that are none any more."""
        values = {"worker": loss.worker, "job": loss.job, "at": loss.at}
        async with self._database.write() as connection:
            await connection.execute(delete(worker_losses).where(worker_losses.c.at < loss.at - 2 * LATELY))
            new = insert_on(connection, worker_losses).values(values)
            await connection.execute(new.on_conflict_do_update(index_elements=["worker", "job"], set_={"at": loss.at}))

    async def count_other_ends(self, loss: WorkerLoss) -> int:
        """Count the workers that ended lately while they did not run the lost job."""
        lately = select(worker_losses.c.worker, worker_losses.c.job, worker_losses.c.at)
        lately = lately.where(worker_losses.c.at >= loss.at - LATELY).order_by(worker_losses.c.at.desc()).limit(MOST)
        async with self._database.read() as connection:
            rows = (await connection.execute(lately)).all()
        found = [WorkerLoss(worker=WorkerId(worker), job=JobId(job), at=at) for worker, job, at in rows]
        return count_other_ends(loss, found)

    async def take_back(self, worker: WorkerId, job: JobId) -> None:
        """The worker lives: only its lease had ended."""
        mine = (worker_losses.c.worker == worker) & (worker_losses.c.job == job)
        async with self._database.write() as connection:
            await connection.execute(delete(worker_losses).where(mine))
