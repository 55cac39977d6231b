"""Tokens of an OIDC provider, and everything that is not one: real keys, real signatures."""

import base64
import hashlib
import hmac
import http.server
import json
import threading
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from mezzotint.domain.claims import OWN, Scope
from mezzotint.domain.tier import Tier
from mezzotint.gateway import Issuer, KeySet, OidcConfig, OidcProvider, Service
from mezzotint.gateway.auth.oidc import MAX_KEYS_BYTES, UNKNOWN_EVERY_S, read_from_file, read_from_url, read_keys
from tests.unit.gateway.conftest import SECRET, Connect

pytestmark = pytest.mark.anyio
RSA = rsa.generate_private_key(public_exponent=65537, key_size=2048)
EC = ec.generate_private_key(ec.SECP256R1())
STRANGER = rsa.generate_private_key(public_exponent=65537, key_size=2048)
TRUST = OidcConfig(issuer="https://id.example", audience="mezzotint-acme", admin_role="operators")
NOW = datetime.now(UTC).replace(microsecond=0)
GOOD = {"iss": TRUST.issuer, "aud": TRUST.audience, "sub": "ada", "tier": "pro", "exp": NOW + timedelta(hours=1)}


def public(key: Any, kid: str, **more: str) -> dict[str, Any]:
    algorithm = jwt.algorithms.RSAAlgorithm if isinstance(key, rsa.RSAPrivateKey) else jwt.algorithms.ECAlgorithm
    return {**algorithm.to_jwk(key.public_key(), as_dict=True), "kid": kid, "use": "sig", **more}


JWKS = {"keys": [public(RSA, "r1", alg="RS256"), public(EC, "e1"), {"kty": "oct", "kid": "o1", "k": "c2VjcmV0"}]}


def signed(key: Any = RSA, kid: str | None = "r1", algorithm: str = "RS256", **changes: object) -> str:
    claims = {name: value for name, value in {**GOOD, **changes}.items() if value is not None}
    return jwt.encode(claims, key, algorithm=algorithm, headers={} if kid is None else {"kid": kid})


@pytest.fixture
def provider(tmp_path: Path) -> OidcProvider:
    (tmp_path / "jwks.json").write_text(json.dumps(JWKS))
    return OidcProvider(TRUST, KeySet(read_from_file(tmp_path / "jwks.json")))


async def test_rsa_and_elliptic_tokens_are_taken(provider: OidcProvider) -> None:
    for token in (signed(), signed(EC, "e1", "ES256"), signed(aud=["other", TRUST.audience])):
        claims = await provider.read(token)
        assert claims is not None
        assert (claims.tenant, claims.tier, claims.expires_at) == ("oidc.ada", Tier.PRO, GOOD["exp"])
        assert Scope.ADMIN not in claims.scopes


WRONG = ("9999999999", True, [], {}, 1e18, -1, float("inf"), float("nan"))


@pytest.mark.parametrize("value", WRONG)
@pytest.mark.parametrize("name", ["exp", "iat", "nbf"])
async def test_a_time_that_is_no_number_makes_no_token(provider: OidcProvider, name: str, value: object) -> None:
    text = json.dumps({**GOOD, "exp": 2**32, name: value}).encode()
    token = jwt.api_jws.PyJWS().encode(text, RSA, algorithm="RS256", headers={"kid": "r1"})
    assert await provider.read(token) is None


def unsigned(header: dict[str, str]) -> str:
    def part(value: object) -> str:
        return base64.urlsafe_b64encode(json.dumps(value, default=str).encode()).rstrip(b"=").decode()

    return f"{part(header)}.{part({**GOOD, 'exp': int(GOOD['exp'].timestamp())})}."  # type: ignore[attr-defined]


def confused(kid: str = "r1") -> str:
    """HS256 over the provider's public key as the secret: what a library that trusts `alg` would take."""
    pem = RSA.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    body = unsigned({"alg": "HS256", "typ": "JWT", "kid": kid}).rstrip(".")
    mac = hmac.new(pem, body.encode(), hashlib.sha256).digest()
    return f"{body}.{base64.urlsafe_b64encode(mac).rstrip(b'=').decode()}"


