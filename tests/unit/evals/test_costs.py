import pytest

from mezzotint.evals.costs import FilterRates, FilterTraffic, price_filters
from mezzotint.evals.result import Figure


def price(adversarial_share: float = 0.02, **changes: float) -> dict[str, float | None]:
    given = {
        "num_succeeded": 90,
        "gpu_s_succeeded": 180.0,
        "num_blocked": 10,
        "gpu_s_blocked": 20.0,
        "num_refused": 7,
        "num_upheld": 3,
        "num_overturned": 1,
    }
    traffic = FilterTraffic(**{**given, **changes})  # type: ignore[arg-type]
    result = price_filters(traffic, FilterRates(stopped=0.9, refused=0.01), adversarial_share, inputs={})
    return {name: figure.value for name, figure in result.figures.items()}


def test_the_price_of_a_decision_is_that_of_a_job() -> None:
    figures = price()
    assert figures["gpu_s_of_a_job"] == 2
    assert figures["gpu_s_of_blocked_pictures"] == 20
    assert figures["blocked_after_drawing"] == 0.1
    assert figures["gpu_s_saved_of_1000"] == pytest.approx(1000 * 0.02 * 0.9 * 2)
    assert figures["gpu_s_spent_on_missed_of_1000"] == pytest.approx(1000 * 0.02 * 0.1 * 2)
    assert figures["harmless_refused_of_1000"] == pytest.approx(9.8)
    assert figures["gpu_s_not_sold_of_1000"] == pytest.approx(19.6)
    assert figures["appeals_overturned"] == 0.25


def test_an_empty_ledger_gives_no_price_rather_than_zero() -> None:
    figures = price(num_succeeded=0, gpu_s_succeeded=0.0, num_blocked=0, gpu_s_blocked=0.0)
    assert figures["gpu_s_of_a_job"] is None
    assert figures["gpu_s_saved_of_1000"] is None
    assert figures["harmless_refused_of_1000"] == pytest.approx(9.8)


def test_without_decided_appeals_nothing_is_said_of_them() -> None:
    assert "appeals_overturned" not in price(num_upheld=0, num_overturned=0)
    assert Figure.share(0, 0).value is None
