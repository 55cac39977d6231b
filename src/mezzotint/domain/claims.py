"""The claims of a caller: tenant, tier, and permissions."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from mezzotint.domain.ids import OwnerId, TenantId, UserId
from mezzotint.domain.tenant import Visibility
from mezzotint.domain.tier import Tier


class Scope(StrEnum):
    """A permission of a caller. Every way of signing in ends in a set of these; there is no other right."""

    READ = "read"
    WRITE = "write"
    TENANT = "tenant"
    """To change what others of one's tenant made, and to see it where the tenant shows it to managers."""
    ADMIN = "admin"


class Role(StrEnum):
    USER = "user"
    MANAGER = "manager"
    ADMIN = "admin"


OWN = frozenset({Scope.READ, Scope.WRITE})
"""The caller's own things, and what the tenant shows."""
SCOPES = {Role.USER: OWN, Role.MANAGER: OWN | {Scope.TENANT}, Role.ADMIN: frozenset(Scope)}


def scopes_of(role: Role) -> frozenset[Scope]:
    return SCOPES[role]


class Via(StrEnum):
    """How the caller signed in."""

    TOKEN = "token"
    KEY = "key"
    SESSION = "session"


@dataclass(frozen=True, slots=True, kw_only=True)
class Claims:
    """user: None when a token or a key speaks for the whole tenant. expires_at: None for a key without an end.

    credential: which one of its kind it is in the store: a session's digest, a key's prefix; empty for tokens.
    subject: which person of the tenant an identity provider's token names; empty where the tenant is the person.
    visibility: what the tenant shows its people of each other's work.
    """

    tenant: TenantId
    tier: Tier
    expires_at: datetime | None
    scopes: frozenset[Scope] = OWN
    via: Via = Via.TOKEN
    user: UserId | None = None
    credential: str = ""
    subject: str = ""
    visibility: Visibility = Visibility.PRIVATE

    @property
    def owner(self) -> OwnerId:
        """Whom what this caller makes belongs to. Tokens and keys without a user make things of one owner, the tenant's
        name, so that they outlive each of them."""
        return OwnerId(self.user or self.subject or f"sub:{self.tenant}")

    @property
    def is_manager(self) -> bool:
        return not self.scopes.isdisjoint({Scope.TENANT, Scope.ADMIN})

    def is_covered_by(self, present: "Claims | None") -> bool:
        """Tell whether a caller let in with these may stay in, by what the same credential is worth at present."""
        return (
            present is not None
            and present.tenant == self.tenant
            and self.scopes <= present.scopes
            and present.visibility.includes(self.visibility)
        )
