"""The turn loop: wake the runs, group their parked denoiser calls, make one pass a group, hand the answers out.

    hub = Hub(pipeline)
    run = hub.submit({"prompt": ..., "num_inference_steps": 30})
    while hub.turn(): ...
    run.output

One thread, one device. The hub is the parent of all greenlets. What goes wrong inside one run (an exception, NaN, a
deadline, a cancel) ends that run alone. A run that cannot share passes makes its own, and the reason is counted.
"""

import contextlib
import hashlib
import json
import time
from collections import Counter
from collections.abc import Callable, Hashable, Iterator, Mapping, MutableMapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from greenlet import GreenletExit, getcurrent, greenlet  # type: ignore[import-untyped]

from mezzotint.domain.errors import CheckpointError, DeadlineExceeded
from mezzotint.engine.batching.merge import batch_key, rows_of
from mezzotint.engine.batching.padding import padded_key
from mezzotint.engine.batching.passes import Answer, Passes
from mezzotint.engine.batching.verify import Verifier
from mezzotint.engine.checkpoint.snapshot import Snapshot
from mezzotint.engine.errors import CannotMerge, RunCancelled, UnknownAdapter
from mezzotint.engine.isolation import Isolation
from mezzotint.engine.lora import LoraSwitcher
from mezzotint.engine.numerics import fingerprint, numerics_of, weights_hash
from mezzotint.engine.proxy import Call, borrow, denoisers_of
from mezzotint.engine.run import Options, Run

MAX_WAIT_TURNS = 8  # how long a run that is ahead within its step waits for those that will reach the same call


@dataclass(frozen=True, slots=True, kw_only=True)
class Parked:
    """What a stepping policy sees of a run whose next denoiser call waits.

    Equal `batch_key`s may share a pass. turns: those it has been parked in; waited_turns: those since its last pass.
    pass_s: rows of a pass -> seconds it took, for calls of this form.
    """

    id: int
    label: str
    batch_key: int
    rows: int
    steps: int
    num_steps: int | None
    waited_turns: int
    turns: int
    cost_s: float
    pass_s: Mapping[int, float]


