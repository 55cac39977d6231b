"""Every route of the application x every kind of credential. A route that stands in no row fails the test."""

from contextlib import suppress
from typing import Any, NamedTuple

import httpx
import pytest
from starlette.routing import Mount
from websockets.exceptions import InvalidStatus

from mezzotint.actions.finish import image_key
from mezzotint.actions.takedown.begin import begin_takedown
from mezzotint.domain.claims import OWN
from mezzotint.domain.ids import OF_TENANT, JobId, TenantId, WebhookId, WorkerId
from mezzotint.domain.job import JobState
from mezzotint.domain.key import KeyRequest
from mezzotint.domain.refusal import Refusal, RefusalCode
from mezzotint.domain.safety.takedown import PictureSelection
from mezzotint.domain.task import Source
from mezzotint.domain.webhook import Webhook
from mezzotint.gateway import Service, create_app
from mezzotint.gateway.automatic1111.listings import EMPTY, REFRESHED
from mezzotint.store import WorkerOffer
from tests.making import NOW, make_ending, make_image, make_job
from tests.sockets import connect_socket
from tests.unit.gateway.applications import make_app
from tests.unit.gateway.credentials import KINDS, Kind, disable_tenant, populate
from tests.unit.gateway.serving import serving

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
NOT_THERE = Row(401, 403, 403, 404)
CLOSED = Row(403, 403, 403, 403)
BLOCKED = Refusal(code=RefusalCode.PROMPT_BLOCKED, message="m", hint="h")
ELSEWHERE = "tests/unit/gateway/streams/test_websocket.py"
LISTS = ("schedulers", "upscalers", "scripts", "embeddings", "cmd-flags", "memory", "loras")

MATRIX: dict[str, Row | str] = {
    "GET /": FOR_ALL,  # the page
    "GET /openapi.json": FOR_ALL,
    "GET /healthz": FOR_ALL,
    "GET /readyz": Row(503, 503, 503, 503),
    "GET /v1/model": FOR_ALL,
    "GET /i/{name}": FOR_ALL,
    "GET /metrics": CLOSED,
    "POST /v1/session": CLOSED,
    "POST /v1/sign-in": Row(401, 401, 401, 401),
    "POST /v1/sign-up": CLOSED,
    "GET /v1/sign-in/provider": Row(404, 404, 404, 404),
    "GET /v1/sign-in/provider/callback": Row(404, 404, 404, 404),
    "POST /v1/sign-out": Row(204, 204, 204, 204),
    "PUT /v1/password": Row(401, 403, 403, 403),
    "GET /v1/me": SIGNED_IN,
    "GET /v1/usage": SIGNED_IN,
    "GET /v1/images": SIGNED_IN,
    "GET /v1/jobs": SIGNED_IN,
    "POST /v1/jobs": Row(401, 202, 202, 202),
    "GET /v1/jobs/{job_id}": OWNERS,
    "GET /v1/jobs/{job_id}/files/{name}": OWNERS,
    "POST /v1/inspect": Row(401, 422, 422, 422),  # a body that is no picture
    "GET /v1/jobs/{job_id}/events": OWNERS,
    "GET /v1/jobs/{job_id}/provenance": OWNERS,
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
    "POST /v1/moderations": Row(401, 200, 200, 200),
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
    "POST /sdapi/v1/skip": SIGNED_IN,
    **{f"GET /sdapi/v1/{name}": SIGNED_IN for name in (*LISTS, *EMPTY)},
    **{f"POST /sdapi/v1/refresh-{name}": SIGNED_IN for name in REFRESHED},
    "POST /sdapi/v1/extra-single-image": Row(401, 422, 422, 422),  # bodies without a picture
    "POST /sdapi/v1/extra-batch-images": Row(401, 422, 422, 422),
    "POST /sdapi/v1/png-info": Row(401, 422, 422, 422),
    "GET /v1/models": SIGNED_IN,
    "GET /v1/styles": SIGNED_IN,
    "GET /v1/models/{model}": SIGNED_IN,
    "WEBSOCKET /v1/ws": ELSEWHERE,
    "WEBSOCKET /{path}": ELSEWHERE,  # refuses all
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
    "POST /v1/admin/takedowns/plan": ADMINS,
    "POST /v1/admin/takedowns": Row(401, 403, 403, 201),
    "GET /v1/admin/takedowns": ADMINS,
    "GET /v1/admin/takedowns/{takedown_id}": ADMINS,
    "POST /v1/admin/takedowns/{takedown_id}/undo": ADMINS,
    "GET /v1/admin/reviews": ADMINS,
    "GET /v1/admin/reviews/{job_id}/{position}.png": NOT_THERE,
    "POST /v1/admin/reviews/{job_id}": NOT_THERE,
    "GET /v1/appeals": SIGNED_IN,
    "POST /v1/appeals": Row(401, 404, 201, 404),
    "GET /v1/admin/safety/rules": ADMINS,
    "POST /v1/admin/safety/rules": Row(401, 403, 403, 422),  # a rule without terms
    "POST /v1/admin/safety/rules/trial": Row(401, 403, 403, 422),
    "PATCH /v1/admin/safety/rules/{rule_id}": NOT_THERE,
    "DELETE /v1/admin/safety/rules/{rule_id}": Row(401, 403, 403, 422),  # without a reason
    "GET /v1/admin/safety/tightenings": ADMINS,
    "POST /v1/admin/safety/tightenings": Row(401, 403, 403, 201),
    "DELETE /v1/admin/safety/tightenings/{tightening_id}": Row(401, 403, 403, 422),
    "GET /v1/admin/safety/audit": ADMINS,
    "GET /v1/admin/safety/refusals": ADMINS,
    "GET /v1/admin/safety/appeals": ADMINS,
    "POST /v1/admin/safety/appeals/{appeal_id}/decision": NOT_THERE,
}

