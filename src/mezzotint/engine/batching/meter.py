"""The account of passes: how many, for how long, at whose cost, and what a pass of each width takes."""

import contextlib
import time
from collections import Counter, deque
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from mezzotint.engine.batching.merge import rows_of, sample_of
from mezzotint.engine.device.clock import Span, clock_of
from mezzotint.engine.errors import CannotMerge
from mezzotint.engine.numerics import Numerics
from mezzotint.engine.proxy import Call
from mezzotint.engine.run import Run

CURVE_MEMORY_PASSES = 100
MAX_CURVES = 512  # forms of calls whose costs are kept
MAX_WARM = 8192  # forms and widths that are known to be warm
MAX_REASONS = 256  # distinct reasons kept; further ones are counted under "other"


@dataclass(slots=True, eq=False)
class CostCurve:
    """Seconds of passes of one form by width: the least of the last eight, since other load on the machine only adds.

    A width that was not seen for long is forgotten, so that one slow moment does not count for ever.
    """

    seconds: dict[int, deque[float]] = field(default_factory=dict)
    seen_at: dict[int, int] = field(default_factory=dict)
    num_passes: int = 0
    least: dict[int, float] = field(default_factory=dict)

    def add(self, rows: int, spent_s: float) -> None:
        self.num_passes += 1
        self.seconds.setdefault(rows, deque(maxlen=8)).append(spent_s)
        self.seen_at[rows] = self.num_passes
        for old in [r for r, at in self.seen_at.items() if self.num_passes - at > CURVE_MEMORY_PASSES]:
            del self.seconds[old], self.seen_at[old]
        self.least = {width: min(found) for width, found in self.seconds.items()}


class PassMeter:
    """Counts passes and charges their time to runs.

    num_passes: passes whose output was used. num_merged: passes that served several runs; num_interleaved: those with
    interleaved rows. num_verifications: separate calls made only to check a merged one; verify_s: their time, charged
    to no run. pass_s: time of the passes: the sum of all runs' `cost_s` and of what copies took. num_attempts: calls
    made alone, verifications included.

    A device tells the time of a pass only when it is done with it; the hub lets the account be settled once a turn.
    """

    def __init__(self, numerics: Numerics, paths: Mapping[int, str]) -> None:
        self.num_passes = 0
        self.num_merged = 0
        self.num_interleaved = 0
        self.num_verifications = 0
        self.num_attempts = 0
        self.pass_s = 0.0
        self.verify_s = 0.0
        self.unmerged_reasons: Counter[str] = Counter()
        self._numerics = numerics
        self._paths = paths
        self._curves: dict[Hashable, CostCurve] = {}
        self._warm: set[tuple[Hashable, int]] = set()
        self._clock = clock_of(numerics.device)
        self._unsettled: deque[tuple[Span, Callable[[float], None]]] = deque()

    def count_unmerged(self, reason: str) -> None:
        known = reason in self.unmerged_reasons or len(self.unmerged_reasons) < MAX_REASONS
        self.unmerged_reasons[reason if known else "other"] += 1

    def measure(self, work: Callable[[], Any]) -> tuple[Any, Span]:
        """The result of `work`, and the time from its beginning until the device is done with it."""
        begun = self._clock.mark()
        result = work()
        return result, Span(self._clock, begun, self._clock.mark())

    def settle(self, *, wait: bool = False) -> None:
        """Account for the passes that the device has done since they were charged. wait: for it to do all of them."""
        while self._unsettled:
            span, note = self._unsettled[0]
            spent_s = span.seconds(wait=wait)
            if spent_s is None:
                return
            self._unsettled.popleft()
            note(spent_s)

    @contextlib.contextmanager
    def time_verification(self) -> Iterator[None]:
        """Account for what is done inside as verification."""
        begun, num_attempts = time.perf_counter(), self.num_attempts
        yield
        self._numerics.synchronize()
        self.verify_s += time.perf_counter() - begun
        self.num_verifications += self.num_attempts - num_attempts

    def charge(self, runs: Sequence[Run], rows: Sequence[int], span: Span) -> None:
        """Share the time of one pass by rows. What copies take that fill a pass is charged to nobody: a run costs the
        same alone and in company."""
        self.num_passes += 1
        total = sum(rows)

        def share(spent_s: float) -> None:
            self.pass_s += spent_s
            for run, own in zip(runs, rows, strict=False):
                run.cost_s += spent_s * own / total

        self._settle_later(span, share)

    def charge_verification(self, span: Span) -> None:
        """Account for a pass made only to check another."""

        def add(spent_s: float) -> None:
            self.verify_s += spent_s

        self.num_verifications += 1
        self._settle_later(span, add)

    def learn_cost(self, call: Call, span: Span) -> None:
        """Note what a pass took. On a device the first of each width is not judged: libraries, kernels and memory are
        made ready in it, or it is compiled."""
        with contextlib.suppress(CannotMerge):
            form, rows = self.form_of(call), rows_of(call)
            if self._numerics.device.type != "cpu" and (form, rows) not in self._warm:
                if len(self._warm) < MAX_WARM:
                    self._warm.add((form, rows))
                return
            if form in self._curves or len(self._curves) < MAX_CURVES:
                curve = self._curves.setdefault(form, CostCurve())
                self._settle_later(span, lambda spent_s: curve.add(rows, spent_s))

    def read_costs(self, call: Call) -> Mapping[int, float]:
        """Rows of a pass -> least seconds of the last ones that wide, for calls of the form of this one."""
        try:
            return self._curves.get(self.form_of(call), CostCurve()).least
        except CannotMerge:
            return {}

    def form_of(self, call: Call) -> Hashable:
        """The denoiser and the shape of its samples, which decide the cost of a row. Raises: CannotMerge."""
        return self._paths[id(call.module)], call.cache_context, tuple(sample_of(call).shape[1:])

    def _settle_later(self, span: Span, note: Callable[[float], None]) -> None:
        """Call `note` with the span's seconds: at once, or, where the device is not done with it, by `settle`."""
        spent_s = None if self._unsettled else span.seconds()
        if spent_s is None:
            self._unsettled.append((span, note))
        else:
            note(spent_s)
