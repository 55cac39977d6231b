"""Maintain the queue as time passes: leases end, retries come due, jobs expire, weights follow traffic.

Every process may do it at any time; each change is conditional, so that the second one changes nothing.
"""

import time
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

import structlog

from mezzotint.actions.finish import BackingServices
from mezzotint.actions.judge_workers import judge_workers
from mezzotint.actions.requeue import publish_row, requeue_lost
from mezzotint.background import MAX_WAIT_S, BackgroundTasks
from mezzotint.domain.errors import StorageUnavailable
from mezzotint.domain.ids import JobId, WorkerId
from mezzotint.domain.job import JobState
from mezzotint.domain.tier import Tier
from mezzotint.metrics import Metrics, Waiting
from mezzotint.policy.clock import ClockHistory, ClockReading
from mezzotint.policy.expiry import STEADY, expiry_cutoff, explain_expiry
from mezzotint.policy.fair_queue.lane_weights import Traffic, reweigh_lanes
from mezzotint.store import Devices, Workers
from mezzotint.store.fleet.counts import FleetCount, FleetCounts

log = structlog.get_logger()
LATELY = timedelta(minutes=5)
MAINTAIN_S, BALANCE_S, SWEEP_S = 1.0, 60.0, 3600.0
JUDGE_S = 10.0
"""The health of workers is judged so often."""
RENEWAL_S = 2 * MAX_WAIT_S
"""Within it every heartbeat has tried again."""


def maintain_queue(
    background: BackgroundTasks, maintenance: "Maintenance", *, sweeps: bool = False
) -> list[Coroutine[None, None, None]]:
    """The tasks that look after the queue. sweeps: delete what crashes left in the object store, too."""
    backing, now = maintenance.backing, maintenance.now
    tasks = [
        background.run_forever("queue maintenance", MAINTAIN_S, maintenance.run),
        background.run_forever("lane weights", BALANCE_S, lambda: update_lane_weights(backing, now())),
    ]
    if maintenance.fleet is not None:
        workers, devices = maintenance.fleet
        tasks.append(
            background.run_forever(
                "worker health", JUDGE_S, lambda: judge_workers(workers, devices, backing.metrics, now())
            )
        )
    if sweeps:
        task = background.run_forever(
            "object sweep", SWEEP_S, lambda: sweep_objects(backing, now() - timedelta(seconds=SWEEP_S))
        )
        tasks.append(task)
    return tasks


@dataclass(slots=True, kw_only=True)
class Maintenance:
    """me: the worker of this process. holds: whether it has a job in hand, even if its lease is over.

    lease_s: how long a lease lasts without a heartbeat. fleet: where workers of their own may be, whose health is
    judged. steady: seconds of a monotonic clock.
    """

    backing: BackingServices
    max_attempts: int
    now: Callable[[], datetime]
    me: WorkerId | None = None
    holds: Callable[[JobId], bool] = lambda job: False
    lease_s: float = 30.0
    fleet: tuple[Workers, Devices] | None = None
    steady: Callable[[], float] = time.monotonic
    _spares_until: float = 0.0
    _clock: ClockHistory = STEADY

    async def run(self) -> None:
        """Requeue what lost its worker, wake what is due, end what waited too long. Raises: StorageUnavailable.

        While the database was away no worker could renew a lease: for `RENEWAL_S` afterwards all leases are spared.
        """
        now, steady_s = self.now(), self.steady()
        self._clock = self._clock.add_reading(ClockReading(wall=now, steady_s=steady_s))
        if self._clock.steps and self._clock.steps[-1].steady_s == steady_s:
            log.warning("the system clock stepped", seconds=round(self._clock.steps[-1].shift_s, 1))
        try:
            if self.steady() >= self._spares_until:
                expired_at = now - self._clock.overstatement(timedelta(seconds=self.lease_s))
                expired = await self.backing.jobs.running(expired_at=expired_at)
                lost = [job for job in expired if not self.holds(job.id)]
                await requeue_lost(self.backing, lost, self.max_attempts, now, self.me)
            await end_waits(self.backing, now, self._clock)
        except StorageUnavailable:
            self._spares_until = self.steady() + RENEWAL_S
            raise


