"""Test a pipeline under the engine with two small requests, before users' requests depend on it.

The answer is for logs and metrics, and to fill the mapping of verdicts at start-up rather than in users' time. A
pipeline that cannot merge or resume still runs, alone and from the beginning: the hub finds that out by itself at
every call.
"""

from collections.abc import Callable, Iterator, MutableMapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

import numpy as np
import torch

from mezzotint.engine.forecasting.calibrate import calibrate, finish_runs
from mezzotint.engine.forecasting.calibration import Calibration
from mezzotint.engine.hub import Hub
from mezzotint.engine.numerics import GUIDED_ROWS
from mezzotint.engine.tree import leaves


class Batch(StrEnum):
    YES = "yes"
    INTERLEAVED = "interleaved"  # rows of the runs in turn, for denoisers that cut their batch into equal parts
    NO = "no"


class Resume(StrEnum):
    STEP = "step"
    NO = "no"


@dataclass(frozen=True, slots=True, kw_only=True)
class Capabilities:
    """batch: how runs shared passes; not NO only if their pictures were those of the same runs alone. resume: whether a
    run resumed from a step in its middle made the same picture with only the remaining calls. exclusive: runs go one at
    a time, since the denoisers keep state from call to call. difference: largest difference of a picture to the stock
    pipeline's, in its own units (levels of 0..255 for PIL). reasons: why calls were not merged or runs not saved.
    forecast: the bounds at which it may forecast."""

    batch: Batch
    resume: Resume
    exclusive: bool
    difference: float
    reasons: tuple[str, ...]
    forecast: Calibration = field(default_factory=Calibration)


def self_test(
    pipeline: Any,
    requests: Callable[[], tuple[dict[str, Any], dict[str, Any]]],
    *,
    exact: bool = True,
    fixed_rows: int | None = None,
    verdicts: MutableMapping[str, str] | None = None,
    samples: Callable[[], Sequence[dict[str, Any]]] | None = None,
) -> Capabilities:
    """Run two requests stock, alone, together and resumed. requests: makes their arguments, with fresh generators.
    fixed_rows: width of filled passes, see `Hub`. samples: usual requests, by which forecasts are calibrated.

    Takes about nine times as long as one request, and four times as long as the samples.

    Raises: what the pipeline raises on these requests by itself.
    """

    def make_hub() -> Hub:
        rows = GUIDED_ROWS if fixed_rows is None else fixed_rows
        return Hub(pipeline, exact=exact, fixed_rows=rows, verdicts=verdicts, allow_other_numerics=True)

    stock = [pipeline(**request) for request in requests()]
    alone = [finish_runs(make_hub(), [request])[0] for request in requests()]
    hub = make_hub()
    together = finish_runs(hub, list(requests()), checkpoint_at=max(1, alone[0].steps // 2))
    again = make_hub()
    resumed = finish_runs(again, [requests()[0]], resume=together[0].checkpoint) if together[0].checkpoint else []
    bound = 0.0 if exact else max(_measure_distance(a.output, b) for a, b in zip(alone, stock, strict=True)) + 1e-4
    same = all(_measure_distance(a.output, b.output) <= bound for a, b in zip(alone, together, strict=True))
    went_on = bool(resumed) and resumed[0].num_calls + resumed[0].num_replayed == alone[0].num_calls
    merged = Batch.INTERLEAVED if hub.num_interleaved else Batch.YES
    return Capabilities(
        batch=merged if same and hub.num_merged > 0 else Batch.NO,
        resume=Resume.STEP
        if went_on and _measure_distance(resumed[0].output, together[0].output) <= bound
        else Resume.NO,
        exclusive=hub.is_exclusive,
        difference=max(_measure_distance(a.output, b) for a, b in zip(alone, stock, strict=True)),
        reasons=(*hub.unmerged_reasons, *hub.unsaved_reasons),
        forecast=Calibration() if samples is None else calibrate(make_hub, samples),
    )


def _measure_distance(one: Any, other: Any) -> float:
    """Largest difference between two outputs; infinite where their forms differ."""
    pairs = list(zip(_arrays(one), _arrays(other), strict=False))
    if not pairs or any(a.shape != b.shape for a, b in pairs):
        return float("inf")
    return max(float(np.abs(a - b).max(initial=0.0)) for a, b in pairs)


def _arrays(output: Any) -> Iterator[np.ndarray[Any, np.dtype[np.float32]]]:
    for leaf in leaves(output):
        if isinstance(leaf, torch.Tensor):
            yield leaf.float().cpu().numpy()
        elif hasattr(leaf, "__array__") or hasattr(leaf, "__array_interface__"):
            yield np.asarray(leaf, dtype=np.float32)
