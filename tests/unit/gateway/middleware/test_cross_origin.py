"""CORS: exact origins, no cookies, preflights and errors included."""

from dataclasses import replace

import pytest

from mezzotint.gateway import Service
from mezzotint.gateway.middleware.cross_origin import read_origins
from tests.unit.gateway.conftest import Connect

pytestmark = pytest.mark.anyio
APP, OTHER = "https://app.example.org", "https://evil.example"


@pytest.fixture
def open_to_app(service: Service) -> Service:
    return replace(service, cors_origins=read_origins(f"{APP}, http://localhost:5173"))


async def test_a_preflight_of_a_named_origin_is_answered_before_anybody_is_known(
    connect: Connect, open_to_app: Service
) -> None:
    asked = {"Access-Control-Request-Method": "POST"}
    asked["Access-Control-Request-Headers"] = "authorization, content-type, x-stainless-retry-count, idempotency-key"
    async with connect(None, served=open_to_app) as page:
        answer = await page.options("/v1/images/generations", headers={"Origin": APP, **asked})
        assert answer.status_code == 200
        assert answer.headers["access-control-allow-origin"] == APP
        assert answer.headers["access-control-allow-headers"] == asked["Access-Control-Request-Headers"]
        assert "POST" in answer.headers["access-control-allow-methods"]
        assert "access-control-allow-credentials" not in answer.headers
        for origin in (OTHER, "null", f"{APP}.evil.example", f"{APP}:444", "http://app.example.org"):
            refused = await page.options("/v1/jobs", headers={"Origin": origin, **asked})
            assert refused.status_code == 400
            assert "access-control-allow-origin" not in refused.headers


@pytest.mark.parametrize(
    ("path", "status"), [("/v1/me", 200), ("/v1/jobs/x", 404), ("/v1/nothing", 404), ("/healthz", 200)]
)
async def test_answers_and_errors_can_be_read_by_named_origins_alone(
    connect: Connect, open_to_app: Service, path: str, status: int
) -> None:
    async with connect(served=open_to_app) as page:
        answer = await page.get(path, headers={"Origin": APP})
        assert (answer.status_code, answer.headers["access-control-allow-origin"]) == (status, APP)
        exposed = {name.lower() for name in answer.headers["access-control-expose-headers"].split(", ")}
        assert {"x-request-id", "retry-after", "location"} <= exposed
        assert "access-control-allow-credentials" not in answer.headers
        assert "access-control-allow-origin" not in (await page.get(path, headers={"Origin": OTHER})).headers


async def test_refusals_without_a_credential_are_readable_too(connect: Connect, open_to_app: Service) -> None:
    async with connect(None, served=open_to_app) as page:
        answer = await page.post("/v1/jobs", json={"prompt": "x"}, headers={"Origin": APP})
        assert (answer.status_code, answer.headers["access-control-allow-origin"]) == (401, APP)
        large = await page.post("/v1/jobs", content=bytes(2**17), headers={"Origin": APP})
        assert (large.status_code, large.headers["access-control-allow-origin"]) == (413, APP)


async def test_what_a_cache_keeps_says_that_it_depends_on_the_origin(connect: Connect, open_to_app: Service) -> None:
    async with connect(served=open_to_app) as page:
        assert "origin" in (await page.get("/")).headers["vary"].lower()


async def test_without_the_setting_no_origin_is_let_in(connect: Connect, service: Service) -> None:
    async with connect(served=service) as page:
        assert "access-control-allow-origin" not in (await page.get("/v1/me", headers={"Origin": APP})).headers
        preflight = {"Origin": APP, "Access-Control-Request-Method": "POST"}
        answer = await page.options("/v1/jobs", headers=preflight)
        assert (answer.status_code, answer.headers.get("access-control-allow-origin")) == (405, None)


@pytest.mark.parametrize(
    "text",
    [
        "*",
        "https://*.example.org",
        "null",
        "https://a.example/",
        "https://A.example",
        "a.example",
        "https://a.example:0",
        "https://a@b",
    ],
)
def test_only_exact_origins_can_be_named(text: str) -> None:
    with pytest.raises(ValueError, match="is not an origin such as"):
        read_origins(text)
