"""A submitted pipeline call, as its submitter sees it. `execution.py` makes it go."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch

from mezzotint.engine.checkpoint.snapshot import Snapshot
from mezzotint.engine.forecasting.settings import ForecastSettings

if TYPE_CHECKING:
    from mezzotint.engine.execution import Execution


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """Options of a run; see `Hub.submit`."""

    checkpoint_at: int | None = None
    checkpoint_every: "int | Callable[[Run], int] | None" = None
    budget: int | None = None
    stop_after: int | None = None
    on_step: "Callable[[Run], None] | None" = None
    on_checkpoint: "Callable[[Run, Snapshot], None] | None" = None
    deadline_at: float | None = None
    forecast: ForecastSettings | None = None


@dataclass(kw_only=True, eq=False)
class Run:
    """Progress and result of a submitted pipeline call. Read-only for callers.

    output, error: one of them is set once `done`. steps: sampler steps done, those before a checkpoint included.
    num_steps: sampler steps of the whole call, None before known. latents: tensors that the last step returned, not to
    be written to. denoised: the sampler's estimate of the end result at that step, where it gives one. num_calls:
    denoiser calls made; num_replayed: those answered from the checkpoint. cost_s: share, by rows, of the time of the
    passes. traceback: text of the error's. resumed_elsewhere: it goes on under another fingerprint than it began.
    """

    id: int
    label: str = ""
    done: bool = False
    output: Any = None
    error: BaseException | None = None
    traceback: str = ""
    steps: int = 0
    num_steps: int | None = None
    num_calls: int = 0
    num_replayed: int = 0
    num_passes: int = 0
    num_forecast: int = 0
    cost_s: float = 0.0
    latents: torch.Tensor | None = None
    denoised: torch.Tensor | None = None
    resumed_elsewhere: bool = False
    _source: "Execution | None" = field(default=None, repr=False)
    _latest: Snapshot | None = field(default=None, repr=False)
    _encoded: bytes | None = field(default=None, repr=False)

    @property
    def checkpoint(self) -> bytes | None:
        """The latest checkpoint that was asked for, encoded."""
        if self._encoded is None and self._latest is not None:
            self._encoded = self._latest.encode()
        return self._encoded

    @property
    def held_bytes(self) -> int:
        """Bytes of the tensors that the run keeps alive between two passes, as far as the seam sees them."""
        return 0 if self._source is None else self._source.held_bytes

    def snapshot(self) -> Snapshot | None:
        """The last step boundary, copied to host memory; None before the first step, or where it cannot be saved."""
        return self._latest if self._source is None else self._source.snapshot()
