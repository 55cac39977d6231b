"""Rows of workers: who draws here, for whom, and who is to put its runs aside and take no more."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from sqlalchemy import RowMapping, and_, case, delete, func, or_, select, update

from mezzotint.domain.fleet.health import HealthVerdict
from mezzotint.domain.fleet.vitals import WorkerReport
from mezzotint.domain.ids import TenantId, WorkerId
from mezzotint.domain.job import JobState
from mezzotint.domain.tier import Tier
from mezzotint.policy.retry import AVOID_S
from mezzotint.store.database import Database, insert_on
from mezzotint.store.fleet.tables import devices
from mezzotint.store.schema import jobs, workers

EVERYBODY = "*"
"""Stands for all workers, also for those that start later."""
GONE = timedelta(minutes=2)
"""A worker that was not heard of for so long is no longer listed."""
FORGOTTEN = timedelta(days=1)
"""Its row goes long after that: a clock that steps ahead must not make a drained worker take jobs again."""

LATELY = timedelta(seconds=2 * AVOID_S)
"""Within it a job may still avoid a worker that ended."""
ANSWERS = timedelta(seconds=15)
"""A worker that was not heard of for so long is not counted on."""

NO_WISH: dict[str, Any] = {"drain_wanted_at": None, "drain_reason": ""}


class WorkerState(StrEnum):
    """active: it takes jobs. draining: it hands its runs back and takes no more. drained: it holds none."""

    ACTIVE = "active"
    DRAINING = "draining"
    DRAINED = "drained"


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerLabels:
    """A worker's place in the fleet, and the limits of what it claims. schema: the revision of the database that its
    code was written for; 0: not told.

    models, tenants: the only ones whose jobs it takes; None: any. lanes: those it takes jobs of. max_runs: jobs at
    once.
    """

    pool: str = ""
    region: str = ""
    version: str = ""
    models: frozenset[str] | None = None
    lanes: frozenset[Tier] = frozenset(Tier)
    tenants: frozenset[TenantId] | None = None
    max_runs: int = 1
    schema: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerStatus:
    """A worker as operators see it. is_drained: whether it is wanted to take no jobs. drain_wanted_at: since when it is
    to end, too, and drain_reason: why. device: its identity; health: that of the device."""

    id: WorkerId
    seen_at: datetime
    num_running: int
    is_drained: bool
    state: WorkerState = WorkerState.ACTIVE
    labels: WorkerLabels = field(default_factory=WorkerLabels)
    drain_wanted_at: datetime | None = None
    drain_reason: str = ""
    device: str = ""
    health: HealthVerdict = HealthVerdict.HEALTHY
    health_reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerHeartbeat:
    """A worker's report of itself. drained_at: since when it holds no run and takes none. device: its identity, which
    a restarted worker has again; empty: its health is not judged."""

    labels: WorkerLabels = field(default_factory=WorkerLabels)
    drained_at: datetime | None = None
    device: str = ""
    report: WorkerReport = field(default_factory=WorkerReport)


@dataclass(frozen=True, slots=True, kw_only=True)
class DrainWish:
    """The wish that a worker takes no more jobs. ends: its process is to end, too. reason: of that."""

    ends: bool = False
    reason: str = ""


class Workers:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def record_heartbeat(self, worker: WorkerId, now: datetime, beat: WorkerHeartbeat | None = None) -> None:
        """The worker is alive."""
        gone = and_(workers.c.seen_at < now - FORGOTTEN, workers.c.id != worker)
        beat = beat or WorkerHeartbeat()
        said = asdict(beat.labels).items()
        limits = {name: sorted(value) if isinstance(value, frozenset) else value for name, value in said}
        values = {name: limits.pop(name) for name in ("pool", "region", "version")}
        values |= {"seen_at": now, "drained_at": beat.drained_at, "limits": limits}
        values |= {"device": beat.device, "report": asdict(beat.report)}
        async with self._database.write() as connection:
            new = insert_on(connection, workers).values(id=worker, is_drained=False, **values)
            await connection.execute(new.on_conflict_do_update(index_elements=["id"], set_=values))
            await connection.execute(delete(workers).where(gone))

    async def read_drain_wish(self, worker: WorkerId, device: str = "") -> DrainWish | None:
        """None: the worker is to take jobs. device: its identity; a worker waits while that is quarantined."""
        mine = workers.c.id.in_([worker, EVERYBODY])
        wished = or_(workers.c.is_drained, workers.c.drain_wanted_at.is_not(None))
        query = select(workers.c.id, workers.c.drain_wanted_at, workers.c.drain_reason).where(mine, wished)
        resting = select(devices.c.reason).where(devices.c.device == device)
        resting = resting.where(devices.c.verdict == HealthVerdict.QUARANTINED)
        async with self._database.read() as connection:
            rows = (await connection.execute(query)).all()
            rests = (await connection.execute(resting)).scalars().all() if device else []
        reasons = [reason for id, wanted_at, reason in rows if id == worker and wanted_at is not None]
        if not rows and not rests:
            return None
        return DrainWish(ends=bool(reasons), reason="".join(reasons or rests))

    async def read_siblings(self, labels: WorkerLabels, now: datetime) -> frozenset[WorkerId]:
        """The workers of the pool and version, those that ended lately among them; empty where no worker of the pool
        has another version and takes jobs."""
        mine = and_(
            workers.c.pool == labels.pool, workers.c.version == labels.version, workers.c.seen_at >= now - LATELY
        )
        others = and_(workers.c.pool == labels.pool, workers.c.version != labels.version)
        others = and_(others, workers.c.seen_at >= now - ANSWERS, workers.c.drained_at.is_(None))
        others = and_(others, workers.c.drain_wanted_at.is_(None), ~workers.c.is_drained)
        query = select(workers.c.id).where(mine, select(workers.c.id).where(others).exists())
        async with self._database.read() as connection:
            return frozenset(map(WorkerId, (await connection.execute(query)).scalars()))

    async def want_end(self, worker: WorkerId, now: datetime, reason: str) -> bool:
        """Let the worker hand its runs back and end. Returns whether there is such a worker; the first reason stays."""
        here = and_(workers.c.id == worker, workers.c.seen_at >= now - GONE)
        values = {
            "drain_wanted_at": func.coalesce(workers.c.drain_wanted_at, now),
            "drain_reason": case((workers.c.drain_wanted_at.is_(None), reason), else_=workers.c.drain_reason),
        }
        async with self._database.write() as connection:
            return bool((await connection.execute(update(workers).where(here).values(values))).rowcount)

    async def is_drained(self, worker: WorkerId) -> bool:
        """Say whether the worker, or everybody, is to take no more jobs."""
        return await self.read_drain_wish(worker) is not None

    async def drain(self, worker: WorkerId, now: datetime, *, is_drained: bool) -> bool:
        """Returns whether there is such a worker. The end of a drain takes back a wish that it ends."""
        here = and_(workers.c.id == worker, workers.c.seen_at >= now - GONE)
        values = {"is_drained": is_drained} | ({} if is_drained else NO_WISH)
        async with self._database.write() as connection:
            found = await connection.execute(update(workers).where(here).values(values))
            return bool(found.rowcount)

    async def drain_all(self, *, is_drained: bool) -> None:
        """Drain workers that start later, too. The end of it ends single drains."""
        async with self._database.write() as connection:
            new = insert_on(connection, workers).values(id=EVERYBODY, is_drained=is_drained)
            values = {"is_drained": is_drained}
            await connection.execute(new.on_conflict_do_update(index_elements=["id"], set_=values))
            if not is_drained:
                await connection.execute(update(workers).values({**values, **NO_WISH}))

    async def all(self, now: datetime) -> list[WorkerStatus]:
        """The workers with a recent heartbeat, by name."""
        is_running = and_(jobs.c.lease_worker == workers.c.id, jobs.c.state == JobState.RUNNING)
        running = select(func.count()).where(is_running).scalar_subquery().label("num_running")
        everybody = select(workers.c.id).where(workers.c.id == EVERYBODY, workers.c.is_drained).exists()
        judged = (devices.c.verdict, devices.c.reason.label("health_reason"))
        query = select(workers, running, everybody.label("all_drained"), *judged)
        query = query.select_from(workers.outerjoin(devices, devices.c.device == workers.c.device))
        query = query.where(workers.c.seen_at >= now - GONE).order_by(workers.c.id)
        async with self._database.read() as connection:
            rows = (await connection.execute(query)).mappings().all()
        return [_status_of(row) for row in rows]


def _labels_of(row: RowMapping) -> WorkerLabels:
    limits = row["limits"] or {}
    return WorkerLabels(
        pool=row["pool"],
        region=row["region"],
        version=row["version"],
        models=_set_of(limits.get("models")),
        lanes=frozenset(Tier(lane) for lane in limits.get("lanes", Tier)),
        tenants=_set_of(limits.get("tenants")),
        max_runs=limits.get("max_runs", 1),
        schema=limits.get("schema", 0),
    )


def _status_of(row: RowMapping) -> WorkerStatus:
    is_resting = row["verdict"] == HealthVerdict.QUARANTINED
    is_drained = bool(row["is_drained"] or row["all_drained"] or row["drain_wanted_at"] is not None or is_resting)
    state = WorkerState.DRAINED if row["drained_at"] is not None else WorkerState.DRAINING
    return WorkerStatus(
        id=WorkerId(row["id"]),
        seen_at=row["seen_at"],
        num_running=row["num_running"],
        is_drained=is_drained,
        state=state if is_drained or row["drained_at"] is not None else WorkerState.ACTIVE,
        labels=_labels_of(row),
        drain_wanted_at=row["drain_wanted_at"],
        drain_reason=row["drain_reason"],
        device=row["device"],
        health=HealthVerdict(row["verdict"] or HealthVerdict.HEALTHY),
        health_reason=row["health_reason"] or "",
    )


def _set_of(names: Sequence[Any] | None) -> frozenset[Any] | None:
    return None if names is None else frozenset(names)
