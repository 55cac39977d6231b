"""Rows of the fleet, as the controller and the commands read and write them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import and_, delete, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from mezzotint.domain.errors import LeaseLost
from mezzotint.domain.fleet.desired_fleet import DesiredFleet, FleetDecision, FleetPhase, PoolTarget
from mezzotint.domain.fleet.fleet_worker import FleetWorker, FleetWorkerId
from mezzotint.domain.fleet.rollout import Rollout
from mezzotint.domain.fleet.worker_state import FleetWorkerState
from mezzotint.store.database import Database, insert_on
from mezzotint.store.fleet.counts import Counted, add_counts
from mezzotint.store.fleet.rollouts import OPEN, end_rollouts, send_back, write_rollout
from mezzotint.store.fleet.tables import fleet_decisions, fleet_rollouts, fleet_targets, fleet_workers, fleets

NAME = "default"
"""A database has one fleet."""
MAX_DECISIONS = 1000
"""Decisions kept, the newest."""
ENDED_KEPT = timedelta(hours=1)
"""A worker that ended is listed so long."""
FINAL = [state for state in FleetWorkerState if state.is_final]


@dataclass(frozen=True, slots=True, kw_only=True)
class FleetChanges:
    """The outcome of one round of the controller. workers: changed or new. rollout: as it was, and as it is now."""

    at: datetime
    targets: Sequence[PoolTarget] = ()
    workers: Sequence[FleetWorker] = ()
    decisions: Sequence[FleetDecision] = ()
    rollout: tuple[Rollout, Rollout] | None = None
    counted: Counted = field(default_factory=dict)


class FleetRows:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def read(self) -> DesiredFleet | None:
        async with self._database.read() as connection:
            row = (await connection.execute(select(fleets).where(fleets.c.name == NAME))).mappings().one_or_none()
            if row is None:
                return None
            values: Mapping[str, Any] = {name: row[name] for name in DesiredFleet.__slots__}
            return replace(DesiredFleet(**values), phase=FleetPhase(row["phase"]))

    async def write(self, wanted: DesiredFleet) -> None:
        """Make the fleet's row, or replace it; the epoch goes on counting. A rollout that rolls goes back to it."""
        values = {name: getattr(wanted, name) for name in DesiredFleet.__slots__ if name != "epoch"}
        async with self._database.write() as connection:
            new = insert_on(connection, fleets).values(name=NAME, epoch=wanted.epoch, **values)
            await connection.execute(new.on_conflict_do_update(index_elements=["name"], set_=values))
            await send_back(connection, "`fleet up` was said meanwhile", wanted.changed_at)

    async def set_phase(self, phase: FleetPhase, now: datetime) -> None:
        async with self._database.write() as connection:
            await connection.execute(update(fleets).values(phase=phase, changed_at=now))

    async def scale(self, pool: str, num_workers: int | None, now: datetime) -> None:
        """Fix the workers of a pool; None: leave their number to the load again."""
        async with self._database.write() as connection:
            query = select(fleets.c.scaled).where(fleets.c.name == NAME).with_for_update()
            scaled = dict((await connection.execute(query)).scalar_one())
            scaled.pop(pool, None)
            if num_workers is not None:
                scaled[pool] = num_workers
            await connection.execute(update(fleets).values(scaled=scaled, changed_at=now))

    async def take_control(self, node: str, now: datetime) -> int:
        """A controller starts on a node: from here on only its rounds are written. Returns its epoch."""
        values = {"epoch": fleets.c.epoch + 1, "controller_node": node, "controller_seen_at": now}
        async with self._database.write() as connection:
            taken = await connection.execute(update(fleets).values(values).returning(fleets.c.epoch))
            return int(taken.scalar_one())

    async def workers(self) -> list[FleetWorker]:
        """All that live, and those that ended in the last hour, oldest first."""
        query = select(fleet_workers).order_by(fleet_workers.c.created_at, fleet_workers.c.id)
        async with self._database.read() as connection:
            rows = (await connection.execute(query)).mappings()
            return [replace(FleetWorker(**row), state=FleetWorkerState(row["state"])) for row in rows]

    async def targets(self) -> list[PoolTarget]:
        query = select(fleet_targets).order_by(fleet_targets.c.pool)
        async with self._database.read() as connection:
            return [PoolTarget(**row) for row in (await connection.execute(query)).mappings()]

    async def decisions(self, limit: int) -> list[FleetDecision]:
        """The newest first."""
        query = select(fleet_decisions).order_by(fleet_decisions.c.seq.desc()).limit(limit)
        async with self._database.read() as connection:
            rows = (await connection.execute(query)).mappings()
            return [FleetDecision(**{name: row[name] for name in FleetDecision.__slots__}) for row in rows]

    async def want_drain(self, worker: FleetWorkerId) -> bool:
        """Returns whether such a worker lives."""
        lives = and_(fleet_workers.c.id == worker, fleet_workers.c.state.not_in(FINAL))
        async with self._database.write() as connection:
            found = await connection.execute(update(fleet_workers).where(lives).values(is_drain_wanted=True))
            return bool(found.rowcount)

    async def end_all(self, reason: str, now: datetime) -> None:
        """The fleet is down: workers that still stood as alive are lost, and no controller may write any more."""
        ended = {"state": FleetWorkerState.LOST, "reason": reason, "changed_at": now, "num_running": 0}
        async with self._database.write() as connection:
            down = {"phase": FleetPhase.DOWN, "changed_at": now, "epoch": fleets.c.epoch + 1}
            await connection.execute(update(fleets).values(down))
            await connection.execute(update(fleet_workers).where(fleet_workers.c.state.not_in(FINAL)).values(ended))
            await connection.execute(delete(fleet_targets))
            await end_rollouts(connection, now)

    async def write_round(self, epoch: int, changes: FleetChanges) -> None:
        """Write the outcome of a controller's round. Raises: LeaseLost: a newer controller has started."""
        mine = and_(fleets.c.name == NAME, fleets.c.epoch == epoch)
        async with self._database.write() as connection:
            alive = await connection.execute(update(fleets).where(mine).values(controller_seen_at=changes.at))
            if not alive.rowcount:
                raise LeaseLost("a newer controller has the fleet")
            for worker in changes.workers:
                values = {name: getattr(worker, name) for name in FleetWorker.__slots__ if name != "id"}
                row = insert_on(connection, fleet_workers).values(id=worker.id, **values)
                if not worker.is_drain_wanted:  # a wish to drain that came meanwhile stays
                    del values["is_drain_wanted"]
                await connection.execute(row.on_conflict_do_update(index_elements=["id"], set_=values))
            for target in changes.targets:
                values = {"num_workers": target.num_workers, "reason": target.reason}
                row = insert_on(connection, fleet_targets).values(pool=target.pool, **values)
                await connection.execute(row.on_conflict_do_update(index_elements=["pool"], set_=values))
            if changes.rollout is not None:
                before, rollout = changes.rollout
                await write_rollout(connection, before.phase, rollout)
            await add_counts(connection, changes.counted)
            if changes.decisions:
                rows = [{name: getattr(one, name) for name in FleetDecision.__slots__} for one in changes.decisions]
                await connection.execute(insert(fleet_decisions), rows)
                await _forget(connection, changes.at)


async def _forget(connection: AsyncConnection, now: datetime) -> None:
    newest = select(fleet_decisions.c.seq).order_by(fleet_decisions.c.seq.desc()).offset(MAX_DECISIONS).limit(1)
    await connection.execute(delete(fleet_decisions).where(fleet_decisions.c.seq <= newest.scalar_subquery()))
    rolls = select(fleet_rollouts.c.seq).where(OPEN).exists()  # it compares what all workers did since it began
    ended = and_(fleet_workers.c.state.in_(FINAL), fleet_workers.c.changed_at < now - ENDED_KEPT, ~rolls)
    await connection.execute(delete(fleet_workers).where(ended))
