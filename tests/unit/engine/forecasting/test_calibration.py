"""The bounds at which a model may forecast are those that keep a quality, and no others."""

from typing import Any

import pytest
import torch

from mezzotint.engine import ForecastSettings, Hub
from mezzotint.engine.forecasting.calibrate import calibrate, measure_distance, measure_psnr
from mezzotint.engine.forecasting.calibration import Calibration, Trial, choose_bounds, is_current
from tests.conformance.engine.test_samplers import SAMPLERS
from tests.conformance.engine.zoo.classic import text_to_image


def trial(bound: float, psnr_db: float, saved: float, **changes: Any) -> Trial:
    fields = {"worst_db": psnr_db - 5, "distance": 0.0001} | changes
    return Trial(bound=bound, psnr_db=psnr_db, saved=saved, **fields)


def test_each_speed_gets_the_bound_that_saves_most_at_its_quality() -> None:
    trials = [trial(0.03, 66, 0.3), trial(0.05, 61, 0.4), trial(0.1, 54, 0.5), trial(0.2, 47, 0.6), trial(0.4, 40, 0.7)]
    found = choose_bounds(trials)
    assert (found.balanced, found.fast) == (trials[1], trials[3])
    assert found.settings("balanced") == ForecastSettings(bound=0.05)
    assert found.settings("fast") == ForecastSettings(bound=0.2)
    assert found.settings("exact") is None


@pytest.mark.parametrize(
    "bad",
    [trial(0.1, 45, 0.5), trial(0.1, 70, 0.5, worst_db=39.0), trial(0.1, 70, 0.5, distance=0.02), trial(0.1, 70, 0.05)],
    ids=["mean", "worst", "distance", "gain"],
)
def test_a_model_that_does_not_reach_a_quality_draws_without_forecasts(bad: Trial) -> None:
    found = choose_bounds([bad])
    assert found == Calibration()
    assert found.settings("fast") is None


def test_a_calibration_comes_back_from_its_document_and_nothing_from_another() -> None:
    found = choose_bounds([trial(0.05, 61, 0.4)])
    assert Calibration.from_document(found.to_document()) == found
    assert is_current(found.to_document())
    assert not any(is_current(other) for other in (None, [], {"balanced": None, "fast": None}, {"rule": 1}))
    for other in (None, [], {"balanced": 3, "fast": {"bound": "x"}}, {"fast": trial(0.0, 61, 0.4)}):
        assert Calibration.from_document(other) == Calibration()


def test_equal_pictures_are_no_distance_apart_and_others_are_the_more_the_more_they_differ() -> None:
    one = torch.rand(3, 32, 32, generator=torch.Generator().manual_seed(0))
    noise = torch.randn(3, 32, 32, generator=torch.Generator().manual_seed(1))
    assert (measure_psnr(one, one), measure_distance(one, one)) == (120, pytest.approx(0, abs=1e-6))
    assert measure_psnr(one, one + 0.1) == pytest.approx(20, abs=1e-3)
    distances = [measure_distance(one, one + size * noise) for size in (0.01, 0.05, 0.2)]
    assert 0 < distances[0] < distances[1] < distances[2] < 1


def test_a_model_is_calibrated_by_drawing_with_every_pass_and_within_each_bound() -> None:
    pipeline = SAMPLERS[0].build()

    def find(*bounds: float) -> Calibration:
        return calibrate(lambda: Hub(pipeline), lambda: [text_to_image(i, 8) for i in range(2)], bounds)

    assert find(1e-9) == Calibration()  # nothing is saved
    pipeline.unet.conv_out.weight.data.zero_()  # now it answers the same at every step
    found = find(0.1)
    assert found.balanced == found.fast
    assert found.balanced is not None
    assert (found.balanced.psnr_db, found.balanced.saved) == (pytest.approx(120, abs=20), pytest.approx(3 / 8))
