"""The bounds at which a model may forecast, as its self-test found them. Pure: figures in, a choice out.

A bound says how far one answer may be from the right one; what that does to a picture depends on the model. So
pictures are drawn under several bounds and compared with those of all passes, and each speed gets the bound that saves
most among those that reach its quality. A speed that none reaches draws without forecasts.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from mezzotint.engine.forecasting.settings import RULE, ForecastSettings

BOUNDS = (0.03, 0.05, 0.1, 0.15, 0.2, 0.4)
LEAST_SAVED = 0.1  # a smaller share of the passes is not worth another picture


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """The outcome of one bound. psnr_db, worst_db: mean and least of the pictures. distance: 1 - multi-scale SSIM, the
    largest of the pictures. saved: share of the passes that were not made."""

    bound: float
    psnr_db: float
    worst_db: float
    distance: float
    saved: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Quality:
    """Limits that a trial has to keep; see `Trial`."""

    psnr_db: float
    worst_db: float
    distance: float

    def is_met(self, trial: Trial) -> bool:
        return trial.psnr_db >= self.psnr_db and trial.worst_db >= self.worst_db and trial.distance <= self.distance


QUALITIES = {
    "balanced": Quality(psnr_db=58, worst_db=50, distance=0.002),  # nobody sees the difference
    "fast": Quality(psnr_db=46, worst_db=40, distance=0.01),  # details differ, side by side
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Calibration:
    """The trial chosen for each speed; None: that speed draws without forecasts."""

    balanced: Trial | None = None
    fast: Trial | None = None

    def settings(self, speed: str) -> ForecastSettings | None:
        """The settings of a run at this speed, `balanced` or `fast`; None for any other, and where none was chosen."""
        chosen = self.trials().get(speed)
        return None if chosen is None else ForecastSettings(bound=chosen.bound)

    def to_document(self) -> dict[str, dict[str, float] | int | None]:
        trials = {name: None if trial is None else asdict(trial) for name, trial in self.trials().items()}
        return {"rule": RULE, **trials}

    @classmethod
    def from_document(cls, document: Any) -> "Calibration":
        """Read what `to_document` made; anything else gives a calibration without a choice."""
        found = document if isinstance(document, Mapping) else {}
        return cls(balanced=_read_trial(found.get("balanced")), fast=_read_trial(found.get("fast")))

    def trials(self) -> dict[str, Trial | None]:
        """The chosen trials by speed."""
        return {"balanced": self.balanced, "fast": self.fast}


def is_current(document: Any) -> bool:
    """Say whether `to_document` made it, for the rule by which steps are foretold today."""
    return isinstance(document, Mapping) and document.get("rule") == RULE


def choose_bounds(trials: Sequence[Trial]) -> Calibration:
    """For each speed the trial that saves most among those that keep its quality."""
    chosen: dict[str, Trial | None] = {}
    for name, quality in QUALITIES.items():
        good = [trial for trial in trials if quality.is_met(trial) and trial.saved >= LEAST_SAVED]
        chosen[name] = max(good, key=lambda trial: trial.saved, default=None)
    return Calibration(**chosen)


def _read_trial(value: Any) -> Trial | None:
    try:
        trial = Trial(**{name: float(number) for name, number in value.items()})
    except (AttributeError, TypeError, ValueError):
        return None
    return trial if math.isfinite(trial.bound) and trial.bound > 0 else None
