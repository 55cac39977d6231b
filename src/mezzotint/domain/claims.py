"""The claims of a caller: tenant, tier, and permissions."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from mezzotint.domain.ids import TenantId, UserId
from mezzotint.domain.tier import Tier


class Scope(StrEnum):
    """A permission of a caller. Every way of signing in ends in a set of these; there is no other right."""

    READ = "read"
    WRITE = "write"
    ADMIN = "admin"


class Role(StrEnum):
    USER = "user"
    ADMIN = "admin"


OWN = frozenset({Scope.READ, Scope.WRITE})
"""All of one's own tenant's things, nobody else's."""


def scopes_of(role: Role) -> frozenset[Scope]:
    return frozenset(Scope) if role is Role.ADMIN else OWN


class Via(StrEnum):
    """How the caller signed in."""

    TOKEN = "token"
    KEY = "key"
    SESSION = "session"


@dataclass(frozen=True, slots=True, kw_only=True)
class Claims:
    """user: None when a token or a key speaks for the whole tenant. expires_at: None for a key without an end.

    credential: which one of its kind it is in the store: a session's digest, a key's prefix; empty for tokens.
    """

    tenant: TenantId
    tier: Tier
    expires_at: datetime | None
    scopes: frozenset[Scope] = OWN
    via: Via = Via.TOKEN
    user: UserId | None = None
    credential: str = ""

    def is_covered_by(self, present: "Claims | None") -> bool:
        """Whether one who was let in with these may stay in, by what the same credential is worth at present."""
        return present is not None and present.tenant == self.tenant and self.scopes <= present.scopes
