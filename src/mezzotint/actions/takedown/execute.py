"""Carry out takedowns step by step. Each step is small and can be repeated: any process goes on where another ended.

Rows leave first, so that no list or address has the pictures from that commit on; then their bytes move to quarantine;
then caches are told. `domain/safety/takedown.py` has the phases.
"""

import asyncio
import math
import time
from collections.abc import Callable, Sequence
from typing import assert_never

import structlog

from mezzotint.actions.cancel import cancel
from mezzotint.actions.requeue import publish_row
from mezzotint.actions.takedown.select import PAGE, choose_pictures, describe_picture
from mezzotint.actions.takedown.work import TakedownWork, list_keys
from mezzotint.domain.ids import JobId, TakedownId
from mezzotint.domain.safety.takedown import StoredPicture, Takedown, TakedownPhase, WithdrawnPicture
from mezzotint.policy.redelivery import choose_delay

log = structlog.get_logger()
MOVED_AT_ONCE = 20
PURGED_AT_ONCE = 100
TAKEDOWNS_EVERY_S = 5.0
LATE_ARRIVALS_EVERY_S = 60.0
"""Long, since each look searches the whole blocklist; what it has not found yet is delivered to nobody."""
RUN_S = 5.0
"""The background task works so long on one takedown before it looks at the next."""


def ignore(takedown: Takedown) -> None:
    """Reports to nobody."""


async def run_takedown(
    work: TakedownWork,
    id: TakedownId,
    within_s: float = math.inf,
    on_step: Callable[[Takedown], None] = ignore,
) -> Takedown | None:
    """Work on a takedown until nothing is left to do at present, or the time is over. Returns it as it is then.

    on_step: told how far it is before each step. Raises: StorageUnavailable.
    """
    until = time.monotonic() + within_s
    while True:
        takedown = await work.takedowns.get(id)
        if takedown is not None:
            on_step(takedown)
        is_waiting = takedown is not None and takedown.next_at is not None and takedown.next_at > work.now()
        if takedown is None or not takedown.phase.is_under_way or is_waiting or time.monotonic() >= until:
            return takedown
        await take_step(work, takedown)


async def take_step(work: TakedownWork, takedown: Takedown) -> None:
    """Do one batch of the takedown's present phase, or bring it to the next."""
    match takedown.phase:
        case TakedownPhase.WITHDRAWING:
            await _withdraw_some(work, takedown)
        case TakedownPhase.QUARANTINING:
            if not await move_some(work, takedown.id):
                await work.takedowns.advance(takedown, TakedownPhase.PURGING)
        case TakedownPhase.PURGING:
            await _purge_some(work, takedown)
        case TakedownPhase.UNDOING:
            await _restore_some(work, takedown)
        case TakedownPhase.DONE | TakedownPhase.UNDONE | TakedownPhase.ERASED:
            pass
        case _ as never:
            assert_never(never)


async def run_open_takedowns(work: TakedownWork) -> None:
    """Go on with every takedown that is under way, and delete what is over.

    One that fails does not hold up the others. Raises: StorageUnavailable.
    """
    for takedown in await work.takedowns.under_way():
        try:
            await run_takedown(work, takedown.id, RUN_S)
        except Exception:
            log.exception("takedown not carried on", takedown=takedown.id, phase=takedown.phase)
    for takedown in await work.takedowns.over(work.now()):
        num_deleted = await work.quarantine.delete_all(f"{takedown.id}/")
        await work.takedowns.advance(takedown, TakedownPhase.ERASED)
        log.info("takedown erased", takedown=takedown.id, objects=num_deleted)


async def withdraw_late_arrivals(work: TakedownWork) -> int:
    """Withdraw pictures whose bytes came after their hash was blocked. Returns how many.

    A job that was just ending, or an upload, can write its row in the moment of the takedown. Its bytes are delivered
    to nobody: the delivery looks at the blocklist.
    """
    num_late, num_new = 0, 1
    while num_new and (late := await work.takedowns.late_arrivals(PAGE)):
        num_new = 0
        for id in dict.fromkeys(id for id, _ in late):
            takedown = await work.takedowns.get(id)
            pictures = [picture for of, picture in late if of == id]
            if takedown is not None and await _withdraw(work, takedown, pictures, takedown.cursor, num_seen=0):
                num_new += len(pictures)
                if takedown.phase is TakedownPhase.WITHDRAWING:
                    continue  # its next phase moves their bytes
                while await move_some(work, takedown.id):
                    pass
                if takedown.phase is TakedownPhase.ERASED:
                    await work.quarantine.delete_all(f"{takedown.id}/")
        num_late += num_new
    return num_late


