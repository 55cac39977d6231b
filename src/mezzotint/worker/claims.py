"""The worker takes jobs while it has room; without room it makes some for a Pro job that waits."""

import time
from dataclasses import dataclass, replace

import structlog

from mezzotint.actions.claim import claim
from mezzotint.domain.job import Job
from mezzotint.domain.tier import Tier
from mezzotint.policy.device.preemption import RunningJob, choose_victim
from mezzotint.store import Seeker
from mezzotint.worker.begin import Beginnings
from mezzotint.worker.device import Device
from mezzotint.worker.drain import Drain
from mezzotint.worker.holding import Held, Holding
from mezzotint.worker.orders import Aside
from mezzotint.worker.reports import Why

CLAIM_S = 1.0
"""Longest wait between two looks at the queue; work that comes is seen sooner."""
log = structlog.get_logger()
LOOK_S = 1.0
"""How often it is asked whether a suspect waits."""


@dataclass(slots=True)
class Claims:
    holding: Holding
    device: Device
    beginnings: Beginnings
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
        for job, held in self.holding.held.items():
            if not held.is_leaving and held.is_ordered:
                held.is_leaving = True
                self.device.order(Aside(job=job, why=Why.DRAIN))

    async def _fill(self) -> None:
        """Claim while there is room; without room, make some for a Pro job that waits.

        A suspect (see `policy/retry.py`) runs alone: while one waits nothing else is claimed until the worker is empty,
        and while one runs nothing is.
        """
        holding, habits = self.holding, self.holding.habits
        while holding.is_ready and (room := self._room()) > 0:
            seeker = self._seeker(frozenset({Tier.PRO}) if holding.keeps_for_pro else frozenset(Tier))
            if await self._is_suspect_waiting(seeker):
                if holding.held:
                    return
                seeker, room, self._has_suspect = replace(seeker, suspects=True), 1, False
            jobs = await claim(holding.desk, seeker, holding.now(), habits.lease_s, room)
            for job in jobs:
                self._take(job)
            if not jobs and not holding.keeps_for_pro and not seeker.suspects:
                return
            holding.keeps_for_pro = False
        if holding.held and not holding.keeps_for_pro:
            await self._make_room()

    def _room(self) -> int:
        """Jobs that may be claimed now."""
        is_shut = any(held.job.is_suspect for held in self.holding.held.values())
        return 0 if is_shut else self.holding.habits.max_runs - len(self.holding.held)

    async def _is_suspect_waiting(self, seeker: Seeker) -> bool:
        """Looks once a second at most."""
        now = time.monotonic()
        if self._looked_at is None or now - self._looked_at >= LOOK_S:
            self._has_suspect = await self.holding.desk.jobs.is_suspect_waiting(seeker, self.holding.now())
            self._looked_at = now
        return self._has_suspect

    def _take(self, job: Job) -> None:
        assert job.lease is not None, "it was just claimed"
        held = self.holding.held[job.id] = Held(job=job, lease=job.lease, step=job.step)
        self.holding.say_loading(held)
        self.holding.errand(job.id, self.beginnings.begin(held), "begin")

    def _seeker(self, lanes: frozenset[Tier]) -> Seeker:
        going = [held.job for held in self.holding.held.values()]
        shapes = frozenset((job.model, job.parameters.width, job.parameters.height) for job in going)
        models = self.holding.habits.models
        warm = self.holding.memory.warm(models or frozenset())
        return Seeker(worker=self.holding.habits.id, models=models, lanes=lanes, warm=warm, shapes=shapes)

    async def _make_room(self) -> None:
        held, now = self.holding.held, time.monotonic()
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
        if await self.holding.desk.jobs.is_waiting(Tier.PRO, self.holding.habits.models):
            log.info("run makes room", job=job, lane=held[job].job.lane)
            held[job].is_leaving = True
            self.device.order(Aside(job=job))