BAD = {
    "forged by another key": signed(STRANGER),
    "signed by a key under another's id": signed(EC, "r1", "ES256"),
    "an unknown key id": signed(kid="r9"),
    "no key id": signed(kid=None),
    "expired": signed(exp=NOW - timedelta(minutes=1)),
    "without an end": signed(exp=None),
    "of another issuer": signed(iss="https://evil.example"),
    "for another audience": signed(aud="another-service"),
    "for no audience": signed(aud=None),
    "without a tenant": signed(sub=None),
    "of a tenant that is no name": signed(tenant=7, sub=""),
    "of no tier": signed(tier="emperor"),
    "without a tier": signed(tier=None),
    "not yet valid": signed(nbf=NOW + timedelta(hours=1)),
    "another algorithm of the same key": signed(algorithm="RS512"),
    "unsigned": unsigned({"alg": "none", "kid": "r1"}),
    "unsigned, oddly spelt": unsigned({"alg": "nOnE", "kid": "r1"}),
    "the public key taken for a secret": confused(),
    "the symmetric key of the set": confused("o1"),
    "too long": signed(more="x" * 9000),
    "nonsense": "a.b.c",
}


@pytest.mark.parametrize("why", BAD)
async def test_a_token_is_refused_when_it_is(
    provider: OidcProvider, connect: Connect, service: Service, why: str
) -> None:
    assert await provider.read(BAD[why]) is None
    trusting = replace(service, accounts=replace(service.accounts, provider=provider))
    async with connect(None, served=trusting) as thief:
        answer = await thief.get("/v1/me", headers={"Authorization": f"Bearer {BAD[why]}"})
        assert (answer.status_code, answer.json()["error"]["code"]) == (401, "token_invalid")


async def test_the_door_takes_our_own_tokens_and_the_providers(
    provider: OidcProvider, connect: Connect, service: Service
) -> None:
    trusting = replace(service, accounts=replace(service.accounts, provider=provider))
    async with connect("ada", served=trusting) as ours, connect(None, served=trusting) as theirs:
        assert (await ours.get("/v1/me")).json()["tenant"] == "ada"
        headers = {"Authorization": f"Bearer {signed()}"}
        assert (await theirs.get("/v1/me", headers=headers)).json()["tenant"] == "oidc.ada"
    async with connect(None) as untrusting:
        assert (await untrusting.get("/v1/me", headers=headers)).status_code == 401


