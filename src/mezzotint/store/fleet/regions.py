"""The regions: which there are, who draws in each, and how much waits there."""

from collections import Counter
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Select, and_, func, or_, select

from mezzotint.domain.fleet.health import HealthVerdict
from mezzotint.domain.fleet.pool import Fleet
from mezzotint.domain.tier import Tier
from mezzotint.policy.fleet.regions import RegionsView, RegionWork
from mezzotint.store.database import Database, insert_on
from mezzotint.store.fleet.tables import devices, regions
from mezzotint.store.fleet.waiting import read_pace
from mezzotint.store.schema import jobs, workers

HEARD = timedelta(seconds=20)
"""A region whose workers all were silent for so long has none: four heartbeats."""
MAX_COUNTED = 500
"""Waiting jobs of a lane and region whose work is added up: more are late with any number of workers in reach."""


class Regions:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def add(self, name: str) -> None:
        """A gateway of the region takes jobs from now on."""
        async with self._database.write() as connection:
            await connection.execute(insert_on(connection, regions).values(name=name).on_conflict_do_nothing())

    async def read_homes(self) -> frozenset[str]:
        """The regions that any gateway ever named."""
        async with self._database.read() as connection:
            return frozenset((await connection.execute(select(regions.c.name))).scalars())

    async def read(self, homes: frozenset[str], fleet: Fleet | None, now: datetime) -> RegionsView:
        """Read the workers and the waiting jobs of the regions, the latter by their index, so many of each."""
        waiting: dict[tuple[str, Tier], RegionWork] = {}
        async with self._database.read() as connection:
            healthy = (await connection.execute(_healthy_workers(now))).all()
            pace_s = await read_pace(connection)
            for home in sorted(homes):
                for lane in Tier:
                    first = select(jobs.c.cost, jobs.c.created_at).where(jobs.c.waits_in == lane, jobs.c.region == home)
                    first = first.order_by(jobs.c.seq).limit(MAX_COUNTED)
                    one = first.subquery()
                    sums = select(func.sum(one.c.cost), func.min(one.c.created_at))
                    cost, oldest = (await connection.execute(sums)).one()
                    if oldest is not None:
                        oldest_s = max((now - oldest).total_seconds(), 0.0)
                        waiting[home, lane] = RegionWork(work_s=cost * pace_s, oldest_s=oldest_s)
        num_healthy = Counter(
            (name, Tier(lane)) for name, limits in healthy for lane in (limits or {}).get("lanes", Tier)
        )
        return RegionsView(homes=homes, fleet=fleet, num_healthy=num_healthy, waiting=waiting)


def _healthy_workers(now: datetime) -> Select[Any]:
    takes = and_(workers.c.is_drained.is_(False), workers.c.drain_wanted_at.is_(None), workers.c.drained_at.is_(None))
    rests = devices.c.verdict == HealthVerdict.QUARANTINED
    query = select(workers.c.region, workers.c.limits)
    query = query.select_from(workers.outerjoin(devices, devices.c.device == workers.c.device))
    heard = and_(workers.c.seen_at >= now - HEARD, workers.c.region != "")
    return query.where(heard, takes, or_(devices.c.verdict.is_(None), ~rests))