class Hub:
    """Runs stock pipeline calls together, merged at different steps.

    exact: what else is running never changes a bit of a result. max_rows: widest pass. choose: which parked runs go
    through this turn (their ids; default all). verdicts: where verification results are kept; the caller may persist
    it. allow_other_numerics: resume checkpoints made under another fingerprint, and mark the run. clock: seconds
    since the epoch, read against deadlines.
    """

    def __init__(  # noqa: PLR0913 - each may be set by the caller
        self,
        pipeline: Any,
        exact: bool = True,
        max_rows: int = 16,
        *,
        choose: Callable[[Sequence[Parked]], Sequence[int]] | None = None,
        verdicts: MutableMapping[str, str] | None = None,
        allow_other_numerics: bool = False,
        clock: Callable[[], float] = time.time,
    ) -> None:
        paths = {id(module): path for path, module in reversed(denoisers_of(pipeline).items())}
        self._denoisers = list({id(module): module for module in denoisers_of(pipeline).values()}.values())
        self.pipeline = pipeline
        self.max_rows = max_rows
        self.unsaved_reasons: Counter[str] = Counter()
        self.numerics = numerics_of(pipeline, self._denoisers, exact=exact, max_rows=max_rows)
        self.fingerprint = fingerprint(self.numerics, weights_hash(pipeline))
        self._isolation = Isolation(self.numerics, self._denoisers)
        model = hashlib.sha256(json.dumps(self.fingerprint, sort_keys=True).encode()).hexdigest()[:32]
        self._loras = LoraSwitcher(pipeline)
        verifier = Verifier(self.numerics, model, verdicts)
        self._passes = Passes(self.numerics, self._isolation, self._loras, verifier, paths)
        self._choose = choose
        self._allow_other_numerics = allow_other_numerics
        self._clock = clock
        self._runs: list[Run] = []
        self._main: Any = None
        self._next_id = 0

    @property
    def device(self) -> torch.device:
        return self.numerics.device

    @property
    def num_live(self) -> int:
        """Runs that have not ended."""
        return len(self._runs)

    @property
    def num_passes(self) -> int:
        """Denoiser passes made, those for verification apart."""
        return self._passes.num_passes

    @property
    def num_merged(self) -> int:
        """Passes that served more than one run."""
        return self._passes.num_merged

    @property
    def num_interleaved(self) -> int:
        """Those of them whose rows were interleaved."""
        return self._passes.num_interleaved

    @property
    def is_exclusive(self) -> bool:
        """Whether runs go one at a time, since the denoisers keep state from call to call."""
        return _is_exclusive(self.pipeline, self._denoisers)

    @property
    def num_verifications(self) -> int:
        """Separate calls made only to check a merged pass."""
        return self._passes.num_verifications

    @property
    def pass_s(self) -> float:
        """Seconds spent in passes: the sum of all runs' `cost_s`."""
        return self._passes.pass_s

    @property
    def verify_s(self) -> float:
        """Seconds spent in verification, charged to no run."""
        return self._passes.verify_s

    @property
    def unmerged_reasons(self) -> Counter[str]:
        """Why calls did not share a pass, and how often."""
        return self._passes.unmerged_reasons

    def submit(  # noqa: PLR0913 - each may be set by the caller
        self,
        call_kwargs: dict[str, Any],
        checkpoint_at: int | None = None,
        resume: bytes | None = None,
        budget: int | None = None,
        *,
        pipeline: Any = None,
        checkpoint_every: int | Callable[[Run], int] | None = None,
        on_step: Callable[[Run], None] | None = None,
        on_checkpoint: Callable[[Run, Snapshot], None] | None = None,
        stop_after: int | None = None,
        deadline_at: float | None = None,
        adapters: Mapping[str, float] | None = None,
        label: str = "",
    ) -> Run:
        """Add a pipeline call; it starts with the next turn.

        call_kwargs: what the pipeline's `__call__` takes; generators in it are copied. pipeline: another one over the
        hub's own modules (made by `from_pipe`), default the hub's; its runs share passes with all others.
        checkpoint_at, checkpoint_every: in sampler steps; a function is asked after each step how many lie between
        two. resume: a checkpoint of the same call; one that cannot be used ends the run with CheckpointCorrupt or
        FingerprintMismatch. budget: sampler steps the run may make. stop_after: sampler steps after which it ends with
        what its sampler then expects of the rest; one that cannot tell ends it with RunFailed. deadline_at: by the
        hub's clock. adapters: names of loaded ones and their weights, worn by this run and no others; one that is not
        loaded ends the run with UnknownAdapter. on_step, on_checkpoint: called on this thread, not for replayed steps;
        what they raise ends their run.
        """
        options = Options(
            checkpoint_at=checkpoint_at,
            checkpoint_every=checkpoint_every,
            budget=budget,
            stop_after=stop_after,
            on_step=on_step,
            on_checkpoint=on_checkpoint,
            deadline_at=deadline_at,
            label=label,
        )
        chosen = self.pipeline if pipeline is None else self._known(pipeline)
        borrowed, members = borrow(chosen)
        self._next_id += 1
        run = Run(self, self._next_id, borrowed, members, call_kwargs, options)
        try:
            run.apply(self._loras.select(adapters or {}))
            if resume is not None:
                run.start_from(resume, allow_other_numerics=self._allow_other_numerics)
        except (CheckpointError, UnknownAdapter) as error:
            run.fail(error)
            run.finish()
            return run
        run.begin(self._isolation.fork())
        self._runs.append(run)
        return run

    def _known(self, pipeline: Any) -> Any:
        own = {id(module) for module in self._denoisers}
        strange = [path for path, module in denoisers_of(pipeline).items() if id(module) not in own]
        if strange:
            raise ValueError(f"{', '.join(strange)} of the pipeline is not a module of this hub")
        return pipeline

    def cancel(self, run: Run) -> None:
        """End the run with RunCancelled: at once, or, from within a callback, at its next call."""
        if run.done:
            return
        run.doom(RunCancelled())
        if self._main is None:
            with self._turning():
                self._wake(run, error=GreenletExit())
            self._sweep()

    def checkpoint(self, run: Run) -> Snapshot | None:
        """The run's latest step boundary, for a drain or to make room; None if it has none or it cannot be saved."""
        return run.snapshot()

    def turn(self) -> bool:
        """Wake every run that has not begun, and make the passes that are due. False when no run is left."""
        if not self._runs:
            return False
        with self._turning():
            runs = self._awake()
            for run in runs:
                if run.parked is None:
                    self._wake(run)
            self._end_overdue()
            parked = [run for run in runs if run.parked is not None]
            self._fill(parked)
            groups = self._groups(_aligned(parked))
            for batch in self._batches(self._picked(groups)):
                for answer in self._passes.answer(batch):
                    self._deliver(answer)
        self._sweep()
        return bool(self._runs)

    # -- what a run asks of its hub

    def park(self, call: Call) -> Any:
        return self._main.switch(call)

    def call_inline(self, run: Run, call: Call) -> Any:
        return self._passes.call_inline(run, call)

    def outside(self, work: Callable[[], None]) -> None:
        rng = torch.get_rng_state()
        try:
            work()
        finally:
            torch.set_rng_state(rng)

    def count_unsaved(self, reason: str) -> None:
        self.unsaved_reasons[reason] += 1

    # -- waking

    @contextlib.contextmanager
    def _turning(self) -> Iterator[None]:
        self._main = getcurrent()
        try:
            with self.numerics.kernels():
                yield
        finally:
            self._loras.restore()
            self._main = None

    def _wake(self, run: Run, *answer: Any, error: BaseException | None = None) -> None:
        """Let the run go on, with its answer or an error, until its next denoiser call or its end."""
        if run.greenlet is None:
            run.greenlet = greenlet(run.main)
            run.greenlet.seam = run
            run.greenlet.gr_context = run.context
        run.greenlet.parent = self._main
        run.parked, run.waited_turns = None, 0
        assert run.state is not None
        self._loras.apply(run.loras)
        outer = self._isolation.exchange(run.state)
        try:
            run.parked = run.greenlet.switch(*answer) if error is None else run.greenlet.throw(error)
        finally:
            run.state = self._isolation.exchange(outer)
            if run.greenlet.dead:
                run.finish()

    def _deliver(self, answer: Answer) -> None:
        run = answer.run
        if run.is_doomed:
            self._wake(run, error=GreenletExit())
        elif answer.error is not None:
            self._wake(run, error=answer.error)
        else:
            self._wake(run, answer.output)

    def _end_overdue(self) -> None:
        for run in self._runs:
            due = run.options.deadline_at
            if due is not None and self._clock() >= due:
                run.doom(DeadlineExceeded(f"after {run.steps} steps"))
            if run.is_doomed and not run.done:
                self._wake(run, error=GreenletExit())

    def _sweep(self) -> None:
        self._runs = [run for run in self._runs if not run.done]

    # -- choosing

    def _awake(self) -> list[Run]:
        """The runs that may go on: all, or only the oldest where the denoisers carry state from call to call."""
        if not self.is_exclusive:
            return list(self._runs)
        if len(self._runs) > 1:
            self._passes.count_unmerged("caching or offloading is on: one run at a time")
        return self._runs[:1]

    def _fill(self, runs: Sequence[Run]) -> None:
        for run in runs:
            with contextlib.suppress(CannotMerge):  # it has no rows
                run.parked = self._passes.fill_text(run)

    def _groups(self, runs: Sequence[Run]) -> list[list[Run]]:
        """Runs that may share a pass, by what their calls and their own thread state have in common."""
        groups: dict[Hashable, list[Run]] = {}
        for run in runs:
            assert run.parked is not None
            assert run.state is not None
            try:
                key: Hashable = (
                    self._key(run.parked),
                    run.state.autocast,
                    self._isolation.processor_key(run.state.processors),
                    run.loras,
                    rows_of(run.parked) if self.numerics.fixed_rows else None,
                )
            except CannotMerge as reason:
                self._passes.count_unmerged(str(reason))
                key = ("alone", run.id)
            groups.setdefault(key, []).append(run)
        self._count_lonely(groups)
        return list(groups.values())

    def _count_lonely(self, groups: Mapping[Hashable, list[Run]]) -> None:
        """Runs that would call the same denoiser as others, but with calls of another form than theirs all."""
        modules = Counter(id(run.parked.module) for group in groups.values() for run in group if run.parked)
        for key, (first, *others) in groups.items():
            if not others and first.parked and modules[id(first.parked.module)] > 1 and key != ("alone", first.id):
                self._passes.count_unmerged("sizes, arguments, adapters or states differ")

    def _key(self, call: Call) -> Hashable:
        if self.numerics.fixed_rows is not None:  # what a pass looks like must not depend on company there
            return batch_key(call)
        return padded_key(call, exact=self.numerics.exact)

    def _picked(self, groups: list[list[Run]]) -> list[list[Run]]:
        """What the stepping policy leaves of the groups; never nothing."""
        if self._choose is None or not groups:
            return groups
        parked = [_parked(run, i, self._passes.read_costs(group[0])) for i, group in enumerate(groups) for run in group]
        chosen = set(self._choose(parked)) or {parked[0].id}
        return [[run for run in group if run.id in chosen] for group in groups]

    def _batches(self, groups: list[list[Run]]) -> Iterator[list[Run]]:
        """Each group in pieces of at most `max_rows` rows; a single run may be wider."""
        for group in groups:
            batch: list[Run] = []
            held = 0
            for run in group:
                rows = _rows(run)
                if batch and held + rows > self.max_rows:
                    yield batch
                    batch, held = [], 0
                batch.append(run)
                held += rows
            if batch:
                yield batch


