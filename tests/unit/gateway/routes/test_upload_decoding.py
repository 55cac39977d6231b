"""Decoding of uploads at the API: slow, damaged and hostile pictures, and a server that cannot decode or store."""

import asyncio
import errno
import threading
from base64 import b64encode
from dataclasses import replace
from typing import Any

import httpx
import pytest

from mezzotint.actions.upload import (
    MAX_WAITING,
)
from mezzotint.domain.tier import Tier
from mezzotint.gateway import Service
from mezzotint.media.uploads import Decoded, Reading
from mezzotint.media.uploads.decoder_pool import DecoderPool
from tests.making_pictures import many_scans, mutations, with_segment
from tests.unit.gateway.conftest import Connect
from tests.unit.gateway.routes.test_uploads import picture, sent

pytestmark = pytest.mark.anyio
SLOW = picture("green")


async def test_pictures_of_one_tenant_hold_up_nobody_else(connect: Connect, service: Service) -> None:
    """Eight pictures that are never done take one decoder, not both."""
    may_end = threading.Event()
    begun: list[bytes] = []

    class Slow(DecoderPool):
        def decode(self, data: bytes, reading: Reading = Reading.PICTURE) -> Decoded:
            if data == SLOW:
                begun.append(data)
                may_end.wait()
            return super().decode(data, reading)

    decoders = Slow()
    busy = replace(service, uploader=replace(service.uploader, decoders=decoders))
    async with connect("mallory", served=busy) as mallory, connect(served=busy) as ada:
        slow = [asyncio.create_task(mallory.post("/v1/uploads", content=SLOW)) for _ in range(MAX_WAITING)]
        try:
            async with asyncio.timeout(60):
                while not begun:
                    await asyncio.sleep(0.01)
                await sent(ada)
                refused = await mallory.post("/v1/uploads", content=SLOW)
            assert (refused.status_code, refused.json()["error"]["code"]) == (429, "too_many_at_once")
            assert int(refused.headers["Retry-After"]) >= 1
            assert len(begun) == 1
        finally:
            may_end.set()
        assert {answer.status_code for answer in await asyncio.gather(*slow)} == {201}
    decoders.close()


async def test_a_jpeg_of_many_scans_is_refused_by_its_markers(connect: Connect) -> None:
    async with connect() as mallory:
        answer = await mallory.post("/v1/uploads", content=many_scans(4096, 128 * 1024))
        assert (answer.status_code, answer.json()["error"]["code"]) == (422, "upload_invalid")
        assert "scans" in answer.json()["error"]["message"]


async def test_a_picture_with_damaged_exif_is_taken(connect: Connect) -> None:
    """Turned by its orientation, though another tag has floats for text."""
    entries = b"\x01\x12\0\3\0\0\0\1\0\6\0\0" + b"\x01\x0e\0\x0b\0\0\0\2\0\0\0\x08"
    exif = b"MM\0*\0\0\0\x08\0\2" + entries + bytes(20)
    async with connect() as ada:
        taken = await sent(ada, with_segment(picture(size=(64, 32), kind="JPEG"), 0xE1, b"Exif\0\0" + exif))
    assert (taken["width"], taken["height"]) == (32, 64)


async def test_damaged_pictures_are_taken_or_refused_by_every_route_that_reads_them(
    connect: Connect, able: Service
) -> None:
    """Never a fault of the server."""
    async with connect(tier=Tier.PRO, served=able) as ada:
        for number, (name, data) in enumerate(mutations(160, seed=3)):
            if number % 2:
                answer = await ada.post("/v1/uploads", content=data)
            else:
                body = {"prompt": "a cat", "init_images": [b64encode(data).decode()], "mask": b64encode(data).decode()}
                form = {"image": ("a.png", data), "mask": ("b.png", data)}
                answer = await take(ada, number, body, form)
            assert answer.status_code < 500, (name, answer.text)


async def take(client: httpx.AsyncClient, number: int, body: dict[str, Any], form: dict[str, Any]) -> httpx.Response:
    """By img2img or by an edit, which read the pictures first and then refuse for another reason."""
    if number % 4:
        key = client.headers["Authorization"].removeprefix("Bearer ")
        return await client.post("/sdapi/v1/img2img", json=body | {"width": 63}, auth=("", key))
    return await client.post("/v1/images/edits", data={"prompt": "a cat", "size": "63x63"}, files=form)


async def test_what_the_server_cannot_decode_now_is_asked_for_again(connect: Connect, service: Service) -> None:
    closed = DecoderPool()
    closed.close()
    stopping = replace(service, uploader=replace(service.uploader, decoders=closed))
    async with connect(served=stopping) as ada:
        answer = await ada.post("/v1/uploads", content=picture())
        assert (answer.status_code, answer.json()["error"]["code"]) == (429, "overloaded")


async def test_a_full_disk_is_said_to_the_client_and_later_uploads_are_taken(
    connect: Connect, service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    def put(*args: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    async with connect() as ada:
        with monkeypatch.context() as full:
            full.setattr("obstore.put", put)
            answer = await ada.post("/v1/uploads", content=picture())
            assert (answer.status_code, answer.json()["error"]["code"]) == (503, "storage_full")
            assert int(answer.headers["retry-after"]) > 0
        assert (await ada.post("/v1/uploads", content=picture())).status_code == 201
