"""The lanes' weights follow the shape of traffic, a little.

The rule, applied once a minute: a lane whose p95 wait is over its tier's target gains a tenth of its weight, one whose
wait is under half the target gives a tenth back, and no lane ever has less than its base weight or more than one and a
half times it. So the least that a lane can be left with is base / (base + 1.5 x the others' bases): Pro 47 %, Paid
21 %, Free 10 % of a saturated machine. When all lanes are late alike, all gain and nothing changes.

An admin may put another base in place of a lane's own, from half of it to twice: no lane can be starved by hand.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from mezzotint.domain.tier import Tier, limits_of
from mezzotint.policy.fair_queue.state import base_weights

STEP = 1.1
MAX_FACTOR = 1.5
SET_FACTOR = 2.0
CALM = 0.5
"""Part of the target under which a lane gives weight back."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Traffic:
    """A lane in the last minutes. p95_wait_s: of jobs that started and of those that still wait; 0 when there were
    none."""

    lane: Tier
    p95_wait_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class NewWeights:
    """The weights from now on, and a line for the log for each that changed."""

    weights: Mapping[Tier, float]
    reasons: Sequence[str]


def bounds(lane: Tier) -> tuple[float, float]:
    """The least and the greatest base that an admin may give a lane."""
    own = base_weights()[lane]
    return own / SET_FACTOR, own * SET_FACTOR


def reweigh_lanes(
    weights: Mapping[Tier, float], traffic: Sequence[Traffic], bases: Mapping[Tier, float] | None = None
) -> NewWeights:
    """The weights for the next minute. Lanes that `traffic` does not name stay as they are.

    bases: as admins set them; None: the lanes' own.
    """
    changed, reasons = dict(weights), []
    for lane in traffic:
        base, before = (bases or base_weights())[lane.lane], weights[lane.lane]
        target_s = limits_of(lane.lane).target_wait_s
        lateness = lane.p95_wait_s / target_s
        step = STEP if lateness > 1.0 else 1 / STEP if lateness < CALM else 1.0
        after = min(max(before * step, base), base * MAX_FACTOR)
        if after != before:
            changed[lane.lane] = after
            reasons.append(
                f"{lane.lane}: p95 wait {lane.p95_wait_s:.1f} s, target {target_s:.0f} s, "
                f"weight {before:.2f} -> {after:.2f}"
            )
    return NewWeights(weights=changed, reasons=reasons)
