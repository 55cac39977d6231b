"""The health of a worker and its device, in one table; `docs/states.md` is made from it."""

from enum import StrEnum


class HealthVerdict(StrEnum):
    HEALTHY = "healthy"
    SUSPECT = "suspect"
    """It draws on, and is the first to go when its pool wants fewer."""
    QUARANTINED = "quarantined"
    """It drains, and nothing uses its device."""
    PROBATION = "probation"
    """A new worker uses the device again, and is watched: one finding, and it is quarantined for twice as long."""


HEALTH_TRANSITIONS: dict[HealthVerdict, dict[HealthVerdict, str]] = {
    HealthVerdict.HEALTHY: {
        HealthVerdict.SUSPECT: "a sign of trouble: late heartbeats, some failures, slow steps, heat",
        HealthVerdict.QUARANTINED: "a fault that spoils pictures or jobs",
    },
    HealthVerdict.SUSPECT: {
        HealthVerdict.HEALTHY: "no sign of trouble for a minute",
        HealthVerdict.QUARANTINED: "a fault that spoils pictures or jobs",
    },
    HealthVerdict.QUARANTINED: {
        HealthVerdict.PROBATION: "its time is over",
    },
    HealthVerdict.PROBATION: {
        HealthVerdict.HEALTHY: "enough runs, or enough time, without a sign of trouble",
        HealthVerdict.QUARANTINED: "a sign of trouble, however small",
    },
}
