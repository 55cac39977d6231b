"""Bodies that come slowly, never whole, or too many at once, with real sockets of a real server."""

import asyncio
import re
from base64 import b64encode
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace

import pytest

from mezzotint.domain.task import Task
from mezzotint.gateway import Service
from mezzotint.gateway.bodies.request_bodies import PACE_BYTES, RequestBodies
from mezzotint.media.uploads import MAX_UPLOAD_BYTES
from tests.raw_streams import Stream, connected
from tests.unit.gateway.conftest import Connect
from tests.unit.gateway.routes.test_uploads import picture
from tests.unit.gateway.serving import serving
from tests.unit.gateway.streams.test_websocket import bearer

pytestmark = pytest.mark.anyio


def limited(service: Service, **limits: object) -> Service:
    return replace(service, bodies=RequestBodies(**limits))  # type: ignore[arg-type]


@asynccontextmanager
async def begun(
    address: str, path: str, headers: dict[str, str], declared: int | None, body: bytes = b"", kind: str = "image/png"
) -> AsyncIterator[Stream]:
    """A request of which that much of the body was sent. declared: None for a chunked body."""
    length = "Transfer-Encoding: chunked" if declared is None else f"Content-Length: {declared}"
    lines = [f"POST {path} HTTP/1.1", "Host: a", f"Content-Type: {kind}", length]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    async with connected(address, "\r\n".join(lines).encode() + b"\r\n\r\n" + body) as stream:
        yield stream


async def head_of(stream: Stream) -> str:
    async with asyncio.timeout(30):
        return (await stream[0].readuntil(b"\r\n\r\n")).decode()


def status(head: str) -> int:
    return int(head.split()[1])


async def until_reserved(service: Service, tenant: str, num_bytes: int) -> None:
    async with asyncio.timeout(30):
        while service.bodies.reserved[tenant] != num_bytes:
            await asyncio.sleep(0.01)  # the server reads the head


@pytest.mark.parametrize("path", ["/v1/jobs", "/v1/sign-in", "/v1/webhooks", "/v1/nothing", "/sdapi/v1/txt2img"])
async def test_a_small_body_that_never_comes_is_ended(service: Service, path: str) -> None:
    served = limited(service, client_timeout_s=0.3)
    async with (
        serving(served) as address,
        begun(address, path, bearer(service), 100, b"{", kind="application/json") as stream,
    ):
        assert status(await head_of(stream)) == 408
        async with asyncio.timeout(30):
            assert b"client_too_slow" in await stream[0].read(), "and the connection is closed"


@pytest.mark.parametrize("path", ["/v1/uploads", "/v1/images/edits", "/v1/images/variations", "/sdapi/v1/img2img"])
async def test_a_large_body_whose_last_byte_never_comes_is_ended(service: Service, path: str) -> None:
    served = limited(service, client_timeout_s=0.5)
    kind = "multipart/form-data; boundary=b" if path.startswith("/v1/images") else "application/json"
    async with (
        serving(served) as address,
        begun(address, path, bearer(service), 2**20, b"x" * (2**20 - 1), kind=kind) as stream,
    ):
        assert status(await head_of(stream)) == 408
        async with asyncio.timeout(30):
            await stream[0].read()
    assert not served.bodies.reserved


@pytest.mark.parametrize("limits", [{"client_timeout_s": 0.4}, {"client_timeout_s": 300.0, "deadline_s": 1.0}])
async def test_a_body_in_drops_is_ended(service: Service, limits: dict[str, float]) -> None:
    """Below the least speed, and at a speed that would do but for too long."""
    part = b"x" * (PACE_BYTES if "deadline_s" in limits else 1000)
    async with (
        serving(limited(service, **limits)) as address,
        begun(address, "/v1/uploads", bearer(service), MAX_UPLOAD_BYTES) as stream,
    ):

        async def drip() -> None:
            for _ in range(MAX_UPLOAD_BYTES // len(part) - 1):
                stream[1].write(part)
                await asyncio.sleep(0.05)  # the client's own pace

        dripping = asyncio.create_task(drip())
        assert status(await head_of(stream)) == 408
        dripping.cancel()
        await asyncio.wait([dripping])


async def test_few_large_bodies_of_one_tenant_and_in_all(service: Service) -> None:
    declared = 10 * 2**20
    served = limited(service, memory_bytes=4 * declared)
    async with serving(served) as address:
        async with AsyncExitStack() as streams:
            for tenant in ("ada", "bob", "cyd", "dan"):
                request = begun(address, "/v1/uploads", bearer(service, tenant), declared)
                await streams.enter_async_context(request)
                await until_reserved(served, tenant, declared)
            for tenant, body, expected in (("ada", picture(), 429), ("eve", b"", 503)):
                num_bytes = len(body) or declared
                async with begun(address, "/v1/uploads", bearer(service, tenant), num_bytes, body) as stream:
                    refused = await head_of(stream)
                assert status(refused) == expected
                assert re.search(r"^retry-after: 10\r$", refused, re.MULTILINE | re.IGNORECASE)
        for tenant in ("ada", "bob", "cyd", "dan"):
            await until_reserved(served, tenant, 0)
        body = picture()
        async with begun(address, "/v1/uploads", bearer(service), len(body), body) as stream:
            assert status(await head_of(stream)) == 201


async def test_a_body_of_unknown_length_has_room_for_the_largest(service: Service) -> None:
    served = limited(service)
    async with serving(served) as address:
        async with begun(address, "/v1/uploads", bearer(service), None, b"1\r\nx\r\n"):
            await until_reserved(served, "ada", MAX_UPLOAD_BYTES)
        await until_reserved(served, "ada", 0)


async def test_who_sends_a_large_body_is_known_before_it_is_read(service: Service) -> None:
    async with serving(service) as address:
        for path in ("/v1/uploads", "/v1/images/edits", "/v1/images/variations", "/sdapi/v1/img2img"):
            async with begun(address, path, {"Authorization": "Bearer no"}, MAX_UPLOAD_BYTES) as stream:
                assert status(await head_of(stream)) == 401, path
    assert not service.bodies.reserved


@pytest.mark.parametrize(("keeps", "reserved"), [(False, False), (True, True)])
async def test_no_bytes_are_kept_while_the_picture_is_drawn(
    connect: Connect, service: Service, keeps: bool, reserved: bool
) -> None:
    """But those that the answer shall repeat: they count until then."""
    able = replace(
        service, admission=replace(service.admission, model=replace(service.admission.model, tasks=tuple(Task)))
    )
    body = {"prompt": "a cat", "init_images": [b64encode(picture()).decode()], "include_init_images": keeps}
    async with connect("ada", served=able) as ada:
        drawing = asyncio.create_task(ada.post("/sdapi/v1/img2img", json=body))
        async with asyncio.timeout(30):
            while not await able.backing.jobs.open_of("ada"):  # type: ignore[arg-type]
                await asyncio.sleep(0.01)  # until the request became a job
        assert bool(able.bodies.reserved) is reserved
        (job,) = await able.backing.jobs.open_of("ada")  # type: ignore[arg-type]
        assert (await ada.delete(f"/v1/jobs/{job.id}")).status_code == 200
        await drawing
    assert not able.bodies.reserved
