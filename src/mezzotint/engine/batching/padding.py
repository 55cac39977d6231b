"""Pad texts of unequal length for one pass, and mask the padding, where the denoiser takes a mask for it.

Letters: r = rows of the call, L = length of its text. Every tensor argument [r, L, ...] but the samples counts as text,
and so does the mask itself. That is a guess as any other in `merge.py`, and trusted only once it is verified.
"""

import itertools
from collections.abc import Hashable, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch.nn import functional

from mezzotint.engine.batching.merge import PRIMARY, batch_key, rows_of
from mezzotint.engine.proxy import Call

VECTOR_LANES = 16
"""Measured: attention sums in lanes of this many keys, so only a pad of whole lanes leaves all bits as they are. In
exact mode every text is filled up to whole lanes first, whether its run has company or not."""


def text_length(call: Call) -> int:
    """L where the text may be padded, else 0."""
    found = _mask(call)
    return found[1] if found else 0


def padded_key(call: Call, *, exact: bool) -> Hashable:
    """As `batch_key`, but equal for texts of unequal length that may be padded to one. Raises: CannotMerge."""
    found = _mask(call)
    if found is None:
        return batch_key(call)
    name, length = found
    return batch_key(_with_text(call, name, length, 1)), length % VECTOR_LANES if exact else 0


def pad_texts(calls: Sequence[Call], wanted: int = 0) -> list[Call]:
    """The calls, which share a `padded_key`, with texts of one length, all masked: the longest one's, or `wanted`."""
    found = [_mask(call) for call in calls]
    longest = max(wanted, *(length for _, length in filter(None, found)))
    return [_with_text(c, *named, longest) for c, named in zip(calls, found, strict=True) if named is not None]


def _mask(call: Call) -> tuple[str, int] | None:
    """Name of the text's mask, [r, L] or None for a text that is all there, and L."""
    rows = rows_of(call)
    for name, value in call.kwargs.items():
        if "mask" not in name:
            continue
        text = call.kwargs.get(name.removesuffix("_mask")) if value is None else value
        if isinstance(text, torch.Tensor) and text.ndim == (3 if value is None else 2) and text.shape[0] == rows:
            return name, text.shape[1]
    return None


def _with_text(call: Call, mask: str, length: int, wanted: int) -> Call:
    rows = rows_of(call)
    kwargs: dict[str, Any] = dict(call.kwargs)
    if kwargs[mask] is None:
        device = kwargs[mask.removesuffix("_mask")].device
        kwargs[mask] = torch.ones(rows, length, dtype=torch.bool, device=device)
    for name, value in kwargs.items():
        is_text = isinstance(value, torch.Tensor) and value.ndim > 1 and tuple(value.shape[:2]) == (rows, length)
        if is_text and name not in PRIMARY:
            more = itertools.repeat(0, 2 * (value.ndim - 2))
            kwargs[name] = functional.pad(value, (*more, 0, wanted - length))
    return replace(call, kwargs=kwargs)
