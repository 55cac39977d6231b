"""A rollout as it is kept: the release that replaces the fleet's present one, and how far it is."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from mezzotint.domain.fleet.rollout_phase import RolloutPhase


@dataclass(frozen=True, slots=True, kw_only=True)
class Release:
    """All that the workers of one version have in common.

    version: its label. document: the fleet's file, checked; digest: SHA-256 of it, in hex. changes: settings of the
    service, by name, that differ from those of `fleet up`: its models.
    """

    version: str
    document: Mapping[str, Any]
    digest: str
    changes: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rollout:
    """old: the version that it replaces. pools: those whose workers it replaces.

    baseline: worker -> its runs and its failed ones when the rollout began. step: what it does now. reason: of its
    phase.
    """

    seq: int
    old: str
    release: Release
    pools: tuple[str, ...]
    phase: RolloutPhase
    reason: str
    step: str
    started_at: datetime
    changed_at: datetime
    baseline: Mapping[str, tuple[int, int]] = field(default_factory=dict)
