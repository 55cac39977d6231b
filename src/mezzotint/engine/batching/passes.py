"""The passes of a plan, made: calls of several runs answered by one call of the real denoiser where that is right.

A merged pass goes through three questions: can the calls be merged under some layout; is the pattern of decisions
trusted, or does it now come out equal to separate calls; did memory suffice. After a "no" the plan is revised. A run's
own failure becomes the error of its `Outcome` and nobody else's.
"""

import contextlib
import time
from collections import deque
from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from mezzotint.domain.errors import OutOfMemory
from mezzotint.engine.batching.equality import EqualityCache
from mezzotint.engine.batching.merge import LAYOUTS, Layout, Merged, merge, rows_of, sample_of, split, takes_lists
from mezzotint.engine.batching.meter import PassMeter
from mezzotint.engine.batching.padding import VECTOR_LANES, pad_texts, text_length
from mezzotint.engine.batching.plan import Setback, TurnPlan, Way, revise
from mezzotint.engine.batching.verify import MergeVerdict, Verifier, does_not_merge
from mezzotint.engine.batching.widths import FittingWidths
from mezzotint.engine.device.clock import Span, clock_of
from mezzotint.engine.device.faults import free_frames, is_device_error, is_out_of_memory
from mezzotint.engine.device.memory import DeviceMemory
from mezzotint.engine.errors import CannotMerge
from mezzotint.engine.execution import Execution
from mezzotint.engine.isolation import Isolation, ThreadState
from mezzotint.engine.lora import LoraSwitcher
from mezzotint.engine.numerics import Numerics
from mezzotint.engine.proxy import Call
from mezzotint.engine.tree import map_leaves


@dataclass(frozen=True, slots=True, eq=False)
class Outcome:
    """The answer to a run's parked call: an output or an error."""

    execution: Execution
    output: Any = None
    error: BaseException | None = None


@dataclass(frozen=True, slots=True, eq=False)
class _Batch:
    """Runs whose calls share a batch key; `calls` and `rows` may be filled beyond them with copies of the first.

    lengths: of the texts, where these are padded to one.
    """

    executions: list[Execution]
    calls: list[Call]
    rows: list[int]
    lengths: tuple[int, ...] = ()

    @property
    def is_mixed(self) -> bool:
        return len(self.executions) > 1


@dataclass(frozen=True, slots=True, eq=False)
class _Pass:
    """A merged pass that may be used. parts: one a call of the batch, copies included."""

    batch: _Batch
    layout: Layout
    parts: list[Any]
    span: Span


