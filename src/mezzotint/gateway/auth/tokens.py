"""Bearer tokens: JWTs signed with HS256 by this server; the tier is a claim in them."""

import hashlib
import hmac
from collections import OrderedDict
from datetime import UTC, datetime, timedelta
from typing import Any

import jwt

from mezzotint.domain.claims import Claims, Role, scopes_of
from mezzotint.domain.ids import TenantId
from mezzotint.domain.tenant import is_tenant_name
from mezzotint.domain.tier import Tier

ISSUER = "mezzotint"
MAX_TOKEN_BYTES = 8192
MAX_KNOWN = 2000
"""Verified tokens that a process remembers; beyond it the longest unused are verified again."""
LATEST_S = datetime(9999, 1, 1, tzinfo=UTC).timestamp()
UNREADABLE = (jwt.InvalidTokenError, ValueError, TypeError, OverflowError, RecursionError)
"""Exceptions of text that is no valid token: claims of wrong types, numbers beyond every date, deep nesting."""


class Issuer:
    """Issues and reads tokens. secret: at least 32 bytes."""

    def __init__(self, secret: bytes) -> None:
        self._secret = secret
        self._known: OrderedDict[str, Claims] = OrderedDict()

    def issue(self, tenant: TenantId, tier: Tier, now: datetime, lifetime: timedelta, *, role: Role = Role.USER) -> str:
        claims = {"iss": ISSUER, "aud": ISSUER, "sub": tenant, "tier": tier, "iat": now, "exp": now + lifetime}
        if role is not Role.USER:
            claims["role"] = role
        return jwt.encode(claims, self._secret, algorithm="HS256")

    def derive(self, name: str) -> bytes:
        """Derive a secret for one purpose. It reveals nothing of the secret that signs tokens."""
        return hmac.new(self._secret, f"derive:{name}".encode(), hashlib.sha256).digest()

    def read(self, token: str) -> Claims | None:
        """The token's claims; None unless algorithm, signature, issuer, audience, expiry and tier all hold.

        A token that was verified is remembered, since clients send the same one with every request: then only its
        expiry is checked again.
        """
        claims = self._known.get(token) or self._verify(token)
        if claims is None or claims.expires_at is None or claims.expires_at <= datetime.now(UTC):
            self._known.pop(token, None)
            return None
        self._known[token] = claims
        self._known.move_to_end(token)
        if len(self._known) > MAX_KNOWN:
            self._known.popitem(last=False)
        return claims

    def _verify(self, token: str) -> Claims | None:
        if len(token) > MAX_TOKEN_BYTES:
            return None
        required = ["iss", "aud", "sub", "tier", "iat", "exp"]
        try:
            # whether `iat` lies ahead is not asked: the clock of the gateway that issued it may be ahead of this one's
            claims = jwt.decode(
                token,
                self._secret,
                algorithms=["HS256"],
                issuer=ISSUER,
                audience=ISSUER,
                options={"require": required, "verify_iat": False},
            )
            if not is_tenant_name(claims["sub"]):
                return None
            return Claims(
                tenant=TenantId(claims["sub"]),
                tier=Tier(claims["tier"]),
                expires_at=read_expiry(claims),
                scopes=scopes_of(Role(claims.get("role", Role.USER))),
            )
        except UNREADABLE:
            return None


def read_expiry(claims: dict[str, Any]) -> datetime:
    """The end of a token. Raises: ValueError if one of its times is not a number of seconds, as RFC 7519 requires."""
    for name in ("exp", "iat", "nbf"):
        seconds = claims.get(name, 0)
        # to Python a bool is a number, and what is beyond its dates raises an error of the system
        if type(seconds) not in {int, float} or not 0 <= seconds <= LATEST_S:
            raise ValueError(f"{name} is no time")
    return datetime.fromtimestamp(claims["exp"], UTC)


def read_algorithm(token: str) -> str | None:
    """The algorithm that the token's header names. It only chooses the verifier, which checks it again."""
    try:
        algorithm = jwt.get_unverified_header(token).get("alg") if len(token) <= MAX_TOKEN_BYTES else None
    except UNREADABLE:
        return None
    return algorithm if isinstance(algorithm, str) else None
