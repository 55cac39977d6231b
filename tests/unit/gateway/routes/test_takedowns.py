"""What admins take down over HTTP, and what owners, strangers and clients that retry are told of it."""

import base64
import hashlib
import hmac
import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from mezzotint.actions.takedown.execute import run_open_takedowns
from mezzotint.domain.claims import Role
from mezzotint.domain.ids import TenantId, WebhookId
from mezzotint.domain.job import Image, Job, JobState
from mezzotint.domain.safety.takedown import TakedownPhase
from mezzotint.domain.tier import Tier
from mezzotint.domain.webhook import Webhook
from mezzotint.gateway import Service
from mezzotint.gateway.cache_purge import CachePurger, purge_secret
from mezzotint.gateway.safe_http import Allowlist, PublicOnlyClient
from tests.making import NOW
from tests.making_takedowns import draw_pixels, encode_picture, finish_next, finish_with
from tests.unit.gateway.conftest import Connect
from tests.unit.gateway.webhook_receiver import Receiver

pytestmark = pytest.mark.anyio
PICTURE = encode_picture(draw_pixels(1))
TAKEDOWNS = "/v1/admin/takedowns"


@pytest.fixture
def admin(service: Service, connect: Connect) -> httpx.AsyncClient:
    client = connect(None)
    token = service.issuer.issue(TenantId("ops"), Tier.PRO, datetime.now(UTC), timedelta(minutes=5), role=Role.ADMIN)
    client.headers["Authorization"] = f"Bearer {token}"
    return client


async def draw(service: Service, tenant: str = "ada") -> tuple[Job, Image]:
    return await finish_with(service.backing, PICTURE, tenant=tenant, owner=f"sub:{tenant}")


async def take_down(admin: httpx.AsyncClient, **selection: Any) -> dict[str, Any]:
    answer = await admin.post(TAKEDOWNS, json={"reason": "reported", **selection})
    assert answer.status_code == 201, answer.text
    made: dict[str, Any] = answer.json()
    return made


async def test_its_owner_is_told_and_a_stranger_is_not(
    admin: httpx.AsyncClient, connect: Connect, service: Service
) -> None:
    job, image = await draw(service)
    paths = [f"/i/{image.webp}.webp", f"/i/{image.png}.png"]
    async with admin, connect("ada") as ada, connect("eve") as eve, connect(None) as nobody:
        tag = (await nobody.get(paths[0])).headers["etag"]
        plan = (await admin.post(f"{TAKEDOWNS}/plan", json={"pictures": [paths[0]]})).json()
        assert (plan["num_pictures"], plan["tenants"][0]["tenant"]) == (1, "ada")
        assert plan["num_bytes"] == len(PICTURE.png) + len(PICTURE.webp)
        assert (await nobody.get(paths[0])).status_code == 200, "a plan changes nothing"
        made = await take_down(admin, pictures=[f"https://pictures.example{paths[0]}"])
        assert (made["phase"], made["num_pictures"], made["made_by"]) == ("done", 1, "ops/sub:ops")
        for path in paths:
            for headers in ({}, {"If-None-Match": tag}, {"Range": "bytes=0-3"}):
                answers = [await one.get(path, headers=headers) for one in (ada, eve, nobody)]
                codes = [(one.status_code, one.json()["error"]["code"]) for one in answers]
                gone, unknown = (410, "picture_taken_down"), (404, "image_not_found")
                assert codes == [gone, unknown, unknown]
            assert "POST /v1/appeals" in (await ada.get(path)).json()["error"]["hint"]
            assert (await ada.head(path)).status_code == 410
        told = (await ada.get(f"/v1/jobs/{job.id}")).json()
        assert (told["state"], told["images"], told["error"]["code"]) == ("blocked", [], "picture_taken_down")
        appeal = {"refusal_id": job.id, "explanation": "a statue in a museum"}
        assert [(await one.post("/v1/appeals", json=appeal)).status_code for one in (eve, ada)] == [404, 201]
        assert (await ada.get("/v1/images")).json()["images"] == []
        assert (await ada.get("/v1/images", params={"q": "apple"})).json()["images"] == []
        assert await service.uploader.uploads.find(TenantId("ada"), image.png, NOW) is None, "no job begins with it"
        for file in (PICTURE.png, PICTURE.webp):
            brought = await eve.post("/v1/uploads", content=file)
            assert (brought.status_code, brought.json()["error"]["code"]) == (422, "upload_blocked")
        undone = await admin.post(f"{TAKEDOWNS}/{made['id']}/undo", json={"reason": "mistaken"})
        assert (undone.status_code, undone.json()["phase"]) == (200, "undone")
        assert (await nobody.get(paths[0])).content == PICTURE.webp
        assert (await ada.get(f"/v1/jobs/{job.id}")).json()["images"][0]["url"] == paths[0]
        assert (await admin.post(f"{TAKEDOWNS}/{made['id']}/undo", json={"reason": "mistaken"})).json()[
            "phase"
        ] == "undone"
        assert (await eve.post("/v1/uploads", content=PICTURE.webp)).status_code == 201


