"""The cost of the filters' decisions, in GPU-seconds, from what the ledger says of jobs. Pure arithmetic."""

from collections.abc import Mapping
from dataclasses import dataclass

from mezzotint.evals.result import EvalResult, Figure, Suite, now


@dataclass(frozen=True, slots=True, kw_only=True)
class FilterTraffic:
    """num_succeeded, num_blocked: jobs that ended so. gpu_s_*: all their GPU-seconds. num_refused: requests that the
    text filter refused. num_upheld, num_overturned: appeals decided against, and for, the user."""

    num_succeeded: int
    gpu_s_succeeded: float
    num_blocked: int
    gpu_s_blocked: float
    num_refused: int
    num_upheld: int
    num_overturned: int


@dataclass(frozen=True, slots=True, kw_only=True)
class FilterRates:
    """Shares from the safety evaluation: unsafe prompts stopped, harmless ones refused."""

    stopped: float
    refused: float


def price_filters(
    traffic: FilterTraffic, rates: FilterRates, adversarial_share: float, *, inputs: Mapping[str, str]
) -> EvalResult:
    """Cost of blocked pictures, what would be spent without the text filter, and how many harmless requests it
    turned away."""
    num_drawn = traffic.num_succeeded + traffic.num_blocked
    per_job = (traffic.gpu_s_succeeded + traffic.gpu_s_blocked) / num_drawn if num_drawn else float("nan")
    figures = {
        "gpu_s_of_a_job": Figure(value=per_job, num=num_drawn, unit="GPU-s"),
        "blocked_after_drawing": Figure.share(traffic.num_blocked, num_drawn),
        "gpu_s_of_blocked_pictures": Figure(value=traffic.gpu_s_blocked, num=traffic.num_blocked, unit="GPU-s"),
        "refused_before_drawing": Figure(value=float(traffic.num_refused), num=traffic.num_refused),
        # Of every 1,000 requests, so that services of any size compare.
        "gpu_s_saved_of_1000": Figure(value=1000 * adversarial_share * rates.stopped * per_job, unit="GPU-s"),
        "gpu_s_spent_on_missed_of_1000": Figure(
            value=1000 * adversarial_share * (1 - rates.stopped) * per_job, unit="GPU-s"
        ),
        "harmless_refused_of_1000": Figure(value=1000 * (1 - adversarial_share) * rates.refused),
        "gpu_s_not_sold_of_1000": Figure(value=1000 * (1 - adversarial_share) * rates.refused * per_job, unit="GPU-s"),
    }
    num_decided = traffic.num_upheld + traffic.num_overturned
    if num_decided:
        figures["appeals_overturned"] = Figure.share(traffic.num_overturned, num_decided)
    note = (
        f"the figures of 1,000 requests take {adversarial_share:.0%} of them to be unsafe, and golden shares: "
        f"{rates.stopped:.1%} of unsafe prompts stopped, {rates.refused:.1%} of harmless ones refused"
    )
    return EvalResult(suite=Suite.COSTS, created_at=now(), inputs=inputs, figures=figures, notes=(note,))
