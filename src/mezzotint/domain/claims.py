"""Who is asking, as the token says."""

from dataclasses import dataclass
from datetime import datetime

from mezzotint.domain.ids import TenantId
from mezzotint.domain.tier import Tier


@dataclass(frozen=True, slots=True, kw_only=True)
class Claims:
    tenant: TenantId
    tier: Tier
    expires_at: datetime
