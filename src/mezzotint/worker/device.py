"""The one thread that uses the device. Commands come in by a queue, reports go out by a callback.

A job waits here until its model is in memory and there is room for its run; a job that has waited long is not
overtaken. Models with runs in flight share the thread turn by turn.
"""

import queue
import threading
import time
import traceback
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, assert_never, cast

import structlog

from mezzotint.domain.errors import EngineFailed, JobFault, OutOfMemory
from mezzotint.domain.ids import JobId
from mezzotint.domain.job import CutTexts, Job
from mezzotint.domain.task import Task
from mezzotint.engine.errors import RunCancelled
from mezzotint.policy.device.run_memory import Begin, MakeRoom, PutOff
from mezzotint.policy.device.time_slices import carry_over, choose_least_served
from mezzotint.worker.active_runs import ActiveRun, RunMemory
from mezzotint.worker.checkpoints.interval import CheckpointInterval
from mezzotint.worker.messages import (
    Cancel,
    CheckpointReady,
    Command,
    DeviceFailed,
    ModelsReady,
    Preempt,
    PreemptReason,
    Report,
    RunEnded,
    RunPreempted,
    Shutdown,
    Start,
    StepDone,
)
from mezzotint.worker.model_cache import Catalog, LoadedModel, ModelCache
from mezzotint.worker.preview_time import PreviewTime

if TYPE_CHECKING:
    from mezzotint.engine import Hub, Run, Snapshot
    from mezzotint.engine.upscaler import Upscaler


log = structlog.get_logger()
COUNT_S = 1.0


