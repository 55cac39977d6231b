"""The form of denoiser outputs as JSON, and outputs of that form for a replay, all zeros.

x shape and dtype of a tensor · l list · u tuple · d dict as pairs · o output class of diffusers · k opaque object;
None, bool, int, float and str stand for themselves.
"""

import json
import math
import sys
from dataclasses import dataclass, field
from typing import Any, cast

import torch
from diffusers.utils import BaseOutput

from mezzotint.domain.errors import CheckpointCorrupt
from mezzotint.engine.checkpoint.codec import read_dtype


@dataclass(slots=True, eq=False)
class OutputShapes:
    """The form of each denoiser output so far; equal neighbours are stored once."""

    forms: list[Any] = field(default_factory=list)
    spans: list[list[int]] = field(default_factory=list)  # [index into forms, number of calls]

    def add(self, form: Any) -> None:
        index = self.forms.index(form) if form in self.forms else len(self.forms)
        if index == len(self.forms):
            self.forms.append(form)
        if self.spans and self.spans[-1][0] == index:
            self.spans[-1][1] += 1
        else:
            self.spans.append([index, 1])

    def __len__(self) -> int:
        return sum(count for _, count in self.spans)

    def at(self, call: int) -> Any:
        for index, count in self.spans:
            if call < count:
                return self.forms[index]
            call -= count
        raise IndexError(call)

    def until(self, num_calls: int) -> "OutputShapes":
        """A copy that ends after `num_calls` calls."""
        kept = OutputShapes(forms=list(self.forms))
        for index, count in self.spans:
            if num_calls > 0:
                kept.spans.append([index, min(count, num_calls)])
            num_calls -= count
        return kept


def describe_output(output: Any) -> Any:
    if output is None or isinstance(output, (bool, int, float, str)):
        return output
    if isinstance(output, torch.Tensor):
        return {"x": [list(output.shape), str(output.dtype).removeprefix("torch.")]}
    if isinstance(output, BaseOutput):
        fields = [[key, describe_output(item)] for key, item in output.items()]
        return {"o": [type(output).__module__, type(output).__qualname__, fields]}
    if isinstance(output, dict) and all(isinstance(key, str) for key in output):
        return {"d": [[key, describe_output(item)] for key, item in output.items()]}
    if isinstance(output, (list, tuple)):
        return {"l" if isinstance(output, list) else "u": [describe_output(item) for item in output]}
    return {"k": type(output).__qualname__}


def has_opaque(form: Any) -> bool:
    """Whether a replay cannot answer a call of this form."""
    return isinstance(form, dict) and '{"k":' in json.dumps(form)


def make_zeros(form: Any, device: torch.device, max_bytes: int) -> Any:
    """An output of this form, all zeros. Raises: CheckpointCorrupt if it is malformed or larger than `max_bytes`."""
    left = [max_bytes]

    def zeros(form: Any) -> Any:
        if not isinstance(form, dict):
            return form
        ((tag, body),) = form.items()
        match tag:
            case "x":
                return _zero_tensor(body[0], read_dtype(body[1]), device, left)
            case "l" | "u":
                return (list if tag == "l" else tuple)(zeros(item) for item in body)
            case "d":
                return {key: zeros(item) for key, item in body}
            case "o":
                return _output_class(body[0], body[1])(**{key: zeros(item) for key, item in body[2]})
        raise CheckpointCorrupt("an output of unknown form")

    return zeros(form)


def _zero_tensor(shape: list[Any], dtype: torch.dtype, device: torch.device, left: list[int]) -> torch.Tensor:
    if not all(type(size) is int and size >= 0 for size in shape):
        raise CheckpointCorrupt("a shape is no shape")
    left[0] -= math.prod(shape) * dtype.itemsize
    if left[0] < 0:
        raise CheckpointCorrupt("it describes an output out of all proportion to the call")
    return torch.zeros(shape, dtype=dtype, device=device)


def _output_class(module: Any, name: Any) -> type[BaseOutput]:
    """Only classes that are already loaded, and only diffusers' output classes."""
    found = getattr(sys.modules.get(module), name, None)
    if not (isinstance(found, type) and issubclass(found, BaseOutput)):
        raise CheckpointCorrupt("an output class that diffusers does not have")
    return cast(type[BaseOutput], found)