BODIES: dict[str, Any] = {
    "POST /v1/sign-in": {"name": "ada", "password": "four words in a row"},
    "POST /v1/sign-up": {"name": "ada", "password": "four words in a row"},
    "PUT /v1/password": {"old_password": "x", "new_password": "four words in a row"},
    "POST /v1/jobs": {"prompt": "a red apple", "new": True},
    "POST /v1/images/generations": {"prompt": ""},
    "POST /v1/moderations": {"input": "a red apple"},
    "POST /sdapi/v1/txt2img": {"prompt": ""},
    "POST /sdapi/v1/img2img": {"prompt": "", "init_images": []},
    "POST /sdapi/v1/options": {},
    "POST /sdapi/v1/extra-single-image": {},
    "POST /sdapi/v1/extra-batch-images": {},
    "POST /sdapi/v1/png-info": {},
    "POST /v1/keys": {"name": "laptop"},
    "POST /v1/webhooks": {"url": "https://hooks.example/x"},
    "POST /v1/admin/tenants": {"id": "newcomer"},
    "PATCH /v1/admin/tenants/{name}": {"tier": "paid"},
    "PUT /v1/admin/lanes/{lane}": {"base": 1.5},
    "PATCH /v1/admin/workers": {"is_drained": True},
    "PATCH /v1/admin/workers/{worker_id}": {"is_drained": True},
    "POST /v1/admin/takedowns/plan": {"tenant": "ada"},
    "POST /v1/admin/takedowns/{takedown_id}/undo": {"reason": "mistaken"},
    "POST /v1/admin/takedowns": {"pictures": ["f" * 64], "reason": "reported"},
    "POST /v1/admin/reviews/{job_id}": {"release": True, "reason": "harmless"},
    "POST /v1/admin/safety/rules": {"category": "hate", "all_of": [], "reason": "an incident"},
    "POST /v1/admin/safety/rules/trial": {"category": "hate", "all_of": [], "reason": "an incident"},
    "PATCH /v1/admin/safety/rules/{rule_id}": {"expires_at": None, "reason": "an incident"},
    "POST /v1/admin/safety/tightenings": {"by": 0.1, "hours": 24, "reason": "an incident"},
    "POST /v1/admin/safety/appeals/{appeal_id}/decision": {"outcome": "upheld", "note": "it was right"},
}


MANAGES_KEYS = {"POST /v1/keys", "POST /v1/keys/{key_id}/rotate", "DELETE /v1/keys/{key_id}"}
SIGNS_IN = {"POST /v1/sign-in", "POST /v1/sign-up", "POST /v1/sign-out"}


def routes() -> set[str]:
    """Every route of the application; what is mounted (the page's files) by its root."""
    found: set[str] = set()
    waiting: list[Any] = list(create_app(None).routes)
    while waiting:
        route = waiting.pop()
        if (included := getattr(route, "original_router", None)) is not None:
            waiting += included.routes
            continue
        if isinstance(route, Mount):
            methods, path = {"GET"}, route.path + "/"
        else:
            methods = getattr(route, "methods", None) or {"WEBSOCKET"}
            path = route.path.replace(":path}", "}")
        found |= {f"{method} {path}" for method in methods - {"HEAD", "OPTIONS"}}
    return found


def test_every_route_stands_in_the_matrix() -> None:
    assert routes() == set(MATRIX)


def test_the_contract_names_no_route_that_the_matrix_does_not() -> None:
    paths = create_app(None).openapi()["paths"]
    named = {f"{method.upper()} {path}" for path, methods in paths.items() for method in methods if method != "head"}
    assert named <= set(MATRIX)  # HEAD is answered by the route of GET


