"""OpenAI's Images API where no picture need be drawn: who may ask, and what is refused in its shape."""

import asyncio
from dataclasses import replace
from datetime import UTC, datetime

import httpx
import pytest

from mezzotint.actions.cancel import cancel
from mezzotint.domain.claims import Claims
from mezzotint.domain.ids import JobId, TenantId
from mezzotint.domain.tier import Tier
from mezzotint.gateway import Service
from mezzotint.gateway.openai.images import apply_quality
from mezzotint.gateway.openai.schemas import NewImages
from mezzotint.policy.admission.prompt import parse_request
from mezzotint.policy.admission.request import JobRequest
from tests.unit.gateway.conftest import Connect

pytestmark = pytest.mark.anyio
ADA = Claims(tenant=TenantId("ada"), tier=Tier.FREE, expires_at=datetime(2030, 1, 1, tzinfo=UTC))
GENERATE = "/v1/images/generations"


@pytest.mark.parametrize(("method", "path"), [("POST", GENERATE), ("GET", "/v1/models"), ("GET", "/v1/models/x")])
async def test_its_routes_want_a_key_and_say_so_in_its_shape(connect: Connect, method: str, path: str) -> None:
    async with connect(None) as nobody:
        answer = await nobody.request(method, path, json={"prompt": "a cat"})
    assert answer.status_code == 401
    assert answer.json()["error"].keys() == {"message", "type", "param", "code"}
    assert answer.json()["error"]["type"] == "authentication_error"
    assert answer.headers["WWW-Authenticate"] == "Bearer"


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ({}, 400, "field_invalid"),
        ({"prompt": "a cat", "response_format": "url", "output_format": "jpeg"}, 400, "parameter_unsupported"),
        ({"prompt": "a cat", "output_compression": 50}, 400, "parameter_unsupported"),
        ({"prompt": "a cat", "output_format": "gif"}, 400, "parameter_unsupported"),
        ({"prompt": "a cat", "stream": True, "n": 2}, 400, "parameter_unsupported"),
        ({"prompt": "a cat", "partial_images": 4}, 400, "field_invalid"),
        ({"prompt": "a cat", "size": "65x64"}, 400, "size_invalid"),
        ({"prompt": "a cat", "output_compression": 50, "response_format": "url"}, 400, "parameter_unsupported"),
        ({"prompt": "a cat --repeat 2"}, 400, "parameter_repeated"),
        ({"prompt": "a cat --steps 3", "quality": "low"}, 400, "parameter_repeated"),
    ],
)
async def test_what_cannot_be_done_is_refused_for_good(
    connect: Connect, body: dict[str, object], status: int, code: str
) -> None:
    async with connect() as ada:
        answer = await ada.post(GENERATE, json=body)
    assert (answer.status_code, answer.json()["error"]["code"]) == (status, code)
    assert answer.headers["x-should-retry"] == "false"


async def test_fields_of_openai_without_effect_here_are_taken(connect: Connect, service: Service) -> None:
    body = {"prompt": "a {cat}", "moderation": "low", "style": "vivid", "user": "u", "frame_count": None, "n": None}
    async with connect() as ada:
        asked = asyncio.create_task(ada.post(GENERATE, json=body))
        job = await first_job(ada, asked)
        assert job["parameters"]["prompt"] == "a {cat}"
        await cancel(service.backing, JobId(str(job["id"])), service.now())
        answer = await asked
    assert (answer.status_code, answer.json()["error"]["code"]) == (409, "job_cancelled")


COUNTED = [
    ({"seed": 7}, "seed", 7),
    ({"seed": 2**32 + 7}, "seed", 7),
    ({"seed": 2**64 - 1}, "seed", 2**32 - 1),
    ({"negative_prompt": "dogs"}, "negative_prompt", "dogs"),
    ({"num_inference_steps": 9}, "num_steps", 9),
    ({"steps": 9}, "num_steps", 9),
    ({"num_steps": 9, "steps": 9}, "num_steps", 9),
    ({"guidance_scale": 2.5}, "guidance_scale", 2.5),
    ({"cfg_scale": 2}, "guidance_scale", 2.0),
    ({"sampler": "Euler a"}, "sampler", "Euler a"),
    ({"sampler_name": "euler A"}, "sampler", "Euler a"),
    ({"scheduler": "automatic"}, "sampler", None),
    ({"width": 32, "height": 48}, "height", 48),
    ({"output_compression": 100}, "width", 64),
]


@pytest.mark.parametrize(("fields", "name", "value"), COUNTED)
async def test_fields_of_other_servers_count(
    connect: Connect, service: Service, fields: dict[str, object], name: str, value: object
) -> None:
    able = replace(
        service, admission=replace(service.admission, model=replace(service.admission.model, samplers=("Euler a",)))
    )
    async with connect(served=able) as ada:
        asked = asyncio.create_task(ada.post(GENERATE, json={"prompt": "a cat", **fields}))
        job = await first_job(ada, asked)
        await cancel(able.backing, JobId(str(job["id"])), able.now())
        await asked
    assert job["parameters"][name] == value  # type: ignore[index]


