"""Verification of merged passes: each pattern of decisions is compared once with separate calls, and the verdict kept.

A verdict belongs to (weights, numerics, denoiser, decisions, layout, rows) and says one of three things: SAME (use it),
DRIFT (right, but not bit by bit, at this width, in exact mode: try a narrower pass), WRONG (never use this layout).
Verdicts are plain strings in a mapping that the caller may keep between processes.
"""

import hashlib
from collections.abc import Hashable, MutableMapping, Sequence
from enum import StrEnum
from typing import Any

import torch

from mezzotint.engine.batching.merge import Layout
from mezzotint.engine.device.faults import is_device_error, is_shape_error
from mezzotint.engine.errors import CannotMerge
from mezzotint.engine.numerics import Numerics
from mezzotint.engine.tree import leaves

MAX_VERDICTS = 20_000  # per mapping; about 2 MB; a verdict beyond it costs a verification, not a picture


class MergeVerdict(StrEnum):
    SAME = "same"
    DRIFT = "drift"
    WRONG = "wrong"


class Verifier:
    """Keeps verdicts in `verdicts` (caller's mapping, shared between hubs if wanted)."""

    def __init__(self, numerics: Numerics, model: str, verdicts: MutableMapping[str, str] | None = None) -> None:
        self._numerics = numerics
        self._model = model
        self._verdicts: MutableMapping[str, str] = {} if verdicts is None else verdicts
        self._own_verdicts: dict[str, str] = {}

    def key(self, denoiser: Hashable, decisions: Sequence[Hashable], layout: Layout, rows: Sequence[int]) -> str:
        """Stable between processes. In exact mode the number of rows counts, since kernels may depend on it."""
        shape = (sum(rows), rows[0]) if self._numerics.exact else (rows[0], len(set(rows)))
        seen = repr((denoiser, tuple(decisions), layout.interleaved, layout.multiples, shape))
        return f"{self._model}:{hashlib.sha256(seen.encode()).hexdigest()[:32]}"

    def verdict(self, key: str) -> MergeVerdict | None:
        found = self._verdicts.get(key, self._own_verdicts.get(key))
        return MergeVerdict(found) if found in set(MergeVerdict) else None

    def remember(self, key: str, verdict: MergeVerdict) -> None:
        if len(self._verdicts) < MAX_VERDICTS:
            self._verdicts[key] = verdict.value

    def blame_merge(self, key: str, error: BaseException) -> None:
        """Remember WRONG for a merged call that raised this although every call succeeds alone.

        For ever only if the error says that arguments do not fit; until this process ends if it may have had another
        cause; not at all if the device failed, which says nothing on merging.
        """
        if does_not_merge(error):
            self.remember(key, MergeVerdict.WRONG)
        elif not is_device_error(error) and len(self._own_verdicts) < MAX_VERDICTS:
            self._own_verdicts[key] = MergeVerdict.WRONG.value

    def judge(self, merged: Sequence[Any], separate: Sequence[Any], *, bit_by_bit: bool = True) -> MergeVerdict:
        """Compare the parts of a merged output with the outputs of separate calls.

        bit_by_bit: whether exact mode asks for equal bits rather than for no more than rounding.

        NaN equals NaN: some denoisers leave it in rows that nobody reads, and a poisoned run says nothing on merging.
        """
        worst, equal = 0.0, True
        for mine, theirs in zip(merged, separate, strict=True):
            difference, same = _difference(mine, theirs)
            worst, equal = max(worst, difference), equal and same
        if not worst < self._numerics.tolerance():
            return MergeVerdict.WRONG
        if self._numerics.exact and bit_by_bit and not equal:
            return MergeVerdict.DRIFT
        return MergeVerdict.SAME


def does_not_merge(error: BaseException) -> bool:
    """Say whether the error says that calls do not fit together, so that it would come again."""
    return isinstance(error, CannotMerge) or is_shape_error(error)


def _difference(mine: Any, theirs: Any) -> tuple[float, bool]:
    """Largest relative difference between two outputs, and bit equality.

    The difference is over the largest magnitude of a tensor's finite values; infinite if structure or others differ.
    """
    a, b = list(leaves(mine)), list(leaves(theirs))
    if [getattr(x, "shape", None) for x in a] != [getattr(y, "shape", None) for y in b]:
        return float("inf"), False
    worst, equal = 0.0, True
    for x, y in zip(a, b, strict=True):
        if isinstance(x, torch.Tensor) and x.numel() and not torch.equal(x, y):
            x, y = x.float(), y.float()  # noqa: PLW2901
            finite = torch.isfinite(y)
            if not torch.equal(x.isnan(), y.isnan()) or not torch.equal(
                x[~finite].nan_to_num(), y[~finite].nan_to_num()
            ):
                return float("inf"), False
            if finite.any():
                relative = float((x[finite] - y[finite]).abs().max() / y[finite].abs().max().clamp_min(1e-3))
                worst, equal = max(worst, relative), equal and relative == 0
    return worst, equal
