"""Run the evaluation that prices the filters' decisions."""

from collections import Counter
from datetime import timedelta

from mezzotint import __version__
from mezzotint.domain.job import JobState
from mezzotint.domain.refusal import RefusalCode
from mezzotint.evals.costs import FilterRates, FilterTraffic, price_filters
from mezzotint.evals.result import EvalResult, ResultInvalid, Suite, now
from mezzotint.main.evals.finish import EvalRun
from mezzotint.main.with_database import with_database
from mezzotint.policy.safety.appeals import AppealState
from mezzotint.store import Database, Store


def run_costs(run: EvalRun, num_days: int, adversarial_share: float) -> EvalResult:
    """Raises: DatabaseMissing, StoreUnusable; ResultInvalid where the text filter was not measured before."""
    figures = run.folder.read_last(Suite.SAFETY).figures
    stopped, refused = (figures.get(name) for name in ("golden_adversarial.stopped", "golden_benign.refused"))
    if stopped is None or refused is None or stopped.value is None or refused.value is None:
        raise ResultInvalid("the last `eval safety` has no figures of the golden sets")
    rates = FilterRates(stopped=stopped.value, refused=refused.value)
    traffic = with_database(run.settings, lambda database: _read_traffic(database, num_days))
    inputs = {"mezzotint": __version__, "days": str(num_days)}
    return price_filters(traffic, rates, adversarial_share, inputs=inputs)


async def _read_traffic(database: Database, num_days: int) -> FilterTraffic:
    store, since = Store(database), now() - timedelta(days=num_days)
    spent = await store.ledger.spent_by_state(since)
    appeals = Counter([appeal.state async for appeal in store.appeals.iterate_decided() if appeal.created_at >= since])
    num_succeeded, gpu_s_succeeded = spent.get(JobState.SUCCEEDED, (0, 0.0))
    num_blocked, gpu_s_blocked = spent.get(JobState.BLOCKED, (0, 0.0))
    return FilterTraffic(
        num_succeeded=num_succeeded,
        gpu_s_succeeded=gpu_s_succeeded,
        num_blocked=num_blocked,
        gpu_s_blocked=gpu_s_blocked,
        num_refused=await store.refusals.count(RefusalCode.PROMPT_BLOCKED, since),
        num_upheld=appeals[AppealState.UPHELD],
        num_overturned=appeals[AppealState.OVERTURNED],
    )
