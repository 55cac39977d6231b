"""The execution of a pipeline call in a greenlet of its own: the private side of a `Run`.

States: new -> parked (a denoiser call waits for its answer) -> ... -> done. Only the hub wakes an execution. The
pipeline reaches the seam in two places: `ask`, when it calls a denoiser, and `before_step`/`after_step`, when its
sampler steps.

Resume is a replay: the call begins again, `ask` answers the first calls with zeros of the recorded form at no cost
(so that random draws, tables and counters go their usual way), and at the saved step `after_step` returns the saved
output after putting samplers and guiders into the saved state. From there on the run cannot be told from one never
interrupted.
"""

import contextvars
import traceback
from collections.abc import Callable
from typing import Any, Protocol

import torch
from greenlet import GreenletExit, greenlet  # type: ignore[import-untyped]

from mezzotint.domain.errors import (
    CheckpointCorrupt,
    CheckpointError,
    NotFinite,
    OutOfMemory,
    RunFailed,
    StepBudgetExceeded,
)
from mezzotint.engine.batching.merge import is_opaque
from mezzotint.engine.checkpoint.codec import VersionedTensor
from mezzotint.engine.checkpoint.output_shapes import describe_output, has_opaque, limit_answer, make_zeros
from mezzotint.engine.checkpoint.recorder import Recorder, RecorderHost
from mezzotint.engine.checkpoint.rng import RandomStreams
from mezzotint.engine.checkpoint.snapshot import Snapshot, decode
from mezzotint.engine.device.faults import is_device_error, is_out_of_memory
from mezzotint.engine.early_stop import estimate_result, replace_latents
from mezzotint.engine.errors import RunCancelled
from mezzotint.engine.forecasting.forecaster import Forecaster, Foretold, Place
from mezzotint.engine.isolation import Isolation, ThreadState
from mezzotint.engine.lora import ActiveLoras
from mezzotint.engine.numerics import is_finite
from mezzotint.engine.proxy import Call, ComponentCall
from mezzotint.engine.run import Options, Run
from mezzotint.engine.tree import leaves, tensors_in


class RunHost(RecorderHost, Protocol):
    """The part of the hub that an execution uses."""

    fingerprint: dict[str, str]

    def park(self, call: Call) -> Any:
        """Hand the call to the hub and sleep until it is answered."""

    def call_inline(self, execution: "Execution", call: Call) -> Any:
        """Make the call at once, inside the execution's greenlet."""

    def path_of(self, module: torch.nn.Module) -> str:
        """The component path of the denoiser in its pipeline."""

    def call_component(self, call: ComponentCall) -> Any:
        """Make a text encoder's or an autoencoder's call at once, inside the execution's greenlet."""

    def check_latents(self, execution: "Execution", latents: torch.Tensor | None) -> None:
        """Check them after a step, at once or by the end of the turn. Raises: NotFinite."""

    def confirm_latents(self, execution: "Execution") -> None:
        """Wait for the answer about the last ones. Raises: NotFinite."""

    def check_device(self, error: Exception) -> None:
        """Raise DeviceLost where the error was not the run's alone."""

    def call_listener(self, work: Callable[[], None]) -> None:
        """Do the caller's own work without disturbing the run's random streams."""