async def test_takedowns_are_listed_and_read(admin: httpx.AsyncClient, service: Service) -> None:
    await draw(service)
    async with admin:
        first = await take_down(admin, tenant="ada", words=["apple"])
        second = await take_down(admin, tenant="eve")
        page = (await admin.get(TAKEDOWNS, params={"limit": 1})).json()
        assert [one["id"] for one in page["takedowns"]] == [second["id"]]
        rest = (await admin.get(TAKEDOWNS, params={"cursor": page["next_cursor"]})).json()
        assert [one["id"] for one in rest["takedowns"]] == [first["id"]]
        read = (await admin.get(f"{TAKEDOWNS}/{first['id']}")).json()
        assert read == first
        assert read["selection"] == {"tenant": "ada", "words": ["apple"]}
        assert (await take_down(admin, tenant="ada", words=["apple"]))["id"] == first["id"]
        unknown = await admin.get(f"{TAKEDOWNS}/td_0")
        assert (unknown.status_code, unknown.json()["error"]["code"]) == (404, "takedown_not_found")


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({}, "pictures"),
        ({"pictures": ["/etc/passwd"]}, "pictures"),
        ({"near": ["abc"]}, "near"),
        ({"tenant": "no such name"}, "tenant"),
        ({"words": [""]}, "words"),
        ({"since": "2026-01-02T00:00:00Z", "until": "2026-01-01T00:00:00Z"}, "until"),
    ],
    ids=str,
)
async def test_a_selection_that_cannot_be_used_is_refused(
    admin: httpx.AsyncClient, body: dict[str, Any], param: str
) -> None:
    async with admin:
        for path, more in ((TAKEDOWNS, {"reason": "x"}), (f"{TAKEDOWNS}/plan", {})):
            answer = await admin.post(path, json=body | more)
            error = answer.json()["error"]
            assert (answer.status_code, error["code"], error["param"]) == (422, "selection_invalid", param)
        assert (await admin.get(TAKEDOWNS)).json()["takedowns"] == []


@pytest.mark.parametrize(
    "written",
    ["{upper}", "/i/{png}.png", "https://host/i/{webp}.webp?size=1#x", " {png}\n", "/v1/jobs/{job}/files/0.png"],
)
async def test_a_picture_is_found_however_it_is_written(
    admin: httpx.AsyncClient, service: Service, written: str
) -> None:
    job, image = await draw(service)
    name = written.format(png=image.png, webp=image.webp, upper=image.png.upper(), job=job.id)
    async with admin:
        plan = (await admin.post(f"{TAKEDOWNS}/plan", json={"pictures": [name]})).json()
    assert (plan["num_pictures"], plan["num_open_jobs"]) == (1, 0)


