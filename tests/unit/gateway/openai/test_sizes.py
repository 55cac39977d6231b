"""Sizes that clients fix: fitted to the model where the operator wants that, else refused."""

import asyncio
from base64 import b64decode
from dataclasses import replace
from io import BytesIO

import pytest
from fastapi import Request
from PIL import Image

from mezzotint.actions.cancel import cancel
from mezzotint.actions.finish import image_key
from mezzotint.domain.ids import JobId, WorkerId
from mezzotint.gateway import Service
from mezzotint.gateway.openai.images import collect_images
from mezzotint.gateway.openai.schemas import NewImages
from mezzotint.gateway.openai.sizes import fit_size
from mezzotint.policy.admission.prompt import parse_request
from mezzotint.policy.admission.request import JobRequest
from mezzotint.store import WorkerOffer
from tests.making import NOW, make_ending, make_image, make_job
from tests.unit.gateway.conftest import Connect
from tests.unit.gateway.openai.test_images import GENERATE, first_job

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize(("size", "drawn"), [("1024x1024", (64, 64)), ("64x64", (64, 64)), ("1536x1024", (80, 48))])
async def test_a_size_that_the_model_cannot_draw_is_drawn_at_its_nearest(
    connect: Connect, service: Service, size: str, drawn: tuple[int, int]
) -> None:
    fitting = replace(service, fits_sizes=True)
    async with connect(served=fitting) as ada:
        asked = asyncio.create_task(ada.post(GENERATE, json={"prompt": "a cat", "size": size}))
        job = await first_job(ada, asked)
        await cancel(service.backing, JobId(str(job["id"])), service.now())
        await asked
    parameters = job["parameters"]
    assert (parameters["width"], parameters["height"]) == drawn  # type: ignore[index]


@pytest.mark.parametrize(("fits", "size"), [(False, "1024x1024"), (True, "99999x99999"), (True, "9999x10")])
async def test_what_cannot_be_fitted_is_refused_with_the_size_that_was_sent(
    connect: Connect, service: Service, fits: bool, size: str
) -> None:
    async with connect(served=replace(service, fits_sizes=fits)) as ada:
        answer = await ada.post(GENERATE, json={"prompt": "a cat", "size": size})
    error = answer.json()["error"]
    assert (error["code"], error["param"]) == ("size_invalid", "size")
    assert size in error["message"]


@pytest.mark.parametrize("form", ["png", "webp", "jpeg"])
async def test_the_answer_has_the_size_asked_for_and_says_what_was_drawn(service: Service, form: str) -> None:
    fitting = replace(service, fits_sizes=True, public_url="https://draw.example")
    options = NewImages.model_validate(
        {"prompt": "a cat", "size": "1024x512", "output_format": form, "model": "dall-e-3"}
    )
    asked = JobRequest(prompt="a cat", width=1024, height=512)
    parsed = fit_size(fitting, options, parse_request(asked))
    width, height = parsed.request.width or 0, parsed.request.height or 0
    buffer = BytesIO()
    Image.new("RGB", (width, height), "red").save(buffer, "PNG")
    job = make_job()
    job = replace(job, images=(replace(make_image(job), width=width, height=height),))
    await service.backing.jobs.add(job)
    (taken,) = await service.backing.jobs.claim(WorkerOffer(worker=WorkerId("w")), NOW, 30)
    assert taken.lease is not None
    await service.backing.jobs.finish(job.id, taken.lease, make_ending(job, images=job.images))
    await service.backing.objects.put(image_key(job.images[0].png, "png"), buffer.getvalue())
    buffer.seek(0)
    Image.open(buffer).save(webp := BytesIO(), "WEBP")
    await service.backing.objects.put(image_key(job.images[0].webp, "webp"), webp.getvalue())
    answer = await collect_images(fitting, Request({"type": "http"}), options, [job])
    (picture,) = answer.data
    shown = Image.open(BytesIO(b64decode(picture.b64_json or "")))
    assert (shown.size, shown.format) == ((1024, 512), form.upper())
    assert answer.size == "1024x512"
    drawn, named = answer.notes
    assert f"{width}x{height}" in drawn
    assert named == '"dall-e-3" is mezzotint-starter here.'
    assert (picture.url is None) == (form == "jpeg")
