"""Every route that names or lists a tenant's things x who asks x what the tenant shows.

A route with a job, an upload or a webhook in its path that no row names fails the test.
"""

import asyncio
from dataclasses import replace
from datetime import UTC, datetime
from typing import NamedTuple

import httpx
import pytest

from mezzotint.actions.finish import image_key
from mezzotint.domain.claims import Role
from mezzotint.domain.event import Progressed
from mezzotint.domain.ids import JobId, TenantId, WebhookId, WorkerId
from mezzotint.domain.job import Job, JobState
from mezzotint.domain.task import Source, Task
from mezzotint.domain.tenant import Tenant, Visibility
from mezzotint.domain.tier import Tier
from mezzotint.domain.user import User
from mezzotint.domain.webhook import Webhook
from mezzotint.gateway import Service
from mezzotint.store import WorkerOffer
from tests.making import NOW, make_ending, make_image, make_job
from tests.sockets import connect_socket
from tests.unit.gateway.applications import make_app
from tests.unit.gateway.auth.test_authorisation import MATRIX
from tests.unit.gateway.credentials import Headers, add_key, add_user, bearer, open_session
from tests.unit.gateway.serving import serving

pytestmark = pytest.mark.anyio
ACME, OTHER = TenantId("acme"), TenantId("other")
PRIVATE, MANAGERS, SHARED = Visibility.PRIVATE, Visibility.MANAGERS, Visibility.SHARED


class Row(NamedTuple):
    """Expected statuses for a colleague and a manager, in each setting; an owner is always let, a stranger never."""

    owner: int
    colleague: dict[Visibility, int]
    manager: dict[Visibility, int]


SEES = Row(200, {PRIVATE: 404, MANAGERS: 404, SHARED: 200}, {PRIVATE: 404, MANAGERS: 200, SHARED: 200})
CHANGES = Row(200, {PRIVATE: 404, MANAGERS: 404, SHARED: 403}, {PRIVATE: 404, MANAGERS: 200, SHARED: 200})
DELETES = Row(204, {PRIVATE: 404, MANAGERS: 404, SHARED: 403}, {PRIVATE: 404, MANAGERS: 204, SHARED: 204})
ROUTES = {
    "GET /v1/jobs/{job_id}": SEES,
    "GET /v1/jobs/{job_id}/events": SEES,
    "GET /v1/jobs/{job_id}/files/{name}": SEES,
    "GET /v1/jobs/{job_id}/provenance": SEES,
    "DELETE /v1/jobs/{job_id}": CHANGES,
    "GET /v1/webhooks/{webhook_id}": SEES,
    "DELETE /v1/webhooks/{webhook_id}": DELETES,
    "DELETE /v1/uploads/{upload_id}": DELETES,
}
LISTS = ["GET /v1/jobs", "GET /v1/images", "GET /v1/webhooks"]


class People(NamedTuple):
    ada: User
    bob: User
    manager: User
    stranger: User


async def populate(service: Service, visibility: Visibility) -> People:
    for tenant in (ACME, OTHER):
        await service.accounts.tenants.add(Tenant(id=tenant, tier=Tier.PRO, created_at=datetime.now(UTC)))
    assert await service.accounts.tenants.set_visibility(ACME, visibility)
    return People(
        ada=await add_user(service, "ada", ACME, Role.USER),
        bob=await add_user(service, "bob", ACME, Role.USER),
        manager=await add_user(service, "lea", ACME, Role.MANAGER),
        stranger=await add_user(service, "eve", OTHER, Role.MANAGER),
    )


async def sign_in(service: Service, people: People) -> dict[str, Headers]:
    return {who: await open_session(service, user.id) for who, user in people._asdict().items()}


async def draw_picture(service: Service, user: User, content: str) -> Job:
    """A job of the user's that succeeded."""
    job = make_job(tenant=user.tenant, owner=user.id)
    picture = make_image(job, content)
    await service.backing.jobs.add(job)
    (taken,) = await service.backing.jobs.claim(WorkerOffer(worker=WorkerId("w")), NOW, 30)
    assert taken.lease is not None
    await service.backing.objects.put(image_key(picture.png, "png"), b"PNG")
    return await service.backing.jobs.finish(job.id, taken.lease, make_ending(job, images=(picture,)))


