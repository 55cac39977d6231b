"""A worker's leased jobs over a real store in a folder; the commands to the device are collected."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

import pytest

from mezzotint.actions.finish import BackingServices
from mezzotint.domain.ids import WorkerId
from mezzotint.domain.job import Job
from mezzotint.metrics import Metrics
from mezzotint.policy.safety.images import ImageVerdict
from mezzotint.policy.safety.verdicts import SafetyVerdict
from mezzotint.store import Database, EventBus, Jobs, Objects, WorkerOffer
from mezzotint.worker.checkpoints.interval import CheckpointInterval
from mezzotint.worker.job_states import LeaseState
from mezzotint.worker.leased_jobs import LeasedJob, LeasedJobs, WorkerSettings
from mezzotint.worker.messages import Command
from mezzotint.worker.model_states import ModelStates
from tests.making import NOW, make_job

ME = WorkerId("w")


class PassingFilter:
    """Blocks nothing."""

    def check(self, image: object, tier: object) -> ImageVerdict:
        return ImageVerdict(verdict=SafetyVerdict.ALLOW)

    def is_preview_blocked(self, image: object, tier: object) -> bool:
        return False


@dataclass
class Leases:
    """Jobs under this worker's leases, without a device: sent has what the device would be told."""

    database: Database
    jobs: LeasedJobs
    sent: list[Command] = field(default_factory=list)
    now: datetime = NOW

    async def lease(self, job: Job | None = None, state: LeaseState = LeaseState.RUNNING) -> LeasedJob:
        """Add a job, claim it, and hold it in the state."""
        await self.jobs.backing.jobs.add(job or make_job())
        (claimed,) = await self.jobs.backing.jobs.claim(WorkerOffer(worker=ME), NOW, self.jobs.settings.lease_s, 1)
        assert claimed.lease is not None
        leased = LeasedJob(job=claimed, lease=claimed.lease, step=claimed.step, state=state)
        self.jobs.by_id[claimed.id] = leased
        return leased

    async def row(self, leased: LeasedJob) -> Job:
        row = await self.jobs.backing.jobs.get(leased.job.id)
        assert row is not None
        return row

    def count(self, name: str, **labels: str) -> float:
        """The value of a counter."""
        return self.jobs.backing.metrics.registry.get_sample_value(f"mezzotint_{name}_total", labels) or 0.0


@pytest.fixture
async def leases(tmp_path: Path, database_file: Path) -> AsyncIterator[Leases]:
    database = Database(database_file)
    backing = BackingServices(
        jobs=Jobs(database), objects=Objects(tmp_path / "objects"), bus=EventBus(), metrics=Metrics()
    )
    made = Leases(
        database=database,
        jobs=LeasedJobs(
            backing=backing,
            settings=WorkerSettings(id=ME, max_runs=2, lease_s=30, max_attempts=1),
            now=lambda: made.now,
            interval=CheckpointInterval(every=2),
            models=ModelStates(metrics=backing.metrics),
            image_filter=PassingFilter(),
            job_provenance=None,
        ),
    )
    made.jobs.send = made.sent.append
    made.jobs.is_ready = True
    yield made
    await made.jobs.join_tasks()
    await database.close()
