"""No stream outlives what it was let in by: each kind of stream, and each way in which a credential ends."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

import httpx
import pytest
from websockets.exceptions import ConnectionClosed

from mezzotint.domain.claims import OWN, Role, Scope
from mezzotint.domain.event import Progressed
from mezzotint.domain.ids import TenantId, UserId
from mezzotint.domain.key import KeyRequest
from mezzotint.domain.tenant import Tenant
from mezzotint.domain.tier import Tier
from mezzotint.domain.user import User
from mezzotint.gateway import Service
from tests.making import make_job
from tests.raw_streams import connected
from tests.sockets import connect_socket
from tests.unit.gateway.serving import serving

pytestmark = pytest.mark.anyio
ACME = TenantId("acme")
PASSWORD = "four words in a row"
WITHIN_S = 30.0
"""A bound for a loaded machine; the check comes every two seconds, here oftener."""
CHECK_S = "mezzotint.gateway.streams.open_streams.CHECK_S"
Headers = dict[str, str]


@pytest.fixture(autouse=True)
async def ada(service: Service) -> User:
    """An admin of the tenant acme."""
    user = User(id=UserId("usr_1"), tenant=ACME, name="ada", role=Role.ADMIN, created_at=datetime.now(UTC))
    tenant = Tenant(id=ACME, tier=Tier.PAID, created_at=datetime.now(UTC))
    assert await service.accounts.users.add(user, PASSWORD, tenant)
    return user


@pytest.fixture
async def address(service: Service) -> AsyncIterator[str]:
    async with serving(service) as address:
        yield address


class Credential(NamedTuple):
    """headers: what shows it. code: what is told of its end. secret, key: of a session and of a key."""

    headers: Headers
    code: str
    secret: str = ""
    key: str = ""


async def a_session(service: Service, ada: User) -> Credential:
    now = datetime.now(UTC)
    secret = await service.accounts.users.open_session(ada.id, now, now + timedelta(hours=1))
    headers = {"Cookie": f"mezzotint_session={secret}", "Sec-Fetch-Site": "same-origin"}
    return Credential(headers, "session_invalid", secret=secret)


async def a_key(service: Service, ada: User | None, scopes: frozenset[Scope] = frozenset(Scope)) -> Credential:
    wanted = KeyRequest(tenant=ACME, user=ada.id if ada else None, name="laptop", scopes=scopes)
    made = await service.accounts.keys.add(wanted, datetime.now(UTC))
    assert made is not None
    return Credential({"Authorization": f"Bearer {made[1]}"}, "key_invalid", key=made[0].id)


async def a_token(service: Service, seconds: float = 300) -> Credential:
    token = service.issuer.issue(ACME, Tier.PAID, datetime.now(UTC), timedelta(seconds=seconds))
    return Credential({"Authorization": f"Bearer {token}"}, "token_invalid")


async def events(service: Service, address: str, credential: Credential) -> None:
    """Watch a job until the stream ends, which is before the job does."""
    job = make_job(tenant=ACME)
    await service.backing.jobs.add(job)
    async with httpx.AsyncClient(base_url=f"http://{address}", headers=credential.headers, timeout=WITHIN_S) as client:
        answer = await client.get(f"/v1/jobs/{job.id}/events")
    assert answer.status_code == 200
    assert "event: queued" in answer.text
    assert "event: succeeded" not in answer.text
    assert "event: error" in answer.text
    assert credential.code in answer.text


async def socket(service: Service, address: str, credential: Credential) -> None:
    headers = {**credential.headers, "Origin": f"http://{address}"}
    async with connect_socket(f"ws://{address}/v1/ws", additional_headers=headers) as one:
        last = ""
        with suppress(ConnectionClosed):
            async for message in one:
                last = str(message)
        assert f'"code":"{credential.code}"' in last
        assert (one.close_code, one.close_reason) == (1008, credential.code)


async def long_poll(service: Service, address: str, credential: Credential) -> None:
    job = make_job(tenant=ACME)
    await service.backing.jobs.add(job)
    async with httpx.AsyncClient(base_url=f"http://{address}", headers=credential.headers, timeout=WITHIN_S) as client:
        answer = await client.get(f"/v1/jobs/{job.id}?wait=60")
    assert (answer.status_code, answer.json()["error"]["code"]) == (401, credential.code)


async def openai_events(service: Service, address: str, credential: Credential) -> None:
    async with httpx.AsyncClient(base_url=f"http://{address}", headers=credential.headers, timeout=WITHIN_S) as client:
        answer = await client.post("/v1/images/generations", json={"prompt": "a cat", "stream": True})
    assert answer.status_code == 200
    assert answer.text.startswith("event: error")
    assert credential.code in answer.text


async def openai_pictures(service: Service, address: str, credential: Credential) -> None:
    async with httpx.AsyncClient(base_url=f"http://{address}", headers=credential.headers, timeout=WITHIN_S) as client:
        answer = await client.post("/v1/images/generations", json={"prompt": "a cat"})
    assert (answer.status_code, answer.json()["error"]["code"]) == (401, credential.code)


async def sdapi_pictures(service: Service, address: str, credential: Credential) -> None:
    async with httpx.AsyncClient(base_url=f"http://{address}", headers=credential.headers, timeout=WITHIN_S) as client:
        answer = await client.post("/sdapi/v1/txt2img", json={"prompt": "a cat"})
    assert answer.status_code == 401


Stream = Callable[[Service, str, Credential], Awaitable[None]]
STREAMS = (events, socket, long_poll, openai_events, openai_pictures, sdapi_pictures)
"""Each returns when the stream was ended, and fails where it ended otherwise."""


async def sign_out(service: Service, credential: Credential) -> None:
    await service.accounts.users.close_session(credential.secret)


async def change_password(service: Service, credential: Credential) -> None:
    await service.accounts.users.set_password("ada", "quite another one")


async def demote(service: Service, credential: Credential) -> None:
    await service.accounts.users.set_role("ada", Role.USER)


async def disable_user(service: Service, credential: Credential) -> None:
    await service.accounts.users.disable("ada", datetime.now(UTC))


async def delete_user(service: Service, credential: Credential) -> None:
    await service.accounts.users.remove("ada")


async def disable_tenant(service: Service, credential: Credential) -> None:
    await service.accounts.tenants.disable(ACME, datetime.now(UTC))


async def revoke(service: Service, credential: Credential) -> None:
    await service.accounts.keys.revoke(credential.key, ACME, datetime.now(UTC))  # type: ignore[arg-type]


async def rotate_away(service: Service, credential: Credential) -> None:
    await service.accounts.keys.rotate(credential.key, ACME, datetime.now(UTC), timedelta())  # type: ignore[arg-type]


CAUSES = [
    ("session", sign_out),
    ("session", change_password),
    ("session", demote),
    ("session", disable_user),
    ("session", delete_user),
    ("session", disable_tenant),
    ("key", revoke),
    ("key", rotate_away),
    ("key", demote),
    ("key", disable_user),
    ("key", delete_user),
    ("key", disable_tenant),
    ("token", disable_tenant),
]


async def opened(service: Service, address: str, stream: Stream, credential: Credential) -> asyncio.Task[None]:
    before = service.rate_limits.streams[ACME]
    task = asyncio.ensure_future(stream(service, address, credential))
    async with asyncio.timeout(WITHIN_S):
        while service.rate_limits.streams[ACME] == before:
            assert not task.done(), await task
            await asyncio.sleep(0.01)  # the server tells nobody of its streams
    return task


async def credential_of(service: Service, ada: User, kind: str) -> Credential:
    if kind == "session":
        return await a_session(service, ada)
    return await a_key(service, ada) if kind == "key" else await a_token(service)


@pytest.mark.parametrize(
    ("stream", "kind", "cause"),
    [
        (stream, kind, cause)
        for stream in STREAMS
        for kind, cause in CAUSES
        if (stream, kind) != (sdapi_pictures, "session")  # it takes none
    ],
)
async def test_a_stream_ends_with_its_credential(
    service: Service,
    address: str,
    ada: User,
    stream: Stream,
    kind: str,
    cause: Callable[[Service, Credential], Awaitable[None]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(CHECK_S, 0.05)
    service.streams.changed.set()
    credential = await credential_of(service, ada, kind)
    task = await opened(service, address, stream, credential)
    await cause(service, credential)
    async with asyncio.timeout(WITHIN_S):
        await task
    assert not service.rate_limits.streams, "its place is free again"


@pytest.mark.parametrize("stream", STREAMS)
async def test_a_stream_ends_when_its_tokens_time_is_over(service: Service, stream: Stream) -> None:
    credential = await a_token(service, seconds=300)
    then = datetime.now(UTC) + timedelta(seconds=298)
    late = replace(service, now=lambda: then)  # tokens are verified by the system's clock
    async with serving(late) as address:
        task = await opened(late, address, stream, credential)
        async with asyncio.timeout(WITHIN_S):
            await task


async def test_what_another_process_changed_is_seen_within_seconds(service: Service, address: str, ada: User) -> None:
    credential = await a_key(service, ada)
    task = await opened(service, address, socket, credential)
    await revoke(service, credential)  # by a command: nothing tells this process
    async with asyncio.timeout(WITHIN_S):
        await task


@pytest.mark.parametrize("change", ["revoke", "rotate", "sign-out", "password", "tenant"])
async def test_what_a_route_changed_is_seen_at_once(
    service: Service, address: str, ada: User, change: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(CHECK_S, 3600.0)
    service.streams.changed.set()  # from here on only a change wakes it
    key, session = await a_key(service, ada), await a_session(service, ada)
    watched = key if change in {"revoke", "rotate"} else session
    task = await opened(service, address, events, watched)
    requests = {
        "revoke": ("DELETE", f"/v1/keys/{key.key}", None),
        "rotate": ("POST", f"/v1/keys/{key.key}/rotate", {"grace_hours": 0}),
        "sign-out": ("POST", "/v1/sign-out", None),
        "password": ("PUT", "/v1/password", {"old_password": PASSWORD, "new_password": "quite another one"}),
        "tenant": ("PATCH", "/v1/admin/tenants/acme", {"is_disabled": True}),
    }
    async with httpx.AsyncClient(base_url=f"http://{address}", headers=session.headers) as page:
        method, path, body = requests[change]
        assert (await page.request(method, path, json=body)).status_code in {200, 204}
    async with asyncio.timeout(WITHIN_S):
        await task


async def test_streams_of_others_go_on(
    service: Service, address: str, ada: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(CHECK_S, 0.05)
    service.streams.changed.set()
    gone, kept = await a_key(service, ada), await a_key(service, None, OWN)
    ending = await opened(service, address, socket, gone)
    going_on = [await opened(service, address, stream, kept) for stream in STREAMS]
    await demote(service, gone)
    async with asyncio.timeout(WITHIN_S):
        await ending
    assert not any(task.done() for task in going_on)
    await revoke(service, kept)
    async with asyncio.timeout(WITHIN_S):
        await asyncio.gather(*going_on)


async def test_a_client_that_reads_no_more_is_cut_off(
    service: Service, address: str, ada: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its connection is full, so that even the end cannot be sent."""
    monkeypatch.setattr(CHECK_S, 0.05)
    service.streams.changed.set()
    credential, job = await a_key(service, ada), make_job(tenant=ACME)
    await service.backing.jobs.add(job)
    lines = [f"GET /v1/jobs/{job.id}/events HTTP/1.1", f"Host: {address}"]
    lines += [f"{name}: {value}" for name, value in credential.headers.items()]
    request = "\r\n".join([*lines, "", ""]).encode()
    async with connected(address, request, limit=1024) as (reader, _), asyncio.timeout(WITHIN_S):
        await reader.readuntil(b"\r\n\r\n")
        for step in range(1, 40):  # more than the system's buffers hold
            service.backing.bus.publish(job.id, Progressed(job=job.id, step=step, num_steps=50, preview="x" * 500_000))
            await asyncio.sleep(0.01)
        await revoke(service, credential)
        while service.rate_limits.streams:
            await asyncio.sleep(0.05)


