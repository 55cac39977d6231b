"""Guessing is slow for who guesses, and shuts nobody else out: passwords, keys, tokens, sessions, HTTP Basic."""

from base64 import b64encode
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import httpx
import pytest

from mezzotint.domain.claims import OWN, Role
from mezzotint.domain.ids import TenantId, UserId
from mezzotint.domain.key import KeyRequest
from mezzotint.domain.tenant import Tenant
from mezzotint.domain.tier import Tier
from mezzotint.domain.user import User
from mezzotint.gateway import Service
from mezzotint.gateway.auth.guess_limits import WRONG_FROM_NETWORK, GuessLimits
from mezzotint.gateway.rate_limits import SIGN_IN_FROM_NETWORK, SIGN_IN_TO_NAME, RateLimits
from mezzotint.store import LocalBuckets
from tests.unit.gateway.conftest import Connect

pytestmark = pytest.mark.anyio
STRANGER, HOME, OFFICE = "203.0.113.7", "198.51.100.1", "192.0.2.1"
PASSWORD = "four words in a row"
ADA = {"name": "ada", "password": PASSWORD}
WRONG = {"name": "ada", "password": "another four words"}
TIME = [1000.0]


@pytest.fixture
async def served(service: Service) -> Service:
    """With a clock that stands still, no other limits in the way, and the user ada."""
    TIME[0] = 1000.0
    tenant = Tenant(id=TenantId("acme"), tier=Tier.FREE, created_at=datetime.now(UTC))
    user = User(id=UserId("usr_1"), tenant=tenant.id, name="ada", role=Role.USER, created_at=datetime.now(UTC))
    assert await service.accounts.users.add(user, PASSWORD, tenant)
    rate_limits = RateLimits(buckets=LocalBuckets(clock=lambda: TIME[0]), scale=0.0, per_address=0)
    return replace(service, rate_limits=rate_limits, guess_limits=GuessLimits(clock=lambda: TIME[0]))


async def statuses(client: httpx.AsyncClient, body: dict[str, str], times: int) -> list[int]:
    return [(await client.post("/v1/sign-in", json=body)).status_code for _ in range(times)]


async def test_strangers_cannot_shut_a_name_out(connect: Connect, served: Service) -> None:
    for number in range(12):
        async with connect(None, served=served, peer=f"203.0.113.{number}") as stranger:
            assert set(await statuses(stranger, WRONG, SIGN_IN_TO_NAME.burst)) == {401}
            assert await statuses(stranger, ADA, 1) == [429], "not even with the right one"
    for peer in (HOME, OFFICE, "127.0.0.1"):
        async with connect(None, served=served, peer=peer) as ada:
            assert await statuses(ada, ADA, 1) == [200]


async def test_a_network_that_guesses_many_names_is_slowed(connect: Connect, served: Service) -> None:
    async with connect(None, served=served, peer=STRANGER) as stranger:
        for number in range(SIGN_IN_FROM_NETWORK.burst):
            assert await statuses(stranger, {**WRONG, "name": f"name{number}"}, 1) == [401]
        answer = await stranger.post("/v1/sign-in", json=WRONG)
        assert (answer.status_code, answer.json()["error"]["code"]) == (429, "rate_limited")
        assert int(answer.headers["Retry-After"]) == SIGN_IN_FROM_NETWORK.spacing_s
    async with connect(None, served=served, peer=HOME) as ada:
        assert await statuses(ada, ADA, 1) == [200]


async def test_behind_one_proxy_that_names_no_clients_a_password_is_guessed_slowly_too(
    connect: Connect, served: Service
) -> None:
    async with connect(None, served=served) as stranger:
        assert set(await statuses(stranger, WRONG, SIGN_IN_TO_NAME.burst)) == {401}
        assert await statuses(stranger, ADA, 1) == [429]


