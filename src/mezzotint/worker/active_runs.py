"""Runs on the device, and a bound on their memory: measured, and remembered by model and size."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from time import monotonic
from typing import TYPE_CHECKING, Any

from mezzotint.domain.job import CutTexts, Job
from mezzotint.policy.device.run_memory import Begin, MakeRoom, PutOff, RunFootprint, Wanted, choose_next, decide_start
from mezzotint.worker.messages import Start

if TYPE_CHECKING:
    from mezzotint.engine import Hub, Run
    from mezzotint.engine.upscaler import Upscaling

Shape = tuple[str, int, int]


@dataclass(slots=True, kw_only=True)
class ActiveRun:
    """A run on the device. stop: end it. finish: from its output to pictures. Instants are of `time.monotonic`.

    begun_step: of its checkpoint. num_bytes: in memory. has_previews: none has failed so far. hub: of its engine; None
    for an upscale. cut_texts: what its model reads of those that it cuts. fingerprint: of its engine, in exact mode.
    """

    job: Job
    run: "Run | Upscaling"
    stop: Callable[[], None]
    finish: Callable[[Any], tuple[Any, ...]]
    started_at: float
    stepped_at: float
    begun_step: int = 0
    num_bytes: int = 0
    has_previews: bool = True
    hub: "Hub | None" = None
    cut_texts: CutTexts = field(default_factory=CutTexts)
    fingerprint: str | None = None


@dataclass(slots=True)
class RunMemory:
    """bound_bytes: of all runs; 0: no bound, and nothing is measured."""

    bound_bytes: int
    _known: dict[Shape, int] = field(default_factory=dict)

    def choose_next(self, waiting: Sequence[Start]) -> Start:
        wanted = [self._describe_waiting(command) for command in waiting]
        return waiting[wanted.index(choose_next(wanted))]

    def decide_start(self, command: Start, active: Collection[ActiveRun]) -> Begin | PutOff | MakeRoom:
        now = monotonic()
        kept = [
            RunFootprint(
                job=one.job.id,
                lane=one.job.lane,
                step=one.run.steps,
                num_steps=one.job.parameters.num_sampled,
                ran_s=now - one.started_at,
                num_bytes=one.num_bytes,
            )
            for one in active
        ]
        return decide_start(self._describe_waiting(command), kept, self.bound_bytes)

    def measure(self, active: Collection[ActiveRun]) -> None:
        """Measure the memory of each run; the greatest measure of its model and size counts."""
        if self.bound_bytes == 0:
            return
        for one in active:
            shape = _shape(one.job)
            one.num_bytes = self._known[shape] = max(one.run.held_bytes, self._known.get(shape, 0))

    def estimate_bytes(self, job: Job) -> int:
        """Bytes that the job's run will take: as runs of its model and size did; else by pixels, as other runs did.

        Before any was measured: the whole bound, so that the first run is alone while it is measured.
        """
        shape = model, width, height = _shape(job)
        if shape in self._known:
            return self._known[shape]
        density = {known: kept / (known[1] * known[2]) for known, kept in self._known.items()}
        alike = [found for (name, _, _), found in density.items() if name == model] or list(density.values())
        return int(max(alike) * width * height) if alike else self.bound_bytes

    def _describe_waiting(self, command: Start) -> Wanted:
        waited_s = monotonic() - command.sent_at
        return Wanted(
            job=command.job.id, lane=command.job.lane, num_bytes=self.estimate_bytes(command.job), waited_s=waited_s
        )


def _shape(job: Job) -> Shape:
    return job.model, job.parameters.width, job.parameters.height
