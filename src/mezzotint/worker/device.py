"""The one thread that touches the device. Orders come in by a queue, reports go out by a callback."""

import queue
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from mezzotint.domain.ids import JobId
from mezzotint.domain.job import Job
from mezzotint.domain.task import Task
from mezzotint.metrics import EngineCounts
from mezzotint.worker.reports import Broken, Counted, Ended, Parked, Ready, Report, Saved, Stepped

if TYPE_CHECKING:
    from mezzotint.engine import Assignment, EmbeddingCache, Hub, PreviewMap, Run, Snapshot, Tasks
    from mezzotint.engine.upscaler import Upscaler, Upscaling


COUNT_S = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Loaded:
    """A model in memory. previews: None where its latents cannot be shown. embeddings: its encoders' cache."""

    hub: "Hub"
    tasks: "Tasks"
    previews: "PreviewMap | None"
    embeddings: "EmbeddingCache | None" = None

    def assign(self, order: "Draw") -> "Assignment":
        """The pipeline call of an order. Raises: RunFailed."""
        from mezzotint.engine.canvas import read_picture

        source, mask = (read_picture(png) if png is not None else None for png in (order.source, order.mask))
        return self.tasks.assign(order.job.parameters, source, mask)

    def counts(self) -> EngineCounts:
        """What its engine counted since it was made."""
        hub, cache = self.hub, self.embeddings
        return EngineCounts(
            passes=hub.num_passes,
            merged=hub.num_merged,
            verifications=hub.num_verifications,
            pass_s=hub.pass_s,
            verify_s=hub.verify_s,
            cache_hits=cache.num_hits if cache else 0,
            cache_misses=cache.num_misses if cache else 0,
            unmerged=dict(hub.unmerged_reasons),
            unsaved=dict(hub.unsaved_reasons),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Draw:
    """Start a job, from its checkpoint if it has one. source, mask: PNGs that its task begins with."""

    job: Job
    resume: bytes | None
    source: bytes | None = None
    mask: bytes | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Cancel:
    job: JobId


@dataclass(frozen=True, slots=True, kw_only=True)
class Aside:
    """Put one run aside at its last step."""

    job: JobId


@dataclass(frozen=True, slots=True, kw_only=True)
class Park:
    """Put every run aside at its last step and end the thread."""


Order = Draw | Cancel | Aside | Park


@dataclass(slots=True, kw_only=True)
class Going:
    """A run under way. finish: from its output to pictures. Instants are of `time.monotonic`."""

    job: Job
    run: "Run | Upscaling"
    finish: Callable[[Any], tuple[Any, ...]]
    started_at: float
    stepped_at: float


class Device:
    """Runs jobs on one device.

    load, load_upscaler: make the model and the upscaler, on this thread. report: called on this thread. wants_preview:
    whether a job's preview would be seen. checkpoint_every: steps.
    """

    def __init__(
        self,
        load: Callable[[], Loaded],
        report: Callable[[Report], None],
        wants_preview: Callable[[JobId], bool],
        checkpoint_every: int,
        load_upscaler: "Callable[[], Upscaler]",
    ) -> None:
        self._load_upscaler, self._upscaler = load_upscaler, cast("Upscaler | None", None)
        self._load, self._report, self._wants_preview = load, report, wants_preview
        self._checkpoint_every = checkpoint_every
        self._orders: queue.SimpleQueue[Order] = queue.SimpleQueue()
        self._going: dict[JobId, Going] = {}
        self._counts, self._counted_at = EngineCounts(), 0.0
        self._thread = threading.Thread(target=self._live, name="device", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def join(self, timeout_s: float) -> None:
        """Wait for the thread to end; it does after `Park` or an error."""
        self._thread.join(timeout_s)

    def order(self, order: Order) -> None:
        """Hand over an order from any thread."""
        self._orders.put(order)

    def _live(self) -> None:
        try:
            loaded = self._load()
            self._report(Ready())
            self._work(loaded)
        except BaseException as error:  # noqa: BLE001 - the top of the thread: whatever ends it is told, then it ends
            self._report(Broken(error=error))

    def _work(self, loaded: Loaded) -> None:
        while True:
            for order in self._take(block=not self._going):
                match order:
                    case Draw():
                        self._draw(loaded, order)
                    case Cancel() if order.job in self._going:
                        self._stop(loaded, self._going[order.job])
                    case Cancel():
                        pass  # it ended meanwhile
                    case Aside():
                        self._put_aside(loaded, order.job)
                    case Park():
                        self._park(loaded)
                        return
            loaded.hub.turn()
            self._enlarge()
            self._reap()
            self._count(loaded)

    def _count(self, loaded: Loaded) -> None:
        """Tell what the engine counted: once a second, and when it comes to rest."""
        now = time.monotonic()
        if now - self._counted_at < COUNT_S and self._going:
            return
        counts = loaded.counts()
        self._report(Counted(counts=counts.since(self._counts)))
        self._counts, self._counted_at = counts, now

    def _take(self, *, block: bool) -> list[Order]:
        """All orders that wait; with `block`, at least one."""
        orders = [self._orders.get()] if block else []
        while not self._orders.empty():
            orders.append(self._orders.get())
        return orders

    def _draw(self, loaded: Loaded, order: Draw) -> None:
        job = order.job
        now = time.monotonic()
        try:
            if job.parameters.task is Task.UPSCALE:
                self._begin_upscale(order)
                return
            assignment = loaded.assign(order)
            run = loaded.hub.submit(
                assignment.kwargs,
                pipeline=assignment.pipeline,
                resume=order.resume,
                checkpoint_every=self._checkpoint_every,
                on_step=lambda run: self._stepped(loaded, job, run),
                on_checkpoint=lambda run, snapshot: self._saved(job, run, snapshot),
                label=job.tier,
            )
        except Exception as error:  # noqa: BLE001 - one job's fault must not end the thread; it is told to its owner
            self._report(Ended(job=job.id, step=job.step, error=error))
            return

        def finish(output: Any) -> tuple[Any, ...]:
            return tuple(map(assignment.finish, output.images))

        self._going[job.id] = Going(job=job, run=run, finish=finish, started_at=now, stepped_at=now)

    def _begin_upscale(self, order: Draw) -> None:
        from mezzotint.engine.canvas import read_picture

        self._upscaler = self._upscaler or self._load_upscaler()
        job, now = order.job, time.monotonic()
        assert order.source is not None, "admission asks for a source"
        run = self._upscaler.begin(read_picture(order.source), job.parameters.scale or 1)
        self._going[job.id] = Going(job=job, run=run, finish=lambda picture: (picture,), started_at=now, stepped_at=now)

    def _enlarge(self) -> None:
        """One tile of every upscale, so that steps and tiles take turns."""
        from mezzotint.engine.upscaler import Upscaling

        for going in self._going.values():
            if isinstance(going.run, Upscaling) and not going.run.done:
                going.run.turn()
                going.stepped_at = time.monotonic()
                steps = Stepped(job=going.job.id, step=going.run.steps, num_steps=going.run.num_steps, preview=None)
                self._report(steps)

    def _stop(self, loaded: Loaded, going: Going) -> None:
        from mezzotint.engine.upscaler import Upscaling

        if isinstance(going.run, Upscaling):
            going.run.cancel()
        else:
            loaded.hub.cancel(going.run)

    def _stepped(self, loaded: Loaded, job: Job, run: "Run") -> None:
        going = self._going.get(job.id)
        if going is not None:
            going.stepped_at = time.monotonic()
        preview = None
        latents = run.latents if run.denoised is None else run.denoised  # the estimate of the end is less noisy
        if loaded.previews is not None and latents is not None and self._wants_preview(job.id):
            preview = loaded.previews.image(latents)
        num_steps = run.num_steps or job.parameters.num_steps
        self._report(Stepped(job=job.id, step=run.steps, num_steps=num_steps, preview=preview))

    def _saved(self, job: Job, run: "Run", snapshot: "Snapshot") -> None:
        if snapshot.steps != run.num_steps:  # after the last step the picture is quicker than its checkpoint
            self._report(Saved(job=job.id, snapshot=snapshot, cost_s=run.cost_s))

    def _reap(self) -> None:
        for going in [going for going in self._going.values() if going.run.done]:
            del self._going[going.job.id]
            now = time.monotonic()
            pictures = () if going.run.error is not None else going.finish(going.run.output)
            self._report(
                Ended(
                    job=going.job.id,
                    step=going.run.steps,
                    pictures=pictures,
                    error=going.run.error,
                    begun_at=going.started_at,
                    denoise_s=going.stepped_at - going.started_at,
                    decode_s=now - going.stepped_at,
                    cost_s=going.run.cost_s,
                )
            )

    def _park(self, loaded: Loaded) -> None:
        for job in list(self._going):
            self._put_aside(loaded, job)

    def _put_aside(self, loaded: Loaded, job: JobId) -> None:
        going = self._going.pop(job, None)
        if going is None:
            return  # it ended meanwhile
        snapshot = going.run.snapshot()
        self._stop(loaded, going)
        self._report(Parked(job=job, snapshot=snapshot, cost_s=going.run.cost_s))
