"""A person who signs in with a name and a password."""

from dataclasses import dataclass
from datetime import datetime

from mezzotint.domain.claims import Role
from mezzotint.domain.ids import TenantId, UserId


@dataclass(frozen=True, slots=True, kw_only=True)
class User:
    id: UserId
    tenant: TenantId
    name: str
    role: Role
    created_at: datetime
    disabled_at: datetime | None = None
