"""A tenant owns jobs, pictures, users and keys; its tier is what all of them may ask for."""

import re
from dataclasses import dataclass
from datetime import datetime

from mezzotint.domain.ids import TenantId
from mezzotint.domain.tier import Tier

TENANT = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Tenant:
    """disabled_at: since when nothing of it is let in, tokens included."""

    id: TenantId
    tier: Tier
    created_at: datetime
    disabled_at: datetime | None = None


def is_tenant_name(name: str) -> bool:
    """1 to 64 letters, digits, '.', '_' or '-', the first a letter or digit."""
    return TENANT.fullmatch(name) is not None
