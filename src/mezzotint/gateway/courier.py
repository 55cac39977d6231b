"""Tells webhooks of the ends of jobs: signed, tried again with growing waits, never lost.

A delivery's row is written in the transaction that ends its job. A courier takes rows that are due, holds them for two
minutes, tries, and writes how it ended; if it dies in between, the row comes due again. So a receiver may hear of a job
twice, with the same `webhook-id`; it never fails to hear because we stopped. Any number of gateways may carry.
"""

import asyncio
import base64
import hashlib
import hmac
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import datetime, timedelta

import structlog

from mezzotint.domain.errors import StorageUnavailable
from mezzotint.domain.ids import WebhookId
from mezzotint.domain.webhook import Delivery
from mezzotint.gateway.outside import Outside, Unreachable
from mezzotint.gateway.shapes import JobView, WebhookMessage
from mezzotint.policy.redelivery import is_gone, is_taken, next_try
from mezzotint.store import Changes, Jobs, Submissions, Webhooks

EVERY_S = 1.0
AT_ONCE = 16
SWEEP_EVERY = timedelta(hours=1)
KEPT = timedelta(days=7)
"""How long the logs of changes and deliveries are kept."""
log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class Courier:
    """derive: name -> a secret of that name that only this server and its fellows know."""

    webhooks: Webhooks
    jobs: Jobs
    changes: Changes
    submissions: Submissions
    outside: Outside
    derive: Callable[[str], bytes]
    now: Callable[[], datetime]

    def secret(self, webhook: WebhookId) -> str:
        """What the receiver checks signatures with. It is not kept: it follows from the server's own secret."""
        return "whsec_" + base64.b64encode(self.derive(f"webhook:{webhook}")).decode()

    @asynccontextmanager
    async def carrying(self) -> AsyncIterator[None]:
        task = asyncio.create_task(self._carry_on(), name="courier")
        try:
            yield
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task

    async def _carry_on(self) -> None:
        swept_at: datetime | None = None
        while True:
            try:
                while await self.carry():
                    pass
                if swept_at is None or self.now() - swept_at > SWEEP_EVERY:
                    swept_at = self.now()
                    await self.sweep()
            except StorageUnavailable as error:
                log.warning("webhooks wait for the database", why=str(error))
            await asyncio.sleep(EVERY_S)

    async def sweep(self) -> None:
        """Forget what nobody asks for any more."""
        await self.submissions.sweep(self.now())
        await self.changes.sweep(self.now() - KEPT)
        await self.webhooks.sweep(self.now() - KEPT)

    async def carry(self) -> int:
        """Try what is due. Returns how many were tried."""
        due = await self.webhooks.take_due(self.now(), AT_ONCE)
        async with asyncio.TaskGroup() as group:
            for delivery in due:
                group.create_task(self._try(delivery), name=f"delivery {delivery.seq}")
        return len(due)

    async def _try(self, delivery: Delivery) -> None:
        webhook, job = await self.webhooks.get(delivery.webhook), await self.jobs.get(delivery.job)
        if webhook is None or job is None:
            return  # removed meanwhile
        status, failure = None, None
        try:
            message = WebhookMessage(type=f"job.{delivery.state}", timestamp=self.now(), data=JobView.of(job))
            body = message.model_dump_json().encode()
            status = await self.outside.post(webhook.url, self.headers(delivery, body), body)
        except Unreachable as error:
            failure = str(error)[:200]
        now = self.now()
        if status is not None and is_taken(status):
            await self.webhooks.settle(delivery, delivered_at=now, next_at=None, status=status, failure=None)
            return
        wait = next_try(delivery.attempts)
        next_at = None if wait is None else now + wait
        await self.webhooks.settle(delivery, delivered_at=None, next_at=next_at, status=status, failure=failure)
        if status is not None and is_gone(status):
            await self.webhooks.disable(delivery.webhook, now)

    def headers(self, delivery: Delivery, body: bytes) -> dict[str, str]:
        """Signed as Standard Webhooks (standardwebhooks.com) say, so that their libraries can check it."""
        id, at = f"msg_{delivery.seq}", str(int(self.now().timestamp()))
        key = self.derive(f"webhook:{delivery.webhook}")
        mac = hmac.new(key, f"{id}.{at}.".encode() + body, hashlib.sha256).digest()
        return {
            "Content-Type": "application/json",
            "User-Agent": "Mezzotint-Webhooks/1",
            "webhook-id": id,
            "webhook-timestamp": at,
            "webhook-signature": "v1," + base64.b64encode(mac).decode(),
        }
