"""Counts that outlive the processes that count: of the controller's decisions and of notices to spot machines."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from mezzotint.domain.fleet.worker_state import FleetWorkerState
from mezzotint.store.database import Database, insert_on
from mezzotint.store.fleet.tables import devices, fleet_counts, fleet_rollouts, fleet_targets, fleet_workers


class FleetCount(StrEnum):
    DECISIONS = "decisions"
    """By the cause of a pool's new size."""
    SPOT_NOTICES = "spot_notices"
    """By cloud."""


Counted = Mapping[tuple[FleetCount, str], int]
"""A count and its label -> the number of times."""


async def add_counts(connection: AsyncConnection, counted: Counted) -> None:
    for (name, label), number in sorted(counted.items()):
        new = insert_on(connection, fleet_counts).values(name=name, label=label, number=number)
        more = {"number": fleet_counts.c.number + number}
        await connection.execute(new.on_conflict_do_update(index_elements=["name", "label"], set_=more))


@dataclass(frozen=True, slots=True, kw_only=True)
class FleetNumbers:
    """The fleet in numbers, from its rows.

    workers: by pool and state, those that live. wanted: workers, by pool. devices: by verdict. rollouts: by phase.
    counted: what was counted.
    """

    workers: Mapping[tuple[str, str], int] = field(default_factory=dict)
    wanted: Mapping[str, int] = field(default_factory=dict)
    devices: Mapping[str, int] = field(default_factory=dict)
    rollouts: Mapping[str, int] = field(default_factory=dict)
    counted: Counted = field(default_factory=dict)


class FleetCounts:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def add(self, name: FleetCount, label: str) -> None:
        async with self._database.write() as connection:
            await add_counts(connection, {(name, label): 1})

    async def read(self) -> FleetNumbers:
        lives = fleet_workers.c.state.not_in([state for state in FleetWorkerState if state.is_final])
        place = (fleet_workers.c.pool, fleet_workers.c.state)
        by_verdict = select(devices.c.verdict, func.count()).group_by(devices.c.verdict)
        by_phase = select(fleet_rollouts.c.phase, func.count()).group_by(fleet_rollouts.c.phase)
        async with self._database.read() as connection:
            workers = (await connection.execute(select(*place, func.count()).where(lives).group_by(*place))).all()
            wanted = (await connection.execute(select(fleet_targets.c.pool, fleet_targets.c.num_workers))).all()
            verdicts = (await connection.execute(by_verdict)).all()
            phases = (await connection.execute(by_phase)).all()
            counted = (await connection.execute(select(fleet_counts))).all()
        return FleetNumbers(
            workers={(pool, state): number for pool, state, number in workers},
            wanted=dict(tuple(row) for row in wanted),
            devices=dict(tuple(row) for row in verdicts),
            rollouts=dict(tuple(row) for row in phases),
            counted={(FleetCount(name), label): number for name, label, number in counted},
        )
