"""Request bodies: a minimum speed while they are read, and a limit of the memory that they take."""

import asyncio
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from starlette.types import Receive

from mezzotint.gateway.errors import ApiError

PACE_BYTES = 160 * 1024
"""Bytes that must come within each `client_timeout_s`, unless the body ends."""
RETRY_S = 10


@dataclass(slots=True, kw_only=True)
class RequestBodies:
    """client_timeout_s: for each `PACE_BYTES` of a body. deadline_s: for a whole body. memory_bytes: what large bodies
    may take together, until their pictures are stored; one tenant has a quarter of it, or one body."""

    client_timeout_s: float = 10.0
    deadline_s: float = 120.0
    memory_bytes: int = 256 * 2**20
    reserved: Counter[str] = field(default_factory=Counter)

    @contextmanager
    def reserve(self, tenant: str, declared: str | None, max_bytes: int) -> Iterator[None]:
        """Reserve memory for one large body before it is read. declared: its Content-Length.

        Answers 413 if it is too large, 429 if its tenant's other bodies take too much memory, 503 if all bodies do.
        """
        num_bytes = int(declared[:20]) if declared is not None and declared.isdecimal() else max_bytes
        if num_bytes > max_bytes:
            raise too_large_error(max_bytes)
        taken = self.reserved[tenant]
        if taken and taken + num_bytes > self.memory_bytes // 4:
            hint = f"Wait until your other uploads have ended, at least {RETRY_S} s."
            raise ApiError("too_many_bodies", hint=hint, retry_after_s=RETRY_S)
        if self.reserved.total() + num_bytes > self.memory_bytes:
            hint = f"Wait {RETRY_S} s."
            raise ApiError("body_memory_full", hint=hint, retry_after_s=RETRY_S)
        self.reserved[tenant] += num_bytes
        try:
            yield
        finally:
            self.reserved[tenant] -= num_bytes
            if not self.reserved[tenant]:
                del self.reserved[tenant]

    async def read(self, receive: Receive, max_bytes: int) -> bytes:
        """Read the whole body. Answers 413 as soon as it is too large, 408 as soon as it is too slow or cut off."""
        loop = asyncio.get_running_loop()
        last = loop.time() + self.deadline_s
        body, next_pace = bytearray(), PACE_BYTES
        try:
            async with asyncio.timeout_at(min(last, loop.time() + self.client_timeout_s)) as limit:
                while True:
                    message = await receive()
                    if message["type"] == "http.disconnect":
                        raise TimeoutError  # whoever sent it hears no answer
                    body += message.get("body", b"")
                    if len(body) > max_bytes:
                        raise too_large_error(max_bytes)
                    if not message.get("more_body", False):
                        return bytes(body)
                    if len(body) >= next_pace:
                        next_pace = len(body) + PACE_BYTES
                        limit.reschedule(min(last, loop.time() + self.client_timeout_s))
        except TimeoutError:
            hint = (
                f"Send at least {PACE_BYTES // 1024} KiB in {self.client_timeout_s:g} s, all in {self.deadline_s:g} s."
            )
            raise ApiError("client_too_slow", hint=hint) from None


def too_large_error(max_bytes: int) -> ApiError:
    return ApiError("body_too_large", hint=f"Send at most {max_bytes} bytes.")
