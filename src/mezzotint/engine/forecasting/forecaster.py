"""The forecaster of a run: it learns from the answers of passes and foretells others, step by step.

A step is foretold as a whole, by a decision at its first denoiser call, which depends on nothing but the run's own
answers. `decide.py` decides, `history.py` extrapolates.
"""

from dataclasses import dataclass
from typing import Any

import torch

from mezzotint.domain.errors import CheckpointCorrupt, RunFailed
from mezzotint.engine.batching.merge import sample_of
from mezzotint.engine.checkpoint.output_shapes import (
    describe_output,
    has_opaque,
    limit_answer,
    make_zeros,
)
from mezzotint.engine.errors import CannotMerge
from mezzotint.engine.forecasting.clean import Conversion, adds_noise, find_conversions, fits
from mezzotint.engine.forecasting.correct import carries_errors, weigh_miss
from mezzotint.engine.forecasting.decide import RENEWED, expect_error, is_eligible, weigh_error
from mezzotint.engine.forecasting.history import CallHistory, add_finite, restore_history
from mezzotint.engine.forecasting.settings import ForecastSettings
from mezzotint.engine.proxy import Call
from mezzotint.engine.tree import tensors_in

MAX_CALLS = 16  # of a step, that are remembered
MAX_ANSWER_PER_SAMPLE = 8  # bytes of an answer that is remembered, to those of the sample


@dataclass(frozen=True, slots=True)
class Foretold:
    """An answer to a parked call that no pass made."""

    output: Any


@dataclass(frozen=True, slots=True)
class Place:
    """The place of a call in its run. phase: denoiser calls of its step before it. step: of its sampler, from 0.
    steps_left: this one included, 0 where unknown. path: of its denoiser in the pipeline."""

    phase: int
    step: int
    steps_left: int
    path: str