async def end_waits(backing: BackingServices, now: datetime, clock: ClockHistory = STEADY) -> None:
    """Wake the jobs whose next try is due, expire those that waited too long. Raises: StorageUnavailable."""
    if await backing.jobs.come_due(now):
        backing.bus.ring()
    for lane in Tier:
        before = expiry_cutoff(lane, now, clock)
        if before is None:
            continue
        for job in await backing.jobs.expire(lane, before, explain_expiry(lane), now):
            backing.metrics.ended.labels(lane=lane, state="expired").inc()
            await publish_row(backing, job)


async def update_lane_weights(backing: BackingServices, now: datetime) -> None:
    """Let the lanes' weights follow their waits, once a minute. Raises: StorageUnavailable."""
    waits = await backing.jobs.wait_times(now - LATELY, now)
    traffic = [Traffic(lane=lane, p95_wait_s=quantile(seconds, 0.95)) for lane, seconds in waits.items()]

    def follow_waits(weights: Mapping[Tier, float], bases: Mapping[Tier, float]) -> Mapping[Tier, float]:
        after = reweigh_lanes(weights, traffic, bases)
        for line in after.reasons:
            log.info("lane weight changed", why=line)
        return after.weights

    await backing.jobs.lanes.reweigh(follow_waits)


def quantile(values: list[float], part: float) -> float:
    """0 where there is nothing."""
    return sorted(values)[min(int(part * len(values)), len(values) - 1)] if values else 0.0


async def sweep_objects(backing: BackingServices, before: datetime) -> None:
    """Delete what crashes left in the object store. before: only what was written before it.

    Raises: StorageUnavailable.
    """
    await delete_unreferenced_checkpoints(backing, before)
    if num_deleted := await backing.objects.delete_partial_writes(before):
        log.info("files of killed writes deleted", files=num_deleted)


async def delete_unreferenced_checkpoints(backing: BackingServices, before: datetime | None = None) -> int:
    """Delete checkpoints that no open job can go on from. Returns how many.

    before: only those written before it; an hour back where workers run, which write bytes before their row.
    """
    left = await backing.objects.keys("checkpoints/", before)
    wanted = await backing.jobs.open_checkpoint_keys()
    left = [key for key in left if key not in wanted]
    await backing.objects.delete(left)
    await backing.jobs.drop_checkpoints_of_ended()
    return len(left)


async def measure_fleet(metrics: Metrics, counts: FleetCounts) -> None:
    """Bring the gauges of the fleet up to date. Raises: StorageUnavailable."""
    numbers = await counts.read()
    metrics.fleet_workers.clear()
    metrics.fleet_wanted.clear()
    metrics.fleet_devices.clear()
    metrics.fleet_rollouts.clear()
    for (pool, state), number in numbers.workers.items():
        metrics.fleet_workers.labels(pool=pool, state=state).set(number)
    for pool, number in numbers.wanted.items():
        metrics.fleet_wanted.labels(pool=pool).set(number)
    for verdict, number in numbers.devices.items():
        metrics.fleet_devices.labels(verdict=verdict).set(number)
    for phase, number in numbers.rollouts.items():
        metrics.fleet_rollouts.labels(phase=phase).set(number)
    for (name, label), number in numbers.counted.items():
        gauge = metrics.fleet_decisions if name is FleetCount.DECISIONS else metrics.spot_notices
        gauge.labels(label).set(number)


async def measure_queue(backing: BackingServices, now: datetime) -> None:
    """Bring the gauges of all lanes up to date."""
    numbers = {(tier, state): (number, oldest) for tier, state, number, oldest in await backing.jobs.backlog()}
    lanes = []
    for tier in Tier:
        num_queued, oldest = numbers.get((tier, JobState.QUEUED), (0, now))
        num_running, _ = numbers.get((tier, JobState.RUNNING), (0, now))
        age_s = max((now - oldest).total_seconds(), 0.0)
        lanes.append(Waiting(lane=tier, num_queued=num_queued, num_running=num_running, oldest_s=age_s))
    backing.metrics.set_waiting(lanes)
