"""Rows of appeals against refusals. They outlive the refusal's own row: decided ones are labelled data."""

import secrets
from collections.abc import AsyncIterator, Collection, Sequence
from dataclasses import asdict
from datetime import datetime

from sqlalchemy import ColumnElement, RowMapping, func, insert, select, update
from sqlalchemy.exc import IntegrityError

from mezzotint.domain.errors import ImageInReview
from mezzotint.domain.ids import JobId, OwnerId, TenantId
from mezzotint.domain.job import JobState
from mezzotint.domain.refusal import SafetyEvidence
from mezzotint.policy.safety.appeals import MAX_OPEN, PICTURE, Appeal, AppealState, can_decide
from mezzotint.policy.safety.audit import AuditAction, AuditEntry, SafetyChange
from mezzotint.store.database import Database
from mezzotint.store.digest import digest
from mezzotint.store.refusals import KeptRefusal
from mezzotint.store.safety.audit import write_audit
from mezzotint.store.safety.tables import appeals
from mezzotint.store.schema import held_images, jobs

PAGE = 500


class Appeals:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def add(self, refusal: KeptRefusal, explanation: str, prompt: str | None, now: datetime) -> Appeal | None:
        """Keep a new appeal. Returns None, and keeps nothing, when the refusal has one, or the tenant `MAX_OPEN`
        open ones.
        """
        mine = select(func.count()).where(appeals.c.tenant == refusal.tenant, appeals.c.state == AppealState.OPEN)
        row = {
            "id": f"app_{secrets.token_hex(12)}",
            "refusal": refusal.id,
            "tenant": refusal.tenant,
            "owner": refusal.owner,
            "category": refusal.evidence.category,
            "text_hash": refusal.text_hash,
            "evidence": asdict(refusal.evidence),
            "explanation": explanation,
            "prompt": prompt,
            "state": AppealState.OPEN,
            "created_at": now,
        }
        try:
            async with self._database.write() as connection:
                await self._database.lock(connection, f"appeals of {refusal.tenant}")
                if (await connection.execute(mine)).scalar_one() >= MAX_OPEN:
                    return None
                added = await connection.execute(insert(appeals).values(row).returning(appeals))
                return appeal_of(added.mappings().one())
        except IntegrityError:
            return None

    async def find_blocked_picture(self, job: JobId) -> KeptRefusal | None:
        """The refusal of a finished picture, which has the job's id. None: the job was not blocked, or its picture
        waits for a review: nothing is refused yet."""
        blocked = select(jobs).where(jobs.c.id == job, jobs.c.state == JobState.BLOCKED)
        of_job = select(held_images).where(held_images.c.job == job).order_by(held_images.c.position).limit(1)
        async with self._database.read() as connection:
            row = (await connection.execute(blocked)).mappings().first()
            held = (await connection.execute(of_job)).mappings().first()
        is_refused = row is not None and row["error"]["code"] != ImageInReview.code
        return blocked_picture_of(row, held) if row is not None and is_refused else None

    async def find_of(self, refusal: str) -> Appeal | None:
        """The appeal against a refusal."""
        return await self._find(appeals.c.refusal == refusal)

    async def get(self, appeal: str) -> Appeal | None:
        return await self._find(appeals.c.id == appeal)

    async def of_owner(
        self, tenant: TenantId, owners: Collection[OwnerId], limit: int, before: int | None = None
    ) -> list[tuple[int, Appeal]]:
        """The newest of these owners with their numbers, those before a number."""
        return await self._page([appeals.c.tenant == tenant, appeals.c.owner.in_(owners)], limit, before)

    async def page(
        self, limit: int, before: int | None = None, states: Collection[AppealState] = ()
    ) -> list[tuple[int, Appeal]]:
        """The newest of everybody with their numbers, those before a number. states: none given: all."""
        return await self._page([appeals.c.state.in_(states)] if states else [], limit, before)

    async def iterate_decided(self) -> AsyncIterator[Appeal]:
        """All that an admin decided, newest first."""
        before: int | None = None
        states = set(AppealState) - {AppealState.OPEN}
        while page := await self.page(PAGE, before, states):
            for _, appeal in page:
                yield appeal
            before = page[-1][0]

    async def decide(self, appeal: str, outcome: AppealState, change: SafetyChange) -> Appeal | AppealState | None:
        """Decide an appeal. Returns it as it is now; its state, when the outcome cannot follow it; None: there is no
        such appeal.
        """
        mine = appeals.c.id == appeal
        values = {"state": outcome, "decided_at": change.at, "decided_by": change.author, "note": change.reason}
        async with self._database.write() as connection:
            row = (await connection.execute(select(appeals).where(mine).with_for_update())).mappings().first()
            if row is None:
                return None
            state = AppealState(row["state"])
            if not can_decide(state, outcome):
                return state
            changed = await connection.execute(update(appeals).where(mine).values(values).returning(appeals))
            entry = AuditEntry(
                change=change,
                action=AuditAction.APPEAL_DECIDED,
                subject=appeal,
                before={"state": state},
                after={"state": outcome, "refusal": row["refusal"], "category": row["category"]},
            )
            await write_audit(self._database, connection, entry)
            return appeal_of(changed.mappings().one())

    async def _find(self, which: ColumnElement[bool]) -> Appeal | None:
        async with self._database.read() as connection:
            row = (await connection.execute(select(appeals).where(which))).mappings().first()
        return None if row is None else appeal_of(row)

    async def _page(
        self, which: Sequence[ColumnElement[bool]], limit: int, before: int | None
    ) -> list[tuple[int, Appeal]]:
        query = select(appeals).where(*which).order_by(appeals.c.seq.desc()).limit(limit)
        if before is not None:
            query = query.where(appeals.c.seq < before)
        async with self._database.read() as connection:
            rows = (await connection.execute(query)).mappings().all()
        return [(row["seq"], appeal_of(row)) for row in rows]


def blocked_picture_of(job: RowMapping, held: RowMapping | None) -> KeptRefusal:
    """held: the first picture that did not pass; None for jobs of before they were kept."""
    by_classifier = {} if held is None else held["scores"]
    scores: dict[str, float] = {}
    for of_one in by_classifier.values():
        for name, score in of_one.items():
            scores[name] = max(scores.get(name, 0.0), score or 0.0)
    return KeptRefusal(
        id=job["id"],
        tenant=TenantId(job["tenant"]),
        owner=OwnerId(job["owner"]),
        code=job["error"]["code"],
        message=job["error"]["message"],
        text_hash=digest(job["raw_prompt"]),
        prompt=job["raw_prompt"],
        evidence=SafetyEvidence(
            category="" if held is None else held["category"],
            scores=scores,
            policy_version="" if held is None else held["filter_version"],
            stage=PICTURE,
        ),
        created_at=job["finished_at"],
    )


def appeal_of(row: RowMapping) -> Appeal:
    return Appeal(
        id=row["id"],
        refusal=row["refusal"],
        tenant=TenantId(row["tenant"]),
        owner=OwnerId(row["owner"]),
        evidence=SafetyEvidence(**row["evidence"]),
        text_hash=row["text_hash"],
        explanation=row["explanation"],
        prompt=row["prompt"],
        state=AppealState(row["state"]),
        created_at=row["created_at"],
        decided_at=row["decided_at"],
        decided_by=row["decided_by"],
        note=row["note"],
    )
