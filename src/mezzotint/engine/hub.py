"""The turn loop: wake the runs, plan passes for their parked denoiser calls, make them, settle the outcomes.

    hub = Hub(pipeline)
    run = hub.submit({"prompt": ..., "num_inference_steps": 30})
    while hub.turn(): ...
    run.output

One thread, one device. The hub is the parent of all greenlets. A fault inside one run (an exception, NaN, a deadline,
a cancel) ends that run alone. A run that cannot share passes makes its own, and the reason is counted.
"""

import contextlib
import hashlib
import json
import time
from collections import Counter
from collections.abc import Callable, Hashable, Iterator, Mapping, MutableMapping
from dataclasses import replace
from typing import Any

import torch
from greenlet import GreenletExit, getcurrent  # type: ignore[import-untyped]

from mezzotint.domain.errors import CheckpointError, DeadlineExceeded, OutOfMemory
from mezzotint.engine.batching.merge import batch_key, rows_of
from mezzotint.engine.batching.padding import padded_key, text_length
from mezzotint.engine.batching.passes import Outcome, Passes
from mezzotint.engine.batching.plan import Chooser, Parked, ParkedCall, plan_turn
from mezzotint.engine.batching.verify import Verifier
from mezzotint.engine.checkpoint.snapshot import Snapshot
from mezzotint.engine.components import Components
from mezzotint.engine.device.latent_checks import LatentChecks
from mezzotint.engine.device.lost import check_device
from mezzotint.engine.errors import CannotMerge, RunCancelled, UnknownAdapter
from mezzotint.engine.execution import Execution
from mezzotint.engine.forecasting.rounds import foretell_calls
from mezzotint.engine.forecasting.settings import ForecastSettings
from mezzotint.engine.isolation import Isolation
from mezzotint.engine.lora import LoraSwitcher
from mezzotint.engine.numerics import GUIDED_ROWS, fingerprint, numerics_of, weights_hash
from mezzotint.engine.proxy import Call, ComponentCall, borrow, denoisers_of
from mezzotint.engine.run import Options, Run


