"""Making the passes: the parked calls of several runs answered by one call of the real denoiser where that is right.

A pass goes through three questions: can the calls be merged under some layout; is the pattern of decisions trusted, or
does it now come out equal to separate calls; did memory suffice. Any "no" leads to a narrower pass or to separate ones;
a run's own failure becomes its `Answer.error` and nobody else's.
"""

import contextlib
import time
from collections import Counter, deque
from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch

from mezzotint.engine.batching.merge import LAYOUTS, Layout, Merged, merge, primary_of, rows_of, split, takes_lists
from mezzotint.engine.batching.padding import VECTOR_LANES, pad_texts, text_length
from mezzotint.engine.batching.verify import MergeVerdict, Verifier
from mezzotint.engine.errors import CannotMerge
from mezzotint.engine.isolation import Isolation, ThreadState
from mezzotint.engine.lora import LoraSwitcher
from mezzotint.engine.numerics import Numerics, is_out_of_memory
from mezzotint.engine.proxy import Call
from mezzotint.engine.run import Run
from mezzotint.engine.tree import map_leaves

CURVE_MEMORY_PASSES = 100
MAX_CURVES = 512  # forms of calls whose costs are kept
MAX_REASONS = 256  # distinct reasons kept; further ones are counted under "other"


@dataclass(frozen=True, slots=True, eq=False)
class Answer:
    """What a run's parked call comes back with: an output or an error."""

    run: Run
    output: Any = None
    error: BaseException | None = None


@dataclass(frozen=True, slots=True, eq=False)
class _Batch:
    """Runs whose calls share a batch key; `calls` and `rows` may be filled beyond them with copies of the first."""

    runs: list[Run]
    calls: list[Call]
    rows: list[int]
    lengths: tuple[int, ...] = ()  # of their texts, where those are padded to one


@dataclass(slots=True, eq=False)
class Curve:
    """What passes of one form cost at each width: the least of the last eight, since what else the machine does only
    adds to it. A width not seen for long is forgotten, so that one slow moment does not count for ever."""

    seconds: dict[int, deque[float]] = field(default_factory=dict)
    seen_at: dict[int, int] = field(default_factory=dict)
    num_passes: int = 0

    def add(self, rows: int, spent_s: float) -> None:
        self.num_passes += 1
        self.seconds.setdefault(rows, deque(maxlen=8)).append(spent_s)
        self.seen_at[rows] = self.num_passes
        for old in [r for r, at in self.seen_at.items() if self.num_passes - at > CURVE_MEMORY_PASSES]:
            del self.seconds[old], self.seen_at[old]

    def least(self) -> dict[int, float]:
        return {rows: min(found) for rows, found in self.seconds.items()}


