"""The fleet that its operator wants: its file, the phase of its life, and the number of workers of each pool."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

from mezzotint.domain.fleet.rollout import Release


class FleetPhase(StrEnum):
    UP = "up"
    STOPPING = "stopping"
    """Its workers drain; then the controller ends."""
    DOWN = "down"


@dataclass(frozen=True, slots=True, kw_only=True)
class DesiredFleet:
    """document: the file as it was given, checked. digest: SHA-256 of it, in hex. namespace: of its actors in Ray.

    version, changes: of the release that runs (see `Release`). ray_address: of the cluster. is_local: `fleet up`
    started that cluster. is_autoscaled: the cluster brings nodes when it is asked. scaled: pool -> workers that the
    operator asked for, instead of what the load calls for. epoch: counts the starts of the controller; only the newest
    may write.
    """

    document: Mapping[str, Any]
    digest: str
    phase: FleetPhase
    namespace: str
    ray_address: str
    version: str
    changed_at: datetime
    is_local: bool = False
    is_autoscaled: bool = False
    scaled: Mapping[str, int] = field(default_factory=dict)
    changes: Mapping[str, str] = field(default_factory=dict)
    epoch: int = 0
    controller_node: str = ""
    controller_seen_at: datetime | None = None

    @property
    def release(self) -> Release:
        return Release(version=self.version, document=self.document, digest=self.digest, changes=self.changes)


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolTarget:
    """Workers that a pool is to have, and why."""

    pool: str
    num_workers: int
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class FleetDecision:
    """An entry of the log of decisions. worker: None: about a whole pool, or the fleet."""

    at: datetime
    pool: str
    action: str
    reason: str
    worker: str | None = None
