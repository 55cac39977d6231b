from hypothesis import given
from hypothesis import strategies as st

from mezzotint.policy.rate_limit import Allowed, Limited, Rate, check_rate

MINUTE = Rate(num=60, period_s=60, burst=10)


def test_a_burst_passes_then_one_a_second() -> None:
    empty_at, passed = 0.0, 0
    for _ in range(20):
        outcome = check_rate(empty_at, 100.0, MINUTE)
        if isinstance(outcome, Allowed):
            empty_at, passed = outcome.empty_at, passed + 1
    assert passed == 10
    assert isinstance(check_rate(empty_at, 100.9, MINUTE), Limited)
    assert isinstance(check_rate(empty_at, 101.0, MINUTE), Allowed)


def test_what_remains_and_when_to_come_back_are_told() -> None:
    first = check_rate(0.0, 100.0, MINUTE)
    assert isinstance(first, Allowed)
    assert (first.remaining, first.reset_s) == (9, 1.0)
    full = check_rate(110.0, 100.0, MINUTE)
    assert isinstance(full, Limited)
    assert (full.retry_s, full.reset_s) == (1.0, 10.0)


@given(
    gaps=st.lists(st.floats(0, 20), max_size=200),
    num=st.integers(1, 600),
    burst=st.integers(1, 50),
)
def test_no_window_of_time_lets_more_pass_than_burst_and_rate(gaps: list[float], num: int, burst: int) -> None:
    rate = Rate(num=num, period_s=60, burst=burst)
    now, empty_at, passed_at = 1000.0, 0.0, []
    for gap in gaps:
        now += gap
        outcome = check_rate(empty_at, now, rate)
        if isinstance(outcome, Allowed):
            empty_at = outcome.empty_at
            passed_at.append(now)
        else:
            assert isinstance(check_rate(empty_at, now + outcome.retry_s + 1e-6, rate), Allowed), "retry_s is enough"
    for i, start in enumerate(passed_at):
        for j in range(i, len(passed_at)):
            assert j - i + 1 <= burst + (passed_at[j] - start) / rate.spacing_s + 1e-6
