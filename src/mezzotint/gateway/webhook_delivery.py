"""Webhook delivery: a signed message for each end of a job, retried with growing waits, at least once.

The transaction that ends a job writes its deliveries. A sender claims due rows for two minutes, sends them and writes
the results; if it dies in between, the rows come due again. So a receiver may get a message twice, with the same
`webhook-id`, and none is lost. Each delivery runs as a task of its own, and tenants take turns
(policy/delivery_turns.py): one tenant's hanging receivers delay no other tenant. Any number of gateways may send.
"""

import asyncio
import base64
import hashlib
import hmac
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import structlog

from mezzotint.domain.ids import TenantId, WebhookId
from mezzotint.domain.job import Job
from mezzotint.domain.webhook import Delivery, Webhook
from mezzotint.gateway.safe_http import PublicOnlyClient, Unreachable
from mezzotint.gateway.schemas import JobView, WebhookMessage
from mezzotint.policy.delivery_turns import choose_due
from mezzotint.policy.redelivery import choose_delay, is_accepted, is_gone
from mezzotint.store import Changes, Jobs, Submissions, Webhooks

DELIVER_EVERY_S = 1.0
AT_ONCE, PER_TENANT = 32, 4
"""Most deliveries in flight, of all tenants together and of one."""
LOG_LIFETIME = timedelta(days=7)
"""Retention of the logs of changes and deliveries."""
log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class WebhookSender:
    """derive: name -> a secret that the gateways of this installation share."""

    webhooks: Webhooks
    jobs: Jobs
    changes: Changes
    submissions: Submissions
    http_client: PublicOnlyClient
    derive: Callable[[str], bytes]
    now: Callable[[], datetime]
    has_room: asyncio.Event = field(default_factory=asyncio.Event)
    in_flight: dict[asyncio.Task[None], TenantId] = field(default_factory=dict)

    def secret(self, webhook: WebhookId) -> str:
        """The key with which the receiver checks signatures. It is not stored: it derives from the server's secret."""
        return write_secret(self.derive(f"webhook:{webhook}"))

    @asynccontextmanager
    async def cancel_at_end(self) -> AsyncIterator[None]:
        """Cancel deliveries in flight when the block ends; they come due again."""
        try:
            yield
        finally:
            for task in self.in_flight:
                task.cancel()
            await asyncio.gather(*self.in_flight, return_exceptions=True)

    async def sweep(self) -> None:
        """Delete log rows past their retention."""
        await self.submissions.sweep(self.now())
        await self.changes.sweep(self.now() - LOG_LIFETIME)
        await self.webhooks.sweep(self.now() - LOG_LIFETIME)

    async def deliver_due(self) -> int:
        """Start due deliveries as far as there is room. Returns how many. Raises: StorageUnavailable.

        `has_room` is set when a delivery ended.
        """
        num_begun = 0
        while begun := await self._start_due():
            num_begun += begun
        return num_begun

    async def _start_due(self) -> int:
        def note_end(task: asyncio.Task[None]) -> None:
            del self.in_flight[task]
            self.has_room.set()
            error = None if task.cancelled() else task.exception()
            if error is not None:  # not settled: its row comes due again
                why = f"{type(error).__name__}: {error}"[:300]
                log.warning("delivery broken off", delivery=task.get_name(), why=why)

        if len(self.in_flight) >= AT_ONCE:
            return 0
        due = await self.webhooks.due(self.now())
        chosen = choose_due(due, Counter(self.in_flight.values()), at_once=AT_ONCE, per_tenant=PER_TENANT)
        tenants = {webhook.id: webhook.tenant for webhook in chosen}
        taken = await self.webhooks.take_due(list(tenants), self.now()) if tenants else []
        for delivery in taken:
            task = asyncio.create_task(self._attempt(delivery), name=f"delivery {delivery.seq}")
            self.in_flight[task] = tenants[delivery.webhook]
            task.add_done_callback(note_end)
        return len(taken)

    async def _attempt(self, delivery: Delivery) -> None:
        webhook, job = await self.webhooks.get(delivery.webhook), await self.jobs.get(delivery.job)
        if webhook is None or job is None or webhook.disabled_at is not None:
            await self.webhooks.settle(delivery, delivered_at=None, next_at=None, status=None, failure="disabled")
            return
        status, failure = await self._send(webhook, job, delivery)
        now = self.now()
        if status is not None and is_accepted(status):
            await self.webhooks.settle(delivery, delivered_at=now, next_at=None, status=status, failure=None)
            return
        wait = choose_delay(delivery.attempts)
        next_at = None if wait is None else now + wait
        await self.webhooks.settle(delivery, delivered_at=None, next_at=next_at, status=status, failure=failure)
        if status is not None and is_gone(status):
            await self.webhooks.disable(delivery.webhook, now)

    async def _send(self, webhook: Webhook, job: Job, delivery: Delivery) -> tuple[int | None, str | None]:
        """The receiver's status, or why there is none. An error fails this delivery alone."""
        try:
            message = WebhookMessage(type=f"job.{delivery.state}", timestamp=self.now(), data=JobView.of(job))
            body = message.model_dump_json().encode()
            return await self.http_client.post(webhook.url, self.sign(delivery, body), body), None
        except Unreachable as error:
            return None, "".join(letter if letter.isprintable() else "?" for letter in str(error)[:200])
        except Exception as error:
            log.exception("delivery failed", webhook=webhook.id)
            return None, f"The delivery failed: {type(error).__name__}."

    def sign(self, delivery: Delivery, body: bytes) -> dict[str, str]:
        return sign_message(self.derive(f"webhook:{delivery.webhook}"), f"msg_{delivery.seq}", self.now(), body)


def sign_message(key: bytes, id: str, now: datetime, body: bytes) -> dict[str, str]:
    """The headers of a message, signed as Standard Webhooks (standardwebhooks.com) specify."""
    at = str(int(now.timestamp()))
    mac = hmac.new(key, f"{id}.{at}.".encode() + body, hashlib.sha256).digest()
    return {
        "Content-Type": "application/json",
        "User-Agent": "Mezzotint-Webhooks/1",
        "webhook-id": id,
        "webhook-timestamp": at,
        "webhook-signature": "v1," + base64.b64encode(mac).decode(),
    }


def write_secret(key: bytes) -> str:
    """The key as Standard Webhooks write it, for the receiver."""
    return "whsec_" + base64.b64encode(key).decode()
