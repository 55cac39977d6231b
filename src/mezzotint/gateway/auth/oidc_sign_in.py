"""Signs people in at the page through an OIDC provider: the authorization code flow with PKCE.

Source: OpenID Connect Core 1.0, section 3.1; RFC 7636 (PKCE). The browser keeps state, nonce and verifier in a cookie
of ten minutes while it is at the provider. The provider's ID token becomes the session: it is the session cookie's
value, and is checked as every token of the provider is, until it expires.
"""

import asyncio
import base64
import hashlib
import json
import secrets
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, cast
from urllib.parse import urlencode, urlsplit

import httpx
import jwt
import structlog

from mezzotint.gateway.auth.oidc import FETCH_S, FRESH_S, OidcProvider
from mezzotint.gateway.network.addresses import is_loopback

MAX_ANSWER_BYTES = 64 * 1024
MAX_CODE = 2048
MAX_COOKIE_BYTES = 3800
"""Browsers keep no cookie whose name, value and attributes exceed 4,096 bytes."""
log = structlog.get_logger()


class SignInFailed(Exception):
    """Signing in through the provider did not work. The text says why, in a few words for the operator's log."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SignInAttempt:
    """The secrets that the browser keeps in a cookie while it is at the provider."""

    state: str
    nonce: str
    verifier: str

    @classmethod
    def begin(cls) -> "SignInAttempt":
        return cls(state=secrets.token_urlsafe(24), nonce=secrets.token_urlsafe(24), verifier=secrets.token_urlsafe(48))

    @classmethod
    def read(cls, text: str) -> "SignInAttempt":
        """Raises: SignInFailed."""
        parts = text.split(".")
        if len(parts) != 3 or not all(parts):
            raise SignInFailed("the browser kept no sign-in under way; it may have taken over ten minutes")
        return cls(state=parts[0], nonce=parts[1], verifier=parts[2])

    def __str__(self) -> str:
        return f"{self.state}.{self.nonce}.{self.verifier}"


@dataclass(slots=True, kw_only=True)
class OidcSignIn:
    """The page's way in through a provider. fetch: reads the provider's metadata
    (`.well-known/openid-configuration`). secret: of the client; empty: a public client."""

    provider: OidcProvider
    issuer: str
    client_id: str
    secret: str
    fetch: Callable[[], Awaitable[bytes]]
    scopes: str = "openid profile email"
    _metadata: Mapping[str, Any] = field(default_factory=dict)
    _read_at: float = float("-inf")
    _reading: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def authorization_url(self, attempt: SignInAttempt, redirect_uri: str) -> str:
        """The provider's page to which the browser is sent. Raises: SignInFailed."""
        digest = hashlib.sha256(attempt.verifier.encode()).digest()
        query = {
            "response_type": "code",
            "client_id": self.client_id,
            "redirect_uri": redirect_uri,
            "scope": self.scopes,
            "state": attempt.state,
            "nonce": attempt.nonce,
            "code_challenge": base64.urlsafe_b64encode(digest).rstrip(b"=").decode(),
            "code_challenge_method": "S256",
        }
        endpoint = (await self._read_metadata())["authorization_endpoint"]
        return f"{endpoint}{'&' if urlsplit(endpoint).query else '?'}{urlencode(query)}"

    async def exchange_code(
        self, attempt: SignInAttempt, state: str, code: str, redirect_uri: str
    ) -> tuple[str, datetime]:
        """The ID token for a code that the provider sent the browser back with, and its end. Raises: SignInFailed."""
        if not secrets.compare_digest(attempt.state.encode(), state.encode()):
            raise SignInFailed("the state is not that of this browser's sign-in")
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": redirect_uri,
            "code_verifier": attempt.verifier,
        }
        token = (await self._post_form(await self._read_metadata(), form)).get("id_token")
        claims = await self.provider.read(token) if isinstance(token, str) else None
        if claims is None or claims.expires_at is None or not isinstance(token, str):
            raise SignInFailed("the provider's ID token is missing, or its claims are not taken here")
        if jwt.decode(token, options={"verify_signature": False}).get("nonce") != attempt.nonce:
            raise SignInFailed("the ID token was made for another sign-in")
        if len(token) > MAX_COOKIE_BYTES:
            raise SignInFailed(f"the ID token has over {MAX_COOKIE_BYTES} bytes; let the provider put fewer claims in")
        return token, claims.expires_at

    async def _post_form(self, metadata: Mapping[str, Any], form: dict[str, str]) -> Mapping[str, Any]:
        methods = metadata.get("token_endpoint_auth_methods_supported", ["client_secret_basic"])
        auth = None
        if self.secret and "client_secret_basic" in methods:
            auth = httpx.BasicAuth(self.client_id, self.secret)
        else:
            form |= {"client_id": self.client_id} | ({"client_secret": self.secret} if self.secret else {})
        client = httpx.AsyncClient(follow_redirects=False, timeout=FETCH_S)
        request = client.build_request("POST", metadata["token_endpoint"], data=form)
        body = b""
        try:
            async with asyncio.timeout(FETCH_S), client:
                answer = await client.send(request, auth=auth, stream=True)
                async for piece in answer.aiter_bytes():
                    body += piece
                    if len(body) > MAX_ANSWER_BYTES:
                        raise SignInFailed("the provider's answer is too long")
        except (OSError, httpx.HTTPError) as error:
            raise SignInFailed(f"the provider does not answer ({type(error).__name__})") from error
        if answer.status_code != 200:
            raise SignInFailed(f"the provider answers {answer.status_code} to the code")
        return _read_object(body)

    async def _read_metadata(self) -> Mapping[str, Any]:
        """Raises: SignInFailed."""
        async with self._reading:
            if time.monotonic() - self._read_at > FRESH_S:
                try:
                    self._metadata = self._check(_read_object(await self.fetch()))
                except (OSError, httpx.HTTPError, ValueError) as error:
                    raise SignInFailed(f"the provider's metadata cannot be read ({error})") from error
                self._read_at = time.monotonic()
        return self._metadata

    def _check(self, metadata: Mapping[str, Any]) -> Mapping[str, Any]:
        if metadata.get("issuer") != self.issuer:
            raise SignInFailed("the metadata names another issuer")
        for name in ("authorization_endpoint", "token_endpoint"):
            parts = urlsplit(metadata[name]) if isinstance(metadata.get(name), str) else urlsplit("")
            if parts.scheme != "https" and not (parts.scheme == "http" and is_loopback(parts.hostname or "")):
                raise SignInFailed(f"the metadata's {name} is no https address")
        return metadata


def _read_object(body: bytes) -> Mapping[str, Any]:
    """Raises: SignInFailed."""
    try:
        document = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise SignInFailed("the provider's answer is no JSON") from error
    if not isinstance(document, dict):
        raise SignInFailed("the provider's answer is no JSON object")
    return cast(Mapping[str, Any], document)