class Passes:
    """Calls the real denoisers, and counts and charges what it does.

    num_passes: passes whose output was used. num_merged: those that served several runs, and
    num_interleaved those of them whose rows were interleaved. num_verifications: separate
    calls made only to check a merged one; verify_s: their time, charged to no run. pass_s: time of the passes, equal to
    the sum of all runs' `cost_s`.
    """

    def __init__(
        self,
        numerics: Numerics,
        isolation: Isolation,
        loras: LoraSwitcher,
        verifier: Verifier,
        paths: dict[int, str],
    ) -> None:
        self.num_passes = 0
        self.num_merged = 0
        self.num_interleaved = 0
        self.num_verifications = 0
        self.pass_s = 0.0
        self.verify_s = 0.0
        self.unmerged_reasons: Counter[str] = Counter()
        self._numerics = numerics
        self._isolation = isolation
        self._loras = loras
        self._verifier = verifier
        self._paths = paths
        self._curves: dict[Hashable, Curve] = {}
        self._num_attempts = 0

    def answer(self, runs: list[Run]) -> list[Answer]:
        """One answer for each run, whose parked calls share a batch key but for the lengths of their texts."""
        if len(runs) > 1 and len(pieces := _by_length(runs)) > 1:
            return self._padded(runs) or [answer for piece in pieces for answer in self.answer(piece)]
        if len(runs) > 1 or self._numerics.fixed_rows is not None:
            answers = self._guarded(runs, lambda: self._together(self._batch(runs)))
            if answers is not None:
                return answers
        return [self._alone(run) for run in runs]

    def _padded(self, runs: list[Run]) -> list[Answer] | None:
        """None where padding is not right: then runs whose texts are of equal length go together."""
        calls = [_call_of(run) for run in runs]
        lengths = tuple(text_length(call) for call in calls) if self._numerics.exact else (0,)
        batch = _Batch(runs, pad_texts(calls), [rows_of(call) for call in calls], lengths)
        return self._guarded(runs, lambda: self._together(batch))

    def _guarded(self, runs: list[Run], work: Callable[[], list[Answer] | None]) -> list[Answer] | None:
        try:
            return work()
        except Exception as error:
            if not is_out_of_memory(error):
                raise
            return self._narrower(runs, "memory ran out at this width")

    def fill_text(self, run: Run) -> Call:
        """The run's call; in exact mode with its text filled up to whole lanes, where the denoiser heeds the mask."""
        call = _call_of(run)
        length = text_length(call) if self._numerics.exact and self._numerics.fixed_rows is None else 0
        if length % VECTOR_LANES == 0:
            return call
        (longer,) = pad_texts([call], length + -length % VECTOR_LANES)
        denoiser = (self._paths[id(call.module)], call.cache_context, run.loras.digest, "heeds its mask")
        key = self._verifier.key(denoiser, (), Layout(), [rows_of(call)])
        verdict = self._verifier.verdict(key)
        if verdict is None:
            with self._verifying():
                short, long = self._attempt(run), self._attempt(run, longer)
            is_sound = short.error is None
            verdict = self._verifier.judge([long.output], [short.output]) if long.error is None else MergeVerdict.WRONG
            if is_sound:
                self._verifier.remember(key, verdict)
        return call if verdict is MergeVerdict.WRONG else longer

    def call_inline(self, run: Run, call: Call) -> Any:
        """The call at once, in the run's own greenlet and state."""
        self.count_unmerged("the run differentiates through its denoiser, or a guider has hooks on it")
        output, spent_s = self._timed(lambda: call.module(*call.args, **call.kwargs))
        self._charge([run], [1], spent_s)
        return output

    def read_costs(self, run: Run) -> dict[int, float]:
        """Rows of a pass -> least seconds of the last ones that wide, for calls of the form of this run's."""
        try:
            return self._curves.get(self._form(_call_of(run)), Curve()).least()
        except CannotMerge:
            return {}

    def count_unmerged(self, reason: str) -> None:
        known = reason in self.unmerged_reasons or len(self.unmerged_reasons) < MAX_REASONS
        self.unmerged_reasons[reason if known else "other"] += 1

    # -- merged

    def _batch(self, runs: list[Run]) -> _Batch:
        calls = [_call_of(run) for run in runs]
        fixed = self._numerics.fixed_rows
        if fixed is not None:
            calls += [calls[0]] * (fixed // rows_of(calls[0]) - len(calls))
        return _Batch(runs, calls, [rows_of(call) for call in calls])

    def _together(self, batch: _Batch) -> list[Answer] | None:
        """None where no layout is right: then each call is made alone."""
        reasons = []
        for layout in LAYOUTS:
            try:
                merged = merge(batch.calls, layout, expand_all=self._numerics.fixed_rows is not None)
            except CannotMerge as reason:
                reasons.append(str(reason))
                continue
            call = batch.calls[0]
            denoiser = (self._paths[id(call.module)], call.cache_context, batch.runs[0].loras.digest, batch.lengths)
            key = self._verifier.key(denoiser, merged.decisions, layout, batch.rows)
            verdict = self._verifier.verdict(key)
            if verdict is None or verdict is MergeVerdict.SAME:
                try:
                    parts, spent_s = self._pass(batch, merged, layout)
                except Exception as error:
                    if is_out_of_memory(error):
                        raise
                    return self._failed(batch, key, error)
                verdict, answers = (
                    (verdict, self._settle(batch, parts, spent_s))
                    if verdict is MergeVerdict.SAME
                    else self._verified(batch, parts, spent_s, key)
                )
                if answers is not None:
                    self.num_interleaved += verdict is MergeVerdict.SAME and layout.interleaved
                    return answers
            if verdict is MergeVerdict.DRIFT and not batch.lengths:
                return self._narrower(batch.runs, "not bit-identical at this width")
            reasons.append("merged output differs from separate calls")
        self.count_unmerged("texts of unequal length" if batch.lengths else reasons[0])
        return None

    def _pass(self, batch: _Batch, merged: Merged, layout: Layout) -> tuple[list[Any], float]:
        output, spent_s = self._timed(lambda: self._call(batch.runs[0], merged.args, merged.kwargs))
        return split(output, batch.rows, layout, lists=takes_lists(batch.calls[0])), spent_s

    def _settle(self, batch: _Batch, parts: list[Any], spent_s: float) -> list[Answer]:
        self._charge(batch.runs, batch.rows, spent_s)
        self.num_merged += len(batch.runs) > 1
        return [Answer(run, part) for run, part in zip(batch.runs, parts, strict=False)]

    def _verified(
        self, batch: _Batch, parts: list[Any], spent_s: float, key: str
    ) -> tuple[MergeVerdict | None, list[Answer] | None]:
        """Compare a pass of a new kind with separate calls; answers only where they are final."""
        with self._verifying():
            separate = [self._attempt(run) for run in batch.runs]
        if any(answer.error is not None for answer in separate):
            return None, [self._alone(run) for run in batch.runs]
        verdict = self._verifier.judge(parts[: len(separate)], [answer.output for answer in separate])
        self._verifier.remember(key, verdict)
        return verdict, self._settle(batch, parts, spent_s) if verdict is MergeVerdict.SAME else None

    @contextlib.contextmanager
    def _verifying(self) -> Iterator[None]:
        begun, num_calls = time.perf_counter(), self._num_attempts
        yield
        self._numerics.synchronize()
        self.verify_s += time.perf_counter() - begun
        self.num_verifications += self._num_attempts - num_calls

    def _failed(self, batch: _Batch, key: str, error: Exception) -> list[Answer]:
        """The merged call raised. It is the layout's fault only if every call succeeds alone."""
        is_known = isinstance(error, CannotMerge)
        self.count_unmerged(
            str(error) if is_known else f"merged call failed: {type(error).__name__}: {str(error)[:120]}"
        )
        answers = [self._alone(run) for run in batch.runs]
        if all(answer.error is None for answer in answers):
            self._verifier.remember(key, MergeVerdict.WRONG)
        return answers

    def _narrower(self, runs: list[Run], reason: str) -> list[Answer]:
        self.count_unmerged(reason)
        self._numerics.relieve()
        if len(runs) == 1:
            return [self._alone(runs[0])]
        half = len(runs) // 2
        return self.answer(runs[:half]) + self.answer(runs[half:])

    # -- alone

    def _alone(self, run: Run) -> Answer:
        begun = time.perf_counter()
        answer = self._attempt(run)
        self._numerics.synchronize()
        spent_s = time.perf_counter() - begun
        self._charge([run], [1], spent_s)
        return answer

    def _attempt(self, run: Run, call: Call | None = None) -> Answer:
        call = call or _call_of(run)
        self._num_attempts += 1
        try:
            return Answer(run, self._call(run, call.args, call.kwargs))
        except Exception as error:  # noqa: BLE001 - whatever the denoiser raises belongs to the run that called it
            return Answer(run, error=error)

    def _call(self, run: Run, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """The real denoiser, under the run's adapters, attention processors, autocast and cache context."""
        call, state = _call_of(run), run.state
        module: Any = call.module
        assert state is not None
        self._loras.apply(run.loras)
        with contextlib.ExitStack() as stack:
            stack.enter_context(torch.no_grad())
            stack.enter_context(self._numerics.pass_kernels())
            stack.enter_context(self._dressed(state))
            if call.cache_context is not None and hasattr(module, "cache_context"):
                stack.enter_context(module.cache_context(call.cache_context))
            fresh = map_leaves((args, kwargs), lambda leaf: leaf)  # some denoisers empty the lists that they are given
            begun = self._numerics.clock()
            output = module(*fresh[0], **fresh[1])
            self._learn(Call(call.module, args, kwargs, call.cache_context), self._numerics.clock() - begun)
            return output

    @contextlib.contextmanager
    def _dressed(self, state: ThreadState) -> Iterator[None]:
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

    def _timed(self, work: Callable[[], Any]) -> tuple[Any, float]:
        self._numerics.synchronize()
        begun = time.perf_counter()
        result = work()
        self._numerics.synchronize()
        return result, time.perf_counter() - begun

    def _charge(self, runs: Sequence[Run], rows: Sequence[int], spent_s: float) -> None:
        """Share the time of one pass by rows."""
        self.num_passes += 1
        self.pass_s += spent_s
        total = sum(rows[: len(runs)])
        for run, own in zip(runs, rows, strict=False):
            run.cost_s += spent_s * own / total

    def _learn(self, call: Call, spent_s: float) -> None:
        with contextlib.suppress(CannotMerge):
            form, rows = self._form(call), rows_of(call)
            if form in self._curves or len(self._curves) < MAX_CURVES:
                self._curves.setdefault(form, Curve()).add(rows, spent_s)

    def _form(self, call: Call) -> Hashable:
        """What decides the cost of a row: the denoiser and the shape of its samples."""
        primary = primary_of(call)
        sample = primary if isinstance(primary, torch.Tensor) else primary[0]
        return self._paths[id(call.module)], call.cache_context, tuple(sample.shape[1:])


def _by_length(runs: Sequence[Run]) -> list[list[Run]]:
    pieces: dict[int, list[Run]] = {}
    for run in runs:
        pieces.setdefault(text_length(_call_of(run)), []).append(run)
    return list(pieces.values())


def _call_of(run: Run) -> Call:
    assert run.parked is not None
    return run.parked
