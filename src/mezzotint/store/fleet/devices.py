"""The health of devices, kept beyond the processes that use them."""

from collections.abc import Mapping
from dataclasses import asdict
from datetime import datetime
from typing import Any

from sqlalchemy import and_, select, update

from mezzotint.domain.fleet.health import HealthVerdict
from mezzotint.domain.fleet.vitals import WorkerReport
from mezzotint.domain.ids import WorkerId
from mezzotint.policy.fleet.health import HealthRecord
from mezzotint.policy.fleet.vitals import LATELY, ReportingWorker
from mezzotint.store.database import Database, insert_on
from mezzotint.store.fleet.tables import devices
from mezzotint.store.schema import workers


class Devices:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def read_records(self) -> dict[str, HealthRecord]:
        """Read the record of each device."""
        async with self._database.read() as connection:
            rows = (await connection.execute(select(devices))).mappings().all()
        return {
            row["device"]: HealthRecord(
                verdict=HealthVerdict(row["verdict"]),
                since=row["since"],
                signed_at=row["signed_at"],
                num_quarantines=row["num_quarantines"],
            )
            for row in rows
        }

    async def keep(self, device: str, before: HealthRecord | None, record: HealthRecord, reason: str) -> bool:
        """Write a record in place of the one that was judged. Returns whether nobody else was faster."""
        values = {**asdict(record), "reason": reason}
        async with self._database.write() as connection:
            if before is None:
                new = insert_on(connection, devices).values(device=device, **values)
                return bool((await connection.execute(new.on_conflict_do_nothing())).rowcount)
            same = and_(
                devices.c.device == device, devices.c.verdict == before.verdict, devices.c.since == before.since
            )
            return bool((await connection.execute(update(devices).where(same).values(values))).rowcount)

    async def read_workers(self, now: datetime) -> list[ReportingWorker]:
        """The workers that were heard of lately and named their device."""
        query = select(workers).where(workers.c.seen_at >= now - LATELY, workers.c.device != "")
        async with self._database.read() as connection:
            rows = (await connection.execute(query)).mappings().all()
        return [
            ReportingWorker(
                id=WorkerId(row["id"]),
                pool=row["pool"],
                device=row["device"],
                version=row["version"],
                seen_at=row["seen_at"],
                has_stopped=row["drained_at"] is not None,
                report=_report_of(row["report"]),
            )
            for row in rows
        ]


def _report_of(said: Mapping[str, Any] | None) -> WorkerReport:
    """A worker of another version may report more, or less."""
    return WorkerReport(**{name: said[name] for name in WorkerReport.__slots__ if said is not None and name in said})
