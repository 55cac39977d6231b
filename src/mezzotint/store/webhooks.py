"""Rows of webhooks and of what they are still to be told."""

from collections.abc import Collection, Sequence
from datetime import datetime, timedelta

from sqlalchemy import RowMapping, and_, delete, func, insert, or_, select, update

from mezzotint.domain.ids import JobId, OwnerId, TenantId, WebhookId
from mezzotint.domain.job import JobState
from mezzotint.domain.webhook import Delivery, Webhook
from mezzotint.policy.delivery_turns import DueWebhook
from mezzotint.store.database import Database
from mezzotint.store.schema import deliveries, jobs, webhooks

HELD = timedelta(minutes=2)
"""Longer than one try can take: a sender that died meanwhile is taken for one that failed."""


class Webhooks:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def add(self, webhook: Webhook, most: int) -> bool:
        """Keep a new webhook. Returns False, and keeps nothing, when its owner has `most` already."""
        mine = select(func.count()).where(webhooks.c.tenant == webhook.tenant, webhooks.c.owner == webhook.owner)
        row = {name: getattr(webhook, name) for name in ("id", "tenant", "owner", "url", "created_at")}
        async with self._database.write() as connection:
            await self._database.lock(connection, f"webhooks of {webhook.tenant}")
            if (await connection.execute(mine)).scalar_one() >= most:
                return False
            await connection.execute(insert(webhooks).values(row))
        return True

    async def of_tenant(self, tenant: TenantId, owners: Collection[OwnerId] | None = None) -> list[Webhook]:
        """Oldest first. owners: whose in the tenant; None: everybody's."""
        query = select(webhooks).where(webhooks.c.tenant == tenant).order_by(webhooks.c.created_at, webhooks.c.id)
        if owners is not None:
            query = query.where(webhooks.c.owner.in_(owners))
        async with self._database.read() as connection:
            return [webhook_of(row) for row in (await connection.execute(query)).mappings()]

    async def get(self, webhook: WebhookId) -> Webhook | None:
        async with self._database.read() as connection:
            row = (await connection.execute(select(webhooks).where(webhooks.c.id == webhook))).mappings().first()
        return None if row is None else webhook_of(row)

    async def remove(self, webhook: WebhookId) -> None:
        """Its deliveries go with it."""
        async with self._database.write() as connection:
            await connection.execute(delete(deliveries).where(deliveries.c.webhook == webhook))
            await connection.execute(delete(webhooks).where(webhooks.c.id == webhook))

    async def disable(self, webhook: WebhookId, at: datetime) -> None:
        async with self._database.write() as connection:
            await connection.execute(update(webhooks).where(webhooks.c.id == webhook).values(disabled_at=at))
            ended = and_(deliveries.c.webhook == webhook, deliveries.c.next_at.is_not(None))
            await connection.execute(update(deliveries).where(ended).values(next_at=None, failure="disabled"))

    async def deliveries_of(self, webhook: WebhookId, limit: int) -> list[Delivery]:
        """The newest first."""
        query = select(deliveries).where(deliveries.c.webhook == webhook)
        async with self._database.read() as connection:
            rows = await connection.execute(query.order_by(deliveries.c.seq.desc()).limit(limit))
            return [delivery_of(row) for row in rows.mappings()]

    async def due(self, now: datetime) -> list[DueWebhook]:
        """The webhooks that have something due."""
        is_any = select(deliveries.c.seq).where(deliveries.c.next_at <= now).limit(1)
        is_due = and_(deliveries.c.webhook == webhooks.c.id, deliveries.c.next_at <= now)
        oldest = select(func.min(deliveries.c.next_at)).where(is_due).scalar_subquery()
        each = select(webhooks.c.id, webhooks.c.tenant, oldest.label("since")).subquery()
        async with self._database.read() as connection:
            if (await connection.execute(is_any)).first() is None:
                return []
            rows = (await connection.execute(select(each).where(each.c.since.is_not(None)))).all()
        return [DueWebhook(id=WebhookId(id), tenant=TenantId(tenant), since=since) for id, tenant, since in rows]

    async def take_due(self, chosen: Sequence[WebhookId], now: datetime) -> list[Delivery]:
        """The oldest due delivery of each webhook, held so that no other sender takes it, one try counted."""
        held = {"next_at": now + HELD, "attempts": deliveries.c.attempts + 1}
        found: list[tuple[int, datetime]] = []
        taken = []
        async with self._database.write() as connection:
            for webhook in chosen:
                due = select(deliveries.c.seq, deliveries.c.next_at)
                due = due.where(deliveries.c.webhook == webhook, deliveries.c.next_at <= now)
                rows = await connection.execute(due.order_by(deliveries.c.next_at).limit(1))
                found += [(row.seq, row.next_at) for row in rows]
            for seq, next_at in sorted(found):  # in one order, so that senders do not wait in a circle
                still = and_(deliveries.c.seq == seq, deliveries.c.next_at == next_at)
                counted = await connection.execute(update(deliveries).where(still).values(held).returning(deliveries))
                taken += [delivery_of(row) for row in counted.mappings()]
        return taken

    async def settle(
        self,
        delivery: Delivery,
        *,
        delivered_at: datetime | None,
        next_at: datetime | None,
        status: int | None,
        failure: str | None,
    ) -> None:
        """Write how a try ended."""
        values = {"delivered_at": delivered_at, "next_at": next_at, "status": status, "failure": failure}
        async with self._database.write() as connection:
            await connection.execute(update(deliveries).where(deliveries.c.seq == delivery.seq).values(values))

    async def sweep(self, before: datetime) -> None:
        """Forget what was delivered long ago, what was given up for jobs of long ago, and what is due for jobs that
        are there no more."""
        job = select(jobs.c.id).where(jobs.c.id == deliveries.c.job)
        is_over = deliveries.c.next_at.is_(None)
        delivered = and_(is_over, deliveries.c.delivered_at < before)
        given_up = and_(is_over, deliveries.c.delivered_at.is_(None), ~job.where(jobs.c.finished_at >= before).exists())
        orphaned = and_(deliveries.c.next_at.is_not(None), ~job.exists())
        async with self._database.write() as connection:
            await connection.execute(delete(deliveries).where(or_(delivered, given_up, orphaned)))


def webhook_of(row: RowMapping) -> Webhook:
    return Webhook(
        id=WebhookId(row["id"]),
        tenant=TenantId(row["tenant"]),
        owner=OwnerId(row["owner"]),
        url=row["url"],
        created_at=row["created_at"],
        disabled_at=row["disabled_at"],
    )


def delivery_of(row: RowMapping) -> Delivery:
    return Delivery(
        seq=row["seq"],
        webhook=WebhookId(row["webhook"]),
        job=JobId(row["job"]),
        state=JobState(row["state"]),
        attempts=row["attempts"],
        next_at=row["next_at"],
        delivered_at=row["delivered_at"],
        status=row["status"],
        failure=row["failure"],
    )
