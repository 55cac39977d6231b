"""The jobs that a worker of a pool may claim, and those that it prefers: there is one queue, and a claim names both.

The worker's offer carries limits (`models`, `lanes`, `tenants`) and preferences (`warm`, `shapes`, `light_cost`); fair
share (`policy/fair_queue/choose.py`) lets what fits best go before its turn by a bounded slack. A dedicated pool
takes its tenants' jobs alone; every other pool takes them, too, so that whoever is available first serves them.
"""

import math
from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from statistics import median

from mezzotint.domain.fleet.pool import Fleet, Pool
from mezzotint.domain.ids import TenantId
from mezzotint.domain.refusal import Refusal, RefusalCode, refuse
from mezzotint.domain.tier import Tier
from mezzotint.policy.fleet.validation import fits_device

LIGHT_S = 5.0
"""A job is light on a worker that should finish it within this time."""
MAX_SPEED = 64.0
"""No accelerator is taken for more than this many times faster or slower than the others, whatever was measured."""


def may_claim(pool: Pool, model: str, lane: Tier, tenant: TenantId | None, num_bytes: int | None = None) -> bool:
    """Tell whether workers of the pool take such a job. tenant: None: anybody who has no pool of their own. num_bytes:
    of the model's weights, where they are known."""
    return (
        (not pool.models or model in pool.models)
        and lane in pool.lanes
        and (not pool.tenants or tenant in pool.tenants)
        and fits_device(num_bytes, pool)
    )


def place_job(
    fleet: Fleet, model: str, lane: Tier, tenant: TenantId, regions: Collection[str] | None = None
) -> Refusal | None:
    """The reason why no pool can ever run the job; None: one may, at once or when it has a worker again: the job waits
    in the queue, where its owner sees it, and the pool's load grows. regions: where it may be drawn; None: anywhere."""
    pools = [pool for pool in fleet.pools if regions is None or pool.region in regions]
    if any(may_claim(pool, model, lane, tenant) for pool in pools):
        return None
    if regions is not None:
        message = f"No pool that takes such jobs draws {model} for this region ({', '.join(regions)})."
        hint = "Send it to a gateway of another region."
        return place_job(fleet, model, lane, tenant) or refuse(RefusalCode.NO_POOL, message, hint, "model")
    drawing = [pool for pool in pools if not pool.models or model in pool.models]
    others = sorted({name for pool in pools for name in pool.models} - {model})
    lanes = [one for one in Tier if any(one in pool.lanes and not pool.is_dedicated for pool in drawing)]
    if not drawing:
        why = f"draws {model}"
        hint = f"Ask for another model: {', '.join(others[:5])}."
    elif lanes:
        why = f"that draws {model} takes jobs of the lane {lane}"
        hint = f"It is drawn for the lanes {', '.join(lanes)}."
    else:
        why = f"that draws {model} takes jobs of your tenant"
        hint = "It is drawn for single tenants alone; ask for another model."
    return refuse(RefusalCode.NO_POOL, f"No pool of this service {why}.", hint, "model")


def compare_speed(step_s: Mapping[str, float], fleet_step_s: Mapping[str, float]) -> float:
    """The speed of a pool's accelerators, relative to the fleet's: geometric mean, over the models that both have
    measured, of the ratios of step times. 1.0 where none is.

    step_s, fleet_step_s: seconds a step-megapixel, by model (`WorkerReport.pace_s`).
    """
    ratios = [
        math.log(fleet_step_s[model] / seconds)
        for model, seconds in sorted(step_s.items())
        if seconds > 0.0 and fleet_step_s.get(model, 0.0) > 0.0
    ]
    if not ratios:
        return 1.0
    return min(max(math.exp(sum(ratios) / len(ratios)), 1.0 / MAX_SPEED), MAX_SPEED)


def measure_speeds(pace_s: Iterable[tuple[str, Mapping[str, float]]]) -> dict[str, float]:
    """The speed of each pool's accelerators, relative to the fleet's. pace_s: of each worker, its pool, and model ->
    seconds of its device for a step and megapixel."""
    measured: dict[str, dict[str, list[float]]] = {}
    for pool, paces in pace_s:
        for model, seconds in paces.items():
            measured.setdefault(pool, {}).setdefault(model, []).append(seconds)
    pools = {pool: {model: median(times) for model, times in found.items()} for pool, found in measured.items()}
    models = Counter(model for found in pools.values() for model in found)
    fleet = {
        model: median(found[model] for found in pools.values() if model in found)
        for model, number in models.items()
        if number > 1  # else there is nothing to compare with
    }
    return {pool: compare_speed(found, fleet) for pool, found in pools.items()}


def has_mixed_devices(fleet: Fleet) -> bool:
    """Say whether some pools have other accelerators than others."""
    return len({pool.resource or pool.accelerator for pool in fleet.pools}) > 1


def light_cost(pace_s: float | None) -> float:
    """Step-megapixels up to which a job is light on a worker; 0 before its pace was measured: then no job is.

    pace_s: GPU-seconds that its device takes for a step-megapixel. On a slow one only the smallest jobs are light: the
    others are left to faster ones as long as those have room.
    """
    return 0.0 if pace_s is None or pace_s <= 0.0 else LIGHT_S / pace_s
