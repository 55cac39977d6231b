"""A tenant owns jobs, pictures, users and keys; its tier is what all of them may ask for."""

import re
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from mezzotint.domain.drawing.recipe import RecipeAudience
from mezzotint.domain.ids import TenantId
from mezzotint.domain.tier import Tier

TENANT = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


class Visibility(StrEnum):
    """The members of a tenant that see what another member made."""

    PRIVATE = "private"
    """No member but its maker."""
    MANAGERS = "managers"
    """Its managers."""
    SHARED = "shared"
    """Everybody of the tenant."""

    def includes(self, other: "Visibility") -> bool:
        """Tell whether everybody to whom the other shows something is shown it by this one too."""
        order = list(Visibility)
        return order.index(self) >= order.index(other)


@dataclass(frozen=True, slots=True, kw_only=True)
class Tenant:
    """disabled_at: since when nothing of it is let in, tokens included. recipe_audience: who finds prompt, seed and
    settings in the files of its pictures, their content credentials included. reuses_pictures: whether its equal
    requests may be answered from a stored picture."""

    id: TenantId
    tier: Tier
    created_at: datetime
    disabled_at: datetime | None = None
    visibility: Visibility = Visibility.PRIVATE
    recipe_audience: RecipeAudience = RecipeAudience.OWNER
    reuses_pictures: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class MonthlyUsage:
    """month: such as `2026-01`, UTC. num_jobs: that ended after a worker had begun them. num_steps: sampler steps.
    num_passes, num_forecast: calls of denoisers that were computed, and foretold, of jobs that were drawn.

    gpu_s: charged GPU-seconds. waived_s: of jobs that failed, which nobody is charged for.
    """

    month: str
    num_jobs: int = 0
    num_images: int = 0
    num_steps: int = 0
    num_passes: int = 0
    num_forecast: int = 0
    gpu_s: float = 0.0
    waived_s: float = 0.0


def is_tenant_name(name: str) -> bool:
    """1 to 64 letters, digits, '.', '_' or '-', the first a letter or digit."""
    return TENANT.fullmatch(name) is not None
