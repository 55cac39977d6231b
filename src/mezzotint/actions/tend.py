"""What time itself does to the queue: leases end, tries come due, jobs expire, weights follow traffic.

Every process may do it at any time; each change is conditional, so that the second one changes nothing.
"""

import asyncio
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta

import structlog

from mezzotint.actions.finish import Desk
from mezzotint.actions.recover import recover, tell
from mezzotint.actions.sweep import sweep
from mezzotint.domain.errors import StorageUnavailable
from mezzotint.domain.ids import WorkerId
from mezzotint.domain.tier import Tier
from mezzotint.policy.expiry import expired_before, reason
from mezzotint.policy.lane_weights import Traffic, reweigh

log = structlog.get_logger()
LATELY = timedelta(minutes=5)
BALANCE = timedelta(minutes=1)
SWEEP = timedelta(hours=1)
TEND_S = 1.0


async def tending(
    desk: Desk, max_attempts: int, now: Callable[[], datetime], me: WorkerId | None = None, sweeps: bool = False
) -> None:
    """Look after the queue for ever. sweeps: delete what crashes left in the object store, too."""
    balanced_at = swept_at = now()
    while True:
        try:
            await tend(desk, max_attempts, now(), me)
            if now() - balanced_at > BALANCE:
                balanced_at = now()
                await balance(desk, now())
            if sweeps and now() - swept_at > SWEEP:
                swept_at = now()
                await sweep(desk, now() - SWEEP)
        except StorageUnavailable as error:
            log.warning("queue not looked after", why=str(error))
        except Exception as error:  # jobs would wait for ever for what this loop does
            log.error("looking after the queue failed", exc_info=error)
        await asyncio.sleep(TEND_S)


async def tend(desk: Desk, max_attempts: int, now: datetime, me: WorkerId | None = None) -> None:
    """Requeue what lost its worker, wake what is due, end what waited too long. Raises: StorageUnavailable."""
    lost = await desk.jobs.running(expired_at=now)
    await recover(desk, lost, max_attempts, now, me)
    if await desk.jobs.come_due(now):
        desk.bus.ring()
    for lane in Tier:
        before = expired_before(lane, now)
        if before is None:
            continue
        for job in await desk.jobs.expire(lane, before, reason(lane), now):
            desk.metrics.ended.labels(lane=lane, state="expired").inc()
            await tell(desk, job)


async def balance(desk: Desk, now: datetime) -> None:
    """Let the lanes' weights follow their waits, once a minute. Raises: StorageUnavailable."""
    waits = await desk.jobs.waits(now - LATELY, now)
    traffic = [Traffic(lane=lane, p95_wait_s=quantile(seconds, 0.95)) for lane, seconds in waits.items()]

    def changed(weights: Mapping[Tier, float], bases: Mapping[Tier, float]) -> Mapping[Tier, float]:
        after = reweigh(weights, traffic, bases)
        for line in after.reasons:
            log.info("lane weight changed", why=line)
        return after.weights

    await desk.jobs.lanes.reweigh(changed)


def quantile(values: list[float], part: float) -> float:
    """0 where there is nothing."""
    return sorted(values)[min(int(part * len(values)), len(values) - 1)] if values else 0.0
