"""Check that the runs' latents are finite after their steps, asking a device once a turn for all runs.

The answer about each run would wait for the device to do all its work. On a CPU it is there at once.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch

from mezzotint.domain.errors import NotFinite
from mezzotint.engine.device.clock import is_asynchronous


@dataclass(frozen=True, slots=True, eq=False)
class _Check:
    owner: Any
    step: int
    is_finite: torch.Tensor


class LatentChecks:
    """is_deferred: for which latents the answer is waited for."""

    def __init__(self, is_deferred: Callable[[torch.Tensor], bool] = is_asynchronous) -> None:
        self._is_deferred = is_deferred
        self._pending: list[_Check] = []

    def add(self, owner: Any, step: int, latents: torch.Tensor | None) -> None:
        """Check the latents after a step of `owner`, now or with the others. Raises: NotFinite."""
        if latents is None or not latents.is_floating_point():
            return
        check = _Check(owner, step, torch.isfinite(latents.detach()).all())
        if self._is_deferred(latents):
            self._pending.append(check)
        elif not check.is_finite:
            raise _explain(check)

    def confirm(self, owner: Any) -> None:
        """Wait for the answer about one owner, whose latents are to be kept. Raises: NotFinite."""
        asked = [check for check in self._pending if check.owner is owner]
        self._pending = [check for check in self._pending if check.owner is not owner]
        for check in asked:
            if not check.is_finite:
                raise _explain(check)

    def collect(self) -> list[tuple[Any, NotFinite]]:
        """Wait for all answers at once; the owners whose latents are not finite, and their errors."""
        checks, self._pending = self._pending, []
        if not checks:
            return []
        device = checks[0].is_finite.device
        answers = torch.stack([check.is_finite.to(device) for check in checks]).tolist()
        return [(check.owner, _explain(check)) for check, answer in zip(checks, answers, strict=True) if not answer]


def _explain(check: _Check) -> NotFinite:
    return NotFinite(f"in the latents at step {check.step}")
