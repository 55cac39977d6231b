"""Settings of a run's forecasts."""

import math
from dataclasses import dataclass

RULE = 3
"""The number of the rule that decides what is foretold and makes good what it missed; another rule draws other pictures
within the same bound, so checkpoints and calibrations name it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ForecastSettings:
    """The steps of a run that may be foretold rather than computed.

    bound: relative error of the denoiser's answers that may be expected to add up since the last pass; in the first
    quarter of the steps it counts eight times (`decide.weigh_error`). max_in_row: steps foretold in a row. first_steps,
    last_steps: never foretold; of each sampler of the run, counted in its steps.
    Raises: ValueError for values out of range.
    """

    bound: float
    max_in_row: int = 5
    first_steps: int = 3
    last_steps: int = 2

    def __post_init__(self) -> None:
        if not (math.isfinite(self.bound) and self.bound > 0):
            raise ValueError(f"bound is {self.bound}; it must be a number above 0")
        for name in ("max_in_row", "first_steps", "last_steps"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}; it must be at least 1")

    def describe(self) -> str:
        """The settings as a checkpoint's fingerprint holds them."""
        return f"{RULE} {self.bound!r} {self.max_in_row} {self.first_steps} {self.last_steps}"