class Passes:
    """Calls the real denoisers. free: gives memory back, before a pass that had too little is made again."""

    def __init__(
        self,
        numerics: Numerics,
        isolation: Isolation,
        loras: LoraSwitcher,
        verifier: Verifier,
        paths: dict[int, str],
        *,
        free: Callable[[], None],
    ) -> None:
        self.meter = PassMeter(numerics, paths)
        self._numerics = numerics
        self._isolation = isolation
        self._loras = loras
        self._verifier = verifier
        self._paths = paths
        self._free = free
        # the time that this thread has worked: what else the CPU does says nothing on the cost of a width
        self._clock = clock_of(numerics.device, time.thread_time)
        self._equality = EqualityCache()
        self._widths = FittingWidths(DeviceMemory(numerics.device))

    def execute(self, plan: TurnPlan, executions: Sequence[Execution]) -> Iterator[Outcome]:
        """Make the passes of the plan, and those that replace a failed one; one outcome a call."""
        by_id = {execution.run.id: execution for execution in executions}
        for reason in plan.unmerged:
            self.meter.count_unmerged(reason)
        pending = deque(plan.passes)
        while pending:
            planned = pending.popleft()
            served = [by_id[call.run.id] for call in planned.calls]
            rows = sum(call.run.rows for call in planned.calls)
            widest = self.widest(served[0].call, rows)  # another pass of this turn may have failed
            is_too_wide = len(served) > 1 and widest is not None and rows > widest
            result = Setback.OUT_OF_MEMORY if is_too_wide else self._make(planned.way, served)
            if isinstance(result, Setback):
                widest = self.widest(served[0].call, rows)
                pending.extendleft(reversed(revise(planned, result, has_fixed_rows=self._is_filled, widest=widest)))
            else:
                yield from result

    @property
    def largest_pass(self) -> tuple[int, int] | None:
        """Rows and bytes of the pass that took most memory; None where the device does not tell."""
        return self._widths.peak

    @property
    def _is_filled(self) -> bool:
        """Say whether every pass is filled up to one width."""
        return self._numerics.fixed_rows is not None

    def widest(self, call: Call, wanted: int) -> int | None:
        """Rows of the widest pass of calls like this one that is expected to fit; None if `wanted` may be tried."""
        if self._is_filled:
            return None
        with contextlib.suppress(CannotMerge):
            return self._widths.widest(self.meter.form_of(call), wanted)
        return None

    def fill_text(self, execution: Execution) -> Call:
        """The run's call; in exact mode with its text filled up to whole lanes, where the denoiser heeds the mask.

        Raises: CannotMerge if the call has no rows.
        """
        call = execution.call
        length = text_length(call) if self._numerics.exact and self._numerics.fixed_rows is None else 0
        if length % VECTOR_LANES == 0:
            return call
        (longer,) = pad_texts([call], length + -length % VECTOR_LANES)
        denoiser = (self._paths[id(call.module)], call.cache_context, execution.loras.digest, "heeds its mask")
        key = self._verifier.key(denoiser, (), Layout(), [rows_of(call)])
        verdict = self._verifier.verdict(key)
        if verdict is None:
            with self.meter.time_verification():
                short, long = self._attempt(execution), self._attempt(execution, longer)
            if long.error is not None and is_device_error(long.error):
                return longer  # the pass meets the same error and deals with it; nothing is known about the mask
            verdict = self._verifier.judge([long.output], [short.output]) if long.error is None else MergeVerdict.WRONG
            if short.error is None and long.error is not None:
                self._verifier.blame_merge(key, long.error)
            elif short.error is None:
                self._verifier.remember(key, verdict)
        return call if verdict is MergeVerdict.WRONG else longer

    def call_inline(self, execution: Execution, call: Call) -> Any:
        """Make the call at once, in the run's own greenlet and state."""
        self.meter.count_unmerged("the run differentiates through its denoiser, or a guider has hooks on it")
        output, span = self.meter.measure(lambda: call.module(*call.args, **call.kwargs))
        self.meter.charge([execution.run], [1], span)
        return output

    # -- merged

    def _make(self, way: Way, executions: list[Execution]) -> list[Outcome] | Setback:
        if way is Way.ALONE:
            return [self._make_alone(execution) for execution in executions]
        result = self._try_merged(way, executions)
        if result is Setback.OUT_OF_MEMORY and self._is_filled:  # a narrower pass would have other bits
            result = self._try_merged(way, executions)
            if result is Setback.OUT_OF_MEMORY:
                return [Outcome(e, error=OutOfMemory(self._describe_shortage(e.call))) for e in executions]
        return result

    def _try_merged(self, way: Way, executions: list[Execution]) -> list[Outcome] | Setback:
        try:
            made = self._make_merged(self._batch(way, executions))
        except Exception as error:
            if not is_out_of_memory(error):
                raise
            free_frames(error)
        else:
            return self._account(made) if isinstance(made, _Pass) else made
        # only out here nothing keeps the failed pass's tensors alive
        if not self._is_filled:
            self._widths.add_failure(self.meter.form_of(executions[0].call), sum(rows_of(e.call) for e in executions))
        self.meter.count_unmerged("memory ran out at this width")
        self._free()
        return Setback.OUT_OF_MEMORY

    def _account(self, made: _Pass) -> list[Outcome]:
        executions = made.batch.executions
        self.meter.charge([execution.run for execution in executions], made.batch.rows, made.span)
        self.meter.num_merged += len(executions) > 1
        self.meter.num_interleaved += made.layout.interleaved
        return [Outcome(execution, part) for execution, part in zip(executions, made.parts, strict=False)]

    def _batch(self, way: Way, executions: list[Execution]) -> _Batch:
        calls = [execution.call for execution in executions]
        rows = [rows_of(call) for call in calls]
        if way is Way.PADDED:
            lengths = tuple(text_length(call) for call in calls) if self._numerics.exact else (0,)
            return _Batch(executions, pad_texts(calls), rows, lengths)
        if self._is_filled:
            missing = (self._numerics.fixed_rows or 0) // rows[0] - len(calls)
            calls, rows = calls + [calls[0]] * missing, rows + [rows[0]] * missing
        return _Batch(executions, calls, rows)

    def _make_merged(self, batch: _Batch) -> _Pass | list[Outcome] | Setback:
        """Make the pass under the first layout that is right."""
        reasons = []
        for layout in LAYOUTS:
            try:
                merged = merge(batch.calls, layout, expand_all=self._is_filled, all_equal=self._equality.all_equal)
            except CannotMerge as reason:
                reasons.append(str(reason))
                continue
            result = self._make_under(layout, batch, merged)
            if not isinstance(result, MergeVerdict):
                return result
            if result is MergeVerdict.DRIFT and not batch.lengths:
                self.meter.count_unmerged("not bit-identical at this width")
                return Setback.TOO_WIDE
            reasons.append("merged output differs from separate calls")
        self.meter.count_unmerged("texts of unequal length" if batch.lengths else reasons[0])
        return Setback.NO_LAYOUT

    def _make_under(
        self, layout: Layout, batch: _Batch, merged: Merged
    ) -> _Pass | list[Outcome] | Setback | MergeVerdict:
        """The pass, what becomes of its calls instead, or the verdict that forbids this layout."""
        first, call = batch.executions[0], batch.calls[0]
        denoiser: tuple[Hashable, ...]
        denoiser = (self._paths[id(call.module)], call.cache_context, first.loras.digest, batch.lengths)
        if self._is_filled:
            denoiser = (*denoiser, "mixed" if batch.is_mixed else "own")
        key = self._verifier.key(denoiser, merged.decisions, layout, batch.rows)
        verdict = self._verifier.verdict(key)
        if verdict is not None and verdict is not MergeVerdict.SAME:
            return verdict
        failure: Exception | None = None
        try:
            output, span = self.meter.measure(lambda: self._call(first, merged.args, merged.kwargs))
            parts = split(output, batch.rows, layout, lists=takes_lists(call))
        except Exception as error:
            if is_out_of_memory(error):
                raise
            free_frames(error)
            failure = error
        if failure is not None:
            return self._find_fault(batch, key, failure)
        made = _Pass(batch, layout, parts, span)
        if verdict is MergeVerdict.SAME:
            return made
        found = self._prove_slots(made, key) if self._is_filled and batch.is_mixed else self._verify(made, key)
        return made if found is MergeVerdict.SAME else found

    def _verify(self, made: _Pass, key: str) -> list[Outcome] | MergeVerdict:
        """Compare with separate calls: bit by bit in exact mode, but for a filled pass, whose width is another."""
        executions = made.batch.executions
        with self.meter.time_verification():
            separate = [self._attempt(execution) for execution in executions]
        shortage = next((o.error for o in separate if o.error is not None and is_out_of_memory(o.error)), None)
        if shortage is not None:
            raise shortage
        if any(outcome.error is not None for outcome in separate):
            return separate if self._is_filled else [self._make_alone(execution) for execution in executions]
        outputs = [outcome.output for outcome in separate]
        verdict = self._verifier.judge(made.parts[: len(outputs)], outputs, bit_by_bit=not self._is_filled)
        self._verifier.remember(key, verdict)
        return verdict

    def _prove_slots(self, made: _Pass, key: str) -> Setback | MergeVerdict:
        """Compare every slot of a filled pass, bit by bit, with the first slot of its call's own filled pass.

        Kernels may sum otherwise at another place in the batch. Where a slot differs, every call gets its own pass.
        """
        own = []
        for execution in made.batch.executions:
            answer = self._make_merged(self._batch(Way.MERGED, [execution]))
            if not isinstance(answer, _Pass):
                return Setback.TOO_WIDE  # the call fails or goes another way by itself, which it then does
            self.meter.charge_verification(answer.span)
            own.append(answer.parts[0])
        expected = [*own, *[own[0]] * (len(made.parts) - len(own))]
        verdict = self._verifier.judge(made.parts, expected)
        self._verifier.remember(key, verdict)
        return verdict

    def _find_fault(self, batch: _Batch, key: str, error: Exception) -> list[Outcome] | Setback | MergeVerdict:
        """The merged call raised. It is the layout's fault only if every call succeeds alone."""
        is_known = isinstance(error, CannotMerge)
        text = str(error) if is_known else f"merged call failed: {type(error).__name__}: {str(error)[:120]}"
        self.meter.count_unmerged(text)
        if self._is_filled:
            return self._find_fault_filled(batch, key, error)
        outcomes = [self._make_alone(execution) for execution in batch.executions]
        if all(outcome.error is None for outcome in outcomes):
            self._verifier.blame_merge(key, error)
        return outcomes

    def _find_fault_filled(self, batch: _Batch, key: str, error: Exception) -> list[Outcome] | Setback | MergeVerdict:
        """A call that succeeds alone has other bits there, so that its output is not used."""
        if batch.is_mixed and not isinstance(error, CannotMerge):
            return Setback.TOO_WIDE
        with self.meter.time_verification():
            outcome = self._attempt(batch.executions[0])
        if outcome.error is not None:
            return [outcome]
        if not does_not_merge(error):
            return [Outcome(batch.executions[0], error=error)]
        self._verifier.blame_merge(key, error)
        return MergeVerdict.WRONG

    # -- alone

    def _make_alone(self, execution: Execution) -> Outcome:
        outcome: Outcome
        outcome, span = self.meter.measure(lambda: self._attempt(execution))
        if outcome.error is not None and is_out_of_memory(outcome.error):
            self._free()
            outcome, span = self.meter.measure(lambda: self._attempt(execution))
        if outcome.error is not None and is_out_of_memory(outcome.error):
            outcome = Outcome(execution, error=OutOfMemory(self._describe_shortage(execution.call)))
        self.meter.charge([execution.run], [1], span)
        return outcome

    def _describe_shortage(self, call: Call) -> str:
        """The sentence for the job's owner. Filled passes are as wide as the model's passes always are."""
        with contextlib.suppress(CannotMerge):
            rows, sample = max(rows_of(call), self._numerics.fixed_rows or 1), sample_of(call)
            text = f"A pass over samples of {(rows, *sample.shape[1:])} does not fit into the device's memory"
            share = self._widths.largest / (rows * sample[0].numel())
            return f"{text}; passes of {share:.0%} of that size did." if 0 < share < 1 else f"{text}."
        return "A pass does not fit into the device's memory."

    def _attempt(self, execution: Execution, call: Call | None = None) -> Outcome:
        call = call or execution.call
        self.meter.num_attempts += 1
        try:
            return Outcome(execution, self._call(execution, call.args, call.kwargs))
        except Exception as error:  # noqa: BLE001 - whatever the denoiser raises belongs to the run that called it
            free_frames(error)
            return Outcome(execution, error=error)

    def _call(self, execution: Execution, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """The real denoiser, under the run's adapters, attention processors, autocast and cache context."""
        call = execution.call
        module: Any = call.module
        self._loras.apply(execution.loras)
        with contextlib.ExitStack() as stack:
            stack.enter_context(torch.no_grad())
            stack.enter_context(self._numerics.pass_kernels())
            stack.enter_context(self._use_state(execution.thread_state))
            if call.cache_context is not None and hasattr(module, "cache_context"):
                stack.enter_context(module.cache_context(call.cache_context))
            fresh = map_leaves((args, kwargs), lambda leaf: leaf)  # some denoisers empty the lists that they are given
            made = Call(call.module, args, kwargs, call.cache_context)
            with contextlib.suppress(CannotMerge):
                form, rows = self.meter.form_of(made), rows_of(made)
                stack.enter_context(self._widths.observe(form, rows, rows * sample_of(made)[0].numel()))
            begun = self._clock.mark()
            output = module(*fresh[0], **fresh[1])
            self.meter.learn_cost(made, Span(self._clock, begun, self._clock.mark()))
            return output

    @contextlib.contextmanager
    def _use_state(self, state: ThreadState) -> Iterator[None]:
        before = self._isolation.processors()
        self._isolation.set_processors(state.processors)
        try:
            if state.autocast[0]:
                with torch.autocast(self._numerics.device.type, dtype=state.autocast[1]):
                    yield
            else:
                yield
        finally:
            self._isolation.set_processors(before)
