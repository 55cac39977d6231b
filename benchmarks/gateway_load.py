"""The load of the gateway's benchmark: requests at fixed times, and as many submits as there are answers.

In the open loop it comes whether or not answers came, and latency counts from the time at which a request was due.
"""

import asyncio
import json
import re
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any

SECRET = b"a secret of the benchmark, 32 bytes or more"
RATE = 100
CONNECTIONS = 32
TENANTS = 200
"""Whose submits are measured: one alone would soon have as many open jobs as it may."""
OPERATOR = "ops"
Times = defaultdict[str, list[float]]
"""Milliseconds by kind of request."""
numbers = count()


@dataclass(kw_only=True)
class Endpoint:
    """How the gateway is reached. jobs: ids of jobs in ada's history. tier: of every tenant."""

    port: int
    jobs: list[str]
    tier: str = "pro"
    tokens: dict[str, str] = field(default_factory=dict)

    def token(self, tenant: str) -> str:
        from mezzotint.domain.claims import Role
        from mezzotint.domain.ids import TenantId
        from mezzotint.domain.tier import Tier
        from mezzotint.gateway import Issuer

        if tenant not in self.tokens:
            lifetime = timedelta(hours=3)
            role = Role.ADMIN if tenant == OPERATOR else Role.USER
            now = datetime.now(UTC)
            self.tokens[tenant] = Issuer(SECRET).issue(TenantId(tenant), Tier(self.tier), now, lifetime, role=role)
        return self.tokens[tenant]

    def submit(self, tenant: str | None = None) -> bytes:
        number = next(numbers)
        body = json.dumps({"prompt": "a red apple on a wooden table", "seed": number}).encode()
        return self.request("POST", "/v1/jobs", tenant or f"t{number % TENANTS}", body)

    def request(self, method: str, path: str, tenant: str, body: bytes = b"") -> bytes:
        head = f"{method} {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {self.token(tenant)}\r\n"
        return f"{head}Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body


@dataclass(kw_only=True)
class Wire:
    """One kept connection; requests go one after the other."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    @classmethod
    async def open(cls, port: int) -> "Wire":
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        return cls(reader=reader, writer=writer)

    async def ask(self, request: bytes) -> tuple[int, bytes]:
        self.writer.write(request)
        head = await self.reader.readuntil(b"\r\n\r\n")
        length = re.search(rb"content-length: (\d+)", head, re.I)
        body = await self.reader.readexactly(int(length[1])) if length else b""
        return int(head[9:12]), body


async def steady(endpoint: Endpoint, seconds: float) -> Times:
    """Submit, status and list in turn, `RATE` a second. Milliseconds."""
    free = [await Wire.open(endpoint.port) for _ in range(64)]
    took: Times = defaultdict(list)
    kinds: list[tuple[str, Callable[[int], bytes]]] = [
        ("submit", lambda number: endpoint.submit()),
        (
            "status",
            lambda number: endpoint.request("GET", f"/v1/jobs/{endpoint.jobs[number % len(endpoint.jobs)]}", "ada"),
        ),
        ("list", lambda number: endpoint.request("GET", "/v1/images?limit=24", "ada")),
    ]

    async def one(number: int, due: float) -> None:
        name, make = kinds[number % len(kinds)]
        request = make(number)
        while free and free[-1].reader.at_eof():  # the server closes what was idle for seconds
            free.pop()
        wire = free.pop() if free else await Wire.open(endpoint.port)
        try:
            status, body = await wire.ask(request)
        except (ConnectionError, asyncio.IncompleteReadError):  # or was about to; a client sends it again
            wire = await Wire.open(endpoint.port)
            status, body = await wire.ask(request)
        if status not in {200, 202}:
            raise SystemExit(f"{name}: {status} {body[:300]!r}")
        took[name].append((time.monotonic() - due) * 1000)
        free.append(wire)

    begun = time.monotonic()
    async with asyncio.TaskGroup() as group:
        for number in range(int(RATE * seconds)):
            due = begun + number / RATE
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            group.create_task(one(number, due))
    for wire in free:
        wire.writer.close()
    return took


def merge(took: Times, more: Times) -> None:
    for name, times in more.items():
        took[name] += times


def latency(took: Times) -> dict[str, Any]:
    return {name: {"p50": quantile(times, 0.5), "p99": quantile(times, 0.99)} for name, times in took.items()}


async def flood(endpoint: Endpoint, seconds: float) -> float:
    """Submits a second with every connection asking again as soon as it was answered."""
    done = 0
    until = time.monotonic() + seconds

    async def ask_on(number: int) -> None:
        nonlocal done
        wire = await Wire.open(endpoint.port)
        while time.monotonic() < until:
            status, body = await wire.ask(endpoint.submit())
            if status != 202:
                raise SystemExit(f"submit: {status} {body[:300]!r}")
            done += 1
        wire.writer.close()

    begun = time.monotonic()
    await asyncio.gather(*(ask_on(number) for number in range(CONNECTIONS)))
    return round(done / (time.monotonic() - begun), 1)


def quantile(values: list[float], at: float) -> float:
    return round(sorted(values)[min(len(values) - 1, int(at * len(values)))], 2)