class Hub:
    """Runs stock pipeline calls together, merged at different steps.

    exact: other runs never change a bit of a result. max_rows: widest pass; fixed_rows: width of every pass where exact
    mode fills them (on a GPU). choose: which parked runs go through this turn (their ids; default all). verdicts: where
    verification results are kept; the caller may persist it. allow_other_numerics: resume checkpoints made under
    another fingerprint, and mark the run. workspace: CUBLAS_WORKSPACE_CONFIG of this process, for the fingerprint.
    clock: seconds since the epoch, read against deadlines.
    """

    def __init__(  # noqa: PLR0913 - each may be set by the caller
        self,
        pipeline: Any,
        exact: bool = True,
        max_rows: int = 16,
        *,
        fixed_rows: int = GUIDED_ROWS,
        choose: Chooser | None = None,
        verdicts: MutableMapping[str, str] | None = None,
        allow_other_numerics: bool = False,
        workspace: str = "",
        clock: Callable[[], float] = time.time,
    ) -> None:
        paths = self._paths = {id(module): path for path, module in reversed(denoisers_of(pipeline).items())}
        self._denoisers = list({id(module): module for module in denoisers_of(pipeline).values()}.values())
        self.pipeline = pipeline
        self.max_rows = max_rows
        self.unsaved_reasons: Counter[str] = Counter()
        self.numerics = numerics_of(pipeline, self._denoisers, exact=exact, fixed_rows=fixed_rows)
        self.fingerprint = fingerprint(self.numerics, weights_hash(pipeline), workspace)
        self.components = Components(pipeline, self.numerics)
        self._isolation = Isolation(self.numerics, self._denoisers)
        model = hashlib.sha256(json.dumps(self.fingerprint, sort_keys=True).encode()).hexdigest()[:32]
        self.loras = LoraSwitcher(pipeline)
        verifier = Verifier(self.numerics, model, verdicts)
        self._passes = Passes(self.numerics, self._isolation, self.loras, verifier, paths, free=self.components.free)
        self._latent_checks = LatentChecks()
        self._choose = choose
        self._allow_other_numerics = allow_other_numerics
        self._clock = clock
        self._executions: list[Execution] = []
        self._main: Any = None
        self._next_id = 0
        self.at_work: frozenset[int] = frozenset()
        """Ids of the runs that the device computed for last: those of a turn's passes, or one that had just begun."""

    @property
    def device(self) -> torch.device:
        return self.numerics.device

    @property
    def num_live(self) -> int:
        """Runs that have not ended."""
        return len(self._executions)

    @property
    def num_passes(self) -> int:
        """Denoiser passes made, those for verification apart."""
        return self._passes.meter.num_passes

    @property
    def largest_pass(self) -> tuple[int, int] | None:
        """Rows and bytes of the pass that took most memory; None where the device does not tell."""
        return self._passes.largest_pass

    @property
    def num_merged(self) -> int:
        """Passes that served more than one run."""
        return self._passes.meter.num_merged

    @property
    def num_interleaved(self) -> int:
        """Merged passes whose rows were interleaved."""
        return self._passes.meter.num_interleaved

    @property
    def is_exclusive(self) -> bool:
        """Say whether runs go one at a time: denoisers keep state between calls (feature caches) or are offloaded."""
        return bool(getattr(self.pipeline, "_all_hooks", None)) or any(
            getattr(module, "is_cache_enabled", False) or hasattr(module, "_hf_hook") for module in self._denoisers
        )

    @property
    def num_verifications(self) -> int:
        """Separate calls made only to check a merged pass."""
        return self._passes.meter.num_verifications

    @property
    def pass_s(self) -> float:
        """Seconds spent in passes: the sum of all runs' `cost_s`, and of what copies took that fill passes."""
        return self._passes.meter.pass_s

    @property
    def verify_s(self) -> float:
        """Seconds spent in verification, charged to no run."""
        return self._passes.meter.verify_s

    @property
    def unmerged_reasons(self) -> Counter[str]:
        """Reasons why calls did not share a pass -> how often."""
        return self._passes.meter.unmerged_reasons

    @property
    def adapters_in_use(self) -> frozenset[str]:
        return frozenset(name for execution in self._executions for name, _ in execution.loras.weights)

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
        forecast: ForecastSettings | None = None,
        label: str = "",
    ) -> Run:
        """Add a pipeline call; it starts with the next turn.

        call_kwargs: arguments of the pipeline's `__call__`; generators in it are copied. pipeline: another one over the
        hub's own modules (made by `from_pipe`), default the hub's; its runs share passes with all others.
        checkpoint_at, checkpoint_every: in sampler steps; a function is asked after each step how many lie between
        two. resume: a checkpoint of the same call; one that cannot be used ends the run with CheckpointCorrupt or
        FingerprintMismatch. budget: sampler steps the run may make. stop_after: sampler steps after which it ends with
        its sampler's estimate of the end result; a sampler without one ends it with RunFailed. deadline_at: by the
        hub's clock. adapters: names of loaded ones and their weights, active for this run and no others; one that is
        not loaded ends the run with UnknownAdapter. forecast: which steps may be foretold instead of computed, default
        none; a resumed run goes on under the same. on_step, on_checkpoint: called on this thread, not for replayed
        steps; an exception in them ends their run.
        """
        options = Options(
            checkpoint_at=checkpoint_at,
            checkpoint_every=checkpoint_every,
            budget=budget,
            stop_after=stop_after,
            on_step=on_step,
            on_checkpoint=on_checkpoint,
            deadline_at=deadline_at,
            forecast=forecast,
        )
        chosen = self.pipeline if pipeline is None else pipeline
        own = {id(module) for module in self._denoisers}
        strange = [path for path, module in denoisers_of(chosen).items() if id(module) not in own]
        if strange:
            raise ValueError(f"{', '.join(strange)} of the pipeline is not a module of this hub")
        borrowed, members = borrow(chosen)
        self._next_id += 1
        execution = Execution(self, Run(id=self._next_id, label=label), borrowed, members, call_kwargs, options)
        try:
            execution.loras = self.loras.select(adapters or {})
            if resume is not None:
                execution.start_from(resume, allow_other_numerics=self._allow_other_numerics)
        except (CheckpointError, OutOfMemory, UnknownAdapter) as error:
            execution.fail(error)
            execution.finish()
            return execution.run
        execution.begin(self._isolation.fork())
        self._executions.append(execution)
        return execution.run

    def cancel(self, run: Run) -> None:
        """End the run with RunCancelled: at once, or, from within a callback, at its next call."""
        execution = next((execution for execution in self._executions if execution.run is run), None)
        if run.done or execution is None:
            return
        execution.doom(RunCancelled())
        if self._main is None:
            with self._take_turn():
                self._wake(execution, error=GreenletExit())
            self._drop_ended()

    def turn(self) -> bool:
        """Wake every run that has not begun, and make the passes that are due. False when no run is left."""
        if not self._executions:
            return False
        with self._take_turn():
            executions = list(self._executions)
            if self.is_exclusive and len(executions) > 1:
                self._passes.meter.count_unmerged("caching or offloading is on: one run at a time")
                executions = executions[:1]
            for execution in executions:
                if execution.parked is None:
                    self.at_work = frozenset({execution.run.id})
                    self._wake(execution)
            self._end_overdue()
            self._wake_foretold([execution for execution in executions if execution.parked is not None])
            parked = [execution for execution in executions if execution.parked is not None]
            calls = [self._describe(execution) for execution in parked]
            wanted = min(sum(call.run.rows for call in calls), self.max_rows)
            widest = [self._passes.widest(execution.call, wanted) for execution in parked]
            plan = plan_turn(
                [c if rows is None else replace(c, widest=rows) for c, rows in zip(calls, widest, strict=True)],
                max_rows=min(self.max_rows, self.numerics.fixed_rows or self.max_rows),
                has_fixed_rows=self.numerics.fixed_rows is not None,
                choose=self._choose,
            )
            self.at_work = frozenset(call.run.id for planned in plan.passes for call in planned.calls)
            for outcome in self._passes.execute(plan, parked):
                self._settle(outcome)
            self._end_not_finite()
        self._passes.meter.settle(wait=any(execution.run.done for execution in executions))
        self._drop_ended()
        return bool(self._executions)

    # -- what a run asks of its hub

    def park(self, call: Call) -> Any:
        return self._main.switch(call)

    def call_inline(self, execution: Execution, call: Call) -> Any:
        return self._passes.call_inline(execution, call)

    def path_of(self, module: torch.nn.Module) -> str:
        return self._paths[id(module)]

    def call_component(self, call: ComponentCall) -> Any:
        return self.components.call(call)

    def check_latents(self, execution: Execution, latents: torch.Tensor | None) -> None:
        self._latent_checks.add(execution, execution.run.steps + 1, latents)

    def confirm_latents(self, execution: Execution) -> None:
        self._latent_checks.confirm(execution)
        self._passes.meter.settle()

    def check_device(self, error: Exception) -> None:
        check_device(self.device, error)

    def call_listener(self, work: Callable[[], None]) -> None:
        rng = torch.get_rng_state()
        try:
            work()
        finally:
            torch.set_rng_state(rng)

    def count_unsaved(self, reason: str) -> None:
        self.unsaved_reasons[reason] += 1

    # -- waking

    @contextlib.contextmanager
    def _take_turn(self) -> Iterator[None]:
        self._main = getcurrent()
        try:
            with self.numerics.kernels():
                yield
        finally:
            self.loras.restore()
            self._main = None

    def _wake(self, execution: Execution, *answer: Any, error: BaseException | None = None) -> None:
        self.loras.apply(execution.loras)
        execution.wake(self._main, self._isolation, *answer, error=error)
        if execution.run.error is not None:
            self.components.restore_dtypes()
        if isinstance(execution.run.error, OutOfMemory):
            self.components.free()

    def _settle(self, outcome: Outcome) -> None:
        """Let the run go on with its answer."""
        execution = outcome.execution
        if execution.is_doomed:
            self._wake(execution, error=GreenletExit())
        elif outcome.error is not None:
            self._wake(execution, error=outcome.error)
        else:
            self._wake(execution, outcome.output)

    def _wake_foretold(self, waiting: list[Execution]) -> None:
        """Let the runs go on whose calls take no pass; their next calls may take none either."""
        while waiting:
            outcomes = foretell_calls(waiting)
            for outcome in outcomes:
                self._settle(outcome)
            waiting = [outcome.execution for outcome in outcomes if outcome.execution.parked is not None]

    def _end_overdue(self) -> None:
        for execution in self._executions:
            due, run = execution.options.deadline_at, execution.run
            if due is not None and self._clock() >= due:
                execution.doom(DeadlineExceeded(f"after {run.steps} steps"))
            if execution.is_doomed and not run.done:
                self._wake(execution, error=GreenletExit())

    def _end_not_finite(self) -> None:
        for execution, error in self._latent_checks.collect():
            if not execution.run.done:
                execution.doom(error)
                self._wake(execution, error=GreenletExit())
            elif execution.run.error is None:
                execution.fail(error)

    def _drop_ended(self) -> None:
        self._executions = [execution for execution in self._executions if not execution.run.done]

    # -- the facts of a plan

    def _describe(self, execution: Execution) -> ParkedCall:
        """The waiting call as the plan sees it, its text filled up where exact mode wants it so."""
        with contextlib.suppress(CannotMerge):  # it has no rows
            execution.parked = self._passes.fill_text(execution)
        call, state, run = execution.call, execution.thread_state, execution.run
        execution.turns += 1
        execution.waited_turns += 1
        key: Hashable = None
        refusal, rows, length = None, 1, 0
        pass_s: Mapping[int, float] = {}
        try:
            rows, length = rows_of(call), text_length(call)
            key = (
                self._key(call),
                state.autocast,
                self._isolation.processor_key(state.processors),
                execution.loras,
                rows if self.numerics.fixed_rows else None,
            )
            if self._choose is not None and self.numerics.fixed_rows is None:  # one width takes one time
                pass_s = self._passes.meter.read_costs(call)
        except CannotMerge as reason:
            refusal = str(reason)
        return ParkedCall(
            run=Parked(
                id=run.id,
                label=run.label,
                batch_key=0,
                rows=rows,
                steps=run.steps,
                num_steps=run.num_steps,
                waited_turns=execution.waited_turns,
                turns=execution.turns,
                cost_s=run.cost_s,
                pass_s=pass_s,
            ),
            module=id(call.module),
            key=key,
            refusal=refusal,
            text_length=length,
            phase=execution.phase,
            calls_per_step=execution.calls_per_step,
        )

    def _key(self, call: Call) -> Hashable:
        if self.numerics.fixed_rows is not None:  # what a pass looks like must not depend on company there
            return batch_key(call)
        return padded_key(call, exact=self.numerics.exact)