class DeviceThread:
    """Runs jobs on one device.

    catalog: the models. load_upscaler: on this thread. report: called on this thread. wants_preview: whether a job's
    preview would be seen. interval: when runs are saved. run_bytes: bound of what runs keep in memory; 0: none.
    """

    def __init__(
        self,
        catalog: Catalog,
        report: Callable[[Report], None],
        wants_preview: Callable[[JobId], bool],
        interval: CheckpointInterval,
        load_upscaler: "Callable[[], Upscaler]",
        *,
        run_bytes: int = 0,
    ) -> None:
        self._load_upscaler, self._upscaler = load_upscaler, cast("Upscaler | None", None)
        self._report, self._wants_preview = report, wants_preview
        self._checkpoint_interval = interval
        self._cache = ModelCache(catalog, report)
        self._preview_time = PreviewTime()
        self._check_device = catalog.check_device
        self._run_memory = RunMemory(run_bytes)
        self._commands: queue.SimpleQueue[Command] = queue.SimpleQueue()
        self._waiting: list[Start] = []
        self._active: dict[JobId, ActiveRun] = {}
        self._spent_s: dict[str, float] = {}
        self._counted_at = 0.0
        self._computing: Hub | JobId | None = None  # whose work the device does
        self._thread = threading.Thread(target=self._run_thread, name="device", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def join(self, timeout_s: float) -> None:
        """Wait for the thread to end; it does after `Shutdown` or an error."""
        self._thread.join(timeout_s)

    @property
    def is_alive(self) -> bool:
        """Say whether the thread has begun and not ended."""
        return self._thread.is_alive()

    def send(self, command: Command) -> None:
        """Hand over a command from any thread."""
        self._commands.put(command)

    def _run_thread(self) -> None:
        try:
            self._cache.warm_up()
            self._report(ModelsReady())
            self._work()
        except BaseException as error:  # noqa: BLE001 - the top of the thread: whatever ends it is told, then it ends
            self._report(DeviceFailed(error=error, at_work=self._jobs_at_work()))

    def _work(self) -> None:
        while True:
            for command in self._receive(block=not (self._active or self._waiting)):
                match command:
                    case Start():
                        self._waiting.append(command)
                    case Cancel():
                        self._cancel(command.job)
                    case Preempt():
                        self._preempt(command.job, command.why)
                    case Shutdown():
                        for job in [*(waiting.job.id for waiting in self._waiting), *self._active]:
                            self._preempt(job, PreemptReason.DRAIN)
                        return
            self._start_waiting()
            self._turn()
            self._turn_upscales()
            self._report_ended()
            now = time.monotonic()
            if now - self._counted_at >= COUNT_S or not self._active:
                self._cache.report_counts()
                self._counted_at = now

    def _turn(self) -> None:
        """Make one turn of the model whose runs have had the device for the shortest time."""
        self._spent_s = carry_over(self._spent_s, self._cache.find_live())
        name = choose_least_served(self._spent_s)
        if name is None:
            return
        begun = time.monotonic()
        self._computing = self._cache.loaded[name].hub
        try:
            self._computing.turn()
            self._run_memory.measure(self._active.values())
        except Exception as error:  # noqa: BLE001 - the runs of this engine end by it, and no others
            self._check_device(error)
            self._fail_engine(name, error)
        self._spent_s[name] += time.monotonic() - begun

    def _jobs_at_work(self) -> frozenset[JobId]:
        """The jobs of which one may have cost the device: those that it computed for last."""
        hub = self._computing
        if hub is None or isinstance(hub, str):
            return frozenset() if hub is None else frozenset({hub})
        active = (active for active in self._active.values() if active.hub is hub)
        return frozenset(active.job.id for active in active if cast("Run", active.run).id in hub.at_work)

    def _fail_engine(self, name: str, error: Exception) -> None:
        """End all runs of a model whose engine failed as a whole; nobody knows in which state it is now."""
        log.error("engine failed", model=name, exc_info=error)
        hub = self._cache.loaded[name].hub
        for active in [active for active in self._active.values() if active.hub is hub]:
            del self._active[active.job.id]
            fault = EngineFailed(f"The engine failed while it drew this job ({type(error).__name__}).")
            ended = RunEnded(job=active.job.id, step=active.run.steps, error=fault, cost_s=active.run.cost_s)
            self._report(ended)
        self._cache.drop(name)

    def _receive(self, *, block: bool) -> list[Command]:
        """All commands that wait; with `block`, at least one."""
        commands = [self._commands.get()] if block else []
        while not self._commands.empty():
            commands.append(self._commands.get())
        return commands

    def _start_waiting(self) -> None:
        """Start one job after the other, as far as there is room for their models and their runs."""
        while self._waiting:
            command = self._run_memory.choose_next(self._waiting)
            match self._run_memory.decide_start(command, self._active.values()):
                case PutOff():
                    return
                case MakeRoom(job=job):
                    self._preempt(job, PreemptReason.MEMORY)
                    continue
                case Begin():
                    pass
                case _ as never:
                    assert_never(never)
            try:
                if not self._start(command):
                    return
            except Exception as error:  # noqa: BLE001 - one job's fault must not end the thread; it is told to its owner
                self._check_device(error)
                fault = self._name_fault(error)
                self._report(RunEnded(job=command.job.id, step=command.job.step, error=fault))
            self._waiting.remove(command)

    def _start(self, command: Start) -> bool:
        """Returns False where the job has to wait."""
        self._computing = None
        if command.job.parameters.task is Task.UPSCALE:
            self._start_upscale(command)
            return True
        loaded = self._cache.fetch(command.job.model)
        if loaded is None or not loaded.fetch_styles(command.job.parameters.styles):
            return False
        self._start_run(loaded, command)
        return True

    def _start_run(self, loaded: LoadedModel, command: Start) -> None:
        from mezzotint.engine import ForecastSettings
        from mezzotint.engine.models.read_texts import find_cut_texts

        job = command.job
        now = time.monotonic()
        assignment = loaded.assign(command)

        def report_checkpoint(run: "Run", snapshot: "Snapshot") -> None:
            if snapshot.steps != run.num_steps:  # after the last step the picture is quicker than its checkpoint
                self._report(CheckpointReady(job=job.id, snapshot=snapshot, cost_s=run.cost_s))

        run = loaded.hub.submit(
            assignment.kwargs,
            pipeline=assignment.pipeline,
            resume=command.resume,
            stop_after=job.parameters.num_sampled if job.parameters.stop is not None else None,
            forecast=ForecastSettings(bound=bound) if (bound := job.parameters.forecast) is not None else None,
            checkpoint_every=self._checkpoint_interval.every or self._interval,
            on_step=lambda run: self._report_step(loaded, job, run),
            on_checkpoint=report_checkpoint,
            adapters={style.name: style.weight for style in job.parameters.styles},
            label=job.tier,
        )

        def finish(output: Any) -> tuple[Any, ...]:
            return tuple(map(assignment.finish, output.images))

        def stop() -> None:
            loaded.hub.cancel(run)

        active = ActiveRun(job=job, run=run, stop=stop, finish=finish, started_at=now, stepped_at=now, hub=loaded.hub)
        active.fingerprint = loaded.fingerprint
        active.cut_texts = CutTexts(**find_cut_texts(assignment.pipeline, assignment.kwargs))
        active.begun_step, active.num_bytes = run.steps, self._run_memory.estimate_bytes(job)
        self._active[job.id] = active

    def _start_upscale(self, command: Start) -> None:
        from mezzotint.engine.canvas import read_picture
        from mezzotint.media.transparency import lay_on_white

        self._upscaler = self._upscaler or self._load_upscaler()
        job, now = command.job, time.monotonic()
        assert command.source is not None, "admission asks for a source"
        source = lay_on_white(read_picture(command.source))
        run = self._upscaler.begin(source, job.parameters.scale or 1, self._cache.free)

        def finish(picture: Any) -> tuple[Any, ...]:
            return (picture,)

        self._active[job.id] = ActiveRun(
            job=job, run=run, stop=run.cancel, finish=finish, started_at=now, stepped_at=now
        )

    def _turn_upscales(self) -> None:
        """Enlarge one tile of every upscale, so that steps and tiles take turns."""
        from mezzotint.engine.upscaler import Upscaling

        for active in self._active.values():
            if isinstance(active.run, Upscaling) and not active.run.done:
                self._computing = active.job.id
                active.run.turn()
                active.stepped_at = time.monotonic()
                steps = StepDone(job=active.job.id, step=active.run.steps, num_steps=active.run.num_steps, preview=None)
                self._report(steps)

    def _cancel(self, job: JobId) -> None:
        """A job that ended meanwhile is ignored."""
        if self._withdraw(job) is not None:
            self._report(RunEnded(job=job, step=0, error=RunCancelled()))
        elif job in self._active:
            self._active[job].stop()

    def _withdraw(self, job: JobId) -> Start | None:
        """The command of a job that has not begun, withdrawn."""
        command = next((command for command in self._waiting if command.job.id == job), None)
        if command is not None:
            self._waiting.remove(command)
        return command

    def _report_step(self, loaded: LoadedModel, job: Job, run: "Run") -> None:
        active = self._active.get(job.id)
        if active is not None:
            active.stepped_at = time.monotonic()
        num_steps = run.num_steps or job.parameters.num_steps
        preview = self._preview(loaded, active, run) if active is not None and active.has_previews else None
        self._report(StepDone(job=job.id, step=run.steps, num_steps=num_steps, preview=preview))

    def _preview(self, loaded: LoadedModel, active: ActiveRun, run: "Run") -> Any:
        """[H, W, 3] uint8, or None, also where previews have had their share of time.

        A preview that fails costs the previews of its job, never its picture.
        """
        latents = run.latents if run.denoised is None else run.denoised  # the estimate of the end is less noisy
        if loaded.previews is None or latents is None or not self._wants_preview(active.job.id):
            return None
        try:
            previews, size_px = loaded.previews, (active.job.parameters.width, active.job.parameters.height)
            return self._preview_time.draw(loaded.hub, lambda: previews.image(latents, size_px))
        except Exception as error:  # whatever a decoder raises
            self._check_device(error)
            log.warning("no more previews of a job", job=active.job.id, exc_info=error)
            active.has_previews = False
            return None

    def _interval(self, run: "Run") -> int:
        """Steps between two of its checkpoints, by the wall clock of its steps so far, company included."""
        active = next((active for active in self._active.values() if active.run is run), None)
        if active is None:
            return self._checkpoint_interval.choose_steps(0.0)
        num_steps = run.steps - active.begun_step
        return self._checkpoint_interval.choose_steps((time.monotonic() - active.started_at) / max(num_steps, 1))

    def _report_ended(self) -> None:
        for active in [active for active in self._active.values() if active.run.done]:
            del self._active[active.job.id]
            now = time.monotonic()
            pictures: tuple[Any, ...] = ()
            error = active.run.error
            if error is None:
                try:
                    pictures = active.finish(active.run.output)
                except Exception as fault:  # noqa: BLE001 - one job's fault, told to its owner
                    error = self._name_fault(fault)
            run = cast("Run", active.run) if active.hub is not None else None  # else an upscale, which has no denoiser
            self._report(
                RunEnded(
                    job=active.job.id,
                    step=active.run.steps,
                    pictures=pictures,
                    error=error,
                    begun_at=active.started_at,
                    denoise_s=active.stepped_at - active.started_at,
                    decode_s=now - active.stepped_at,
                    cost_s=active.run.cost_s,
                    cut_texts=active.cut_texts,
                    fingerprint=active.fingerprint,
                    num_passes=run.num_passes if run is not None else 0,
                    num_forecast=run.num_forecast if run is not None else 0,
                )
            )

    def _name_fault(self, error: Exception) -> Exception:
        """The error of a job before or after its run, or OutOfMemory for a lack of memory, which is then freed."""
        if isinstance(error, JobFault) or not self._cache.catalog.is_out_of_memory(error):
            return error
        log.warning("memory ran out", exc_info=error)
        traceback.clear_frames(error.__traceback__)
        self._cache.free()
        return OutOfMemory("Memory ran out while the job was prepared or its picture was finished.")

    def _preempt(self, job: JobId, why: PreemptReason) -> None:
        if self._withdraw(job) is not None:
            self._report(RunPreempted(job=job, snapshot=None, cost_s=0.0, why=why))
            return
        active = self._active.pop(job, None)
        if active is None:
            return  # it ended meanwhile
        snapshot = None
        try:
            snapshot = active.run.snapshot()
            active.stop()
        except Exception as error:  # it goes on from the checkpoint before
            log.warning("run put aside without a checkpoint", job=job, exc_info=error)
        self._report(RunPreempted(job=job, snapshot=snapshot, cost_s=active.run.cost_s, why=why))
