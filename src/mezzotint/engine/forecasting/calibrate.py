"""Find the bounds at which a model may forecast, by drawing with and without."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
import torch
from torch.nn import functional

from mezzotint.engine.forecasting.calibration import BOUNDS, QUALITIES, Calibration, Trial, choose_bounds
from mezzotint.engine.forecasting.settings import ForecastSettings
from mezzotint.engine.hub import Hub
from mezzotint.engine.run import Run

SSIM_WINDOW = 8
SSIM_SCALES = 3
SSIM_FLOORS = (0.01**2, 0.03**2)  # of pictures from 0 to 1, as in Wang et al. 2004
SAME_DB = 120.0  # of equal pictures


def calibrate(
    make_hub: Callable[[], Hub], requests: Callable[[], Sequence[dict[str, Any]]], bounds: Sequence[float] = BOUNDS
) -> Calibration:
    """Draw the requests with every pass, then under each bound until no speed's quality is reached any more.

    make_hub: a hub as it serves the model. requests: makes the arguments of some usual calls, with fresh generators.
    A pipeline that makes no pictures is not calibrated. Raises: what a run ends with.
    """
    every = _draw(make_hub(), requests(), None)
    wanted = _read_pictures(every)
    if not wanted:
        return Calibration()
    trials = []
    for bound in sorted(bounds):
        trial = _try(bound, every, wanted, _draw(make_hub(), requests(), ForecastSettings(bound=bound)))
        trials.append(trial)
        if not any(quality.is_met(trial) for quality in QUALITIES.values()):
            break
    return choose_bounds(trials)


def measure_psnr(one: torch.Tensor, other: torch.Tensor) -> float:
    """In dB, of pictures from 0 to 1 of one shape; at most 120."""
    error = float((one - other).square().mean())
    return SAME_DB if error == 0 else min(SAME_DB, -10 * float(np.log10(error)))


def measure_distance(one: torch.Tensor, other: torch.Tensor) -> float:
    """1 - SSIM, the mean over the picture and three scales. one, other: [C, H, W] from 0 to 1."""
    found = []
    for _ in range(SSIM_SCALES):
        if min(one.shape[-2:]) < SSIM_WINDOW:
            break
        found.append(1 - _measure_ssim(one, other))
        one, other = functional.avg_pool2d(one, 2), functional.avg_pool2d(other, 2)
    return sum(found) / max(len(found), 1)


def _try(bound: float, every: list[Run], wanted: list[torch.Tensor], drawn: list[Run]) -> Trial:
    pairs = list(zip(wanted, _read_pictures(drawn), strict=True))
    psnr = [measure_psnr(a, b) for a, b in pairs]
    num_passes = sum(run.num_passes for run in every)
    return Trial(
        bound=bound,
        psnr_db=sum(psnr) / len(psnr),
        worst_db=min(psnr),
        distance=max(measure_distance(a, b) for a, b in pairs),
        saved=1 - sum(run.num_passes for run in drawn) / num_passes,
    )


def finish_runs(hub: Hub, requests: Iterable[dict[str, Any]], **options: Any) -> list[Run]:
    """Make all runs together. options: of `Hub.submit`. Raises: the error of the first run that failed."""
    runs = [hub.submit(request, **options) for request in requests]
    while hub.turn():
        pass
    for run in runs:
        if run.error is not None:
            raise run.error
    return runs


def _draw(hub: Hub, requests: Sequence[dict[str, Any]], forecast: ForecastSettings | None) -> list[Run]:
    """As floats: rounded to 256 levels, small differences would vanish."""
    exact = [request | ({"output_type": "np"} if "output_type" in request else {}) for request in requests]
    return finish_runs(hub, exact, forecast=forecast)


def _read_pictures(runs: Sequence[Run]) -> list[torch.Tensor]:
    """[C, H, W] from 0 to 1 each; none of an output that holds no pictures."""
    found = [getattr(run.output, "images", None) for run in runs]
    arrays = [images for images in found if isinstance(images, np.ndarray) and images.ndim == 4]
    return [picture for images in arrays for picture in torch.from_numpy(images).float().permute(0, 3, 1, 2)]


def _measure_ssim(one: torch.Tensor, other: torch.Tensor) -> float:
    def mean(values: torch.Tensor) -> torch.Tensor:
        return functional.avg_pool2d(values, SSIM_WINDOW, stride=SSIM_WINDOW // 2)

    a, b = mean(one), mean(other)
    spread_a, spread_b = mean(one**2) - a**2, mean(other**2) - b**2
    both = mean(one * other) - a * b
    small, large = SSIM_FLOORS
    likeness = (2 * a * b + small) * (2 * both + large)
    return float((likeness / ((a**2 + b**2 + small) * (spread_a + spread_b + large))).mean())
