"""Hostile clients for `soak.py`: each attack is one coroutine that repeats until the time is over.

    python benchmarks/soak_attacks.py PORT SECONDS [NICENESS]     prints {"attack status": number}

Everything is bounded: at most `MAX_OPEN` connections, fixed pauses, and an end. Payloads are made once, so that these
clients take little of the machine that they share with the server.
"""

import asyncio
import base64
import json
import os
import sys
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import suppress
from io import BytesIO
from itertools import count

from gateway_load import Endpoint
from PIL import Image

MAX_OPEN = 400
answers: Counter[str] = Counter()
numbers = count()


def picture(size: tuple[int, int], kind: str, **options: object) -> bytes:
    out = BytesIO()
    Image.effect_noise(size, 60).convert("RGB").save(out, kind, **options)
    return out.getvalue()


def many_scans(size: tuple[int, int], scans: int) -> bytes:
    """A progressive JPEG whose last scan is repeated: each repetition is decoded over the whole picture."""
    out = BytesIO()
    Image.linear_gradient("L").resize(size).convert("RGB").save(out, "JPEG", progressive=True, quality=30)
    whole = out.getvalue()
    start = whole.rindex(b"\xff\xda")
    return whole[:-2] + whole[start:-2] * scans + b"\xff\xd9"


WIDE = picture((8200, 8), "PNG")
SCANS = many_scans((2000, 2000), 100)
HONEST_BUT_LARGE = picture((3000, 2200), "JPEG", quality=90)
UNFOLDING = "\ufdfa" * 4000
BAD_HOSTS = ("x..example.org", "a" * 64 + ".example.org", "xn--.example.org", "[::ffff:127.0.0.1]", "example.org:99999")
STRANGE = (
    {"prompt": "\ud800"},
    {"prompt": "a", "seed": 2**70},
    {"prompt": ["a"] * 1000},
    {"prompt": "{" * 2000},
    {"prompt": "{a, b}" * 60},
    {"prompt": "a --ar 99999:1 --seed -1 --steps 1e9"},
    {"prompt": UNFOLDING},
    {"prompt": "x", "negative_prompt": UNFOLDING},
)


class Client:
    """One hostile tenant, or a stranger where the tenant is empty."""

    def __init__(self, port: int, tenant: str) -> None:
        self.port, self.tenant, self.endpoint = port, tenant, Endpoint(port=port, jobs=[], tier="free")

    def request(self, method: str, path: str, body: bytes = b"", kind: str = "application/json") -> bytes:
        credentials = f"Authorization: Bearer {self.endpoint.token(self.tenant)}\r\n" if self.tenant else ""
        head = f"{method} {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n{credentials}"
        return f"{head}Content-Type: {kind}\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body

    async def ask(self, attack: str, request: bytes, patience_s: float = 60) -> tuple[int, bytes]:
        """The answer, counted under the attack's name; (0, b"") where there is none."""
        status, body = 0, b""
        with suppress(OSError, asyncio.IncompleteReadError, TimeoutError, ValueError):
            async with asyncio.timeout(patience_s):
                reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
                try:
                    writer.write(request)
                    head, _, body = (await reader.read(-1)).partition(b"\r\n\r\n")
                    status = int(head[9:12])
                finally:
                    writer.close()
        answers[f"{attack} {status or 'no answer'}"] += 1
        return status, body


async def upload_and_upscale(client: Client) -> None:
    """A picture whose enlargement has a side that no encoder takes."""
    status, body = await client.ask("wide upload", client.request("POST", "/v1/uploads", WIDE, "image/png"))
    if status in {200, 201}:
        order = {"task": "upscale", "source": json.loads(body)["id"], "scale": 2, "prompt": ""}
        await client.ask("wide upscale", client.request("POST", "/v1/jobs", json.dumps(order).encode()))
    await asyncio.sleep(5)


async def upload_scans(client: Client) -> None:
    await client.ask("many scans", client.request("POST", "/v1/uploads", SCANS, "image/jpeg"))
    await asyncio.sleep(1)


async def upload_large(client: Client) -> None:
    await client.ask("large JPEG", client.request("POST", "/v1/uploads", HONEST_BUT_LARGE, "image/jpeg"))
    await asyncio.sleep(2)


async def unfold(client: Client) -> None:
    body = json.dumps({"prompt": UNFOLDING, "new": True}).encode()
    await client.ask("unfolding prompt", client.request("POST", "/v1/jobs", body))
    await asyncio.sleep(0.3)


