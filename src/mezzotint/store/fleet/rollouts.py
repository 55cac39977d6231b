"""Rows of rollouts. The fleet has at most one that is not over."""

from collections.abc import Mapping
from dataclasses import asdict
from datetime import datetime
from typing import Any

from sqlalchemy import RowMapping, and_, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from mezzotint.domain.fleet.rollout import Release, Rollout
from mezzotint.domain.fleet.rollout_phase import ROLLOUT_TRANSITIONS, RolloutPhase
from mezzotint.store.database import Database
from mezzotint.store.fleet.tables import fleet_rollouts, fleet_workers, fleets

OPEN = fleet_rollouts.c.phase.in_([phase for phase in RolloutPhase if not phase.is_final])


class Rollouts:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def newest(self) -> Rollout | None:
        query = select(fleet_rollouts).order_by(fleet_rollouts.c.seq.desc()).limit(1)
        async with self._database.read() as connection:
            row = (await connection.execute(query)).mappings().one_or_none()
            return None if row is None else _rollout_of(row)

    async def begin(self, release: Release, old: str, pools: tuple[str, ...], now: datetime) -> bool:
        """Returns whether no other rollout is under way."""
        values = {**asdict(release), "old": old, "pools": list(pools), "started_at": now, "changed_at": now}
        values |= {"phase": RolloutPhase.ROLLING, "reason": "asked for with `fleet rollout`", "step": "it begins"}
        counted = select(fleet_workers.c.id, fleet_workers.c.num_runs, fleet_workers.c.num_failed)
        async with self._database.write() as connection:
            await self._database.lock(connection, "rollout")
            if (await connection.execute(select(fleet_rollouts.c.seq).where(OPEN))).first() is not None:
                return False
            counts = {id: [runs, failed] for id, runs, failed in (await connection.execute(counted)).all()}
            await connection.execute(insert(fleet_rollouts).values(baseline=counts, **values))
            return True

    async def go_back(self, reason: str, now: datetime) -> bool:
        """Let the rollout that rolls go back. Returns whether there was one."""
        async with self._database.write() as connection:
            return await send_back(connection, reason, now)


async def send_back(connection: AsyncConnection, reason: str, now: datetime) -> bool:
    """Let the rollout that rolls go back. Returns whether there was one."""
    values = {"phase": RolloutPhase.GOING_BACK, "reason": reason, "changed_at": now}
    rolls = fleet_rollouts.c.phase == RolloutPhase.ROLLING
    return bool((await connection.execute(update(fleet_rollouts).where(rolls).values(values))).rowcount)


async def write_rollout(connection: AsyncConnection, before: RolloutPhase, rollout: Rollout) -> None:
    """Write the phase and the step of a rollout in a controller's round, unless an operator was faster. One that is
    done makes its release the fleet's."""
    assert rollout.phase is before or rollout.phase in ROLLOUT_TRANSITIONS[before], "the table has all changes"
    same = and_(fleet_rollouts.c.seq == rollout.seq, fleet_rollouts.c.phase == before)
    changed = {name: getattr(rollout, name) for name in ("phase", "reason", "step", "changed_at")}
    found = await connection.execute(update(fleet_rollouts).where(same).values(changed))
    if found.rowcount and rollout.phase is RolloutPhase.DONE:
        await connection.execute(update(fleets).values(asdict(rollout.release)))


async def end_rollouts(connection: AsyncConnection, now: datetime) -> None:
    """The fleet ends: what rolls is over, and the old release stays."""
    values = {"phase": RolloutPhase.WENT_BACK, "reason": "the fleet ended meanwhile", "changed_at": now}
    await connection.execute(update(fleet_rollouts).where(OPEN).values(values))


def _rollout_of(row: RowMapping) -> Rollout:
    said: dict[str, Any] = {name: row[name] for name in ("seq", "old", "reason", "step", "started_at", "changed_at")}
    baseline: Mapping[str, Any] = row["baseline"]
    return Rollout(
        release=Release(**{name: row[name] for name in Release.__slots__}),
        pools=tuple(row["pools"]),
        phase=RolloutPhase(row["phase"]),
        baseline={worker: (runs, failed) for worker, (runs, failed) in baseline.items()},
        **said,
    )
