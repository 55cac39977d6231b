from dataclasses import replace

from mezzotint.domain.event import Changed, Progressed
from mezzotint.domain.job import JobState
from mezzotint.store import EventBus
from mezzotint.store.events.event_bus import MAX_PROGRESS
from tests.making import make_job


def test_progress_that_is_told_after_its_job_was_cancelled_does_not_pile_up() -> None:
    bus = EventBus()
    cancelled = [make_job() for _ in range(3 * MAX_PROGRESS)]
    for job in cancelled:
        bus.publish(job.id, Changed(job=replace(job, state=JobState.CANCELLED)))
        bus.publish(job.id, Progressed(job=job.id, step=1, num_steps=30, preview="data:" + "x" * 100))
    assert sum(bus.progress_of(job.id) is not None for job in cancelled) == MAX_PROGRESS
    assert bus.progress_of(cancelled[-1].id) is not None
