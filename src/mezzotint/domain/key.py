"""An API key: a long-lived secret for programs. Only its hash is kept; its prefix says which one it is."""

import re
from dataclasses import dataclass
from datetime import datetime

from mezzotint.domain.claims import Scope
from mezzotint.domain.ids import KeyId, TenantId, UserId

KEY = re.compile(r"mz_[0-9a-f]{12}_[A-Za-z0-9_-]{43}")
MARK = "mz_"
"""The beginning of every key, by which scanners for leaked secrets find it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyRequest:
    """A key to be made. user: who makes it and owns it; None: the tenant does. expires_at: None for no end."""

    tenant: TenantId
    name: str
    scopes: frozenset[Scope]
    expires_at: datetime | None = None
    user: UserId | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Key:
    """prefix: the visible beginning. expires_at: None for no end. last_used_at: to the minute.

    user: whose key it is: it may do no more than they may at present, and ends with them; None: the tenant's.
    """

    id: KeyId
    tenant: TenantId
    name: str
    prefix: str
    scopes: frozenset[Scope]
    created_at: datetime
    user: UserId | None = None
    expires_at: datetime | None = None
    revoked_at: datetime | None = None
    last_used_at: datetime | None = None

    def is_valid(self, now: datetime) -> bool:
        return self.revoked_at is None and (self.expires_at is None or now < self.expires_at)


def prefix_of(secret: str) -> str | None:
    """The visible beginning of a key, `mz_` and 12 hex digits; None for anything that is not a key."""
    return secret[:15] if KEY.fullmatch(secret) else None
