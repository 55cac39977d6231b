"""The queue's length and age, read when somebody asks."""

from datetime import datetime

from mezzotint.actions.finish import Desk
from mezzotint.domain.job import JobState
from mezzotint.domain.tier import Tier
from mezzotint.metrics import Waiting


async def count(desk: Desk, now: datetime) -> None:
    """Bring the gauges of all lanes up to date."""
    numbers = {(tier, state): (number, oldest) for tier, state, number, oldest in await desk.jobs.backlog()}
    lanes = []
    for tier in Tier:
        num_queued, oldest = numbers.get((tier, JobState.QUEUED), (0, now))
        num_running, _ = numbers.get((tier, JobState.RUNNING), (0, now))
        age_s = max((now - oldest).total_seconds(), 0.0)
        lanes.append(Waiting(lane=tier, num_queued=num_queued, num_running=num_running, oldest_s=age_s))
    desk.metrics.waiting(lanes)
