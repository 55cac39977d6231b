"""All my jobs' events over one WebSocket, with a real client of a real server."""

import asyncio
import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote

import pytest
from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed, InvalidStatus

from mezzotint.actions.claim import claim
from mezzotint.actions.finish import finish
from mezzotint.actions.submit import submit
from mezzotint.domain.claims import Claims, Role
from mezzotint.domain.event import Moved, Progressed
from mezzotint.domain.ids import TenantId, WorkerId
from mezzotint.domain.job import Job
from mezzotint.domain.tenant import Tenant
from mezzotint.domain.tier import Tier
from mezzotint.domain.user import User
from mezzotint.gateway import Service
from mezzotint.gateway.routes.sign_in import new_user_id
from mezzotint.gateway.streams import websocket
from mezzotint.policy.admission.prompt import parse_request
from mezzotint.policy.admission.request import JobRequest
from mezzotint.store import WorkerOffer
from tests.making import make_ending
from tests.sockets import connect_socket
from tests.unit.gateway.serving import serving

pytestmark = pytest.mark.anyio


def bearer(service: Service, tenant: str = "ada", seconds: float = 300) -> dict[str, str]:
    token = service.issuer.issue(TenantId(tenant), Tier.FREE, datetime.now(UTC), timedelta(seconds=seconds))
    return {"Authorization": f"Bearer {token}"}


async def submitted(service: Service, tenant: str, prompt: str) -> Job:
    claims = Claims(tenant=TenantId(tenant), tier=Tier.FREE, expires_at=None)
    jobs = await submit(service.admission, parse_request(JobRequest(prompt=prompt)), claims, service.now())
    assert isinstance(jobs, tuple)
    return jobs[0]


async def heard(socket: ClientConnection) -> dict[str, Any]:
    async with asyncio.timeout(10):
        message: dict[str, Any] = json.loads(await socket.recv())
        return message


async def test_every_event_of_my_jobs_and_of_nobody_elses_is_told(service: Service) -> None:
    async with serving(service) as address:
        before = await submitted(service, "ada", "a pear")
        async with connect_socket(f"ws://{address}/v1/ws", additional_headers=bearer(service)) as socket:
            assert (await heard(socket))["type"] == "hello"
            assert (await heard(socket))["job_id"] == before.id
            await submitted(service, "eve", "a secret")
            mine = await submitted(service, "ada", "a red apple")
            message = await heard(socket)
            assert (message["type"], message["job_id"], message["data"]["state"]) == ("job", mine.id, "queued")
            service.backing.bus.publish(before.id, Progressed(job=before.id, step=3, num_steps=30, preview=None))
            message = await heard(socket)
            assert (message["type"], message["job_id"], message["data"]["step"]) == ("progress", before.id, 3)
            service.backing.bus.publish(before.id, Moved(job=before.id, reason="why"))
            message = await heard(socket)
            assert (message["type"], message["job_id"], message["data"]["reason"]) == ("moved", before.id, "why")