@pytest.mark.parametrize(
    ("fields", "code", "param"),
    [
        ({"frame_count": 3}, "field_unknown", "frame_count"),
        ({"lora": "ink"}, "field_unknown", "lora"),
        ({"strength": 0.5}, "field_unknown", "strength"),
        ({"seed": -2}, "field_invalid", "seed"),
        ({"seed": 2**64}, "field_invalid", None),
        ({"seed": "a"}, "field_invalid", "seed"),
        ({"num_inference_steps": 0}, "parameter_invalid", "num_inference_steps"),
        ({"steps": 99}, "steps_over_budget", "steps"),
        ({"steps": 9, "num_steps": 8}, "parameter_repeated", "num_steps"),
        ({"steps": 9, "quality": "low"}, "parameter_repeated", "quality"),
        ({"cfg_scale": 99}, "parameter_invalid", "cfg_scale"),
        ({"sampler": "none"}, "parameter_unsupported", "sampler"),
        ({"scheduler": "exponential"}, "parameter_unsupported", "scheduler"),
        ({"size": "65x64"}, "size_invalid", "size"),
        ({"size": "64x64", "width": 64}, "parameter_repeated", "size"),
        ({"width": 64}, "size_invalid", "height"),
        ({"quality": "ultra"}, "field_invalid", "quality"),
        ({"style": "bold"}, "field_invalid", "style"),
        ({"prompt": "a cat --seed 3", "seed": 4}, "parameter_repeated", "seed"),
        ({"prompt": "a cat --steps 3", "num_inference_steps": 4}, "parameter_repeated", "num_inference_steps"),
    ],
)
async def test_what_cannot_count_is_refused_by_the_name_that_was_sent(
    connect: Connect, fields: dict[str, object], code: str, param: str | None
) -> None:
    async with connect() as ada:
        answer = await ada.post(GENERATE, json={"prompt": "a cat", **fields})
        error = answer.json()["error"]
        assert (error["code"], error["param"]) == (code, param), error
        assert param is None or param in error["message"] or str(fields[param]) in error["message"]
        assert (await ada.get("/v1/jobs")).json()["jobs"] == []


async def first_job(client: httpx.AsyncClient, asked: asyncio.Task[httpx.Response]) -> dict[str, object]:
    async with asyncio.timeout(10):
        while True:
            assert not asked.done(), asked.result().text
            jobs = (await client.get("/v1/jobs")).json()["jobs"]
            if jobs:
                return jobs[0]  # type: ignore[no-any-return]
            await asyncio.sleep(0.02)  # the other request has no event to wait for


@pytest.mark.parametrize(
    ("quality", "tier", "num_steps"),
    [
        ("low", Tier.PRO, 15),
        ("high", Tier.PRO, 45),
        ("high", Tier.FREE, 30),
        ("max", Tier.PAID, 50),
        ("auto", Tier.PRO, None),
    ],
)
async def test_quality_is_steps_within_the_budget(
    service: Service, quality: str, tier: Tier, num_steps: int | None
) -> None:
    wish = NewImages.model_validate({"prompt": "a cat", "quality": quality})
    asked = apply_quality(service, replace(ADA, tier=tier), wish, parse_request(JobRequest(prompt="a cat"))).request
    assert asked.num_steps == num_steps


async def test_quality_hides_no_refusal_of_the_prompt(connect: Connect) -> None:
    async with connect() as ada:
        answer = await ada.post(GENERATE, json={"prompt": "a cat --version none", "quality": "low"})
    assert (answer.status_code, answer.json()["error"]["code"]) == (404, "model_not_found")


async def test_a_retry_of_the_client_waits_for_the_first_ones_picture(connect: Connect, service: Service) -> None:
    async with connect() as ada:
        first = asyncio.create_task(ada.post(GENERATE, json={"prompt": "a cat"}))
        job = await first_job(ada, first)
        retry = asyncio.create_task(
            ada.post(GENERATE, json={"prompt": "a cat"}, headers={"x-stainless-retry-count": "1"})
        )
        await asyncio.wait([retry], timeout=0.2)
        await cancel(service.backing, JobId(str(job["id"])), service.now())
        answers = [await first, await retry]
        assert [answer.json()["error"]["code"] for answer in answers] == ["job_cancelled"] * 2
        assert len((await ada.get("/v1/jobs")).json()["jobs"]) == 1


async def test_a_body_that_is_no_text_is_refused_in_its_shape(connect: Connect) -> None:
    headers = {"Content-Type": "application/json"}
    async with connect("ada") as ada:
        answer = await ada.post("/v1/images/generations", content=b"\xff\xfe\x13", headers=headers)
    assert answer.status_code == 400
    assert answer.json()["error"].keys() == {"message", "type", "param", "code"}
    assert answer.json()["error"]["code"] == "body_invalid"
