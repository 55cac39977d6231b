"""The clean picture that a denoiser's answer stands for, at each step of a sampler.

Samplers that add fresh noise move the sample, and with it the answer, in a way that no past answer tells. The clean
picture x0 that the answer predicts hardly moves, and the sample is known when an answer is foretold. So x0 is
extrapolated, and turned into an answer again:

    sample = a x0 + s noise; x0 = by_sample * sample + by_answer * answer

    prediction   answer             by_sample   by_answer
    epsilon      noise              1 / a       -s / a
    v            a noise - s x0     a           -s            where a^2 + s^2 = 1

For samplers that add none, the answers themselves were foretold better.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

ADDS_NOISE = "mezzotint_adds_noise"
"""Attribute of a sampler that is told how much noise its steps add, by the call's `eta`."""
LEAST_NOISE = 1e-3
"""Least value of `by_answer`: below it the sample holds next to no noise, and x0 does not tell the answer."""


@dataclass(frozen=True, slots=True)
class Conversion:
    """x0 = by_sample * sample + by_answer * answer."""

    by_sample: float
    by_answer: float

    def to_clean(self, sample: torch.Tensor, answer: torch.Tensor) -> torch.Tensor:
        """In float32, of the answer's shape."""
        return self.by_sample * _match(sample, answer) + self.by_answer * answer.float()

    def to_answer(self, sample: torch.Tensor, clean: torch.Tensor) -> torch.Tensor:
        return (clean - self.by_sample * _match(sample, clean)) / self.by_answer


def find_conversions(sampler: Any, times: Sequence[float]) -> list[Conversion] | None:
    """Find one conversion a step; None for a sampler whose schedule is not of a known kind.

    The tables are read where they are, which may wait for a device: once a run.
    """
    kind = getattr(sampler.config, "prediction_type", None)
    alphas = getattr(sampler, "alphas_cumprod", None)
    if kind not in {"epsilon", "v_prediction"} or not isinstance(alphas, torch.Tensor):
        return None
    table = alphas.double().cpu().numpy()
    sigmas = np.interp(np.asarray(times), np.arange(len(table)), np.sqrt((1 - table) / table))
    return [_convert(kind, float(sigma)) for sigma in sigmas]


def adds_noise(sampler: Any) -> bool:
    """Say whether its steps draw fresh noise."""
    name, algorithm = type(sampler).__name__, str(getattr(sampler.config, "algorithm_type", ""))
    if getattr(sampler, ADDS_NOISE, False):
        return True
    return "Ancestral" in name or "SDE" in name or algorithm.startswith("sde") or name == "DDPMScheduler"


def fits(sample: torch.Tensor, answer: torch.Tensor) -> bool:
    """Say whether the answer is about the sample's values, or about those of its first channels."""
    same = (
        sample.ndim == answer.ndim >= 3 and sample.shape[:1] + sample.shape[2:] == answer.shape[:1] + answer.shape[2:]
    )
    return same and sample.shape[1] >= answer.shape[1] and (sample.ndim > 3 or sample.shape == answer.shape)


def _match(sample: torch.Tensor, answer: torch.Tensor) -> torch.Tensor:
    return sample[:, : answer.shape[1]].float()


def _convert(kind: str, sigma: float) -> Conversion:
    a = 1 / float(np.sqrt(1 + sigma**2))
    s = sigma * a
    found = Conversion(1 / a, -s / a) if kind == "epsilon" else Conversion(a, -s)
    return found if abs(found.by_answer) >= LEAST_NOISE else Conversion(found.by_sample, -LEAST_NOISE)
