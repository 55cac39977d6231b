"""The forms of denoiser outputs as JSON, and for a replay outputs of a form, all zeros.

x shape and dtype of a tensor · l list · u tuple · d dict as pairs · o output class of diffusers · k opaque object;
None, bool, int, float and str stand for themselves.
"""

import json
import math
from dataclasses import dataclass, field
from typing import Any

import torch
from diffusers.utils import BaseOutput

from mezzotint.domain.errors import CheckpointCorrupt
from mezzotint.engine.checkpoint.codec import encode_container, read_dtype, read_output_class
from mezzotint.engine.tree import tensors_in

ANSWER_BYTES_FLOOR = 64 << 20  # an answer that no pass made may always have this size,
ANSWER_BYTES_PER_INPUT = 4096  # or this multiple of the call's inputs (ControlNet residuals: about 1000)


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

    def truncate(self, num_calls: int) -> "OutputShapes":
        """A copy that ends after `num_calls` calls."""
        kept = OutputShapes(forms=list(self.forms))
        for index, count in self.spans:
            if num_calls > 0:
                kept.spans.append([index, min(count, num_calls)])
            num_calls -= count
        return kept


def describe_output(output: Any) -> Any:
    """The form of an output, or of any tree of arguments."""
    if output is None or isinstance(output, (bool, int, float, str)):
        return output
    if isinstance(output, torch.Tensor):
        return {"x": [list(output.shape), str(output.dtype).removeprefix("torch.")]}
    if isinstance(output, BaseOutput):
        fields = [[key, describe_output(item)] for key, item in output.items()]
        return {"o": [type(output).__module__, type(output).__qualname__, fields]}
    if isinstance(output, dict) and not all(isinstance(key, str) for key in output):
        return {"k": type(output).__qualname__}
    if isinstance(output, (dict, list, tuple)):
        return encode_container(output, describe_output)
    return {"k": type(output).__qualname__}


def has_opaque(form: Any) -> bool:
    """Say whether a replay cannot answer a call of this form."""
    return isinstance(form, dict) and '{"k":' in json.dumps(form)


def limit_answer(inputs: Any) -> int:
    """The most bytes that an answer to a call with these inputs may have by a checkpoint's word alone."""
    num_bytes = sum(tensor.numel() * tensor.element_size() for tensor in tensors_in(inputs))
    return max(ANSWER_BYTES_FLOOR, ANSWER_BYTES_PER_INPUT * num_bytes)


def make_zeros(form: Any, device: torch.device, max_bytes: int) -> Any:
    """An output of this form, all zeros. Raises: CheckpointCorrupt if it is malformed or larger than `max_bytes`."""
    bytes_left = max_bytes

    def make_tensor(shape: list[Any], dtype: torch.dtype) -> torch.Tensor:
        nonlocal bytes_left
        if not all(type(size) is int and size >= 0 for size in shape):
            raise CheckpointCorrupt("a shape is no shape")
        bytes_left -= math.prod(shape) * dtype.itemsize
        if bytes_left < 0:
            raise CheckpointCorrupt("it describes an output out of all proportion to the call")
        return torch.zeros(shape, dtype=dtype, device=device)

    def make(form: Any) -> Any:
        if not isinstance(form, dict):
            return form
        ((tag, body),) = form.items()
        match tag:
            case "x":
                return make_tensor(body[0], read_dtype(body[1]))
            case "l" | "u":
                return (list if tag == "l" else tuple)(make(item) for item in body)
            case "d":
                return {key: make(item) for key, item in body}
            case "o":
                return read_output_class(body[0], body[1])(**{key: make(item) for key, item in body[2]})
        raise CheckpointCorrupt("an output of unknown form")

    return make(form)
