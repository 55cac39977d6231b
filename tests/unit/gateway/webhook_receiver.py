"""A webhook's receiver, and what tests of webhooks have in common."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime

from mezzotint.domain.ids import WebhookId, WorkerId
from mezzotint.gateway import Service
from mezzotint.gateway.safe_http import Allowlist, PublicOnlyClient
from mezzotint.gateway.webhook_delivery import WebhookSender
from mezzotint.store import WorkerOffer
from tests.making import NOW, make_ending, make_job
from tests.raw_streams import listening
from tests.unit.gateway.conftest import Connect


@dataclass
class Receiver:
    """A real HTTP server of somebody else's. answers: the statuses it gives, then 204."""

    answers: list[int] = field(default_factory=list)
    got: list[tuple[dict[str, str], bytes]] = field(default_factory=list)
    port: int = 0

    @asynccontextmanager
    async def listening(self) -> AsyncIterator["Receiver"]:
        async with listening(self._serve) as self.port:
            yield self

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        headers = {k.lower(): v for k, _, v in (row.partition(": ") for row in head.split("\r\n")[1:] if row)}
        self.got.append((headers, await reader.readexactly(int(headers["content-length"]))))
        status = self.answers.pop(0) if self.answers else 204
        location = f"http://127.0.0.1:{self.port}/moved"
        writer.write(f"HTTP/1.1 {status} x\r\nContent-Length: 0\r\nLocation: {location}\r\n\r\n".encode())
        await writer.drain()
        await reader.read()  # until the client took the answer and closed


@dataclass
class Clock:
    at: datetime = NOW

    def now(self) -> datetime:
        return self.at


def sender_of(service: Service, clock: Clock, inside: str = "receiver.test") -> WebhookSender:
    async def resolve(host: str, port: int) -> list[str]:
        return ["127.0.0.1"]

    return replace(
        service.webhook_sender,
        http_client=PublicOnlyClient(allowlist=Allowlist.read(inside), resolve=resolve),
        now=clock.now,
    )


async def deliver_all(webhook_sender: WebhookSender) -> int:
    """Deliver what is due, and wait until it is settled. Returns how many deliveries were begun."""
    num = await webhook_sender.deliver_due()
    await asyncio.gather(*webhook_sender.in_flight)
    return num


async def next_due(webhook_sender: WebhookSender, webhook: str) -> datetime | None:
    told = await webhook_sender.webhooks.deliveries_of(WebhookId(webhook), 9)
    return min((one.next_at for one in told if one.next_at is not None), default=None)


async def end_a_job(service: Service, tenant: str = "ada") -> str:
    job = make_job(tenant=tenant)
    await service.backing.jobs.add(job)
    (taken,) = await service.backing.jobs.claim(WorkerOffer(worker=WorkerId("w")), NOW, 30)
    assert taken.lease is not None
    await service.backing.jobs.finish(job.id, taken.lease, make_ending(job))
    return job.id


async def registered(connect: Connect, service: Service, receiver: Receiver) -> dict[str, str]:
    async with connect("ada", served=service) as ada:
        answer = await ada.post("/v1/webhooks", json={"url": f"http://receiver.test:{receiver.port}/hook"})
        assert answer.status_code == 201, answer.text
        made: dict[str, str] = answer.json()
        return made


UNUSABLE_HOSTS = [
    "x..example.org",
    ".example.org",
    "x.example.org..",
    "a" * 64 + ".example.org",
    ".".join(["a" * 60] * 5),
    "-x.example.org",
    "x-.example.org",
    "a\\b.example.org",
    "a,b.example.org",
    "%65xample.org",
    "*.example.org",
    "xn--.example.org",
    "xn--ab-999999999.example.org",
    "1.2.3",
    "2130706433",
    "0x7f.1",
    "0x7f000001",
    "1.2.3.256",
    "[v1.example]",
    "[fe80::1%25eth0]",
    "[2606:4700::1111%25eth0]",
    "hooks.example:-1",
    "hooks.example:0",
    "hooks.example:65536",
    "hooks.example:https",
    ":443",
    "user@hooks.example",
    ":@hooks.example",
]