async def send_strange(client: Client) -> None:
    body = json.dumps(STRANGE[next(numbers) % len(STRANGE)]).encode()
    path = ("/v1/jobs", "/v1/images/generations", "/sdapi/v1/txt2img", "/v1/sign-in")[next(numbers) % 4]
    await client.ask("strange body", client.request("POST", path, body))
    await asyncio.sleep(0.2)


async def register_bad_webhook(client: Client) -> None:
    host = BAD_HOSTS[next(numbers) % len(BAD_HOSTS)]
    body = json.dumps({"url": f"https://{host}/"}).encode()
    await client.ask("bad webhook", client.request("POST", "/v1/webhooks", body))
    await asyncio.sleep(1)


async def submit_burst(client: Client) -> None:
    """As many jobs as the tier allows, again and again."""
    body = json.dumps({"prompt": "{red, green, blue} apple --steps 30", "new": True}).encode()
    await asyncio.gather(*(client.ask("burst", client.request("POST", "/v1/jobs", body)) for _ in range(10)))
    await asyncio.sleep(3)


async def draw_from_base64(client: Client) -> None:
    """A body of megabytes on a route that takes pictures in JSON."""
    init = base64.b64encode(HONEST_BUT_LARGE).decode()
    body = json.dumps({"init_images": [init], "prompt": UNFOLDING}).encode()
    await client.ask("img2img", client.request("POST", "/sdapi/v1/img2img", body))
    await asyncio.sleep(4)


async def guess(client: Client) -> None:
    name = f"user{next(numbers) % 5}"
    body = json.dumps({"name": name, "password": f"guess {next(numbers)}"}).encode()
    await client.ask("guess", client.request("POST", "/v1/sign-in", body))
    await asyncio.sleep(0.3)


async def hold_body(client: Client) -> None:
    """A body of 24 MiB whose last byte never comes."""
    size = 24 << 20
    with suppress(OSError, asyncio.IncompleteReadError, TimeoutError):
        reader, writer = await asyncio.open_connection("127.0.0.1", client.port)
        try:
            head = client.request("POST", "/v1/uploads", b"", "image/png").replace(
                b"Content-Length: 0", f"Content-Length: {size}".encode()
            )
            writer.write(head)
            async with asyncio.timeout(90):
                for _ in range(23):
                    writer.write(bytes(1 << 20))
                    await writer.drain()
                answer = await reader.read(100)
            answers[f"held body {answer[9:12].decode() or 'closed'}"] += 1
        finally:
            writer.close()
    await asyncio.sleep(1)


async def stay_silent(client: Client) -> None:
    """A connection without a request, or with half a header."""
    with suppress(OSError, asyncio.IncompleteReadError, TimeoutError):
        reader, writer = await asyncio.open_connection("127.0.0.1", client.port)
        try:
            writer.write(b"GET /healthz HTTP/1.1\r\nHost: " if next(numbers) % 2 else b"")
            async with asyncio.timeout(90):
                await reader.read(100)
            answers["silent closed"] += 1
        except TimeoutError:
            answers["silent open after 90 s"] += 1
        finally:
            writer.close()


async def watch(client: Client) -> None:
    """Streams that are opened and left."""
    await client.ask("stream", client.request("GET", "/v1/jobs/job_000000000000000000000000/events"), 5)
    await asyncio.sleep(0.5)


ATTACKS: list[tuple[Callable[[Client], Awaitable[None]], str, int]] = [
    (upload_and_upscale, "mallory", 1),
    (upload_scans, "mallory", 2),
    (upload_large, "trudy", 2),
    (unfold, "mallory", 2),
    (send_strange, "trudy", 2),
    (register_bad_webhook, "mallory", 1),
    (submit_burst, "trudy", 1),
    (draw_from_base64, "oscar", 1),
    (guess, "", 1),
    (hold_body, "oscar", 10),
    (hold_body, "", 5),
    (stay_silent, "", 150),
    (watch, "oscar", 1),
]


async def repeat(attack: Callable[[Client], Awaitable[None]], client: Client, until: float) -> None:
    while time.monotonic() < until:
        with suppress(TimeoutError):
            async with asyncio.timeout_at(asyncio.get_running_loop().time() + max(0.1, until - time.monotonic())):
                await attack(client)
        await asyncio.sleep(0.05)


async def main(port: int, seconds: float) -> None:
    until = time.monotonic() + seconds
    assert sum(number for *_, number in ATTACKS) * 2 <= MAX_OPEN
    await asyncio.gather(
        *(repeat(attack, Client(port, tenant), until) for attack, tenant, number in ATTACKS for _ in range(number))
    )
    print(json.dumps(answers))


if __name__ == "__main__":
    if len(sys.argv) > 3:
        os.nice(int(sys.argv[3]))
    asyncio.run(main(int(sys.argv[1]), float(sys.argv[2])))