async def test_silence_is_told_from_a_dead_connection(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(websocket, "KEEP_ALIVE_S", 0.05)
    async with (
        serving(service) as address,
        connect_socket(f"ws://{address}/v1/ws", additional_headers=bearer(service)) as socket,
    ):
        hello, first, second = [await heard(socket) for _ in range(3)]
        assert [hello["type"], first["type"], second["type"]] == ["hello", "keep-alive", "keep-alive"]
        mine = await submitted(service, "ada", "a red apple")
        while (message := await heard(socket))["type"] == "keep-alive":
            pass
        assert message["job_id"] == mine.id


async def test_one_that_comes_back_hears_what_it_missed(service: Service) -> None:
    async with serving(service) as address:
        async with connect_socket(f"ws://{address}/v1/ws", additional_headers=bearer(service)) as socket:
            left_at = (await heard(socket))["at"]
        await submitted(service, "ada", "a red apple")
        (job,) = await claim(service.backing, WorkerOffer(worker=WorkerId("w")), service.now(), 30)
        assert job.lease is not None
        await finish(service.backing, job, job.lease, replace(make_ending(job), at=service.now()))
        url = f"ws://{address}/v1/ws?since={quote(left_at)}"
        async with connect_socket(url, additional_headers=bearer(service)) as socket:
            await heard(socket)
            states = [(await heard(socket))["data"]["state"] for _ in range(3)]
    assert states == ["queued", "running", "succeeded"]


async def test_nobody_is_let_in_without_a_valid_token(service: Service) -> None:
    async with serving(service) as address:
        for headers, status in (
            ({}, 401),
            ({"Authorization": "Bearer a.b.c"}, 401),
            ({"Cookie": "mezzotint_session=x", "Origin": f"http://{address}"}, 401),
            ({"Cookie": "mezzotint_session=x"}, 403),
        ):
            assert (await refused(address, headers))[0] == status


async def refused(address: str, headers: dict[str, str], path: str = "/v1/ws") -> tuple[int, str]:
    """Status and error code of a socket that is not let in; the body says why, as that of any route."""
    with pytest.raises(InvalidStatus) as caught:
        await connect_socket(f"ws://{address}{path}", additional_headers=headers)
    response = caught.value.response
    assert response.headers["Cache-Control"] == "no-store"
    error = json.loads(response.body)["error"]
    assert error["message"]
    assert error["hint"]
    return response.status_code, error["code"]


async def test_a_browser_sends_its_token_as_a_subprotocol(service: Service) -> None:
    token = bearer(service)["Authorization"].removeprefix("Bearer ")
    async with serving(service) as address:
        protocols: Any = ["mezzotint", f"bearer.{token}"]
        async with connect_socket(f"ws://{address}/v1/ws", subprotocols=protocols) as socket:
            assert socket.subprotocol == "mezzotint", "the token is not sent back"
            assert (await heard(socket))["type"] == "hello"


async def test_a_cookie_opens_it_from_our_own_page_alone(service: Service) -> None:
    now = service.now()
    tenant = Tenant(id=TenantId("ada"), tier=Tier.FREE, created_at=now)
    user = User(id=new_user_id(), tenant=tenant.id, name="ada", role=Role.USER, created_at=now)
    assert await service.accounts.users.add(user, "four words in a row", tenant)
    secret = await service.accounts.users.open_session(user.id, now, now + timedelta(hours=1))
    cookie = {"Cookie": f"mezzotint_session={secret}"}
    async with serving(service) as address:
        for origin in ("https://evil.example", "null"):
            with pytest.raises(InvalidStatus):
                await connect_socket(f"ws://{address}/v1/ws", additional_headers={**cookie, "Origin": origin})
        ours = {**cookie, "Origin": f"http://{address}"}
        async with connect_socket(f"ws://{address}/v1/ws", additional_headers=ours) as socket:
            assert (await heard(socket))["type"] == "hello"


async def test_it_ends_with_the_token(service: Service) -> None:
    headers = bearer(service, seconds=300)
    then = datetime.now(UTC) + timedelta(seconds=298)
    late = replace(service, now=lambda: then)  # tokens are verified by the system's clock
    async with serving(late) as address, connect_socket(f"ws://{address}/v1/ws", additional_headers=headers) as socket:
        assert (await heard(socket))["type"] == "hello"
        message = await heard(socket)
        assert (message["type"], message["data"]["code"]) == ("error", "token_invalid")
        with pytest.raises(ConnectionClosed):
            await heard(socket)
    assert service.rate_limits.streams == {}


async def test_too_many_are_told_to_try_later(service: Service) -> None:
    service.rate_limits.streams["ada"] = 20
    async with serving(service) as address:
        assert await refused(address, bearer(service)) == (429, "too_many_streams")


async def test_a_refusal_says_why_and_leaves_no_error_in_the_log(
    service: Service, caplog: pytest.LogCaptureFixture
) -> None:
    async with serving(service) as address:
        assert await refused(address, {}) == (401, "token_missing")
        assert await refused(address, {}, "/v1/nothing") == (404, "not_found")
        assert await refused(address, {}, "/v1/ws?since=%00") == (422, "field_invalid")
    assert [record for record in caplog.records if record.levelname == "ERROR" and "ASGI" in record.message] == []


@pytest.mark.parametrize("since", ["0001-01-01T00:00:00Z", "0001-01-01T00:00:00", "9999-12-31T23:59:59-14:00", "1e18"])
async def test_an_instant_at_the_ends_of_the_calendar_is_refused(service: Service, since: str) -> None:
    async with serving(service) as address:
        path = f"/v1/ws?since={quote(since)}"
        assert await refused(address, bearer(service), path) == (422, "field_invalid")
