"""Every route x {nobody, another tenant, the owner, an admin}. A route that stands in no row fails the test."""

from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

import httpx
import pytest

from mezzotint.actions.finish import image_key
from mezzotint.domain.claims import OWN, Role, Scope
from mezzotint.domain.ids import TenantId, WebhookId, WorkerId
from mezzotint.domain.job import JobState
from mezzotint.domain.key import KeyRequest
from mezzotint.domain.task import Source
from mezzotint.domain.tenant import Tenant
from mezzotint.domain.tier import Tier
from mezzotint.domain.webhook import Webhook
from mezzotint.gateway import Service, create_app
from mezzotint.store import Seeker
from tests.making import NOW, make_ending, make_image, make_job
from tests.unit.gateway.conftest import Connect

pytestmark = pytest.mark.anyio


class Row(NamedTuple):
    """Expected statuses; an admin here is of another tenant: the ordinary routes show it no more than anybody else."""

    nobody: int
    other: int
    owner: int
    admin: int


FOR_ALL = Row(200, 200, 200, 200)
SIGNED_IN = Row(401, 200, 200, 200)
MAKES = Row(401, 201, 201, 201)
OWNERS = Row(401, 404, 200, 404)
ENDS_OWN = Row(401, 404, 204, 404)
ADMINS = Row(401, 403, 403, 200)
CLOSED = Row(403, 403, 403, 403)
ELSEWHERE = "tests/unit/gateway/test_socket.py"

MATRIX: dict[str, Row | str] = {
    "GET /healthz": FOR_ALL,
    "GET /readyz": Row(503, 503, 503, 503),
    "GET /v1/model": FOR_ALL,
    "GET /i/{name}": FOR_ALL,
    "GET /metrics": CLOSED,
    "POST /v1/session": CLOSED,
    "POST /v1/sign-in": Row(401, 401, 401, 401),
    "POST /v1/sign-up": CLOSED,
    "POST /v1/sign-out": Row(204, 204, 204, 204),
    "PUT /v1/password": Row(401, 403, 403, 403),
    "GET /v1/me": SIGNED_IN,
    "GET /v1/usage": SIGNED_IN,
    "GET /v1/images": SIGNED_IN,
    "GET /v1/jobs": SIGNED_IN,
    "POST /v1/jobs": Row(401, 202, 202, 202),
    "GET /v1/jobs/{job_id}": OWNERS,
    "GET /v1/jobs/{job_id}/events": OWNERS,
    "DELETE /v1/jobs/{job_id}": OWNERS,
    "GET /v1/keys": SIGNED_IN,
    "POST /v1/keys": MAKES,
    "POST /v1/keys/{key_id}/rotate": OWNERS,
    "DELETE /v1/keys/{key_id}": ENDS_OWN,
    "GET /v1/webhooks": SIGNED_IN,
    "POST /v1/webhooks": MAKES,
    "GET /v1/webhooks/{webhook_id}": OWNERS,
    "DELETE /v1/webhooks/{webhook_id}": ENDS_OWN,
    "POST /v1/images/generations": Row(401, 400, 400, 400),  # a prompt that is refused: nobody draws here
    "POST /v1/images/edits": Row(401, 400, 400, 400),  # no form
    "POST /v1/images/variations": Row(401, 400, 400, 400),
    "POST /v1/uploads": Row(401, 422, 422, 422),  # no picture in the body
    "DELETE /v1/uploads/{upload_id}": ENDS_OWN,
    "POST /sdapi/v1/txt2img": Row(401, 422, 422, 422),  # again a prompt that is refused
    "POST /sdapi/v1/img2img": Row(401, 422, 422, 422),
    "GET /sdapi/v1/options": SIGNED_IN,
    "POST /sdapi/v1/options": SIGNED_IN,
    "GET /sdapi/v1/sd-models": SIGNED_IN,
    "GET /sdapi/v1/samplers": SIGNED_IN,
    "GET /sdapi/v1/progress": SIGNED_IN,
    "POST /sdapi/v1/interrupt": SIGNED_IN,
    "GET /v1/models": SIGNED_IN,
    "GET /v1/models/{model}": SIGNED_IN,
    "WEBSOCKET /v1/ws": ELSEWHERE,
    "GET /v1/admin/tenants": ADMINS,
    "POST /v1/admin/tenants": Row(401, 403, 403, 201),
    "PATCH /v1/admin/tenants/{name}": ADMINS,
    "GET /v1/admin/jobs": ADMINS,
    "GET /v1/admin/jobs/{job_id}": ADMINS,
    "DELETE /v1/admin/jobs/{job_id}": ADMINS,
    "POST /v1/admin/jobs/{job_id}/retry": Row(401, 403, 403, 409),  # it succeeded
    "GET /v1/admin/lanes": ADMINS,
    "PUT /v1/admin/lanes/{lane}": ADMINS,
    "GET /v1/admin/workers": ADMINS,
    "PATCH /v1/admin/workers": ADMINS,
    "PATCH /v1/admin/workers/{worker_id}": ADMINS,
}

