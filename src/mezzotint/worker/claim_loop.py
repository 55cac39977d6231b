"""The worker takes jobs while it has room; without room it makes some for a Pro job that waits."""

import time
from dataclasses import dataclass, replace

import structlog

from mezzotint.actions.claim import claim
from mezzotint.domain.job import Job
from mezzotint.domain.tier import Tier
from mezzotint.policy.device.preemption import RunningJob, choose_victim
from mezzotint.store import WorkerOffer
from mezzotint.worker.device import DeviceThread
from mezzotint.worker.drain import Drain
from mezzotint.worker.leased_jobs import LeasedJob, LeasedJobs
from mezzotint.worker.messages import Preempt, PreemptReason
from mezzotint.worker.start import JobStarter

CLAIM_EVERY_S = 1.0
"""Longest wait between two looks at the queue; work that comes is seen sooner."""
log = structlog.get_logger()
LOOK_S = 1.0
"""How often it is asked whether a suspect waits."""


@dataclass(slots=True)
class ClaimLoop:
    leased: LeasedJobs
    device: DeviceThread
    starter: JobStarter
    drain: Drain | None
    _looked_at: float | None = None
    _has_suspect: bool = False

    async def claim_or_drain(self) -> None:
        """Raises: StorageUnavailable."""
        if self.drain is not None and await self.drain.is_wanted():
            self._put_all_aside()
        else:
            await self._fill()

    def _put_all_aside(self) -> None:
        for job, held in self.leased.jobs.items():
            if not held.is_leaving and held.is_started:
                held.is_leaving = True
                self.device.send(Preempt(job=job, why=PreemptReason.DRAIN))

    async def _fill(self) -> None:
        """Claim while there is room; without room, make some for a Pro job that waits.

        A suspect (see `policy/retry.py`) runs alone: while one waits nothing else is claimed until the worker is empty,
        and while one runs nothing is.
        """
        leased, settings = self.leased, self.leased.settings
        while leased.is_ready and (room := self._room()) > 0:
            offer = self._offer(frozenset({Tier.PRO}) if leased.keeps_for_pro else frozenset(Tier))
            if await self._is_suspect_waiting(offer):
                if leased.jobs:
                    return
                offer, room, self._has_suspect = replace(offer, suspects=True), 1, False
            jobs = await claim(leased.desk, offer, leased.now(), settings.lease_s, room)
            for job in jobs:
                self._take(job)
            if not jobs and not leased.keeps_for_pro and not offer.suspects:
                return
            leased.keeps_for_pro = False
        if leased.jobs and not leased.keeps_for_pro:
            await self._make_room()

    def _room(self) -> int:
        """Jobs that may be claimed now."""
        is_shut = any(held.job.is_suspect for held in self.leased.jobs.values())
        return 0 if is_shut else self.leased.settings.max_runs - len(self.leased.jobs)

    async def _is_suspect_waiting(self, offer: WorkerOffer) -> bool:
        """Looks once a second at most."""
        now = time.monotonic()
        if self._looked_at is None or now - self._looked_at >= LOOK_S:
            self._has_suspect = await self.leased.desk.jobs.is_suspect_waiting(offer, self.leased.now())
            self._looked_at = now
        return self._has_suspect

    def _take(self, job: Job) -> None:
        assert job.lease is not None, "it was just claimed"
        held = self.leased.jobs[job.id] = LeasedJob(job=job, lease=job.lease, step=job.step)
        self.leased.publish_loading(held)
        self.leased.spawn(job.id, self.starter.begin(held), "begin")

    def _offer(self, lanes: frozenset[Tier]) -> WorkerOffer:
        going = [held.job for held in self.leased.jobs.values()]
        shapes = frozenset((job.model, job.parameters.width, job.parameters.height) for job in going)
        models = self.leased.settings.models
        warm = self.leased.models.warm(models or frozenset())
        return WorkerOffer(worker=self.leased.settings.id, models=models, lanes=lanes, warm=warm, shapes=shapes)

    async def _make_room(self) -> None:
        held, now = self.leased.jobs, time.monotonic()
        going = [
            RunningJob(
                job=one.job.id,
                lane=one.job.lane,
                step=one.step,
                num_steps=one.job.parameters.num_sampled,
                ran_s=now - one.claimed_at,
            )
            for one in held.values()
        ]
        job = choose_victim(going, Tier.PRO)
        if job is None or any(one.is_leaving for one in held.values()):
            return
        if await self.leased.desk.jobs.is_waiting(Tier.PRO, self.leased.settings.models):
            log.info("run makes room", job=job, lane=held[job].job.lane)
            held[job].is_leaving = True
            self.device.send(Preempt(job=job))
