"""Judge the pictures of a time again by today's filters, page by page: a run that is killed goes on where it was."""

import asyncio
import secrets
from collections.abc import Callable
from dataclasses import dataclass

from PIL import Image as Pixels

from mezzotint.actions.takedown.select import open_picture
from mezzotint.actions.takedown.work import TakedownWork, list_keys
from mezzotint.domain.ids import AuditId
from mezzotint.domain.safety.picture_audit import AuditCriteria, AuditFinding, AuditPhase, PictureAudit
from mezzotint.domain.safety.takedown import PictureSelection, StoredPicture
from mezzotint.domain.tier import Tier
from mezzotint.policy.safety.images import ImageVerdict
from mezzotint.policy.safety.picture_audit import find_faults
from mezzotint.store import PictureAudits

PAGE = 20
"""Pictures between two writes: so many are judged twice after a kill, and one at a time is in memory."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditWork:
    """judge: today's image filter; it may take long and is called on a thread."""

    audits: PictureAudits
    work: TakedownWork
    judge: Callable[[Pixels.Image, Tier], ImageVerdict]


async def begin_audit(audit_work: AuditWork, criteria: AuditCriteria) -> PictureAudit:
    """Write the row of a new audit; `run_audit` does its work. Raises: StorageUnavailable."""
    audit = PictureAudit(
        id=AuditId(f"aud_{secrets.token_hex(8)}"),
        phase=AuditPhase.RUNNING,
        criteria=criteria,
        created_at=audit_work.work.now(),
        last_seq=await audit_work.work.takedowns.newest_picture(),
    )
    await audit_work.audits.add(audit)
    return audit


async def run_audit(
    audit_work: AuditWork, audit: PictureAudit, on_page: Callable[[int], None] = lambda num_seen: None
) -> PictureAudit:
    """Judge what is left of the audit. on_page: told how many were judged since the last call.

    Raises: StorageUnavailable.
    """
    rows, selection = audit_work.work.takedowns, select_pictures(audit.criteria)
    while page := await rows.drawn(selection, audit.cursor, audit.last_seq, PAGE):
        judged = [await _judge(audit_work, audit.criteria, one) for one in page]
        await audit_work.audits.note_page(
            audit,
            [one.finding for one in judged if one.finding is not None],
            cursor=page[-1].seq,
            num_seen=len(page),
            num_unread=sum(one.is_unread for one in judged),
        )
        on_page(len(page))
        audit = await audit_work.audits.get(audit.id) or audit
    await audit_work.audits.finish(audit.id)
    return await audit_work.audits.get(audit.id) or audit


def select_pictures(criteria: AuditCriteria) -> PictureSelection:
    return PictureSelection(tenant=criteria.tenant, since=criteria.since, until=criteria.until)


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditedPicture:
    finding: AuditFinding | None
    is_unread: bool


async def _judge(audit_work: AuditWork, criteria: AuditCriteria, picture: StoredPicture) -> AuditedPicture:
    data = await audit_work.work.backing.objects.get(list_keys(picture)[0])

    def judge_file() -> tuple[str | None, ImageVerdict | None]:
        category = audit_work.work.find_category(picture.prompt, picture.negative_prompt)
        pixels = None if data is None else open_picture(data)
        return category, None if pixels is None else audit_work.judge(pixels, picture.tier)

    category, verdict = await asyncio.to_thread(judge_file)
    return AuditedPicture(finding=find_faults(criteria, picture, category, verdict), is_unread=verdict is None)
