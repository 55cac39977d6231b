"""Which jobs a worker of a pool may claim, and which it would rather: there is one queue, and a claim names both.

The worker's offer carries limits (`models`, `lanes`, `tenants`) and preferences (`warm`, `shapes`, `light_cost`); fair
share (`policy/fair_queue/choose.py`) lets what fits best go before its turn by a bounded slack. A dedicated pool
takes its tenants' jobs alone; every other pool takes them, too, so that whoever is available first serves them.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from mezzotint.domain.fleet.pool import Fleet, Pool
from mezzotint.domain.ids import TenantId
from mezzotint.domain.refusal import Refusal, RefusalCode
from mezzotint.domain.tier import Tier
from mezzotint.policy.fleet.validation import fits_device

LIGHT_S = 5.0
"""A job is light on a worker that should finish it within this time."""
MAX_SPEED = 64.0
"""No accelerator is taken for more than this many times faster or slower than the others, whatever was measured."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClaimLimits:
    """The jobs that workers of a pool take. models: None: all. tenants: None: of all."""

    models: frozenset[str] | None
    lanes: frozenset[Tier]
    tenants: frozenset[TenantId] | None


class Placement(StrEnum):
    """Where a job may run."""

    NOW = "now"
    """A pool that takes it has workers, or may have some."""
    LATER = "later"
    """The pools that take it have no worker and get none now; it waits."""


def limit_claims(pool: Pool, num_bytes: Mapping[str, int | None]) -> ClaimLimits:
    """The limits of a pool's workers. num_bytes: weights of the models that are served; those that do not fit its
    device are left out."""
    names = pool.models or tuple(num_bytes)
    fitting = frozenset(name for name in names if fits_device(num_bytes.get(name), pool))
    has_all = not pool.models and len(fitting) == len(num_bytes)
    return ClaimLimits(
        models=None if has_all else fitting,
        lanes=frozenset(pool.lanes),
        tenants=frozenset(pool.tenants) if pool.tenants else None,
    )


def may_claim(pool: Pool, model: str, lane: Tier, tenant: TenantId | None, num_bytes: int | None = None) -> bool:
    """Whether workers of the pool take such a job. tenant: None: anybody who has no pool of their own. num_bytes: of
    the model's weights, where they are known."""
    return (
        (not pool.models or model in pool.models)
        and lane in pool.lanes
        and (not pool.tenants or tenant in pool.tenants)
        and fits_device(num_bytes, pool)
    )


def place_job(
    fleet: Fleet,
    model: str,
    lane: Tier,
    tenant: TenantId,
    *,
    num_bytes: int | None = None,
    unreachable: Sequence[str] = (),
) -> Placement | Refusal:
    """Whether some pool can run the job, now or later, or none ever will: then it is refused with the reason.

    unreachable: pools that have no worker, and whose wish for some was not met.
    """
    pools = [pool for pool in fleet.pools if may_claim(pool, model, lane, tenant, num_bytes)]
    if not pools:
        return _refuse_placement(fleet, model, lane, num_bytes)
    return Placement.NOW if any(pool.name not in unreachable for pool in pools) else Placement.LATER


def _refuse_placement(fleet: Fleet, model: str, lane: Tier, num_bytes: int | None) -> Refusal:
    drawing = [pool for pool in fleet.pools if not pool.models or model in pool.models]
    roomy = [pool for pool in drawing if fits_device(num_bytes, pool)]
    others = sorted({name for pool in fleet.pools for name in pool.models} - {model})
    if not drawing:
        why, hint = (
            f"draws {model}",
            f"Ask for another model: {', '.join(others[:5])}." if others else "Ask an operator.",
        )
    elif not roomy:
        why, hint = f"has a device with room for {model}", "Ask for a smaller model."
    else:
        lanes = sorted({one for pool in roomy if not pool.is_dedicated for one in pool.lanes}, key=list(Tier).index)
        why = f"that draws {model} takes jobs of the lane {lane}"
        hint = f"It is drawn for {', '.join(lanes)}." if lanes else "It is drawn for single tenants alone."
    return Refusal(code=RefusalCode.NO_POOL, message=f"No pool of this service {why}.", hint=hint, param="model")


def compare_speed(step_s: Mapping[str, float], fleet_step_s: Mapping[str, float]) -> float:
    """How fast a pool's accelerators are, relative to the fleet's: geometric mean, over the models that both have
    measured, of the ratios of step times. 1.0 where none is.

    step_s, fleet_step_s: seconds a step-megapixel, by model.
    """
    ratios = [
        math.log(fleet_step_s[model] / seconds)
        for model, seconds in sorted(step_s.items())
        if seconds > 0.0 and fleet_step_s.get(model, 0.0) > 0.0
    ]
    if not ratios:
        return 1.0
    return min(max(math.exp(sum(ratios) / len(ratios)), 1.0 / MAX_SPEED), MAX_SPEED)


def light_cost(pace_s: float | None, speed: float = 1.0) -> float:
    """Step-megapixels up to which a job is light on a worker; 0 where no pace was measured: then no job is.

    pace_s: GPU-seconds a step-megapixel of the whole fleet. speed: of the worker's accelerator, relative to that: a
    slow one prefers only the smallest jobs, and leaves the others to faster ones as long as those have room.
    """
    return 0.0 if pace_s is None or pace_s <= 0.0 else LIGHT_S * speed / pace_s