class Forecaster:
    """settings: of the run. num_foretold: calls, those before a checkpoint included."""

    def __init__(self, settings: ForecastSettings) -> None:
        self.settings = settings
        self.num_foretold = 0
        self._calls: list[CallHistory] = []  # of the last step, in their order
        self._times: list[float] = []  # of the sampler's steps
        self._conversions: list[Conversion] | None = None
        self._unplaced: list[tuple[Call, Place, Any]] = []  # calls before a sampler's first step, and their answers
        self._spent = 0.0  # expected error since the last pass
        self._in_row = 0
        self._num_uncorrected = 0  # steps foretold before the pass in progress
        self._carries_errors = False
        self._is_foretelling = False
        self._has_skipped_control = False

    # -- learning

    def begin_sampler(self, sampler: Any) -> None:
        """Begin anew with a sampler that takes its first step."""
        timesteps = getattr(sampler, "timesteps", None)
        times = [] if timesteps is None else [float(time) for time in torch.as_tensor(timesteps).flatten().tolist()]
        self._times = times[getattr(sampler, "begin_index", None) or 0 :]
        self._conversions = find_conversions(sampler, self._times) if adds_noise(sampler) else None
        self._carries_errors = carries_errors(sampler, self._times)
        self._calls, self._spent, self._in_row, self._is_foretelling = [], 0.0, 0, False
        unplaced, self._unplaced = self._unplaced, []
        for call, place, output in unplaced:
            self._learn(call, Place(place.phase, 0, 0, place.path), output)

    def learn(self, call: Call, place: Place, output: Any) -> Any:
        """Remember the answer of a pass. Returns that to go on with, which makes good what foretold ones missed."""
        if place.phase == 0:
            self._num_uncorrected = self._in_row
            self._spent, self._in_row = 0.0, 0
        if place.step == len(self._times) and place.phase < MAX_CALLS:  # the sampler says its times at its first step
            self._unplaced.append((call, place, output))
            return output
        return self._learn(call, place, output)

    def _learn(self, call: Call, place: Place, output: Any) -> Any:
        if not (place.step < len(self._times) and place.phase <= min(len(self._calls), MAX_CALLS - 1)):
            return output
        key, form, values = self._key(call, place), describe_output(output), list(tensors_in(output))
        if place.phase == len(self._calls) or self._calls[place.phase].key != key:
            self._calls[place.phase : place.phase + 1] = [CallHistory(key, form)]
        history = self._calls[place.phase]
        if self._is_control(key):
            return output
        sample = _read_sample(call)
        num_bytes = sum(value.numel() * value.element_size() for value in values)
        is_small = sample is not None and num_bytes <= MAX_ANSWER_PER_SAMPLE * sample.numel() * sample.element_size()
        if not is_small or has_opaque(form) or not values or not all(v.is_floating_point() for v in values):
            history.answers = []
            return output
        conversion = self._conversion(place.step)
        if conversion is None or sample is None:
            return self._correct(history, place, values, output)
        if len(values) == 1 and fits(sample, values[0]):
            history.add(self._times[place.step], [conversion.to_clean(sample, values[0])], output, [sample])
        return output

    def _correct(self, history: CallHistory, place: Place, values: list[torch.Tensor], output: Any) -> Any:
        """Add the answer to its history, and make good in it what the foretold ones right before it missed."""
        line = [answer.time for answer in history.answers]
        misses = history.add(self._times[place.step], values, output, ())
        if not (misses and self._carries_errors and self._num_uncorrected):
            return output
        factor = weigh_miss(self._times, place.step, self._num_uncorrected, *line)
        return history.shape_answer(
            [add_finite(value, miss, factor) for value, miss in zip(history.answers[-1].values, misses, strict=True)]
        )

    def end_step(self, num_calls: int) -> None:
        """Forget the calls that the step did not have."""
        del self._calls[num_calls:]
        self._is_foretelling = self._has_skipped_control = False

    # -- foretelling

    def list_unread(self, place: Place) -> list[CallHistory]:
        """The histories whose measures decide on the call, and are still on the device."""
        if place.phase > 0 or not self._is_eligible(place):
            return []
        return [call for call in self._calls if call.measured is not None and call.read is None]

    def foretell(self, call: Call, place: Place) -> Foretold | None:
        """The answer to a call, or None where it takes a pass.

        Raises: RunFailed where the step's ControlNet calls were left out and the denoiser's cannot be foretold.
        """
        if place.phase == 0:
            self._decide(call, place)
        if not self._is_foretelling:
            return None
        history = self._calls[place.phase] if place.phase < len(self._calls) else None
        if history is None or history.key != self._key(call, place):
            if self._has_skipped_control:
                raise RunFailed("the denoiser's calls change in the middle of a step; draw without forecasts")
            return None
        self.num_foretold += 1
        if self._is_control(history.key):  # nothing but the foretold denoiser would read it
            self._has_skipped_control = True
            device = next(tensors_in([call.args, call.kwargs])).device
            return Foretold(make_zeros(history.form, device, limit_answer([call.args, call.kwargs])))
        values = history.extrapolate(self._times[place.step])
        conversion, sample = self._conversion(place.step), _read_sample(call)
        if conversion is not None and sample is not None:
            values = [conversion.to_answer(sample, values[0])]
        return Foretold(history.shape_answer(values))

    def _decide(self, call: Call, place: Place) -> None:
        error = float("inf")
        if self._is_eligible(place) and self._calls and self._calls[0].key == self._key(call, place):
            conversion = self._conversion(place.step)
            gain = 1.0 if conversion is None else 1 / abs(conversion.by_answer)
            lines = [history.line(gain) for history in self._calls if not self._is_control(history.key)]
            known = [line for line in lines if line is not None]
            if len(known) == len(lines):
                error = expect_error(known, self._times[place.step]) * (1.0 if conversion is None else RENEWED)
                error = weigh_error(error, step=place.step, num_steps=len(self._times), lasts=not self._carries_errors)
        # a call may wait for turns and be asked about in each: a "no" changes nothing
        self._is_foretelling = self._spent + error < self.settings.bound
        if self._is_foretelling:
            self._spent, self._in_row = self._spent + error, self._in_row + 1

    def _is_eligible(self, place: Place) -> bool:
        return place.step < len(self._times) and is_eligible(
            self.settings, step=place.step, steps_left=place.steps_left, in_row=self._in_row
        )

    # -- checkpoints

    def list_held(self) -> list[Any]:
        """The values that this keeps alive."""
        return [[history.measured, [answer.values for answer in history.answers]] for history in self._calls]

    def describe(self) -> dict[str, Any]:
        """The state after a step, by reference."""
        return {
            "foretold": self.num_foretold,
            "spent": self._spent,
            "in_row": self._in_row,
            "calls": [history.describe() for history in self._calls],
        }

    def restore(self, described: Any, device: torch.device) -> None:
        """Go on where a checkpoint was made. Raises: CheckpointCorrupt."""
        try:
            self.num_foretold, self._in_row = int(described["foretold"]), int(described["in_row"])
            self._spent = float(described["spent"])
            self._calls = [restore_history(history, device) for history in described["calls"]]
        except CheckpointCorrupt:
            raise
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise CheckpointCorrupt("the state of its forecasts cannot be read") from error

    # -- its parts

    def _conversion(self, step: int) -> Conversion | None:
        return None if self._conversions is None else self._conversions[step]

    def _key(self, call: Call, place: Place) -> list[Any]:
        """A key of JSON values, equal where a call is the same one a step later."""
        shapes = [[list(t.shape), str(t.dtype)] for t in tensors_in([call.args, call.kwargs])]
        return [place.path, call.cache_context, type(call.module).__name__, shapes]

    def _is_control(self, key: list[Any]) -> bool:
        """Say whether the call's answer goes to another denoiser's call and nowhere else."""
        return "ControlNet" in key[2]


def _read_sample(call: Call) -> torch.Tensor | None:
    try:
        return sample_of(call)
    except CannotMerge:
        return None
