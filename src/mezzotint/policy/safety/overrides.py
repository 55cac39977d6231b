"""The changes of the safety policy that admins make while the server runs, as one value."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from mezzotint.policy.safety.dial import Tightening, threshold_factors
from mezzotint.policy.safety.hard_rules import HardRule


@dataclass(frozen=True, slots=True, kw_only=True)
class SafetyOverrides:
    """version: number of the audit row of the latest change; 0: nothing was ever changed.

    rules, tightenings: those in force when this was read, which end by themselves at their time.
    """

    version: int = 0
    rules: tuple[HardRule, ...] = ()
    tightenings: tuple[Tightening, ...] = ()

    def threshold_factors(self, now: datetime) -> Mapping[str, float]:
        """The factor of each category's thresholds, and of `ANY`, at the moment."""
        return threshold_factors(self.tightenings, now)


NO_OVERRIDES = SafetyOverrides()
