"""Begin a takedown, and begin to undo one. What is left of either goes on in the background."""

import secrets
from collections.abc import Callable
from enum import StrEnum

from mezzotint.actions.cancel import cancel
from mezzotint.actions.takedown.execute import ignore, run_takedown
from mezzotint.actions.takedown.select import find_open_jobs
from mezzotint.actions.takedown.work import TakedownWork
from mezzotint.domain.ids import TakedownId
from mezzotint.domain.safety.takedown import PictureSelection, Takedown, TakedownPhase
from mezzotint.policy.safety.audit import SafetyChange
from mezzotint.policy.safety.takedown import can_undo, check_selection

ANSWER_S = 20.0
"""A request waits so long for its takedown before it answers with the phase that is reached."""


class UndoRefusal(StrEnum):
    """The reason for which a takedown is not undone."""

    UNDER_WAY = "takedown_under_way"
    ERASED = "takedown_erased"


async def begin_takedown(
    work: TakedownWork,
    selection: PictureSelection,
    *,
    reason: str,
    made_by: str,
    within_s: float = ANSWER_S,
    on_step: Callable[[Takedown], None] = ignore,
) -> Takedown:
    """Take down what is selected. A selection that was taken down already, with nothing new in it, is that takedown.

    Jobs that it names and that have not ended are cancelled.
    within_s: how long it is worked on before it is returned. on_step: as of `run_takedown`.
    Raises: SelectionInvalid, StorageUnavailable.
    """
    check_selection(selection)
    now = work.now()
    # before the newest picture is looked up: a job has either no picture from here on, or one that is looked at
    for job in await find_open_jobs(work, selection):
        await cancel(work.backing, job, now)
    takedown = Takedown(
        id=TakedownId(f"td_{secrets.token_hex(8)}"),
        phase=TakedownPhase.WITHDRAWING,
        selection=selection,
        reason=reason,
        made_by=made_by,
        created_at=now,
        ends_at=now + work.keep_for,
        last_seq=await work.takedowns.newest_picture(),
    )
    begun = await work.takedowns.add(takedown)
    return await run_takedown(work, begun.id, within_s, on_step) or begun


async def undo_takedown(
    work: TakedownWork,
    takedown: Takedown,
    *,
    undone_by: str,
    reason: str,
    within_s: float = ANSWER_S,
    on_step: Callable[[Takedown], None] = ignore,
) -> Takedown | UndoRefusal:
    """Bring everything back. One that is undone stays as it is. Raises: StorageUnavailable."""
    if takedown.phase not in {TakedownPhase.UNDOING, TakedownPhase.UNDONE}:
        if not can_undo(takedown, work.now()):
            is_early = takedown.phase in {TakedownPhase.WITHDRAWING, TakedownPhase.QUARANTINING}
            return UndoRefusal.UNDER_WAY if is_early else UndoRefusal.ERASED
        await work.takedowns.begin_undo(takedown, SafetyChange(author=undone_by, reason=reason, at=work.now()))
    return await run_takedown(work, takedown.id, within_s, on_step) or takedown
