"""Tokens of an OIDC provider: RS256 or ES256, checked against its published keys.

Key confusion is not possible: HS256 is only ever checked with this server's own secret (gateway/auth/tokens.py), and
here a key is only used with the one algorithm of its type; symmetric keys in the provider's set are dropped.
"""

import asyncio
import hashlib
import json
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import jwt
import structlog

from mezzotint.domain.claims import Claims, Role, scopes_of
from mezzotint.domain.ids import TenantId
from mezzotint.domain.tenant import is_tenant_name
from mezzotint.domain.tier import Tier
from mezzotint.gateway.auth.tokens import MAX_TOKEN_BYTES, UNREADABLE, read_expiry

ALGORITHMS = {"RSA": "RS256", "EC": "ES256"}
MAX_KEYS_BYTES = 256 * 1024
MAX_KEYS = 64
FETCH_S = 5.0
FRESH_S = 600.0
"""Age up to which fetched keys are used without another fetch."""
UNKNOWN_EVERY_S = 30.0
"""An unknown key id causes another fetch, at most this often: forged ids cannot flood the provider."""
LEEWAY_S = 10
log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class OidcConfig:
    """The claims of a provider's tokens that are trusted.

    client_id: of the page at the provider, whose ID tokens are taken too.
    tenant_prefix: put before the tenant claim, so that a provider's names cannot meet the names given here.
    default_tier: of a token without a tier claim; None refuses it. admin_role, manager_role: None lets no such token be
    one.
    """

    issuer: str
    audience: str
    client_id: str | None = None
    tenant_claim: str = "sub"
    tenant_prefix: str = "oidc."
    tier_claim: str = "tier"
    default_tier: Tier | None = None
    role_claim: str = "role"
    admin_role: str | None = None
    manager_role: str | None = None


class KeySet:
    """A cache of a provider's public keys (JWKS): fetched again when they age or when an id is unknown."""

    def __init__(self, fetch: Callable[[], Awaitable[bytes]], clock: Callable[[], float] = time.monotonic) -> None:
        self._fetch, self._clock = fetch, clock
        self._keys: dict[str, jwt.PyJWK] = {}
        self._tried_at = float("-inf")
        self._asking = asyncio.Lock()

    async def find(self, key_id: str) -> jwt.PyJWK | None:
        async with self._asking:  # the second of two that come together finds what the first fetched
            age = self._clock() - self._tried_at
            if age > (FRESH_S if key_id in self._keys else UNKNOWN_EVERY_S):
                try:
                    self._keys = read_keys(await self._fetch())
                except (OSError, httpx.HTTPError, ValueError) as error:  # the known keys stay in use
                    why = f"{type(error).__name__}: {error}"
                    log.warning("the identity provider's keys cannot be read", why=why)
                self._tried_at = self._clock()
        return self._keys.get(key_id)


def read_keys(data: bytes) -> dict[str, jwt.PyJWK]:
    """The usable keys of a JSON Web Key Set. Raises: ValueError for what is not one."""
    if len(data) > MAX_KEYS_BYTES:
        raise ValueError(f"more than {MAX_KEYS_BYTES} bytes of keys")
    try:
        document = json.loads(data)
    except RecursionError as error:
        raise ValueError("the key set is nested too deeply") from error
    entries = document.get("keys") if isinstance(document, dict) else None
    if not isinstance(entries, list):
        raise ValueError('a key set has a list "keys"')
    found: dict[str, jwt.PyJWK] = {}
    for entry in entries[:MAX_KEYS]:
        if isinstance(entry, dict) and isinstance(entry.get("kid"), str) and entry.get("use", "sig") == "sig":
            key = _read_key(entry)
            if key is not None:
                found[entry["kid"]] = key
    return found


def _read_key(entry: dict[str, Any]) -> jwt.PyJWK | None:
    """A key bound to its algorithm. Private parts are left out, other kinds and curves dropped."""
    algorithm = ALGORITHMS.get(str(entry.get("kty")))
    if algorithm is None or entry.get("alg", algorithm) != algorithm or entry.get("crv", "P-256") != "P-256":
        return None
    public = {name: value for name, value in entry.items() if name in {"kty", "kid", "n", "e", "crv", "x", "y"}}
    try:
        return jwt.PyJWK(public, algorithm)
    except (jwt.PyJWTError, ValueError, TypeError):
        return None


def read_from_file(path: Path) -> Callable[[], Awaitable[bytes]]:
    async def read() -> bytes:
        with path.open("rb") as file:
            return file.read(MAX_KEYS_BYTES + 1)

    return read


def read_from_url(url: str) -> Callable[[], Awaitable[bytes]]:
    """Keys from a URL: bounded in time and size, no redirects."""

    async def fetch() -> bytes:
        client = httpx.AsyncClient(timeout=FETCH_S, follow_redirects=False)
        async with asyncio.timeout(FETCH_S), client, client.stream("GET", url) as got:
            if got.status_code != 200:
                raise ValueError(f"{url} answers {got.status_code}")
            data = b""
            async for piece in got.aiter_bytes():
                data += piece
                if len(data) > MAX_KEYS_BYTES:
                    break
            return data

    return fetch


class OidcProvider:
    """Reads the tokens of one provider."""

    def __init__(self, trust: OidcConfig, keys: KeySet) -> None:
        self._trust, self._keys = trust, keys

    async def read(self, token: str) -> Claims | None:
        """The token's claims; None unless algorithm, key, signature, issuer, audience, expiry and claims hold."""
        if len(token) > MAX_TOKEN_BYTES:
            return None
        try:
            key_id = jwt.get_unverified_header(token).get("kid")
            key = await self._keys.find(key_id) if isinstance(key_id, str) else None
            if key is None:
                return None
            claims = jwt.decode(
                token,
                key,
                algorithms=[key.algorithm_name],
                issuer=self._trust.issuer,
                audience=[name for name in (self._trust.audience, self._trust.client_id) if name],
                leeway=LEEWAY_S,
                options={"require": ["iss", "aud", "exp", self._trust.tenant_claim]},
            )
            return self._claims(claims)
        except UNREADABLE:
            return None

    def _claims(self, claims: dict[str, Any]) -> Claims:
        tier = claims.get(self._trust.tier_claim, self._trust.default_tier)
        named = claims.get(self._trust.role_claim)
        names = named if isinstance(named, list) else [named]
        roles = ((self._trust.admin_role, Role.ADMIN), (self._trust.manager_role, Role.MANAGER))
        tenant, subject = claims[self._trust.tenant_claim], claims.get("sub")
        hashed = _hash_name(tenant)
        is_readable = is_tenant_name(self._trust.tenant_prefix + tenant)  # `auth0|5f7c...` is not
        is_owner = self._trust.tenant_claim != "sub" and subject is not None
        return Claims(
            tenant=TenantId(self._trust.tenant_prefix + (tenant if is_readable else hashed)),
            tier=Tier(str(tier)),
            expires_at=read_expiry(claims),
            scopes=scopes_of(next((role for name, role in roles if name is not None and name in names), Role.USER)),
            subject=f"oidc:{_hash_name(subject)}" if is_owner else "",
        )


def _hash_name(name: object) -> str:
    """Names of a provider have any length. Raises: ValueError for what is no name."""
    if not isinstance(name, str) or not name:
        raise ValueError("the claim is not a name")
    return hashlib.sha256(name.encode()).hexdigest()[:40]
