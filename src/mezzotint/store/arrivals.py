"""New jobs come in: all of one submission or nothing, and submissions that come together share a transaction.

A commit waits for the disk, which takes longer than all that is written. While one is under way, those who submit
gather; the next takes all of them along. Whoever submits alone waits for nobody.
"""

import asyncio
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from sqlalchemy import insert
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from mezzotint.domain.job import Job
from mezzotint.domain.submission import Once
from mezzotint.store.database import Database
from mezzotint.store.flows import Arrived, arrive
from mezzotint.store.rows import row_of
from mezzotint.store.schema import changes, jobs
from mezzotint.store.submissions import remember

MOST = 200
"""Submissions of one transaction: a bound for how long it may take."""


@dataclass(frozen=True, slots=True, eq=False)
class Arrival:
    """One submission. is_new: whether its jobs are written; False: its name was taken."""

    jobs: Sequence[Job]
    once: Once | None
    is_new: asyncio.Future[bool] = field(default_factory=lambda: asyncio.get_running_loop().create_future())

    @property
    def name(self) -> tuple[str, str] | None:
        return None if self.once is None else (self.jobs[0].tenant, self.once.name)


class Arrivals:
    def __init__(self, database: Database) -> None:
        self._database = database
        self._waiting: list[Arrival] = []
        self._writing: asyncio.Task[None] | None = None

    async def add(self, added: Sequence[Job], once: Once | None) -> bool:
        """Returns once the jobs are on the disk: whether they are, or `once` was taken. Raises: StorageUnavailable."""
        arrival = Arrival(added, once)
        self._waiting.append(arrival)
        if self._writing is None or self._writing.done():
            self._writing = asyncio.create_task(self._write(), name="arrivals")
        return await arrival.is_new

    async def _write(self) -> None:
        while self._waiting:
            together = self._next()
            try:
                await self._commit(together)
            except IntegrityError as error:
                await self._one_by_one(together, error)
            except BaseException as error:  # noqa: BLE001 - raised again where each of them waits
                _fail(together, error)

    def _next(self) -> list[Arrival]:
        """Those that may go together: of one name only one."""
        names: set[tuple[str, str]] = set()
        together: list[Arrival] = []
        later: list[Arrival] = []
        for arrival in self._waiting:
            if len(together) == MOST or arrival.name in names:
                later.append(arrival)
                continue
            together.append(arrival)
            if arrival.name is not None:
                names.add(arrival.name)
        self._waiting = later
        return together

    async def _commit(self, together: Sequence[Arrival]) -> None:
        async with self._database.write() as connection:
            taken = await _taken(connection, together)
            await _insert(connection, [job for one in together if one.name not in taken for job in one.jobs])
        for arrival in together:
            if not arrival.is_new.done():  # else nobody waits for it any more
                arrival.is_new.set_result(arrival.name not in taken)

    async def _one_by_one(self, together: Sequence[Arrival], error: BaseException) -> None:
        """One of them is at fault: the others are not to suffer from it."""
        if len(together) == 1:
            _fail(together, error)
            return
        for arrival in together:
            try:
                await self._commit([arrival])
            except BaseException as its_own:  # noqa: BLE001 - raised again where it waits
                _fail([arrival], its_own)


def _fail(together: Sequence[Arrival], error: BaseException) -> None:
    for arrival in together:
        if not arrival.is_new.done():
            arrival.is_new.set_exception(error)


async def _taken(connection: AsyncConnection, together: Sequence[Arrival]) -> set[tuple[str, str] | None]:
    """The names that other requests had before."""
    named = [
        (one.jobs[0].tenant, one.once, tuple(job.id for job in one.jobs), one.jobs[0].created_at)
        for one in together
        if one.once is not None
    ]
    ours = await remember(connection, named)
    return {(tenant, once.name) for tenant, once, _, _ in named if (tenant, once.name) not in ours}


async def _insert(connection: AsyncConnection, added: Sequence[Job]) -> None:
    if not added:
        return
    await connection.execute(insert(jobs), [row_of(job) for job in added])
    numbers = Counter((job.lane, job.tenant) for job in added)
    since = {(job.lane, job.tenant): job.created_at for job in reversed(added)}
    await arrive(connection, [Arrived(*whose, number, since[whose]) for whose, number in numbers.items()])
    logged = [{"job": job.id, "number": 1, "state": job.state, "step": 0, "at": job.created_at} for job in added]
    await connection.execute(insert(changes), logged)
