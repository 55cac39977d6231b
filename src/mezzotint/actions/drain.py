"""Drain workers for maintenance, or let them take jobs again."""

from collections.abc import Sequence
from datetime import datetime

from mezzotint.domain.ids import WorkerId
from mezzotint.store import EventBus, Workers


async def set_drained(
    workers: Workers,
    bus: EventBus,
    ids: Sequence[WorkerId] | None,
    now: datetime,
    *,
    is_drained: bool,
    ends: bool = False,
) -> list[WorkerId]:
    """A drained worker preempts its runs with checkpoints and claims no more, within a second or two.

    ids: None for all workers, also those that start later. ends: their processes end then (named workers only; a
    server's own worker stays with it). Returns the ids that no worker has; the others are changed.
    """
    unknown: list[WorkerId] = []
    if ids is None:
        await workers.drain_all(is_drained=is_drained)
    for id in ids or ():
        is_known = (
            await workers.want_end(id, now, "an operator drains it")
            if is_drained and ends
            else await workers.drain(id, now, is_drained=is_drained)
        )
        if not is_known:
            unknown.append(id)
    bus.ring()
    return unknown
