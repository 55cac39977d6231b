"""The AUTOMATIC1111 API where no picture need be drawn: who may ask, and what is refused in its shape."""

from base64 import b64encode
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from mezzotint.domain.ids import TenantId
from mezzotint.domain.task import Task
from mezzotint.domain.tier import Tier
from mezzotint.gateway import Service
from mezzotint.gateway.automatic1111 import ROUTERS
from mezzotint.gateway.automatic1111.listings import EMPTY, REFRESHED
from mezzotint.gateway.bodies.large_bodies import MAX_PICTURES_BYTES
from tests.unit.gateway.conftest import Connect, Endless
from tests.unit.gateway.routes.test_uploads import picture

pytestmark = pytest.mark.anyio
ROUTES = [
    ("POST", "txt2img"),
    ("POST", "img2img"),
    ("GET", "options"),
    ("POST", "options"),
    ("GET", "sd-models"),
    ("GET", "samplers"),
    ("GET", "progress"),
    ("POST", "interrupt"),
    ("POST", "skip"),
    ("GET", "schedulers"),
    ("GET", "upscalers"),
    ("GET", "scripts"),
    ("GET", "embeddings"),
    ("GET", "loras"),
    ("GET", "cmd-flags"),
    ("GET", "memory"),
    *[("GET", name) for name in EMPTY],
    *[("POST", f"refresh-{name}") for name in REFRESHED],
    ("POST", "extra-single-image"),
    ("POST", "extra-batch-images"),
    ("POST", "png-info"),
]
WITH_PICTURES = 3
"""The last of them, whose bodies hold pictures."""


@pytest.mark.parametrize(("method", "name"), ROUTES)
@pytest.mark.parametrize(
    "credentials", ["", "Basic", "Basic !!!", "Basic " + b64encode(b"ada:wrong").decode(), "Bearer x"]
)
async def test_nobody_gets_in_without_a_key(connect: Connect, method: str, name: str, credentials: str) -> None:
    async with connect(None) as nobody:
        headers = {"authorization": credentials}
        answer = await nobody.request(method, f"/sdapi/v1/{name}", json={"prompt": "a cat"}, headers=headers)
    assert answer.status_code == 401
    assert answer.json().keys() == {"error", "detail", "body", "errors"}
    assert answer.headers["WWW-Authenticate"] == 'Basic realm="mezzotint"'


def test_every_route_is_asked_about() -> None:
    served = {(method, route.path) for router in ROUTERS for route in router.routes for method in route.methods}
    assert {(method, f"/sdapi/v1/{name}") for method, name in ROUTES} == served


@pytest.mark.parametrize(("method", "name"), ROUTES[2:-WITH_PICTURES])
async def test_a_token_is_a_password_of_any_user(connect: Connect, service: Service, method: str, name: str) -> None:
    token = service.issuer.issue(TenantId("ada"), Tier.FREE, datetime.now(UTC), timedelta(minutes=5))
    async with connect(None) as client:
        answer = await client.request(method, f"/sdapi/v1/{name}", json={}, auth=("anyone", token))
    assert answer.status_code == 200, answer.text


