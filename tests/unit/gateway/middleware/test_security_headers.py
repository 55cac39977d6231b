"""What caches may keep, over every route, and what a browser may do with any answer."""

from pathlib import Path

import pytest

from mezzotint.actions.finish import image_key
from mezzotint.domain.ids import WorkerId
from mezzotint.gateway import Service
from mezzotint.gateway.middleware.security_headers import HEADERS, choose_cache_control
from mezzotint.store import WorkerOffer
from tests.fuzzing.asgi import Answered, Fuzzed, send
from tests.fuzzing.corpus import BODIES, Corpus
from tests.fuzzing.gateway import routes_of
from tests.making import NOW, make_ending, make_image, make_job
from tests.unit.gateway.applications import make_app
from tests.unit.gateway.conftest import SECRET, Connect

pytestmark = pytest.mark.anyio
WITHIN_S = 30.0
PUBLIC = {"GET /", "GET /i/{name}", "GET /assets/{file}"}


def check(answered: Answered, label: str) -> None:
    assert answered.status != 0, label
    assert answered.header("cache-control") == "no-store", label
    for name, value in HEADERS.items():
        assert answered.header(name.lower()) == value, label


async def test_nothing_of_any_route_is_kept_but_what_is_public(service: Service, connect: Connect) -> None:
    app = make_app(service)
    async with connect("ada") as ada:
        bearer = ada.headers["authorization"].encode()
    for route in sorted(set(routes_of(app)) - PUBLIC):
        method, _, path = route.partition(" ")
        if method == "WEBSOCKET":
            continue
        for headers in ([], [(b"authorization", bearer), (b"content-type", b"application/json")]):
            body = str(BODIES.get(path, {})).replace("'", '"').encode()
            request = Fuzzed(label=route, method=method, target=path.replace("{", "").replace("}", ""), headers=headers)
            check(await send(app, request, WITHIN_S), route)
            with_body = Fuzzed(label=route, method=method, target=request.target, headers=headers, body=body)
            check(await send(app, with_body, WITHIN_S), route)


async def test_fuzzed_answers_are_not_kept_either(service: Service, connect: Connect) -> None:
    app = make_app(service)
    async with connect("ada") as ada:
        bearer = ada.headers["authorization"].removeprefix("Bearer ")
    routes = [route for route in routes_of(app) if route not in PUBLIC and not route.startswith("WEBSOCKET")]
    for request in Corpus(routes, bearer, SECRET).requests(3 * len(routes)):
        answered = await send(app, request, 1.0)
        if answered.headers:
            check(answered, request.label)


async def test_a_published_picture_is_kept_for_ever_and_a_missing_one_not_at_all(
    service: Service, connect: Connect
) -> None:
    job = make_job(tenant="ada")
    picture = make_image(job)
    await service.backing.jobs.add(job)
    (taken,) = await service.backing.jobs.claim(WorkerOffer(worker=WorkerId("w")), NOW, 30)
    assert taken.lease is not None
    await service.backing.objects.put(image_key(picture.webp, "webp"), b"RIFF")
    await service.backing.jobs.finish(job.id, taken.lease, make_ending(job, images=(picture,)))
    async with connect(None) as nobody:
        found = await nobody.get(f"/i/{picture.webp}.webp")
        assert (found.status_code, "immutable" in found.headers["cache-control"]) == (200, True)
        missing = await nobody.get(f"/i/{'0' * 64}.webp")
        assert (missing.status_code, missing.headers["cache-control"]) == (404, "no-store")


async def test_an_error_of_the_server_carries_the_headers_too(
    service: Service, connect: Connect, tmp_path: Path
) -> None:
    app = make_app(service)

    @app.get("/fails")
    async def fail() -> None:
        raise RuntimeError

    app.router.routes.insert(0, app.router.routes.pop())
    answered = await send(app, Fuzzed(label="fails", method="GET", target="/fails"), WITHIN_S)
    assert answered.status == 500
    check(answered, "fails")


@pytest.mark.parametrize(
    ("path", "status", "wanted", "rule"),
    [
        ("/assets/a.js", 200, "public, immutable", "public, immutable"),
        ("/", 304, "no-cache", "no-cache"),
        ("/i/a.webp", 500, "public, immutable", "no-store"),
        ("/v1/keys", 200, "public", "no-store"),
        ("/v1/i/", 200, "public", "no-store"),
        ("/index", 200, "public", "no-store"),
        ("/", 200, None, "no-store"),
    ],
)
def test_a_route_may_only_choose_for_what_is_public(path: str, status: int, wanted: str | None, rule: str) -> None:
    assert choose_cache_control(path, status, wanted) == rule
