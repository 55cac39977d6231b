"""New jobs come in: all of one submission or nothing, and submissions that come together share a transaction."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import literal, select
from sqlalchemy.ext.asyncio import AsyncConnection

from mezzotint.domain.job import Job
from mezzotint.domain.submission import Once
from mezzotint.store.changes import FIRST
from mezzotint.store.database import Database
from mezzotint.store.flows import ARRIVE, Arrived, arrivals_of
from mezzotint.store.gathering import Gathering
from mezzotint.store.rows import row_of
from mezzotint.store.schema import jobs
from mezzotint.store.submissions import remember
from mezzotint.store.together import Insert, Row, Write, carry_out

MOST = 200
"""Submissions of one transaction: a bound for how long it may take."""
SAID = ["id", "tenant", "tier", "state", "raw_prompt", "parameters", "model", "cost", "lane", "waits_in", "created_at"]
SAID += ["timings", "batch"]
ZERO = ["step", "attempts", "lease_token", "cost_s"]
"""What a new job's row says, and what is 0 in all of them."""


def _new(row: Row, insert: Insert) -> object:
    said: list[Any] = [*(row[name] for name in SAID), *(literal(0) for _ in ZERO)]
    return insert(jobs).from_select([*SAID, *ZERO], select(*said), include_defaults=False)


NEW = Write(name="new", values={name: jobs.c[name].type for name in SAID}, make=_new)


@dataclass(frozen=True, slots=True, eq=False)
class Arrival:
    """One submission."""

    jobs: Sequence[Job]
    once: Once | None

    @property
    def name(self) -> tuple[str, str] | None:
        return None if self.once is None else (self.jobs[0].tenant, self.once.name)


class Arrivals:
    def __init__(self, database: Database) -> None:
        self._database = database
        self._gathering = Gathering[Arrival, bool]("arrivals", self._write, MOST, key=lambda arrival: arrival.name)

    async def add(self, added: Sequence[Job], once: Once | None) -> bool:
        """Returns once the jobs are on the disk: whether they are, or `once` was taken. Raises: StorageUnavailable."""
        return await self._gathering.go(Arrival(added, once))

    async def _write(self, together: Sequence[Arrival]) -> list[bool]:
        is_alone = all(one.once is None for one in together)
        async with self._database.write(is_one=is_alone) as connection:
            taken = await _taken(connection, together)
            await _insert(connection, [job for one in together if one.name not in taken for job in one.jobs])
        return [one.name not in taken for one in together]


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
    numbers = Counter((job.lane, job.tenant) for job in added)
    since = {(job.lane, job.tenant): job.created_at for job in reversed(added)}
    arrived = [Arrived(*whose, number, since[whose]) for whose, number in numbers.items()]
    logged = [{"job": job.id, "state": job.state, "at": job.created_at} for job in added]
    await carry_out(connection, {NEW: [row_of(job) for job in added], ARRIVE: arrivals_of(arrived), FIRST: logged})