def _aligned(parked: list[Run]) -> list[Run]:
    """The runs but those ahead, within their step, of others that will reach the same call; they wait, for some
    turns."""
    ready = []
    for run in parked:
        is_ahead = any(o.phase < run.phase < (o.calls_per_step or run.phase + 1) for o in parked)
        if not is_ahead or run.waited_turns >= MAX_WAIT_TURNS:
            ready.append(run)
        run.waited_turns += 1
        run.turns += 1
    return ready


def _parked(run: Run, batch: int, pass_s: Mapping[int, float]) -> Parked:
    return Parked(
        id=run.id,
        label=run.label,
        batch_key=batch,
        rows=_rows(run),
        steps=run.steps,
        num_steps=run.num_steps,
        waited_turns=run.waited_turns,
        turns=run.turns,
        cost_s=run.cost_s,
        pass_s=pass_s,
    )


def _rows(run: Run) -> int:
    assert run.parked is not None
    try:
        return rows_of(run.parked)
    except CannotMerge:
        return 1


def _is_exclusive(pipeline: Any, denoisers: Sequence[torch.nn.Module]) -> bool:
    """Whether denoisers keep state between calls (feature caches) or are moved about (offloading)."""
    if getattr(pipeline, "_all_hooks", None):
        return True
    return any(getattr(module, "is_cache_enabled", False) or hasattr(module, "_hf_hook") for module in denoisers)
