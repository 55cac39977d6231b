"""The worker takes jobs while it has room; without room it makes some for a Pro job that waits."""

import asyncio
import time
from dataclasses import dataclass

import structlog

from mezzotint.actions.claim import claim
from mezzotint.domain.errors import StorageUnavailable
from mezzotint.domain.tier import Tier
from mezzotint.policy.preemption import Going, least_deserving
from mezzotint.store import Seeker
from mezzotint.worker.begin import Beginnings
from mezzotint.worker.device import Device
from mezzotint.worker.drain import Drain
from mezzotint.worker.holding import Held, Holding
from mezzotint.worker.orders import Aside
from mezzotint.worker.reports import Why

log = structlog.get_logger()
FAULT_S = 1.0
"""Pause after an error that nobody expected, which may well come again."""


@dataclass(slots=True)
class Claims:
    holding: Holding
    device: Device
    beginnings: Beginnings
    drain: Drain | None

    async def run(self) -> None:
        """For ever, woken by work and at least once a second."""
        work = self.holding.desk.bus.work
        while True:
            work.clear()
            try:
                if self.drain is not None and await self.drain.is_wanted():
                    self._put_all_aside()
                else:
                    await self._fill()
            except StorageUnavailable as error:
                log.warning("cannot claim", why=str(error))
            except Exception as error:  # nothing that one claim meets may end the loop
                log.error("claim failed", exc_info=error)
                await asyncio.sleep(FAULT_S)
            try:
                async with asyncio.timeout(1.0):
                    await work.wait()
            except TimeoutError:
                continue

    def _put_all_aside(self) -> None:
        for job, held in self.holding.held.items():
            if not held.is_leaving and held.is_ordered:
                held.is_leaving = True
                self.device.order(Aside(job=job, why=Why.DRAIN))

    async def _fill(self) -> None:
        """Claim while there is room; without room, make some for a Pro job that waits."""
        holding, habits = self.holding, self.holding.habits
        while holding.is_ready and (room := habits.max_runs - len(holding.held)) > 0:
            lanes = frozenset({Tier.PRO}) if holding.keeps_for_pro else frozenset(Tier)
            jobs = await claim(holding.desk, self._seeker(lanes), holding.now(), habits.lease_s, room)
            for job in jobs:
                assert job.lease is not None, "it was just claimed"
                held = Held(job=job, lease=job.lease, step=job.step)
                holding.held[job.id] = held
                holding.say_loading(held)
                holding.errand(job.id, self.beginnings.begin(held), "begin")
            if not jobs and not holding.keeps_for_pro:
                return
            holding.keeps_for_pro = False
        if holding.held and not holding.keeps_for_pro:
            await self._make_room()

    def _seeker(self, lanes: frozenset[Tier]) -> Seeker:
        going = [held.job for held in self.holding.held.values()]
        shapes = frozenset((job.model, job.parameters.width, job.parameters.height) for job in going)
        models = self.holding.habits.models
        warm = self.holding.memory.warm(models or frozenset())
        return Seeker(worker=self.holding.habits.id, models=models, lanes=lanes, warm=warm, shapes=shapes)

    async def _make_room(self) -> None:
        held, now = self.holding.held, time.monotonic()
        going = [
            Going(
                job=one.job.id,
                lane=one.job.lane,
                step=one.step,
                num_steps=one.job.parameters.num_sampled,
                ran_s=now - one.claimed_at,
            )
            for one in held.values()
        ]
        job = least_deserving(going, Tier.PRO)
        if job is None or any(one.is_leaving for one in held.values()):
            return
        if await self.holding.desk.jobs.is_waiting(Tier.PRO, self.holding.habits.models):
            log.info("run makes room", job=job, lane=held[job].job.lane)
            held[job].is_leaving = True
            self.device.order(Aside(job=job))
