import pytest

from mezzotint.evals.latency import measure_latency, time_calls


def test_percentiles_are_in_milliseconds_with_their_intervals() -> None:
    seconds = [number / 1000 for number in range(1, 101)]
    figures = measure_latency({"step": seconds}, inputs={}).figures
    assert figures["step.p50"].value == pytest.approx(50.5)
    assert figures["step.p99"].value == pytest.approx(99.01)
    assert figures["step.p50"].low is not None
    assert 30 < figures["step.p50"].low < 50.5
    assert figures["step.p50"].unit == "ms"


def test_every_call_is_made_once_and_timed() -> None:
    made: list[int] = []
    seconds = time_calls((lambda number=number: made.append(number)) for number in range(3))
    assert made == [0, 1, 2]
    assert len(seconds) == 3
    assert min(seconds) >= 0