async def test_without_a_provider_a_token_is_parsed_once(connect: Connect, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("jwt.get_unverified_header", lambda token: pytest.fail("parsed to see who should read it"))
    async with connect("ada") as ours:
        assert (await ours.get("/v1/me")).json()["tenant"] == "ada"


async def test_our_secret_does_not_make_a_providers_token(provider: OidcProvider) -> None:
    assert await provider.read(signed(SECRET, "r1", "HS256")) is None
    assert Issuer(SECRET).read(signed(SECRET, "r1", "HS256")) is None, "the provider's issuer is not ours"


async def test_tenants_whose_names_do_not_fit_become_a_hash_and_never_meet_local_ones(provider: OidcProvider) -> None:
    claims = await provider.read(signed(sub="auth0|5f7c/../x"))
    again = await provider.read(signed(sub="auth0|5f7c/../x"))
    assert claims is not None
    assert again is not None
    assert claims.tenant == again.tenant
    assert claims.tenant.startswith("oidc.")
    assert len(claims.tenant) <= 64


@pytest.mark.parametrize("role", ["operators", ["users", "operators"]])
async def test_the_named_role_makes_an_admin(provider: OidcProvider, role: object) -> None:
    claims = await provider.read(signed(role=role))
    assert claims is not None
    assert Scope.ADMIN in claims.scopes


async def test_without_a_named_role_nobody_is_an_admin(tmp_path: Path, provider: OidcProvider) -> None:
    nobody = OidcProvider(replace(TRUST, admin_role=None), provider._keys)
    for role in (None, "admin", ["operators"], [None]):
        claims = await nobody.read(signed(role=role))
        assert claims is not None
        assert Scope.ADMIN not in claims.scopes


@pytest.mark.parametrize(
    ("role", "scopes"),
    [
        ("leads", OWN | {Scope.TENANT}),
        (["x", "leads"], OWN | {Scope.TENANT}),
        (["leads", "operators"], set(Scope)),
        (None, OWN),
    ],
)
async def test_the_named_role_makes_a_manager(provider: OidcProvider, role: object, scopes: set[Scope]) -> None:
    claims = await OidcProvider(replace(TRUST, manager_role="leads"), provider._keys).read(signed(role=role))
    assert claims is not None
    assert claims.scopes == scopes


async def test_each_person_of_an_organisation_is_an_owner(provider: OidcProvider) -> None:
    """Where the subject is the tenant, its tokens, its keys and the operator's tokens are one owner."""
    of_orgs = OidcProvider(replace(TRUST, tenant_claim="org"), provider._keys)
    read = [await of_orgs.read(signed(org="acme", sub=sub)) for sub in ("ada", "bob", "ada", None)]
    owners = [claims.owner for claims in read if claims is not None]
    assert {claims.tenant for claims in read if claims is not None} == {"oidc.acme"}
    assert (len(owners), len(set(owners)), owners[0] == owners[2]) == (4, 3, True)
    assert owners[3] == "sub:oidc.acme"
    alone = await provider.read(signed())
    assert alone is not None
    assert alone.owner == "sub:oidc.ada"
    assert await of_orgs.read(signed(org="acme", sub=7)) is None


async def test_an_unknown_key_id_asks_again_but_not_at_every_token() -> None:
    asked, time = [], [0.0]

    async def fetch() -> bytes:
        asked.append(1)
        return json.dumps(JWKS if len(asked) > 1 else {"keys": []}).encode()

    keys = KeySet(fetch, clock=lambda: time[0])
    assert await keys.find("r1") is None
    assert await keys.find("r1") is None
    assert len(asked) == 1
    time[0] += UNKNOWN_EVERY_S + 1
    assert await keys.find("r1") is not None
    assert len(asked) == 2


async def test_known_keys_outlive_an_absence_of_the_provider() -> None:
    time, is_away = [0.0], [False]

    async def fetch() -> bytes:
        if is_away[0]:
            raise OSError("no route")
        return json.dumps(JWKS).encode()

    keys = KeySet(fetch, clock=lambda: time[0])
    assert await keys.find("r1") is not None
    is_away[0], time[0] = True, 10_000.0
    assert await keys.find("r1") is not None


@pytest.mark.parametrize(
    "data", [b"", b"[]", b"{}", b'{"keys": 7}', b"\xff", b"[" * 60_000, b" " * (MAX_KEYS_BYTES + 1)]
)
def test_what_is_not_a_key_set_is_refused(data: bytes) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - any of json's and ours
        read_keys(data)


def test_only_public_keys_for_signatures_are_kept() -> None:
    odd = [
        {"kty": "oct", "kid": "a", "k": "c2VjcmV0"},
        {**public(RSA, "b"), "use": "enc"},
        {**public(RSA, "c"), "alg": "RS512"},
        {**public(EC, "d"), "crv": "P-384"},
        {"kty": "RSA", "kid": "e", "n": "!!", "e": "AQAB"},
        {"kty": "RSA"},
        7,
    ]
    assert read_keys(json.dumps({"keys": odd}).encode()) == {}


@pytest.fixture
def address() -> Iterator[str]:
    """A provider's server: /jwks, /moved to it, and /endless."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(302 if self.path == "/moved" else 200)
            self.send_header("Location", "/jwks")
            self.end_headers()
            if self.path != "/endless":
                self.wfile.write(json.dumps(JWKS).encode())
            for _ in range(100 if self.path == "/endless" else 0):
                self.wfile.write(b" " * 10_000)

        def log_message(self, *_: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()


async def test_keys_come_from_an_address_bounded_and_without_redirects(address: str) -> None:
    assert (await KeySet(read_from_url(f"{address}/jwks")).find("r1")) is not None
    assert (await KeySet(read_from_url(f"{address}/moved")).find("r1")) is None
    assert (await KeySet(read_from_url(f"{address}/endless")).find("r1")) is None