@pytest.mark.parametrize("path", ["events", "?wait=60"])
async def test_however_many_come_at_once_no_more_than_allowed_are_open(
    service: Service, address: str, ada: User, path: str
) -> None:
    job = make_job(tenant="eve")
    await service.backing.jobs.add(job)
    token = service.issuer.issue(TenantId("eve"), Tier.FREE, datetime.now(UTC), timedelta(minutes=5))
    url = f"/v1/jobs/{job.id}" + (f"/{path}" if path == "events" else path)
    limits = httpx.Limits(max_connections=60)
    headers = {"Authorization": f"Bearer {token}"}
    async with httpx.AsyncClient(base_url=f"http://{address}", headers=headers, timeout=WITHIN_S, limits=limits) as eve:
        asked = [asyncio.ensure_future(eve.get(url)) for _ in range(40)]
        async with asyncio.timeout(WITHIN_S):
            while sum(task.done() for task in asked) < 20:
                await asyncio.sleep(0.01)
        assert service.rate_limits.streams["eve"] == 20
        assert {task.result().status_code for task in asked if task.done()} == {429}
        assert (await eve.delete(f"/v1/jobs/{job.id}")).status_code == 200
        assert sorted(answer.status_code for answer in await asyncio.gather(*asked)) == [200] * 20 + [429] * 20
