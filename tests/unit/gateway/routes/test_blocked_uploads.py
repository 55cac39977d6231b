"""A picture that was taken down, and near copies of it, are refused wherever users bring pictures."""

from base64 import b64encode
from collections.abc import Callable
from dataclasses import replace
from io import BytesIO
from typing import Any

import httpx
import pytest
from PIL import Image

from mezzotint.actions.takedown.begin import begin_takedown
from mezzotint.actions.takedown.blocklist import BlocklistReader
from mezzotint.domain.safety.takedown import PictureSelection
from mezzotint.domain.task import Task
from mezzotint.gateway import Service
from mezzotint.safety.image.perceptual_hash import HashIndex
from mezzotint.safety.image.postfilter import PostFilter
from mezzotint.safety.policy_file import load_policy
from tests.making_takedowns import draw_pixels, encode_picture, finish_with
from tests.unit.gateway.conftest import Connect

pytestmark = pytest.mark.anyio
PIXELS = draw_pixels(1)
PICTURE = encode_picture(PIXELS)
HARMLESS = encode_picture(draw_pixels(2)).png


def save(pixels: Image.Image, kind: str, **options: Any) -> bytes:
    buffer = BytesIO()
    pixels.save(buffer, kind, **options)
    return buffer.getvalue()


COPIES = {
    "its PNG": PICTURE.png,
    "its WebP": PICTURE.webp,
    "the same pixels in another file": save(PIXELS, "BMP"),
    "smaller and compressed": save(PIXELS.resize((96, 96)), "JPEG", quality=60),
    "turned and mirrored": save(PIXELS.transpose(Image.Transpose.TRANSVERSE), "PNG"),
}


@pytest.fixture
async def blocking(service: Service) -> Service:
    """A gateway whose image filter knows the blocklist alone, on which the picture is; its model can do every task."""
    await finish_with(service.backing, PICTURE, pixels=PIXELS)
    selection = PictureSelection(contents=(PICTURE.png_hash,))
    await begin_takedown(service.takedowns, selection, reason="reported", made_by="ops")
    image_filter = PostFilter([], load_policy(None))

    def apply(index: HashIndex) -> None:
        image_filter.blocked_pictures = index

    await BlocklistReader(service.takedowns.takedowns, apply).refresh()
    model = replace(service.admission.model, tasks=tuple(Task))
    return replace(
        service,
        admission=replace(service.admission, model=model),
        uploader=replace(service.uploader, judge=image_filter.judge_upload),
        judge_picture=image_filter.check,
    )


def url_of(data: bytes) -> str:
    return f"data:image/png;base64,{b64encode(data).decode()}"


def on_form(path: str, **fields: str) -> Callable[[httpx.AsyncClient, bytes], Any]:
    return lambda client, data: client.post(path, data=fields, files={"image": ("image", data, "image/png")})


WAYS: dict[str, Callable[[httpx.AsyncClient, bytes], Any]] = {
    "upload": lambda client, data: client.post("/v1/uploads", content=data),
    "edit": on_form("/v1/images/edits", prompt="a cat"),
    "variation": on_form("/v1/images/variations"),
    "edit as JSON": lambda client, data: client.post(
        "/v1/images/edits", json={"prompt": "a cat", "images": [{"image_url": url_of(data)}]}
    ),
    "img2img": lambda client, data: client.post(
        "/sdapi/v1/img2img", json={"prompt": "a cat", "init_images": [b64encode(data).decode()]}
    ),
    "mask of img2img": lambda client, data: client.post(
        "/sdapi/v1/img2img",
        json={"prompt": "a cat", "init_images": [url_of(HARMLESS)], "mask": b64encode(data).decode()},
    ),
}


@pytest.mark.parametrize("way", WAYS)
async def test_a_copy_is_refused_on_every_way_in(connect: Connect, blocking: Service, way: str) -> None:
    async with connect("eve", served=blocking) as eve:
        for copy, data in COPIES.items():
            answer = await WAYS[way](eve, data)
            assert answer.status_code in {400, 422}, (copy, answer.text)  # 400 by OpenAI's routes
            assert "upload_blocked" in answer.text, copy
        assert (await eve.get("/v1/jobs")).json()["jobs"] == []
        assert (await eve.post("/v1/uploads", content=HARMLESS)).status_code == 201
    keys = await blocking.backing.objects.keys("uploads/")
    assert len(keys) == 1, "nothing that was refused is kept"


def ask(data: bytes) -> dict[str, Any]:
    return {"input": [{"type": "image_url", "image_url": {"url": url_of(data)}}]}


async def test_a_copy_is_flagged_where_pictures_are_moderated(connect: Connect, blocking: Service) -> None:
    async with connect("eve", served=blocking) as eve:
        flagged = {name: await eve.post("/v1/moderations", json=ask(data)) for name, data in COPIES.items()}
        flagged[""] = await eve.post("/v1/moderations", json=ask(HARMLESS))
    assert {name: answer.json()["results"][0]["flagged"] for name, answer in flagged.items()} == {
        **dict.fromkeys(COPIES, True),
        "": False,
    }


async def test_a_flat_upload_that_was_taken_down_is_known_by_its_pixels(connect: Connect, blocking: Service) -> None:
    flat = Image.new("RGB", (64, 64), "green")
    async with connect("ada", served=blocking) as ada, connect("eve", served=blocking) as eve:
        kept = (await ada.post("/v1/uploads", content=save(flat, "PNG"))).json()["id"]
        assert not (await eve.post("/v1/moderations", json=ask(save(flat, "BMP")))).json()["results"][0]["flagged"]
        selection = PictureSelection(contents=(kept,))
        await begin_takedown(blocking.takedowns, selection, reason="reported", made_by="ops")
        assert (await eve.post("/v1/moderations", json=ask(save(flat, "BMP")))).json()["results"][0]["flagged"]
        assert (await eve.post("/v1/uploads", content=save(flat, "BMP"))).json()["error"]["code"] == "upload_blocked"