BODIES: dict[str, Any] = {
    "POST /v1/sign-in": {"name": "ada", "password": "four words in a row"},
    "POST /v1/sign-up": {"name": "ada", "password": "four words in a row"},
    "PUT /v1/password": {"old_password": "x", "new_password": "four words in a row"},
    "POST /v1/jobs": {"prompt": "a red apple", "new": True},
    "POST /v1/images/generations": {"prompt": ""},
    "POST /sdapi/v1/txt2img": {"prompt": ""},
    "POST /sdapi/v1/img2img": {"prompt": "", "init_images": []},
    "POST /sdapi/v1/options": {},
    "POST /v1/keys": {"name": "laptop"},
    "POST /v1/webhooks": {"url": "https://hooks.example/x"},
    "POST /v1/admin/tenants": {"id": "newcomer"},
    "PATCH /v1/admin/tenants/{name}": {"tier": "paid"},
    "PUT /v1/admin/lanes/{lane}": {"base": 1.5},
    "PATCH /v1/admin/workers": {"is_drained": True},
    "PATCH /v1/admin/workers/{worker_id}": {"is_drained": True},
}


def routes() -> set[str]:
    """Every route of the application but the page's files."""
    found: set[str] = set()
    for included in create_app(None).routes:
        for route in getattr(getattr(included, "original_router", None), "routes", []):
            methods = getattr(route, "methods", None) or {"WEBSOCKET"}
            path = route.path.replace(":path}", "}")
            found |= {f"{method} {path}" for method in methods - {"HEAD", "OPTIONS"}}
    return found


def test_every_route_stands_in_the_matrix() -> None:
    assert routes() == set(MATRIX)


def test_the_contract_names_no_route_that_the_matrix_does_not() -> None:
    paths = create_app(None).openapi()["paths"]
    assert {f"{method.upper()} {path}" for path, methods in paths.items() for method in methods} <= set(MATRIX)


async def things_of_ada(service: Service) -> dict[str, str]:
    """One of each kind of thing that a path can name."""
    job = make_job(tenant="ada")
    picture = make_image(job)
    await service.desk.jobs.add(job)
    (taken,) = await service.desk.jobs.claim(Seeker(worker=WorkerId("w")), NOW, 30)
    assert taken.lease is not None
    await service.desk.objects.put(image_key(picture.webp, "webp"), b"RIFF")
    await service.desk.jobs.finish(job.id, taken.lease, make_ending(job, images=(picture,)))
    made = await service.accounts.keys.add(KeyRequest(tenant=TenantId("ada"), name="laptop", scopes=OWN), service.now())
    assert made is not None
    id = WebhookId(f"wh_{int(job.id[4:], 16):016x}")
    webhook = Webhook(id=id, tenant=TenantId("ada"), url="https://hooks.example/x", created_at=NOW)
    await service.courier.webhooks.add(webhook, 10)
    await service.intake.sources.keep(TenantId("ada"), Source(content=picture.png, width=64, height=64), NOW, 1)
    await service.workers.seen(WorkerId("w"), service.now())
    return {
        "worker_id": "w",
        "lane": "free",
        "job_id": job.id,
        "key_id": made[0].id,
        "webhook_id": id,
        "upload_id": picture.png,
        "name": f"{picture.webp}.webp",
        "model": job.model,
    }


async def callers(service: Service, connect: Connect) -> dict[str, httpx.AsyncClient]:
    peer = "203.0.113.7"  # another machine: what only this one may do is refused
    admin = connect(None, peer=peer)
    token = service.issuer.issue(TenantId("ops"), Tier.PRO, datetime.now(UTC), timedelta(minutes=5), role=Role.ADMIN)
    admin.headers["Authorization"] = f"Bearer {token}"
    return {
        "nobody": connect(None, peer=peer),
        "other": connect("eve", Tier.PRO, peer=peer),
        "admin": admin,
        "owner": connect("ada", peer=peer),  # last: it may end what the others must not
    }


@pytest.mark.parametrize("route", [route for route, row in MATRIX.items() if isinstance(row, Row)])
async def test_a_route_lets_in_whom_the_matrix_names(route: str, service: Service, connect: Connect) -> None:
    row = MATRIX[route]
    assert isinstance(row, Row)
    await service.accounts.tenants.add(Tenant(id=TenantId("ada"), tier=Tier.FREE, created_at=NOW))
    things = await things_of_ada(service)
    if "/tenants/" in route:
        things["name"] = "ada"
    method, _, path = route.partition(" ")
    got = {}
    for who, client in (await callers(service, connect)).items():
        async with client:
            answer = await client.request(method, path.format(**things), json=BODIES.get(route))
            got[who] = answer.status_code
            if answer.status_code >= 400:
                said = answer.json()
                assert said["detail"] if "/sdapi/" in route else said["error"]["message"]
        job = await service.desk.jobs.get(things["job_id"])  # type: ignore[arg-type]
        assert job is not None
        assert job.state is JobState.SUCCEEDED
    assert Row(**got) == row


async def test_a_credential_that_may_only_read_changes_nothing(service: Service, connect: Connect) -> None:
    await service.accounts.tenants.add(Tenant(id=TenantId("ada"), tier=Tier.FREE, created_at=NOW))
    things = await things_of_ada(service)
    wanted = KeyRequest(tenant=TenantId("ada"), name="r", scopes=frozenset({Scope.READ}))
    made = await service.accounts.keys.add(wanted, service.now())
    assert made is not None
    async with connect(None) as reader:
        reader.headers["Authorization"] = f"Bearer {made[1]}"
        for route, row in MATRIX.items():
            method, _, path = route.partition(" ")
            if isinstance(row, Row) and row.nobody == 401 and path != "/v1/sign-in":
                answer = await reader.request(method, path.format(**things), json=BODIES.get(route))
                assert (answer.status_code == 403) == (method != "GET" or "/admin/" in path), route
