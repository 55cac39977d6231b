"""The last answers to one call of a run's step, such as the unconditional one, and the line through them.

Everything that decides is computed from the run's own tensors in one memory order, so that its bits are the same in any
company. What is measured stays on the device until it is read, for all runs at once.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch

from mezzotint.domain.errors import CheckpointCorrupt
from mezzotint.engine.checkpoint.codec import VersionedTensor
from mezzotint.engine.checkpoint.output_shapes import make_zeros
from mezzotint.engine.forecasting.decide import Line
from mezzotint.engine.tree import map_leaves, tensors_in

NUM_MEASURED = 3  # miss, size, largest
MAX_BYTES = 1 << 40  # of an output that is described and never allocated


@dataclass(frozen=True, slots=True, eq=False)
class Answer:
    """The extrapolated tensors at one time, in contiguous memory that nobody writes to."""

    time: float
    values: tuple[torch.Tensor, ...]


@dataclass(slots=True, eq=False)
class CallHistory:
    """key: says which call it is. form: of its output. answers: the last two, the older first. reach: see `Line`.

    measured: float32 [3], of the last answer: how far the line before missed it, its norm, its greatest magnitude.
    """

    key: Any
    form: Any
    answers: list[Answer] = field(default_factory=list)
    reach: float = 0.0
    measured: torch.Tensor | None = None
    read: list[float] | None = None

    def add(
        self, time: float, values: Sequence[torch.Tensor], output: Any, also: Sequence[torch.Tensor]
    ) -> list[torch.Tensor]:
        """Add an answer. values: to be extrapolated. output: the answer itself. also: what may not be great either.

        Returns how far the line before missed each value, in float32; nothing where there was no line. A sampler may
        ask twice at one time: then the later answer counts.
        """
        misses = []
        taken = tuple(value.detach().clone(memory_format=torch.contiguous_format) for value in values)
        if self.answers and self.answers[-1].time == time:
            self.answers.pop()
        if len(self.answers) == 2:
            before, last = self.answers
            foreseen = _extend(before, last, time)
            misses = [value.float() - line for value, line in zip(taken, foreseen, strict=True)]
            own = list(tensors_in(output))
            # miss and size keep an infinity or a NaN that is anywhere in the answer
            largest = torch.stack([value.detach().abs().amax().float() for value in (*own, *taken, *also)]).amax()
            self.measured, self.read = torch.stack([_norm(misses), _norm(own), largest]), None
            self.reach = abs((time - last.time) * (time - before.time))
        self.answers = [*self.answers, Answer(time, taken)][-2:]
        return misses

    def line(self, gain: float) -> Line | None:
        """The line through both answers; None before it was measured and read."""
        if self.read is None or len(self.answers) < 2:
            return None
        before, last = self.answers
        miss, size, largest = self.read
        limit = min(torch.finfo(tensor.dtype).max for tensor in self._zeros())
        return Line(before.time, last.time, miss, self.reach, size, largest, gain, limit)

    def extrapolate(self, at: float) -> list[torch.Tensor]:
        """The values at a time, in float32."""
        before, last = self.answers
        return _extend(before, last, at)

    def shape_answer(self, values: Sequence[torch.Tensor]) -> Any:
        """An output of the call's form that holds these values."""
        waiting = list(values)

        def replace(leaf: Any) -> Any:
            return waiting.pop(0).to(leaf.dtype) if isinstance(leaf, torch.Tensor) else leaf

        return map_leaves(make_zeros(self.form, torch.device("meta"), MAX_BYTES), replace)

    def describe(self) -> list[Any]:
        """For a checkpoint, by reference."""
        answers = [[answer.time, [VersionedTensor(value) for value in answer.values]] for answer in self.answers]
        measured = None if self.measured is None else VersionedTensor(self.measured)
        return [self.key, self.form, answers, self.reach, measured]

    def _zeros(self) -> list[torch.Tensor]:
        return list(tensors_in(make_zeros(self.form, torch.device("meta"), MAX_BYTES)))


def restore_history(described: Any, device: torch.device) -> CallHistory:
    """Raises: CheckpointCorrupt unless `CallHistory.describe` made it, or another exception for another form."""
    key, form, answers, reach, measured = described
    history = CallHistory(key, form, reach=_finite(reach))
    shapes = [zeros.shape for zeros in history._zeros()] if answers else []
    for time, values in answers:
        taken = tuple(value.tensor.clone().to(device) for value in values)
        if len(answers) > 2 or [value.shape for value in taken] != shapes:
            raise CheckpointCorrupt("its forecasts have another form")
        history.answers.append(Answer(_finite(time), taken))
    if measured is not None:
        history.measured = measured.tensor.clone().to(device)
        if history.measured.shape != (NUM_MEASURED,):
            raise CheckpointCorrupt("its forecasts have another form")
    return history


def add_finite(value: torch.Tensor, change: torch.Tensor, factor: float) -> torch.Tensor:
    """value + factor * change in value's dtype, where that is finite; elsewhere the value."""
    changed = (value.float() + factor * change).to(value.dtype)
    return torch.where(changed.isfinite(), changed, value)


def _finite(value: Any) -> float:
    if not (type(value) is float and math.isfinite(value)):
        raise CheckpointCorrupt("a number is missing")
    return value


def _extend(before: Answer, last: Answer, at: float) -> list[torch.Tensor]:
    stretch = (at - last.time) / (last.time - before.time)
    pairs = zip(before.values, last.values, strict=True)
    return [one.float().lerp(other.float(), 1 + stretch) for one, other in pairs]


def _norm(values: Sequence[torch.Tensor]) -> torch.Tensor:
    """The norm of all values together, in float32."""
    flat = [value.detach().contiguous().float() for value in values]
    norm: torch.Tensor = torch.linalg.vector_norm(torch.stack([torch.linalg.vector_norm(value) for value in flat]))
    return norm