def bearer(secret: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {secret}"}


def basic(secret: str) -> dict[str, str]:
    return {"Authorization": "Basic " + b64encode(f"user:{secret}".encode()).decode()}


def cookie(secret: str) -> dict[str, str]:
    return {"Cookie": f"mezzotint_session={secret}"}


ME, OPTIONS, MODELS = "/v1/me", "/sdapi/v1/options", "/v1/models"
WAYS = [(bearer, ME, "mz_0123456789ab_" + "x" * 43), (bearer, ME, "a.b.c"), (bearer, MODELS, "mz_0123456789ab_")]
WAYS += [(basic, OPTIONS, "mz_0123456789ab_" + "x" * 43), (bearer, OPTIONS, "a.b.c"), (cookie, ME, "x" * 43)]


async def a_key(service: Service) -> str:
    made = await service.accounts.keys.add(
        KeyRequest(tenant=TenantId("acme"), name="laptop", scopes=OWN), datetime.now(UTC)
    )
    assert made is not None
    return made[1]


@pytest.mark.parametrize(("way", "path", "wrong"), WAYS)
async def test_a_network_that_shows_wrong_credentials_must_wait(
    connect: Connect, served: Service, way: object, path: str, wrong: str
) -> None:
    assert callable(way)
    key = await a_key(served)
    async with (
        connect(None, served=served, peer=STRANGER) as stranger,
        connect(None, served=served, peer=STRANGER) as neighbour,
        connect(None, served=served, peer=HOME) as ada,
    ):
        assert (await neighbour.get(ME, headers=bearer(key))).status_code == 200
        for number in range(WRONG_FROM_NETWORK.burst):
            assert (await stranger.get(path, headers=way(f"{wrong}{number}"))).status_code == 401
        answer = await stranger.get(path, headers=way(wrong))
        assert answer.status_code == 429
        assert int(answer.headers["Retry-After"]) == WRONG_FROM_NETWORK.spacing_s
        new = await a_key(served)
        assert (await stranger.get(ME, headers=bearer(new))).status_code == 429, "it is not even looked at"
        assert (await neighbour.get(ME, headers=bearer(key))).status_code == 200, "known from there as right"
        assert (await ada.get(ME, headers=bearer(new))).status_code == 200, "another network hears of nothing"
        TIME[0] += WRONG_FROM_NETWORK.spacing_s + 1
        assert (await stranger.get(ME, headers=bearer(new))).status_code == 200


async def test_who_signs_in_next_to_one_who_guesses_is_let_in(connect: Connect, served: Service) -> None:
    async with (
        connect(None, served=served, peer=STRANGER) as stranger,
        connect(None, served=served, peer=STRANGER) as ada,
    ):
        for number in range(WRONG_FROM_NETWORK.burst + 1):
            await stranger.get(ME, headers=bearer(f"a.b.{number}"))
        assert (await stranger.get(ME, headers=bearer("a.b.c"))).status_code == 429
        assert await statuses(ada, ADA, 1) == [200]
        assert (await ada.get(ME)).status_code == 200


async def test_a_credential_that_was_right_and_ended_counts_like_any_wrong_one(
    connect: Connect, served: Service
) -> None:
    key = await a_key(served)
    async with connect(None, served=served, peer=STRANGER) as client:
        assert (await client.get(ME, headers=bearer(key))).status_code == 200
        (kept,) = await served.accounts.keys.of_tenant(TenantId("acme"))
        await served.accounts.keys.revoke(kept.id, kept.tenant, datetime.now(UTC) - timedelta(seconds=1))
        got = [(await client.get(ME, headers=bearer(key))).status_code for _ in range(WRONG_FROM_NETWORK.burst + 5)]
    assert got == [401] * WRONG_FROM_NETWORK.burst + [429] * 5


async def test_no_credential_at_all_is_no_guess(connect: Connect, served: Service) -> None:
    async with connect(None, served=served, peer=STRANGER) as nobody:
        for _ in range(WRONG_FROM_NETWORK.burst + 5):
            assert (await nobody.get(ME)).status_code == 401
