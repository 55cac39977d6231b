"""Claim jobs while the worker has room; without room, preempt a run for a Pro job that waits."""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

import structlog

from mezzotint.actions.claim import claim
from mezzotint.actions.region_routing import RegionRouting
from mezzotint.domain.tier import Tier
from mezzotint.policy.device.preemption import RunningJob, choose_victim
from mezzotint.policy.fleet.placement import light_cost
from mezzotint.store import WorkerOffer
from mezzotint.worker.drain import Drain
from mezzotint.worker.job_states import JobAction, JobMessage, LeaseState
from mezzotint.worker.leased_jobs import LeasedJob, LeasedJobs
from mezzotint.worker.messages import Preempt, PreemptReason
from mezzotint.worker.start import start_job

CLAIM_EVERY_S = 1.0
"""Longest wait between two looks at the queue; work that comes is seen sooner."""
log = structlog.get_logger()
LOOK_S = 1.0
"""The store is asked so often whether a suspect waits."""
FREES_ITS_PLACE = {LeaseState.PREEMPTING, LeaseState.REQUEUEING, LeaseState.FINISHING}


@dataclass(slots=True)
class ClaimLoop:
    """find_device: the identity of the worker's device, known once it is ready; nothing is claimed before. routing: the
    regions whose jobs it takes; None: all."""

    jobs: LeasedJobs
    drain: Drain | None
    find_device: Callable[[], str] | None = None
    routing: RegionRouting | None = None
    _places: frozenset[tuple[Tier, str]] | None = None
    _looked_at: float | None = None
    _has_suspect: bool = False

    async def claim_or_drain(self) -> None:
        """Raises: StorageUnavailable."""
        if self.drain is not None and self.find_device is not None and self.jobs.is_ready:
            find_device, self.find_device = self.find_device, None
            self.drain.name_device(await asyncio.to_thread(find_device))
        if self.drain is None or not await self.drain.is_wanted():
            await self._fill()
            return
        for leased in self.jobs.held():
            self._preempt(leased, PreemptReason.DRAIN)
        await self.drain.settle(len(self.jobs.held()))

    async def _fill(self) -> None:
        """Claim while there is room; without room, make some for a Pro job that waits.

        A suspect (see `policy/retry.py`) runs alone: while one waits nothing else is claimed until the worker is empty,
        and while one runs nothing is.
        """
        jobs, settings = self.jobs, self.jobs.settings
        if self.routing is not None:
            self._places = await self.routing.find_places(jobs.now())
        while jobs.is_ready and self.find_device is None and (room := jobs.count_free_places()) > 0:
            offer = self._make_offer(frozenset({Tier.PRO}) if jobs.keeps_for_pro else settings.lanes)
            if await self._is_suspect_waiting(offer):
                if jobs.held():
                    return
                offer, room, self._has_suspect = replace(offer, suspects=True), 1, False
            claimed = await claim(jobs.backing, offer, jobs.now(), settings.lease_s, room)
            for job in claimed:
                assert job.lease is not None, "it was just claimed"
                leased = jobs.by_id[job.id] = LeasedJob(job=job, lease=job.lease, step=job.step)
                jobs.publish_loading(leased)
                jobs.spawn(job.id, start_job(jobs, leased), "start")
            if not claimed and not jobs.keeps_for_pro and not offer.suspects:
                return
            jobs.keeps_for_pro = False
        if jobs.held() and not jobs.keeps_for_pro:
            await self._make_room()

    async def _is_suspect_waiting(self, offer: WorkerOffer) -> bool:
        """Ask the store once a second at most."""
        now = time.monotonic()
        if self._looked_at is None or now - self._looked_at >= LOOK_S:
            self._has_suspect = await self.jobs.backing.jobs.is_suspect_waiting(offer, self.jobs.now())
            self._looked_at = now
        return self._has_suspect

    def _make_offer(self, lanes: frozenset[Tier]) -> WorkerOffer:
        held = [leased.job for leased in self.jobs.held()]
        shapes = frozenset((job.model, job.parameters.width, job.parameters.height) for job in held)
        settings = self.jobs.settings
        warm = self.jobs.models.warm(settings.models or frozenset())
        return WorkerOffer(
            worker=settings.id,
            models=settings.models,
            lanes=lanes,
            tenants=settings.tenants,
            region=settings.region,
            places=self._places,
            warm=warm,
            shapes=shapes,
            light_cost=light_cost(self.jobs.pace_s) if settings.light_first else 0.0,
            siblings=frozenset() if self.drain is None else self.drain.siblings,
        )

    async def _make_room(self) -> None:
        held, now, settings = self.jobs.held(), time.monotonic(), self.jobs.settings
        if Tier.PRO not in settings.lanes:
            return
        running = [
            RunningJob(
                job=leased.job.id,
                lane=leased.job.lane,
                step=leased.step,
                num_steps=leased.job.parameters.num_sampled,
                ran_s=now - leased.claimed_at,
            )
            for leased in held
        ]
        victim = choose_victim(running, Tier.PRO)
        if victim is None or any(leased.state in FREES_ITS_PLACE for leased in held):
            return
        regions = None if self._places is None else [name for lane, name in self._places if lane is Tier.PRO]
        is_waiting = await self.jobs.backing.jobs.is_waiting(Tier.PRO, settings.models, settings.tenants, regions)
        if is_waiting and self.jobs.is_held(victim):
            log.info("run makes room", job=victim, lane=self.jobs.by_id[victim].job.lane)
            self._preempt(self.jobs.by_id[victim], PreemptReason.PREEMPTED)

    def _preempt(self, leased: LeasedJob, why: PreemptReason) -> None:
        if self.jobs.receive(leased, JobMessage.PREEMPT_REQUESTED) is JobAction.PREEMPT:
            self.jobs.send(Preempt(job=leased.job.id, why=why))
