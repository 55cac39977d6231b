"""The states of a worker that the fleet's controller started, in one table; `docs/states.md` is made from it."""

from enum import StrEnum


class FleetWorkerState(StrEnum):
    STARTING = "starting"
    READY = "ready"
    DRAINING = "draining"
    STOPPED = "stopped"
    LOST = "lost"

    @property
    def is_final(self) -> bool:
        return not FLEET_WORKER_TRANSITIONS[self]

    @property
    def counts(self) -> bool:
        """Tell whether it is one of the workers that a pool wants: it draws, or soon will."""
        return self in (FleetWorkerState.STARTING, FleetWorkerState.READY)


FLEET_WORKER_TRANSITIONS: dict[FleetWorkerState, dict[FleetWorkerState, str]] = {
    FleetWorkerState.STARTING: {
        FleetWorkerState.READY: "its models are loaded and it claims jobs",
        FleetWorkerState.DRAINING: "its pool wants fewer, or another version, before it was ready",
        FleetWorkerState.LOST: "it did not get ready in time, or its machine went",
    },
    FleetWorkerState.READY: {
        FleetWorkerState.DRAINING: "its pool wants fewer, a rollout replaces it, it is quarantined, or a spot notice",
        FleetWorkerState.LOST: "no heartbeat within its lease, or its machine went",
    },
    FleetWorkerState.DRAINING: {
        FleetWorkerState.STOPPED: "its runs are finished or put aside with checkpoints, and its process ended",
        FleetWorkerState.LOST: "no heartbeat within its lease, or its machine went",
    },
    FleetWorkerState.STOPPED: {},
    FleetWorkerState.LOST: {},
}