class Execution:
    """Makes a `Run` go; nobody else writes to it, but for its cost.

    parked: the call that waits for its answer. phase: denoiser calls since the last step, counted from 0; -1 right
    after a step. waited_turns: turns in a row, parked without a pass; turns: all turns in which it was parked here.
    forecaster: None where every call takes a pass. cache_context: set by the seam.
    """

    def __init__(  # noqa: PLR0917
        self, host: RunHost, run: Run, pipeline: Any, members: list[Any], kwargs: dict[str, Any], options: Options
    ) -> None:
        self.run = run
        self.options = options
        self.loras = ActiveLoras()
        self.cache_context: str | None = None
        self.parked: Call | None = None
        self.phase = -1
        self.calls_per_step: int | None = None
        self.waited_turns = 0
        self.turns = 0
        self.forecaster = None if options.forecast is None else Forecaster(options.forecast)
        self._state: ThreadState | None = None
        self._context = contextvars.copy_context()
        self._greenlet: Any = None
        self._host = host
        self._pipeline = pipeline
        self._recorder = Recorder(pipeline, members, host)
        self._streams = RandomStreams(kwargs)
        self._asked = 0
        self._stepped = 0
        self._sampler: Any = None
        self._finished_samplers = 0  # steps of the samplers before this one
        self._expected: torch.Tensor | None = None  # once the run is to end early: what its last real step expected
        self._last_calls: dict[int, tuple[Any, Any]] = {}  # of the last step by phase: form of the inputs, and outputs
        self._saved: Snapshot | None = None  # while it is being replayed
        self._saved_at = 0
        self._doom: BaseException | None = None
        run._source = self

    @property
    def call(self) -> Call:
        """The parked call; only while there is one."""
        assert self.parked is not None
        return self.parked

    @property
    def thread_state(self) -> ThreadState:
        """The run's own random streams, attention processors and the like; only while it lives."""
        assert self._state is not None
        return self._state

    @property
    def held_bytes(self) -> int:
        """Bytes of its arguments, its parked call, its last step and its forecasts. Each memory is counted once."""
        parked = [] if self.parked is None else [self.parked.args, self.parked.kwargs]
        foretelling = [] if self.forecaster is None else self.forecaster.list_held()
        held = leaves([self._streams.kwargs, parked, self._recorder.list_held(), foretelling])
        found = (leaf.tensor if isinstance(leaf, VersionedTensor) else leaf for leaf in held)
        storages = [leaf.untyped_storage() for leaf in found if isinstance(leaf, torch.Tensor)]
        return sum({storage.data_ptr(): storage.nbytes() for storage in storages}.values())

    @property
    def fingerprint(self) -> dict[str, str]:
        """The hub's, and what else decides the run's bits: its adapters and its forecasts."""
        foretelling = "off" if self.options.forecast is None else self.options.forecast.describe()
        adapters = f"{self.loras.weights} {self.loras.digest}"
        return self._host.fingerprint | {"adapters": adapters, "forecast": foretelling}

    @property
    def place(self) -> Place:
        """The place of the parked call in its run."""
        return self._locate(self.call)

    # -- used by the hub

    def start_from(self, data: bytes, *, allow_other_numerics: bool) -> None:
        """Make the run a replay of a checkpoint. Raises: CheckpointCorrupt, FingerprintMismatch, OutOfMemory."""
        saved = decode(data)
        self.run.resumed_elsewhere = saved.check_origin(
            type(self._pipeline).__qualname__, self.fingerprint, allow_other_numerics=allow_other_numerics
        )
        self._streams.restore(saved.origin)
        self._saved, self._recorder.specs = saved, saved.specs.truncate(saved.num_calls)
        self.run.steps = self._saved_at = saved.steps
        self.run.num_forecast = saved.num_foretold
        self.run.num_passes = saved.num_calls - saved.num_foretold

    def begin(self, state: ThreadState) -> None:
        """Take the thread state to begin with; a resumed run keeps the random stream of its checkpoint."""
        self._streams.begin(state)
        self._state = state

    def wake(self, main: Any, isolation: Isolation, *answer: Any, error: BaseException | None = None) -> None:
        """Go on, with the answer or an error, until the next denoiser call or the end. main: the hub's greenlet."""
        if self._greenlet is None:
            self._greenlet = greenlet(self._main)
            self._greenlet.seam = self
            self._greenlet.gr_context = self._context
        self._greenlet.parent = main
        self.parked, self.waited_turns = None, 0
        outer = isolation.exchange(self.thread_state)
        try:
            self.parked = self._greenlet.switch(*answer) if error is None else self._greenlet.throw(error)
        finally:
            self._state = isolation.exchange(outer)
            if self._greenlet.dead:
                self.finish()

    def doom(self, error: BaseException) -> None:
        """Let the run end with `error` at its next call."""
        self._doom = self._doom or error

    @property
    def is_doomed(self) -> bool:
        return self._doom is not None

    def fail(self, error: BaseException) -> None:
        self.run.output, self.run.error = None, error

    def finish(self) -> None:
        """Let go of everything but the results; frames of a failed call hold its tensors otherwise."""
        run = self.run
        run.done = True
        if self._doom is not None and run.error is None:  # it had not begun, or its pipeline swallowed the end
            self.fail(self._doom)
        if run.error is not None and run.error.__traceback__ is not None:
            traceback.clear_frames(run.error.__traceback__)
            run.error.__traceback__ = None
        run._source = None
        self.parked = self._greenlet = self._state = None
        self._pipeline = self._sampler = self._saved = None
        self._streams = RandomStreams({})
        self._recorder.release()

    def snapshot(self) -> Snapshot | None:
        """The last step boundary, copied to host memory; None before the first step, or where it cannot be saved."""
        if not self._recorder.has_boundary:
            return self.run._latest or self._saved
        taken = self._recorder.snapshot(type(self._pipeline).__qualname__, self._streams.document(), self.fingerprint)
        if taken is not None:
            self.run._latest, self.run._encoded = taken, None
        return self.run._latest

    # -- the seam

    def ask(self, call: Call) -> Any:
        """Answer a denoiser call of this run's pipeline."""
        self._raise_if_doomed()
        index, self._asked = self._asked, self._asked + 1
        self.phase += 1
        if self._saved is not None and index < self._saved.num_calls:
            self.run.num_replayed += 1
            return self._answer_zeros(call, self._saved.specs.at(index))
        if self._expected is not None:
            inputs, form = self._last_calls.get(self.phase, (None, None))
            is_like_the_last = inputs == describe_output([call.args, call.kwargs]) and not has_opaque(form)
            return self._answer_zeros(call, form) if is_like_the_last else self._answer(call)
        if self.options.budget is not None and self.run.steps >= self.options.budget:
            raise StepBudgetExceeded(f"more than {self.options.budget} steps")
        output = self._take_answer(call)
        form = describe_output(output)
        self._recorder.add_answer(form, is_first_step=self._stepped == 0)
        if self.options.stop_after is not None:
            self._last_calls[self.phase] = (describe_output([call.args, call.kwargs]), form)
        return output

    def call_component(self, call: ComponentCall) -> Any:
        return self._host.call_component(call)

    def before_step(self, sampler: Any) -> None:
        """Note what the sampler holds at its own first step."""
        if sampler is not self._sampler:
            self._finished_samplers, self._sampler = self._stepped, sampler
            if self.forecaster is not None:
                self.forecaster.begin_sampler(sampler)
        self._recorder.begin_sampler(sampler)

    def after_step(self, sampler: Any, output: Any, model_output: Any) -> Any:
        """The step's output for the pipeline. output: the sampler's; model_output: the denoiser's, which it used."""
        if self._expected is not None:
            self.phase = -1
            self._raise_if_doomed()
            return replace_latents(output, self._expected)
        self._stepped += 1
        self.run.num_steps = self._count_steps(sampler)
        self.calls_per_step, self.phase = self.phase + 1, -1
        if self.forecaster is not None:
            self.forecaster.end_step(self.calls_per_step)
        if self._saved is not None:
            if self._stepped < self._saved.steps:
                return self._recorder.restore_earlier(self._saved, self._stepped, sampler, output)
            output = self._recorder.restore_step(self._saved, self._asked, output)
            if self.forecaster is not None and self._saved.forecast is not None:
                self.forecaster.restore(self._saved.forecast, self._host.device)
            self._saved = None
            self._observe(sampler, output)
            return output
        self._host.check_latents(self, next(tensors_in(output), None))
        self.run.steps += 1
        self._observe(sampler, output)
        if self.run.steps == self.options.stop_after:
            output = self._end_early(sampler, output, model_output)
        self._report()
        self._raise_if_doomed()
        return output

    # -- its parts

    def _main(self) -> None:
        """The greenlet's body. Interrupts of the process pass through to the hub's caller."""
        try:
            self._raise_if_doomed()
            self.run.output = self._pipeline(**self._streams.kwargs)
            if self._saved is not None:
                raise CheckpointCorrupt("the call ended before the saved step")
            if not is_finite(self.run.output):
                raise NotFinite("in the finished picture")
            self._raise_if_doomed()
        except GreenletExit:
            self.fail(self._doom or RunCancelled())
        except Exception as error:  # noqa: BLE001 - whatever a pipeline raises belongs to its run alone
            self._host.check_device(error)
            self.run.traceback = traceback.format_exc()
            is_its_own = isinstance(error, (CheckpointError, OutOfMemory)) or is_device_error(error)
            if self._saved is not None and not is_its_own:
                # an error in the middle of a replay speaks against the checkpoint: from step 0 the call may be sound
                text = f"its replay failed: {type(error).__name__}: {str(error)[:200]}"
                self.fail(CheckpointCorrupt(text))
            elif is_out_of_memory(error):
                self.fail(OutOfMemory(f"The device's memory ran out at step {self.run.steps + 1}."))
            else:
                self.fail(error)

    def _end_early(self, sampler: Any, output: Any, model_output: Any) -> Any:
        """Compute nothing from here on, and save nothing: the picture is ready before a checkpoint would be."""
        expected = estimate_result(sampler, output, model_output)
        if expected is None:
            raise RunFailed(f"{type(sampler).__name__} has nothing to show before its end")
        if not is_finite(expected):
            raise NotFinite(f"in the estimate at step {self.run.steps}")
        self._expected = self.run.latents = self.run.denoised = expected.clone()
        self._recorder.drop_boundary()
        return replace_latents(output, expected)

    def _take_answer(self, call: Call) -> Any:
        """The answer to a call, by a pass or foretold, which is counted."""
        output = self._answer(call)
        if isinstance(output, Foretold):
            self.run.num_forecast += 1
            return output.output
        self.run.num_calls += 1
        self.run.num_passes += 1
        if self.forecaster is not None:
            return self.forecaster.learn(call, self._locate(call), output)
        return output

    def _locate(self, call: Call) -> Place:
        steps_left = 0 if self.run.num_steps is None else self.run.num_steps - self._stepped
        step = self._stepped - self._finished_samplers
        return Place(self.phase, step, steps_left, self._host.path_of(call.module))

    def _answer(self, call: Call) -> Any:
        differentiates = torch.is_grad_enabled() and any(t.requires_grad for t in tensors_in([call.args, call.kwargs]))
        if differentiates:
            return self._host.call_inline(self, call)
        if self._recorder.has_guider:  # it may have put hooks on the denoiser for this very call
            registries = (getattr(module, "_diffusers_hook", None) for module in call.module.modules())
            if any(registry is not None and registry.hooks for registry in registries):
                return self._host.call_inline(self, call)
        return self._host.park(call)

    def _answer_zeros(self, call: Call, form: Any) -> Any:
        """Zeros of this form, without a call of the denoiser."""
        if self._stepped == 0 and (has_opaque(form) or is_opaque(call.args, call.kwargs)):
            # an opaque object, such as a key-value cache, is filled by the first step's calls, whose inputs are exact
            return self._answer(call)
        inputs = [call.args, call.kwargs]
        device = next((t.device for t in tensors_in(inputs) if t.ndim), self._host.device)
        return make_zeros(form, device, limit_answer(inputs))

    def _count_steps(self, sampler: Any) -> int | None:
        """Sampler steps of the call as its own sampler has them (of several samplers: those in use so far)."""
        own = getattr(self._pipeline, "_num_timesteps", None)
        timesteps = getattr(sampler, "timesteps", None)
        if not isinstance(own, int) or self._finished_samplers:
            if timesteps is None:
                return None
            own = len(timesteps) - (getattr(sampler, "begin_index", None) or 0)
        num_steps = max(self._finished_samplers + own, self.run.steps)
        return num_steps if self.options.stop_after is None else min(num_steps, self.options.stop_after)

    def _observe(self, sampler: Any, output: Any) -> None:
        run, tensors = self.run, list(tensors_in(output))
        run.latents = tensors[0].detach() if tensors else None
        run.denoised = tensors[1].detach() if len(tensors) > 1 and tensors[1].shape == tensors[0].shape else None
        foretelling = None if self.forecaster is None else self.forecaster.describe()
        self._recorder.record_step(sampler, run.steps, self._asked, output, foretelling)

    def _report(self) -> None:
        """Call the listeners; checkpoints first, so that a listener to steps may read `checkpoint`."""
        run, options = self.run, self.options
        every, since = options.checkpoint_every, run.steps - self._saved_at
        is_due = since >= every(run) if callable(every) else every is not None and run.steps % every == 0
        if run.steps == options.checkpoint_at or is_due:
            self._host.confirm_latents(self)
            before, taken = run._latest, self.snapshot()
            self._saved_at = run.steps
            listener = options.on_checkpoint
            if listener is not None and taken is not None and taken is not before:
                self._host.call_listener(lambda: listener(run, taken))
        on_step = options.on_step
        if on_step is not None:
            self._host.call_listener(lambda: on_step(run))

    def _raise_if_doomed(self) -> None:
        if self._doom is not None:
            raise GreenletExit