async def _withdraw_some(work: TakedownWork, takedown: Takedown) -> None:
    """Look at the next page. Places of uploads count on from the last picture's."""
    rows, selection = work.takedowns, takedown.selection
    page = await rows.drawn(selection, takedown.cursor, takedown.last_seq, PAGE)
    cursor = page[-1].seq if page else 0
    if not page:
        page = await rows.list_uploads(selection, max(takedown.cursor - takedown.last_seq, 0), PAGE)
        cursor = takedown.last_seq + page[-1].seq if page else 0
    if page:
        chosen = await choose_pictures(work, selection, page)
        await _withdraw(work, takedown, chosen, cursor, num_seen=len(page))
    elif not await withdraw_late_arrivals(work):
        await rows.advance(takedown, TakedownPhase.QUARANTINING)


async def _withdraw(
    work: TakedownWork, takedown: Takedown, pictures: Sequence[StoredPicture], cursor: int, *, num_seen: int
) -> bool:
    """Withdraw pictures, tell the watchers of their jobs, and cancel jobs that begin with them."""
    gone = await work.takedowns.withdraw(takedown, pictures, work.now(), cursor=cursor, num_seen=num_seen)
    if gone is None:
        return False
    work.backing.metrics.taken_down.inc(gone.num_pictures + gone.num_uploads)
    await publish_rows(work, gone.jobs)
    for job in await work.takedowns.open_jobs_from({one.png for one in pictures}):
        await cancel(work.backing, job, work.now())
    return True


async def publish_rows(work: TakedownWork, jobs: Sequence[JobId]) -> None:
    for job in jobs:
        await publish_row(work.backing, job)


async def move_some(work: TakedownWork, id: TakedownId) -> bool:
    """Move the bytes of some withdrawn pictures to quarantine. Returns False when all are there."""
    some = await work.takedowns.withdrawn(id, MOVED_AT_ONCE, is_moved=False)
    if not some:
        return False
    num_bytes, described = 0, []
    for one in some:
        for key in list_keys(one.picture):
            data = await _move(work, f"{id}/{key}", key)
            if data is not None:
                num_bytes += len(data)
                if key.endswith(".png"):
                    described.append(await asyncio.to_thread(describe_picture, data))
    pictures = [one for one in described if one is not None]
    await work.takedowns.mark_moved(id, [one.seq for one in some], num_bytes, pictures)
    return True


async def _move(work: TakedownWork, hidden_key: str, key: str) -> bytes | None:
    """The object's bytes, which lie encrypted in quarantine afterwards and nowhere else; None: there are none."""
    data = await work.backing.objects.get(key)
    if data is None:
        return await work.quarantine.get(hidden_key)
    await work.quarantine.put(hidden_key, data)
    await work.backing.objects.delete([key])
    return data


async def _purge_some(work: TakedownWork, takedown: Takedown) -> None:
    """Tell caches about some of the pictures; after a failure again later, with growing waits."""
    rows = work.takedowns
    some = await rows.withdrawn(takedown.id, PURGED_AT_ONCE, after=takedown.cursor) if work.purge is not None else []
    if work.purge is None or not some:
        await rows.advance(takedown, TakedownPhase.DONE)
        return
    paths = [path for one in some for path in list_paths(one)]
    failure = await work.purge(takedown, paths) if paths else None
    work.backing.metrics.cache_purges.labels(result="failed" if failure else "taken").inc()
    if failure is None:
        await rows.note_purge(takedown, cursor=some[-1].seq, attempts=0, next_at=None, failure=None)
        return
    wait = choose_delay(takedown.attempts + 1)
    log.error("caches not purged", takedown=takedown.id, why=failure, is_last=wait is None)
    if wait is None:
        await rows.advance(takedown, TakedownPhase.DONE, failure=failure)
    else:
        next_at = work.now() + wait
        await rows.note_purge(takedown, attempts=takedown.attempts + 1, next_at=next_at, failure=failure)


def list_paths(withdrawn: WithdrawnPicture) -> list[str]:
    """The paths at which a picture was delivered; uploads never were."""
    picture = withdrawn.picture
    return [] if picture.webp is None else [f"/i/{picture.webp}.webp", f"/i/{picture.png}.png"]


async def _restore_some(work: TakedownWork, takedown: Takedown) -> None:
    """Bring back bytes, then their rows; at the end nothing is left in quarantine."""
    some = await work.takedowns.withdrawn(takedown.id, PAGE)
    if not some:
        await work.quarantine.delete_all(f"{takedown.id}/")
        await work.takedowns.advance(takedown, TakedownPhase.UNDONE)
        return
    for one in some:
        for key in list_keys(one.picture):
            data = await work.quarantine.get(f"{takedown.id}/{key}")
            if data is not None:
                await work.backing.objects.put_once(key, data)
    await publish_rows(work, await work.takedowns.restore(takedown, [one.seq for one in some], work.now()))
