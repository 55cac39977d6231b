"""Every process follows the rules and the dial of its database within seconds."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime

import structlog

from mezzotint.metrics import Metrics
from mezzotint.policy.safety.overrides import NO_OVERRIDES, SafetyOverrides
from mezzotint.store import Overrides

REFRESH_S = 2.0
log = structlog.get_logger()


@dataclass(slots=True, kw_only=True)
class OverridesFollower:
    """The overrides as this process last read them. Their ends in time need no reading: `SafetyOverrides` knows them.

    While the database is away the last ones stay in force; the background task that calls `refresh` then makes the
    process not ready, and the metric of the last reading stands still.
    """

    overrides: Overrides
    now: Callable[[], datetime]
    metrics: Metrics = field(default_factory=Metrics)
    current: SafetyOverrides = NO_OVERRIDES

    async def refresh(self) -> None:
        """Read the overrides again if they have changed. Raises: StorageUnavailable."""
        now = self.now()
        version = await self.overrides.version()
        if version != self.current.version:
            self.current = await self.overrides.in_force(now)
            log.info(
                "safety overrides read",
                version=self.current.version,
                rules=len(self.current.rules),
                tightenings=len(self.current.tightenings),
            )
        self.metrics.safety_overrides_version.set(self.current.version)
        self.metrics.safety_overrides_read.set(now.timestamp())

    def read_current(self) -> SafetyOverrides:
        return self.current