async def make_things(service: Service, user: User, number: int) -> dict[str, str]:
    job = await draw_picture(service, user, f"{number:02x}")
    webhook = Webhook(
        id=WebhookId(f"wh_{number:016x}"),
        tenant=user.tenant,
        owner=user.id,
        url="https://hooks.example/x",
        created_at=NOW,
    )
    await service.webhook_sender.webhooks.add(webhook, 100)
    upload = Source(content=job.images[0].webp, width=64, height=64)
    await service.uploader.uploads.keep(user.tenant, upload, NOW, 100, owner=user.id)
    return {"job_id": job.id, "name": "0.png", "webhook_id": webhook.id, "upload_id": upload.content}


def make_able(service: Service) -> Service:
    """The service of a model that can do everything."""
    return replace(
        service, admission=replace(service.admission, model=replace(service.admission.model, tasks=tuple(Task)))
    )


def client_of(service: Service) -> httpx.AsyncClient:
    return httpx.AsyncClient(transport=httpx.ASGITransport(make_app(service)), base_url="http://127.0.0.1:8400")


def test_every_route_that_names_a_thing_with_an_owner_stands_in_the_table() -> None:
    named = {"{job_id}", "{webhook_id}", "{upload_id}"}
    assert set(ROUTES) == {
        route for route in MATRIX if any(name in route for name in named) and "/v1/admin/" not in route
    }


@pytest.mark.parametrize("visibility", Visibility)
async def test_a_single_thing_of_a_colleague_answers_as_the_tenant_says(
    service: Service, visibility: Visibility
) -> None:
    people = await populate(service, visibility)
    shown = await sign_in(service, people)
    got, wanted = {}, {}
    async with client_of(service) as client:
        for number, (route, row) in enumerate(ROUTES.items()):
            method, _, path = route.partition(" ")
            expected = {
                "stranger": 404,
                "bob": row.colleague[visibility],
                "manager": row.manager[visibility],
                "ada": row.owner,
            }
            for turn, (who, status) in enumerate(expected.items()):
                things = await make_things(service, people.ada, 4 * number + turn)
                answer = await client.request(method, path.format(**things), headers=shown[who])
                got[route, who], wanted[route, who] = answer.status_code, status
    assert got == wanted


@pytest.mark.parametrize("visibility", Visibility)
async def test_lists_have_mine_and_the_tenants_only_where_it_is_shown(service: Service, visibility: Visibility) -> None:
    people = await populate(service, visibility)
    shown = await sign_in(service, people)
    for number, user in enumerate((people.ada, people.bob, people.stranger)):
        await make_things(service, user, number)
    sees = {PRIVATE: set(), MANAGERS: {"manager"}, SHARED: {"ada", "bob", "manager"}}[visibility]
    mine = {"ada": {people.ada.id}, "bob": {people.bob.id}, "manager": set(), "stranger": {people.stranger.id}}
    async with client_of(service) as client:
        for route in LISTS:
            path, kind = route.partition(" ")[2], route.rpartition("/")[2]
            for who, headers in shown.items():
                listed = (await client.get(path, headers=headers)).json()[kind]
                assert {one["owner"] for one in listed} == mine[who], (route, who)
                answer = await client.get(path, params={"of": "tenant"}, headers=headers)
                is_let = who in sees
                assert (answer.status_code == 200) == is_let, (route, who)
                if is_let:
                    assert {one["owner"] for one in answer.json()[kind]} == {people.ada.id, people.bob.id}
                else:
                    assert answer.json()["error"]["code"] == "tenant_hidden"
        for who, headers in shown.items():
            assert (await client.get("/v1/me", headers=headers)).json()["sees_tenant"] == (who in sees)


async def test_a_persons_key_owns_what_the_person_owns(service: Service) -> None:
    people = await populate(service, PRIVATE)
    things = await make_things(service, people.ada, 1)
    async with client_of(service) as client:
        for name, status in (("ada", 200), ("bob", 404)):
            key = bearer((await add_key(service, ACME, frozenset({"read", "write"}), name))[1])  # type: ignore[arg-type]
            assert (await client.get(f"/v1/jobs/{things['job_id']}", headers=key)).status_code == status


