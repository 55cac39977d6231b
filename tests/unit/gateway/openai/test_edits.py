"""OpenAI's edits and variations where no picture need be drawn: which job a form becomes, and what is refused."""

import asyncio
from base64 import b64encode
from dataclasses import replace
from io import BytesIO
from typing import Any

import httpx
import pytest
from PIL import Image

from mezzotint.actions.cancel import cancel
from mezzotint.actions.upload import upload_key
from mezzotint.domain.ids import JobId, Sha256
from mezzotint.domain.task import Task
from mezzotint.gateway import Service
from mezzotint.gateway.bodies.large_bodies import MAX_PICTURES_BYTES
from tests.unit.gateway.conftest import Connect, Endless
from tests.unit.gateway.openai.test_images import first_job
from tests.unit.gateway.routes.test_uploads import picture

pytestmark = pytest.mark.anyio
EDIT, VARY = "/v1/images/edits", "/v1/images/variations"


def mask(size: tuple[int, int] = (64, 64), alpha: int = 0) -> bytes:
    """Transparent, or as `alpha` says, in its right half."""
    buffer = BytesIO()
    drawn = Image.new("RGBA", size, (0, 0, 0, 255))
    drawn.paste((0, 0, 0, alpha), (size[0] // 2, 0, *size))
    drawn.save(buffer, "PNG")
    return buffer.getvalue()


def data_url(data: bytes) -> str:
    return f"data:image/png;base64,{b64encode(data).decode()}"


async def job_of(
    client: httpx.AsyncClient, able: Service, path: str, files: list[tuple[str, bytes]], **fields: str
) -> dict[str, Any]:
    """The job that a form becomes; it is cancelled, since nobody draws here."""
    sent = [(name, (f"{name}.png", data, "image/png")) for name, data in files]
    asked = asyncio.create_task(client.post(path, data=fields, files=sent))
    job: dict[str, Any] = await first_job(client, asked)
    await cancel(able.backing, JobId(job["id"]), able.now())
    answer = await asked
    assert (answer.status_code, answer.json()["error"]["code"]) == (409, "job_cancelled")
    return dict(job["parameters"])


async def test_an_edit_with_a_mask_is_an_inpaint_where_the_mask_is_transparent(connect: Connect, able: Service) -> None:
    async with connect(served=able) as ada:
        parameters = await job_of(ada, able, EDIT, [("image", picture()), ("mask", mask())], prompt="a cat --seed 3")
    assert (parameters["task"], parameters["prompt"], parameters["seed"]) == ("inpaint", "a cat", 3)
    stored = await able.backing.objects.get(upload_key(Sha256(parameters["mask"])))
    assert stored is not None
    kept = Image.open(BytesIO(stored)).convert("L")
    assert [kept.getpixel((x, 5)) for x in (0, 31, 32, 63)] == [0, 0, 255, 255]


@pytest.mark.parametrize(("fields", "strength"), [({}, 0.6), ({"input_fidelity": "high"}, 0.4)])
async def test_an_edit_without_a_mask_redraws_the_picture(
    connect: Connect, able: Service, fields: dict[str, str], strength: float
) -> None:
    async with connect(served=able) as ada:
        parameters = await job_of(ada, able, EDIT, [("image[]", picture())], prompt="a cat", **fields)
    assert (parameters["task"], parameters["strength"], parameters["mask"]) == ("variation", strength, None)


@pytest.mark.parametrize(("fields", "task"), [({}, "edit"), ({"strength": "0.5"}, "variation")])
async def test_a_model_that_edits_and_varies_edits_unless_a_strength_is_given(
    connect: Connect, able: Service, fields: dict[str, str], task: str
) -> None:
    model = replace(able.admission.model, tasks=(*able.admission.model.tasks, Task.EDIT))
    editing = replace(able, admission=replace(able.admission, model=model))
    async with connect(served=editing) as ada:
        parameters = await job_of(ada, editing, EDIT, [("image", picture())], prompt="make it red", **fields)
    assert (parameters["task"], parameters["strength"]) == (task, 0.5 if fields else None)


async def test_a_variation_is_drawn_without_words(connect: Connect, able: Service) -> None:
    async with connect(served=able) as ada:
        parameters = await job_of(ada, able, VARY, [("image", picture())], size="32x48", n="1")
    assert (parameters["task"], parameters["prompt"], parameters["width"]) == ("variation", "", 32)


@pytest.mark.parametrize(
    ("path", "files", "fields", "code", "param"),
    [
        (EDIT, [("image", picture())], {}, "field_invalid", "prompt"),
        (EDIT, [("mask", mask())], {"prompt": "a cat"}, "field_invalid", "image"),
        (EDIT, [("image", b"no picture")], {"prompt": "a cat"}, "upload_invalid", "image"),
        (EDIT, [("image", picture()), ("mask", picture())], {"prompt": "a cat"}, "upload_invalid", "mask"),
        (EDIT, [("image", picture()), ("mask", mask(alpha=255))], {"prompt": "a cat"}, "upload_invalid", "mask"),
        (EDIT, [("image", picture()), ("mask", mask((32, 32)))], {"prompt": "a cat"}, "parameter_invalid", "mask"),
        (EDIT, [("image[]", picture())] * 2 + [("mask", mask())], {"prompt": "a"}, "parameter_unsupported", "image"),
        (EDIT, [("image", picture())] + [("mask", mask())] * 2, {"prompt": "a"}, "parameter_unsupported", "mask"),
        (EDIT, [("image", picture())], {"prompt": "a cat", "lora": "ink"}, "field_unknown", "lora"),
        (EDIT, [("image", picture())], {"prompt": "a cat", "strength": "2"}, "parameter_invalid", "strength"),
        (VARY, [("image[]", picture())] * 2, {}, "parameter_unsupported", "image"),
        (EDIT, [("image", picture()), ("markup", picture())], {"prompt": "a"}, "parameter_unsupported", "markup"),
        (EDIT, [("image", picture())], {"prompt": "a cat", "n": "11"}, "field_invalid", "n"),
        (EDIT, [("image", picture())], {"prompt": "a cat", "n": "x"}, "field_invalid", "n"),
        (EDIT, [("image", picture())], {"prompt": "a cat", "background": "transparent"}, "parameter_unsupported", None),
        (VARY, [("image", picture())], {"size": "65x64"}, "size_invalid", None),
        (VARY, [("image", picture())], {"stream": "true"}, "parameter_unsupported", "stream"),
        (VARY, [("image", picture()), ("mask", mask())], {}, "parameter_unsupported", "mask"),
    ],
)
async def test_what_cannot_be_done_is_refused_for_good_and_by_name(
    connect: Connect,
    able: Service,
    path: str,
    files: list[tuple[str, bytes]],
    fields: dict[str, str],
    code: str,
    param: str | None,
) -> None:
    sent = [(name, (f"{name}.png", data, "image/png")) for name, data in files]
    async with connect(served=able) as ada:
        answer = await ada.post(path, data=fields, files=sent)
    error = answer.json()["error"]
    assert (answer.status_code, error["code"]) == (400, code), error
    assert error["param"] == param or param is None
    assert answer.headers["x-should-retry"] == "false"


async def test_an_unknown_model_and_a_model_without_tasks_are_named(connect: Connect, service: Service) -> None:
    async with connect() as ada:
        for fields, status, code in (({"model": "dall-e-2"}, 404, "model_not_found"), ({}, 400, "task_unsupported")):
            answer = await ada.post(VARY, data=fields, files={"image": picture()})
            assert (answer.status_code, answer.json()["error"]["code"]) == (status, code)


@pytest.mark.parametrize(
    "kind", ["application/json", "text/plain", "multipart/form-data", "multipart/form-data; boundary=" + "x" * 71]
)
async def test_what_is_no_form_is_refused(connect: Connect, kind: str) -> None:
    async with connect() as ada:
        for path in (VARY,) if "json" in kind else (EDIT, VARY):
            answer = await ada.post(path, content=b"{}", headers={"Content-Type": kind})
            assert (answer.status_code, answer.json()["error"]["code"]) == (400, "form_invalid")


@pytest.mark.parametrize("has_key", [True, False])
async def test_a_form_is_read_only_from_who_may_send_it_and_only_so_far(connect: Connect, has_key: bool) -> None:
    endless = Endless()
    async with connect("ada" if has_key else None) as client:
        kind = {"Content-Type": "multipart/form-data; boundary=x"}
        answer = await client.post(EDIT, content=endless.chunks(), headers=kind)
    assert answer.status_code == (413 if has_key else 401)
    assert endless.num_read <= (MAX_PICTURES_BYTES + 2 * 2**20 if has_key else 0)


async def test_a_retry_of_the_client_begins_with_the_same_picture_and_makes_no_second_job(
    connect: Connect, able: Service
) -> None:
    async with connect(served=able) as ada:
        files, retry = {"image": picture()}, {"x-stainless-retry-count": "1"}
        first = asyncio.create_task(ada.post(EDIT, data={"prompt": "a cat"}, files=files))
        job = await first_job(ada, first)
        await cancel(able.backing, JobId(str(job["id"])), able.now())
        assert (await first).status_code == 409
        again = await ada.post(EDIT, data={"prompt": "a cat"}, files=files, headers=retry)
        assert again.json()["error"]["code"] == "job_cancelled"
        assert len((await ada.get("/v1/jobs")).json()["jobs"]) == 1
        other = asyncio.create_task(
            ada.post(EDIT, data={"prompt": "a cat"}, files={"image": picture("blue")}, headers=retry)
        )
        while len(jobs := (await ada.get("/v1/jobs")).json()["jobs"]) < 2:
            await asyncio.wait([other], timeout=0.01)
        await cancel(able.backing, JobId(jobs[0]["id"]), able.now())
        await other


@pytest.mark.parametrize(
    ("body", "task"),
    [
        ({"images": [{"image_url": data_url(picture())}]}, "variation"),
        ({"images": [{"image_url": data_url(picture())}], "mask": {"image_url": data_url(mask())}}, "inpaint"),
        ({"image": data_url(picture())}, "variation"),
        ({"image": b64encode(picture()).decode()}, "variation"),
        ({"image": [data_url(picture()), data_url(picture("blue"))], "mask": None}, "variation"),
    ],
)
async def test_an_edit_may_be_sent_as_json(connect: Connect, able: Service, body: dict[str, object], task: str) -> None:
    async with connect(served=able) as ada:
        asked = asyncio.create_task(ada.post(EDIT, json={"prompt": "a cat", "seed": 3, **body}))
        job: dict[str, Any] = await first_job(ada, asked)
        await cancel(able.backing, JobId(job["id"]), able.now())
        await asked
    assert (job["parameters"]["task"], job["parameters"]["seed"]) == (task, 3)


@pytest.mark.parametrize(
    ("body", "code", "param"),
    [
        ({}, "field_invalid", "images"),
        ({"images": []}, "field_invalid", "images"),
        ({"images": [{"file_id": "file-1"}]}, "parameter_unsupported", "images"),
        ({"images": [{"image_url": "https://example.com/a.png"}]}, "parameter_unsupported", "images"),
        ({"image": "no base64!"}, "upload_invalid", "image"),
        ({"image": b64encode(b"no picture").decode()}, "upload_invalid", "image"),
        ({"image": data_url(picture()), "images": [data_url(picture())]}, "parameter_repeated", "image"),
        ({"images": [data_url(picture())] * 2, "mask": data_url(mask())}, "parameter_unsupported", "images"),
        ({"image": data_url(picture()), "lora": "ink"}, "field_unknown", "lora"),
    ],
)
async def test_a_json_edit_that_cannot_be_done_is_refused_by_name(
    connect: Connect, able: Service, body: dict[str, object], code: str, param: str
) -> None:
    async with connect(served=able) as ada:
        answer = await ada.post(EDIT, json={"prompt": "a cat", **body})
    error = answer.json()["error"]
    assert (answer.status_code, error["code"], error["param"]) == (400, code, param), error


@pytest.mark.parametrize("name", ["image", "image[]", "image[0]"])
async def test_of_several_pictures_the_first_is_redrawn(connect: Connect, able: Service, name: str) -> None:
    first, second = picture("red"), picture("blue")
    async with connect(served=able) as ada:
        both = await job_of(ada, able, EDIT, [(name, first), (name, second)], prompt="a cat")
    async with connect("eve", served=able) as eve:
        alone = await job_of(eve, able, EDIT, [("image", first)], prompt="a cat")
    assert both["source"] == alone["source"]