async def things_of_ada(service: Service, number: int) -> dict[str, str]:
    """One of each kind of thing that a path can name, other ones for each number under 256."""
    job = make_job(tenant="ada")
    picture = make_image(job, f"{number:02x}")
    await service.backing.jobs.add(job)
    (taken,) = await service.backing.jobs.claim(WorkerOffer(worker=WorkerId("w")), NOW, 30)
    assert taken.lease is not None
    await service.backing.objects.put(image_key(picture.webp, "webp"), b"RIFF")
    await service.backing.objects.put(image_key(picture.png, "png"), b"\x89PNG")
    await service.backing.jobs.finish(job.id, taken.lease, make_ending(job, images=(picture,)))
    made = await service.accounts.keys.add(KeyRequest(tenant=TenantId("ada"), name="laptop", scopes=OWN), service.now())
    assert made is not None
    id = WebhookId(f"wh_{int(job.id[4:], 16):016x}")
    webhook = Webhook(id=id, tenant=TenantId("ada"), url="https://hooks.example/x", created_at=NOW)
    await service.webhook_sender.webhooks.add(webhook, 100)
    await service.uploader.uploads.keep(TenantId("ada"), Source(content=picture.png, width=64, height=64), NOW, 100)
    await service.workers.record_heartbeat(WorkerId("w"), service.now())
    refusal_id = await service.admission.refusals.record(TenantId("ada"), OF_TENANT, BLOCKED, "a prompt", NOW)
    assert refusal_id is not None
    return {
        "refusal_id": refusal_id,
        "position": "0",
        "rule_id": "rule_0",
        "tightening_id": "tgt_0",
        "appeal_id": "app_0",
        "worker_id": "w",
        "lane": "free",
        "job_id": job.id,
        "key_id": made[0].id,
        "webhook_id": id,
        "upload_id": picture.png,
        "name": f"{picture.webp}.webp",
        "model": job.model,
    }


def expected(route: str, row: Row, kind: Kind) -> int:
    """The status that a credential gets: its column's, unless its kind is refused before."""
    changes = not route.startswith("GET ")
    if kind.via == "session" and "/sdapi/" in route:
        return 401
    if kind.is_cross_site and changes and (row.nobody == 401 or route in SIGNS_IN):
        return 403
    if row.nobody != 401 or route == "POST /v1/sign-in":
        return getattr(row, kind.acts_as)  # no credential is looked at
    if kind.acts_as == "nobody":
        return 403 if kind.is_shut_out else 401
    if (kind.reads_only and (changes or "/admin/" in route)) or (kind.via == "key" and route in MANAGES_KEYS):
        return 403
    return getattr(row, kind.acts_as)


@pytest.mark.parametrize("route", [route for route, row in MATRIX.items() if isinstance(row, Row)])
async def test_a_route_answers_each_credential_as_the_matrix_says(route: str, service: Service) -> None:
    row = MATRIX[route]
    assert isinstance(row, Row)
    await populate(service)
    owners = [who for who, kind in KINDS.items() if kind.acts_as == "owner"]
    things = {who: await things_of_ada(service, number) for number, who in enumerate(owners)}
    if "/takedowns/" in route:
        nothing = PictureSelection(tenant=TenantId("nobody"))
        takedown = await begin_takedown(service.takedowns, nothing, reason="reported", made_by="ops")
        things = {who: its | {"takedown_id": takedown.id} for who, its in things.items()}
    shown = {who: await kind.make(service) for who, kind in KINDS.items()}
    await disable_tenant(service)
    method, _, path = route.partition(" ")
    app, got, wanted = make_app(service), {}, {}
    for number, (who, kind) in enumerate(KINDS.items()):
        its = things.get(who, things["the owner's token"]) | ({"name": "ada"} if "/tenants/" in route else {})
        its |= {"name": "0.png"} if "/files/" in route else {}
        body = BODIES.get(route)
        if route == "POST /v1/admin/tenants":
            body = {"id": f"newcomer-{number}"}
        if route == "POST /v1/appeals":
            body = {"refusal_id": its["refusal_id"], "explanation": "it is a plough"}
        there = httpx.ASGITransport(app, client=(f"203.0.113.{number}", 1))  # not this machine, to which more is open
        async with httpx.AsyncClient(transport=there, base_url="http://127.0.0.1:8400") as client:
            answer = await client.request(method, path.format(**its), json=body, headers=shown[who])
        got[who], wanted[who] = answer.status_code, expected(route, row, kind)
        if answer.status_code >= 400:
            said = answer.json()
            assert said["detail"] if "/sdapi/" in route else said["error"]["message"]
        job = await service.backing.jobs.get(JobId(its["job_id"]))
        assert job is not None
        assert job.state is JobState.SUCCEEDED
    assert got == wanted


async def test_the_socket_answers_each_credential_as_a_route_to_read_does(service: Service) -> None:
    await populate(service)
    shown = {who: await kind.make(service) for who, kind in KINDS.items()}
    await disable_tenant(service)
    let_in = set()
    async with serving(service) as address:
        for who, headers in shown.items():
            with suppress(InvalidStatus):
                async with connect_socket(f"ws://{address}/v1/ws", additional_headers=headers) as socket:
                    assert "hello" in str(await socket.recv())
                    let_in.add(who)
    assert let_in == {who for who, kind in KINDS.items() if kind.acts_as != "nobody" and not kind.is_cross_site}
