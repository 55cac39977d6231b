"""A worker that the fleet's controller started, and what the controller remembers of it."""

from dataclasses import dataclass
from datetime import datetime
from typing import NewType

from mezzotint.domain.fleet.worker_state import FleetWorkerState
from mezzotint.domain.ids import WorkerId

FleetWorkerId = NewType("FleetWorkerId", str)
"""The name of the worker's actor."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FleetWorker:
    """digest: of the pool's table and the settings that it was started with. is_created: its actor was made.

    worker: its name in the queue; None before it has one. seen_at: when it last answered the controller. num_running:
    jobs in its hands then. num_runs, num_failed: runs that ended since it started, and those that failed by no fault of
    their request. reason: why it is in its state.
    """

    id: FleetWorkerId
    pool: str
    region: str
    version: str
    digest: str
    state: FleetWorkerState
    created_at: datetime
    changed_at: datetime
    reason: str
    is_created: bool = False
    was_ready: bool = False
    is_drain_wanted: bool = False
    worker: WorkerId | None = None
    device: str = ""
    node: str = ""
    num_running: int = 0
    num_runs: int = 0
    num_failed: int = 0
    seen_at: datetime | None = None