async def test_without_a_password_only_this_machines_own_requests_are_taken_and_only_in_development(
    connect: Connect, service: Service
) -> None:
    developing = replace(service, is_dev=True)
    async with connect(None, served=developing) as here, connect(None, served=developing, peer="192.0.2.1") as away:
        assert (await here.get("/sdapi/v1/sd-models")).status_code == 200
        assert (await here.get("/sdapi/v1/sd-models", headers={"sec-fetch-site": "cross-site"})).status_code == 401
        assert (await here.get("/sdapi/v1/sd-models", headers={"x-forwarded-for": "192.0.2.1"})).status_code == 401
        assert (await away.get("/sdapi/v1/sd-models")).status_code == 401


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ({"prompt": ""}, 422, "prompt_empty"),
        ({"prompt": "a cat", "tiling": True}, 422, "parameter_unsupported"),
        ({"prompt": "a cat", "alwayson_scripts": {"x": {"args": [True]}}}, 422, "parameter_unsupported"),
        ({"prompt": "a cat", "sampler_name": "Euler a"}, 422, "parameter_unsupported"),  # this model takes none
        ({"prompt": "a cat", "width": 512, "height": 512}, 422, "size_invalid"),
        ({"prompt": "a cat", "batch_size": 8, "n_iter": 8}, 422, "too_many_jobs_at_once"),
        ({"prompt": "a cat", "override_settings": {"sd_model_checkpoint": ["x"]}}, 404, "model_not_found"),
        ({"prompt": "a cat", "seed": "x"}, 422, "field_invalid"),
    ],
)
async def test_what_cannot_be_done_is_refused_in_its_shape(
    connect: Connect, body: dict[str, object], status: int, code: str
) -> None:
    async with connect() as ada:
        answer = await ada.post("/sdapi/v1/txt2img", json=body)
    assert (answer.status_code, answer.json()["error"]) == (status, code)
    assert answer.json()["detail"]


SOURCE = b64encode(picture()).decode()


@pytest.mark.parametrize(
    ("body", "code", "word"),
    [
        ({"init_images": []}, "parameter_unsupported", "not 0"),
        ({"init_images": [SOURCE, SOURCE]}, "parameter_unsupported", "not 2"),
        ({"init_images": ["no base64!"]}, "upload_invalid", "init_images"),
        ({"init_images": ["data:image/png;base64,"]}, "upload_invalid", "not a PNG"),
        ({"init_images": ["https://example.com/a.png"]}, "upload_invalid", "init_images"),
        ({"init_images": [SOURCE], "mask": "?"}, "upload_invalid", "mask"),
        ({"init_images": [SOURCE], "mask": b64encode(picture(size=(32, 32))).decode()}, "parameter_invalid", "32 x 32"),
        ({"init_images": [SOURCE], "resize_mode": 2}, "parameter_unsupported", "resize_mode 2"),
        ({"init_images": [SOURCE], "denoising_strength": 1.5}, "parameter_invalid", "1.5"),
        ({"init_images": SOURCE}, "field_invalid", "init_images"),
        ({}, "field_invalid", "init_images"),
    ],
)
async def test_a_source_that_cannot_be_used_is_refused(
    connect: Connect, service: Service, body: dict[str, object], code: str, word: str
) -> None:
    able = replace(
        service, admission=replace(service.admission, model=replace(service.admission.model, tasks=tuple(Task)))
    )
    async with connect(served=able) as ada:
        answer = await ada.post("/sdapi/v1/img2img", json={"prompt": "a cat", **body})
    assert (answer.status_code, answer.json()["error"]) == (422, code)
    assert word in answer.json()["detail"]


async def test_a_model_without_tasks_refuses_img2img_by_name(connect: Connect) -> None:
    async with connect() as ada:
        answer = await ada.post("/sdapi/v1/img2img", json={"prompt": "a cat", "init_images": [SOURCE]})
    assert (answer.status_code, answer.json()["error"]) == (422, "task_unsupported")


@pytest.mark.parametrize("has_key", [True, False])
@pytest.mark.parametrize("name", ["img2img", "extra-single-image", "extra-batch-images", "png-info"])
async def test_a_large_body_is_read_only_from_who_may_send_it_and_only_so_far(
    connect: Connect, has_key: bool, name: str
) -> None:
    endless = Endless()
    async with connect("ada" if has_key else None) as client:
        answer = await client.post(f"/sdapi/v1/{name}", content=endless.chunks())
    assert answer.status_code == (413 if has_key else 401)
    assert endless.num_read <= (MAX_PICTURES_BYTES + 2 * 2**20 if has_key else 0)


async def test_a_body_that_is_no_json_is_refused_in_its_shape(connect: Connect) -> None:
    async with connect() as ada:
        for path in ("txt2img", "img2img"):
            answer = await ada.post(f"/sdapi/v1/{path}", content=b"\xff{", headers={"Content-Type": "application/json"})
            assert (answer.status_code, answer.json()["error"]) == (400, "body_invalid")