async def test_it_is_not_undone_after_its_time(admin: httpx.AsyncClient, service: Service) -> None:
    await draw(service)
    async with admin:
        made = await take_down(admin, tenant="ada")
        later = replace(service.takedowns, now=lambda: datetime.now(UTC) + timedelta(days=31))
        await run_open_takedowns(later)
        answer = await admin.post(f"{TAKEDOWNS}/{made['id']}/undo", json={"reason": "mistaken"})
        assert (answer.status_code, answer.json()["error"]["code"]) == (409, "takedown_erased")


async def test_a_retried_request_of_a_client_gets_no_picture(
    admin: httpx.AsyncClient, connect: Connect, service: Service
) -> None:
    headers = {"Idempotency-Key": "one"}
    async with admin, connect("ada") as ada:
        asked = await ada.post("/v1/jobs", json={"prompt": "a red apple"}, headers=headers)
        job = (await ada.get(f"/v1/jobs/{asked.json()['id']}")).json()
        await finish_next(service.backing, PICTURE)
        assert len((await ada.post("/v1/jobs", json={"prompt": "a red apple"}, headers=headers)).json()["images"]) == 1
        await take_down(admin, tenant="ada")
        again = await ada.post("/v1/jobs", json={"prompt": "a red apple"}, headers=headers)
        assert (again.status_code, again.json()["id"], again.json()["images"]) == (200, job["id"], [])
        lines = (await ada.get(f"/v1/jobs/{job['id']}/events", headers={"Last-Event-ID": "1"})).text
        assert "event: blocked" in lines
        assert PICTURE.webp_hash not in lines


async def test_webhooks_hear_of_the_takedown_and_of_no_picture(admin: httpx.AsyncClient, service: Service) -> None:
    webhook = Webhook(
        id=WebhookId("wh_0000000000000001"), tenant=TenantId("ada"), url="https://hooks.example/x", created_at=NOW
    )
    webhooks = service.webhook_sender.webhooks
    await webhooks.add(webhook, 10)
    await draw(service)
    assert [one.state for one in await webhooks.deliveries_of(webhook.id, 10)] == [JobState.SUCCEEDED]
    async with admin:
        await take_down(admin, tenant="ada")
    assert [one.state for one in await webhooks.deliveries_of(webhook.id, 10)] == [JobState.BLOCKED]


async def test_a_cache_gets_a_signed_order_at_an_address_that_is_allowed(
    admin: httpx.AsyncClient, connect: Connect, service: Service
) -> None:
    _, image = await draw(service)
    async with Receiver().listening() as receiver:
        purger = CachePurger(
            url=f"http://127.0.0.1:{receiver.port}/purge",
            base_url="https://pictures.example",
            http_client=PublicOnlyClient(allowlist=Allowlist.read("127.0.0.1")),
            derive=service.issuer.derive,
            now=service.now,
        )
        served = replace(service, takedowns=replace(service.takedowns, purge=purger.purge))
        async with connect(None, served=served) as client:
            client.headers["Authorization"] = admin.headers["Authorization"]
            made = await take_down(client, tenant="ada")
    ((headers, body),) = receiver.got
    said = json.loads(body)
    assert said["type"] == "pictures.taken_down"
    assert said["data"]["urls"] == [
        f"https://pictures.example/i/{image.webp}.webp",
        f"https://pictures.example/i/{image.png}.png",
    ]
    key = base64.b64decode(purge_secret(service.issuer.derive).removeprefix("whsec_"))
    text = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
    signature = base64.b64encode(hmac.new(key, text, hashlib.sha256).digest()).decode()
    assert headers["webhook-signature"] == f"v1,{signature}"
    assert made["phase"] == TakedownPhase.DONE
    inward = replace(purger, http_client=PublicOnlyClient())
    failure = await inward.purge((await service.takedowns.takedowns.page(1))[0][1], ["/i/x"])
    assert failure is not None, "no private address without an allowlist"