@pytest.mark.parametrize("visibility", Visibility)
async def test_a_job_begins_with_a_colleagues_picture_only_where_it_may_be_seen(
    service: Service, visibility: Visibility
) -> None:
    service = make_able(service)
    people = await populate(service, visibility)
    shown = await sign_in(service, people)
    things = await make_things(service, people.ada, 7)
    picture = await service.backing.jobs.get(JobId(things["job_id"]))
    assert picture is not None
    sources = [things["job_id"], picture.images[0].png, things["upload_id"]]
    sees = {"ada": True, "bob": visibility is SHARED, "manager": visibility is not PRIVATE, "stranger": False}
    async with client_of(service) as client:
        for who, is_seen in sees.items():
            for source in sources:
                body = {"prompt": "a red apple", "task": "variation", "source": source, "new": True}
                answer = await client.post("/v1/jobs", json=body, headers=shown[who])
                assert answer.status_code == (202 if is_seen else 422), (who, answer.text)
                if not is_seen:
                    assert answer.json()["error"]["code"] == "source_not_found"


async def test_what_was_there_before_owners_is_the_whole_tenants(service: Service) -> None:
    people = await populate(service, PRIVATE)
    shown = await sign_in(service, people)
    old, mine = make_job(tenant=ACME), make_job(tenant=ACME, owner=people.ada.id)
    await service.backing.jobs.add(old)
    await service.backing.jobs.add(mine)
    async with client_of(service) as client:
        listed = (await client.get("/v1/jobs", headers=shown["bob"])).json()["jobs"]
        assert [(job["id"], job["owner"]) for job in listed] == [(old.id, None)]
        assert (await client.delete(f"/v1/jobs/{old.id}", headers=shown["bob"])).json()["state"] == "cancelled"
        assert (await client.get("/v1/jobs", headers=shown["stranger"])).json()["jobs"] == []


async def test_colleagues_share_no_idempotency_names(service: Service) -> None:
    people = await populate(service, SHARED)
    shown = await sign_in(service, people)
    body, made = {"prompt": "a red apple"}, set()
    async with client_of(service) as client:
        for key in ({}, {"Idempotency-Key": "one"}):
            for who in ("ada", "bob"):
                answers = [await client.post("/v1/jobs", json=body, headers=shown[who] | key) for _ in range(2)]
                assert len({answer.json()["id"] for answer in answers}) == 1
                made.add(answers[0].json()["id"])
    assert len(made) == 4


async def test_an_upload_that_two_colleagues_sent_stays_until_both_deleted_it(service: Service) -> None:
    service = make_able(service)
    people = await populate(service, PRIVATE)
    shown = await sign_in(service, people)
    upload = Source(content=make_image(make_job(), "5a").png, width=64, height=64)
    for user in (people.ada, people.bob):
        await service.uploader.uploads.keep(ACME, upload, NOW, 100, owner=user.id)
    body = {"prompt": "a red apple", "task": "variation", "source": upload.content}
    async with client_of(service) as client:
        assert (await client.post("/v1/jobs", json=body, headers=shown["ada"])).status_code == 202
        path = f"/v1/uploads/{upload.content}"
        assert (await client.delete(path, headers=shown["ada"])).json()["error"]["code"] == "upload_in_use"
        assert (await client.delete(path, headers=shown["bob"])).status_code == 204  # ada's job has her own
        assert (await client.delete(path, headers=shown["bob"])).status_code == 404
    assert await service.uploader.uploads.owners_of(ACME, upload.content) == [people.ada.id]


async def test_a_webhook_is_told_of_its_owners_jobs_alone(service: Service) -> None:
    people = await populate(service, SHARED)
    for number, user in enumerate((people.ada, people.bob)):
        await make_things(service, user, number)  # its webhook comes after its job
    job = await draw_picture(service, people.ada, "77")
    webhooks = service.webhook_sender.webhooks
    told = {}
    for webhook in await webhooks.of_tenant(ACME):
        told[webhook.owner] = [one.job for one in await webhooks.deliveries_of(webhook.id, 10)]
    assert told[people.ada.id] == [job.id]
    assert told[people.bob.id] == []


