"""Signing in at the page through an OIDC provider: a provider of our own speaks the real protocol."""

from collections.abc import Iterator
from dataclasses import replace
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest

from mezzotint.domain.tier import Tier
from mezzotint.gateway import KeySet, OidcConfig, OidcProvider, Service
from mezzotint.gateway.auth.oidc import read_from_url
from mezzotint.gateway.auth.oidc_sign_in import OidcSignIn
from tests.oidc_provider import CLIENT, SECRET, OidcServer, running_provider
from tests.unit.gateway.conftest import Connect

pytestmark = pytest.mark.anyio
START = "/v1/sign-in/provider"


@pytest.fixture
def provider() -> Iterator[OidcServer]:
    with running_provider() as provider:
        yield provider


@pytest.fixture
def signing(service: Service, provider: OidcServer) -> Service:
    trust = OidcConfig(issuer=provider.url, audience="mezzotint", client_id=CLIENT)
    reader = OidcProvider(trust, KeySet(read_from_url(f"{provider.url}/keys")))
    way = OidcSignIn(
        provider=reader,
        issuer=provider.url,
        client_id=CLIENT,
        secret=SECRET,
        fetch=read_from_url(f"{provider.url}/.well-known/openid-configuration"),
    )
    return replace(service, accounts=replace(service.accounts, provider=reader, oidc_sign_in=way))


async def agree(client: httpx.AsyncClient) -> str:
    """Go to the provider and agree there. Returns the address to which it sends the browser back, without the host."""
    start = await client.get(START)
    assert start.status_code == 303
    async with httpx.AsyncClient() as browser:
        back = urlsplit((await browser.get(start.headers["location"])).headers["location"])
    assert f"{back.scheme}://{back.netloc}" == str(client.base_url).rstrip("/")
    return f"{back.path}?{back.query}"


async def test_a_person_comes_back_from_the_provider_with_a_session(signing: Service, connect: Connect) -> None:
    async with connect(None, served=signing) as client:
        assert (await client.get("/healthz")).json()["has_provider"] is True
        back = await client.get(await agree(client))
        assert (back.status_code, back.headers["location"]) == (303, "/#signed-in")
        kept = back.headers.get_list("set-cookie")
        assert any(
            "mezzotint_session=" in one and "HttpOnly" in one and "samesite=strict" in one.lower() for one in kept
        )
        me = await client.get("/v1/me")
        assert (me.status_code, me.json()["tenant"], me.json()["tier"]) == (200, "oidc.ada", Tier.PRO)
        foreign = {"Sec-Fetch-Site": "cross-site"}
        refused = await client.post("/v1/jobs", json={"prompt": "a cat"}, headers=foreign)
        assert (refused.status_code, refused.json()["error"]["code"]) == (403, "cross_site")
        own = {"Sec-Fetch-Site": "same-origin"}
        assert (await client.post("/v1/sign-out", headers=own)).status_code == 204
        assert (await client.get("/v1/me")).status_code == 401


FAULTS: dict[str, dict[str, object]] = {
    "for another client": {"aud": "another"},
    "of another sign-in": {"nonce": "replayed"},
    "over": {"exp": 1_000_000_000},
    "of another issuer": {"iss": "https://elsewhere.example"},
    "of no tier": {"tier": "emperor"},
    "too long for a cookie": {"groups": ["x" * 100] * 60},
}


@pytest.mark.parametrize("fault", FAULTS)
async def test_an_id_token_that_is_not_for_this_sign_in_opens_nothing(
    fault: str, signing: Service, provider: OidcServer, connect: Connect
) -> None:
    provider.changes = FAULTS[fault]
    async with connect(None, served=signing) as client:
        back = await client.get(await agree(client))
        assert (back.status_code, back.headers["location"]) == (303, "/#sign-in-failed")
        assert (await client.get("/v1/me")).status_code == 401


async def test_a_code_is_taken_only_in_the_browser_that_asked_and_only_once(signing: Service, connect: Connect) -> None:
    async with connect(None, served=signing) as victim, connect(None, served=signing) as attacker:
        stolen = await agree(attacker)
        assert (await victim.get(stolen)).headers["location"] == "/#sign-in-failed"
        await agree(victim)
        assert (await victim.get(stolen)).headers["location"] == "/#sign-in-failed"
        address = await agree(victim)
        assert (await victim.get(address)).headers["location"] == "/#signed-in"
        assert (await victim.get(address)).headers["location"] == "/#sign-in-failed"
        refusal = await victim.get(f"{START}/callback?error=access_denied&state=x")
        assert refusal.headers["location"] == "/#sign-in-failed"


@pytest.mark.parametrize(
    "metadata",
    [{"issuer": "https://elsewhere.example"}, {"token_endpoint": "http://192.0.2.1/token"}, {"token_endpoint": 7}],
)
async def test_metadata_that_names_somebody_else_sends_nobody_away(
    metadata: dict[str, object], signing: Service, provider: OidcServer, connect: Connect
) -> None:
    provider.metadata = metadata
    async with connect(None, served=signing) as client:
        assert (await client.get(START)).headers["location"] == "/#sign-in-failed"


async def test_a_server_without_a_provider_says_so(service: Service, connect: Connect) -> None:
    async with connect(None, served=service) as client:
        for path in (START, f"{START}/callback"):
            answer = await client.get(path)
            assert (answer.status_code, answer.json()["error"]["code"]) == (404, "provider_missing")
        assert (await client.get("/healthz")).json()["has_provider"] is False


async def test_the_provider_sends_back_to_the_public_address(signing: Service, connect: Connect) -> None:
    async with connect(None, served=replace(signing, public_url="https://paint.example/x")) as client:
        sent = parse_qs(urlsplit((await client.get(START)).headers["location"]).query)
    assert sent["redirect_uri"] == ["https://paint.example/x/v1/sign-in/provider/callback"]
    assert sent["scope"] == ["openid profile email"]