async def test_the_page_of_automatic1111_stops_only_what_its_own_caller_draws(service: Service) -> None:
    people = await populate(service, SHARED)
    keys = {
        name: bearer((await add_key(service, ACME, frozenset({"read", "write"}), name))[1])  # type: ignore[arg-type]
        for name in ("ada", "bob")
    }
    async with client_of(service) as client:
        drawing = asyncio.create_task(client.post("/sdapi/v1/txt2img", json={"prompt": "x"}, headers=keys["ada"]))
        async with asyncio.timeout(20):
            while (await client.get("/sdapi/v1/progress", headers=keys["ada"])).json()["state"]["job_count"] == 0:
                await asyncio.sleep(0.01)
            assert (await client.get("/sdapi/v1/progress", headers=keys["bob"])).json()["state"]["job_count"] == 0
            await client.post("/sdapi/v1/interrupt", headers=keys["bob"])
            (job,) = await service.backing.jobs.open_of(ACME)
            assert (job.owner, job.state) == (people.ada.id, JobState.QUEUED)
            await client.post("/sdapi/v1/interrupt", headers=keys["ada"])
            await drawing


@pytest.mark.parametrize("of", ["mine", "tenant"])
async def test_a_socket_tells_of_my_jobs_and_of_the_tenants_where_asked(service: Service, of: str) -> None:
    people = await populate(service, SHARED)
    shown = await sign_in(service, people)
    hers, his = make_job(tenant=ACME, owner=people.ada.id), make_job(tenant=ACME, owner=people.bob.id)
    await service.backing.jobs.add(hers, his)
    wanted = {his.id} | ({hers.id} if of == "tenant" else set())
    async with serving(service) as address, asyncio.timeout(20):
        url = f"ws://{address}/v1/ws?of={of}&since={NOW:%Y-%m-%dT%H:%M:%SZ}"
        async with connect_socket(url, additional_headers=shown["bob"], origin=f"http://{address}") as socket:  # type: ignore[arg-type]
            for job in (hers, his):
                service.backing.bus.own(job)
            seen: set[str] = set()
            while seen != wanted:
                message = await socket.recv()
                seen |= {id for id in (hers.id, his.id) if id in str(message)}
            for job in (hers, his):
                service.backing.bus.publish(job.id, Progressed(job=job.id, step=1, num_steps=30, preview=None))
            progress: set[str] = set()
            while progress != wanted:
                message = str(await socket.recv())
                assert (hers.id in message) <= (of == "tenant")
                progress |= {id for id in (hers.id, his.id) if id in message and '"progress"' in message}


async def test_a_socket_of_the_tenant_is_refused_where_it_is_private(service: Service) -> None:
    people = await populate(service, PRIVATE)
    shown = await sign_in(service, people)
    async with serving(service) as address:
        with pytest.raises(Exception, match="403"):
            async with connect_socket(f"ws://{address}/v1/ws?of=tenant", additional_headers=shown["bob"]):
                pass


async def test_streams_that_show_a_colleagues_work_end_when_the_tenant_shows_less(service: Service) -> None:
    people = await populate(service, SHARED)
    bob = await open_session(service, people.bob.id)
    job = make_job(tenant=ACME, owner=people.ada.id)
    await service.backing.jobs.add(job)
    async with (
        serving(service) as address,
        asyncio.timeout(30),
        httpx.AsyncClient(base_url=f"http://{address}") as client,
    ):
        async with client.stream("GET", f"/v1/jobs/{job.id}/events", headers=bob) as stream:
            assert stream.status_code == 200
            lines = stream.aiter_lines()
            await anext(lines)
            await service.accounts.tenants.set_visibility(ACME, PRIVATE)
            service.streams.changed.set()
            async for _ in lines:
                pass
        assert (await client.get(f"/v1/jobs/{job.id}", headers=bob)).status_code == 404
