"""The one thread that touches the device. Orders come in by a queue, reports go out by a callback.

A job waits here until its model is in memory and there is room for its run; nobody passes by one who has waited long.
Models with runs in flight share the thread turn by turn.
"""

import queue
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, assert_never, cast

import structlog

from mezzotint.domain.errors import EngineFailed
from mezzotint.domain.ids import JobId
from mezzotint.domain.job import Job
from mezzotint.domain.task import Task
from mezzotint.engine.errors import RunCancelled
from mezzotint.policy.device.run_memory import Begin, MakeRoom, PutOff
from mezzotint.policy.device.time_slices import carry_over, choose_least_served
from mezzotint.worker.cadence import Cadence
from mezzotint.worker.going import Going
from mezzotint.worker.orders import Aside, Cancel, Draw, Order, Park
from mezzotint.worker.reports import Broken, Ended, Preempted, Ready, Report, Saved, Stepped, Why
from mezzotint.worker.room import Room
from mezzotint.worker.shelf import Loaded, Shelf, Stock

if TYPE_CHECKING:
    from mezzotint.engine import Run, Snapshot
    from mezzotint.engine.upscaler import Upscaler


log = structlog.get_logger()
COUNT_S = 1.0


class Device:
    """Runs jobs on one device.

    stock: the models. load_upscaler: on this thread. report: called on this thread. wants_preview: whether a job's
    preview would be seen. cadence: when runs are saved. run_bytes: bound of what runs keep in memory; 0: none.
    """

    def __init__(
        self,
        stock: Stock,
        report: Callable[[Report], None],
        wants_preview: Callable[[JobId], bool],
        cadence: Cadence,
        load_upscaler: "Callable[[], Upscaler]",
        *,
        run_bytes: int = 0,
    ) -> None:
        self._load_upscaler, self._upscaler = load_upscaler, cast("Upscaler | None", None)
        self._report, self._wants_preview = report, wants_preview
        self._cadence = cadence
        self._shelf = Shelf(stock, report)
        self._room = Room(run_bytes)
        self._orders: queue.SimpleQueue[Order] = queue.SimpleQueue()
        self._waiting: list[Draw] = []
        self._going: dict[JobId, Going] = {}
        self._spent_s: dict[str, float] = {}
        self._counted_at = 0.0
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
            self._shelf.warm_up()
            self._report(Ready())
            self._work()
        except BaseException as error:  # noqa: BLE001 - the top of the thread: whatever ends it is told, then it ends
            self._report(Broken(error=error))

    def _work(self) -> None:
        while True:
            for order in self._take(block=not (self._going or self._waiting)):
                match order:
                    case Draw():
                        self._waiting.append(order)
                    case Cancel():
                        self._cancel(order.job)
                    case Aside():
                        self._put_aside(order.job, order.why)
                    case Park():
                        self._park()
                        return
            self._begin_waiting()
            self._turn()
            self._enlarge()
            self._reap()
            self._count()

    def _turn(self) -> None:
        """One turn of the model whose runs have had the device for the shortest time."""
        self._spent_s = carry_over(self._spent_s, self._shelf.live())
        name = choose_least_served(self._spent_s)
        if name is None:
            return
        begun = time.monotonic()
        try:
            self._shelf.loaded[name].hub.turn()
            self._room.measure(self._going.values())
        except Exception as error:  # noqa: BLE001 - the runs of this engine end by it, and no others
            self._fail_engine(name, error)
        self._spent_s[name] += time.monotonic() - begun

    def _fail_engine(self, name: str, error: Exception) -> None:
        """End all runs of a model whose engine failed as a whole; nobody knows in which state it is now."""
        log.error("engine failed", model=name, exc_info=error)
        hub = self._shelf.loaded[name].hub
        for going in [going for going in self._going.values() if going.hub is hub]:
            del self._going[going.job.id]
            fault = EngineFailed(f"The engine failed while it drew this job ({type(error).__name__}).")
            ended = Ended(job=going.job.id, step=going.run.steps, error=fault, cost_s=going.run.cost_s)
            self._report(ended)
        self._shelf.drop(name)

    def _count(self) -> None:
        """Tell what the engines counted: once a second, and when they come to rest."""
        now = time.monotonic()
        if now - self._counted_at >= COUNT_S or not self._going:
            self._shelf.count()
            self._counted_at = now

    def _take(self, *, block: bool) -> list[Order]:
        """All orders that wait; with `block`, at least one."""
        orders = [self._orders.get()] if block else []
        while not self._orders.empty():
            orders.append(self._orders.get())
        return orders

    def _begin_waiting(self) -> None:
        """Begin one job after the other, as far as there is room for their models and for them."""
        while self._waiting:
            order = self._room.next_of(self._waiting)
            match self._room.fit(order, self._going.values()):
                case PutOff():
                    return
                case MakeRoom(job=job):
                    self._put_aside(job, Why.MEMORY)
                    continue
                case Begin():
                    pass
                case _ as never:
                    assert_never(never)
            try:
                if not self._begin(order):
                    return
            except Exception as error:  # noqa: BLE001 - one job's fault must not end the thread; it is told to its owner
                self._report(Ended(job=order.job.id, step=order.job.step, error=error))
            self._waiting.remove(order)

    def _begin(self, order: Draw) -> bool:
        """False: not yet."""
        if order.job.parameters.task is Task.UPSCALE:
            self._begin_upscale(order)
            return True
        loaded = self._shelf.fetch(order.job.model)
        if loaded is not None:
            self._draw(loaded, order)
        return loaded is not None

    def _draw(self, loaded: Loaded, order: Draw) -> None:
        job = order.job
        now = time.monotonic()
        assignment = loaded.assign(order)
        run = loaded.hub.submit(
            assignment.kwargs,
            pipeline=assignment.pipeline,
            resume=order.resume,
            stop_after=job.parameters.num_sampled if job.parameters.stop is not None else None,
            checkpoint_every=self._cadence.every or self._interval,
            on_step=lambda run: self._stepped(loaded, job, run),
            on_checkpoint=lambda run, snapshot: self._saved(job, run, snapshot),
            label=job.tier,
        )

        def finish(output: Any) -> tuple[Any, ...]:
            return tuple(map(assignment.finish, output.images))

        def stop() -> None:
            loaded.hub.cancel(run)

        going = Going(job=job, run=run, stop=stop, finish=finish, started_at=now, stepped_at=now, hub=loaded.hub)
        going.begun_step, going.num_bytes = run.steps, self._room.expected(job)
        self._going[job.id] = going

    def _begin_upscale(self, order: Draw) -> None:
        from mezzotint.engine.canvas import read_picture

        self._upscaler = self._upscaler or self._load_upscaler()
        job, now = order.job, time.monotonic()
        assert order.source is not None, "admission asks for a source"
        run = self._upscaler.begin(read_picture(order.source), job.parameters.scale or 1)

        def finish(picture: Any) -> tuple[Any, ...]:
            return (picture,)

        self._going[job.id] = Going(job=job, run=run, stop=run.cancel, finish=finish, started_at=now, stepped_at=now)

    def _enlarge(self) -> None:
        """One tile of every upscale, so that steps and tiles take turns."""
        from mezzotint.engine.upscaler import Upscaling

        for going in self._going.values():
            if isinstance(going.run, Upscaling) and not going.run.done:
                going.run.turn()
                going.stepped_at = time.monotonic()
                steps = Stepped(job=going.job.id, step=going.run.steps, num_steps=going.run.num_steps, preview=None)
                self._report(steps)

    def _cancel(self, job: JobId) -> None:
        """A job that ended meanwhile is left in peace."""
        if self._take_back(job) is not None:
            self._report(Ended(job=job, step=0, error=RunCancelled()))
        elif job in self._going:
            self._going[job].stop()

    def _take_back(self, job: JobId) -> Draw | None:
        """The order of a job that has not begun, withdrawn."""
        order = next((order for order in self._waiting if order.job.id == job), None)
        if order is not None:
            self._waiting.remove(order)
        return order

    def _stepped(self, loaded: Loaded, job: Job, run: "Run") -> None:
        going = self._going.get(job.id)
        if going is not None:
            going.stepped_at = time.monotonic()
        num_steps = run.num_steps or job.parameters.num_steps
        preview = self._preview(loaded, going, run) if going is not None and going.has_previews else None
        self._report(Stepped(job=job.id, step=run.steps, num_steps=num_steps, preview=preview))

    def _preview(self, loaded: Loaded, going: Going, run: "Run") -> Any:
        """[H, W, 3] uint8, or None. A preview that fails costs the previews of its job, never its picture."""
        latents = run.latents if run.denoised is None else run.denoised  # the estimate of the end is less noisy
        if loaded.previews is None or latents is None or not self._wants_preview(going.job.id):
            return None
        try:
            return loaded.previews.image(latents)
        except Exception as error:  # whatever a decoder raises
            log.warning("no more previews of a job", job=going.job.id, exc_info=error)
            going.has_previews = False
            return None

    def _interval(self, run: "Run") -> int:
        """Steps between two of its checkpoints, by the wall clock of its steps so far, company included."""
        going = next((going for going in self._going.values() if going.run is run), None)
        if going is None:
            return self._cadence.steps(0.0)
        num_steps = run.steps - going.begun_step
        return self._cadence.steps((time.monotonic() - going.started_at) / max(num_steps, 1))

    def _saved(self, job: Job, run: "Run", snapshot: "Snapshot") -> None:
        if snapshot.steps != run.num_steps:  # after the last step the picture is quicker than its checkpoint
            self._report(Saved(job=job.id, snapshot=snapshot, cost_s=run.cost_s))

    def _reap(self) -> None:
        for going in [going for going in self._going.values() if going.run.done]:
            del self._going[going.job.id]
            now = time.monotonic()
            pictures, error = _finished(going)
            self._report(
                Ended(
                    job=going.job.id,
                    step=going.run.steps,
                    pictures=pictures,
                    error=error,
                    begun_at=going.started_at,
                    denoise_s=going.stepped_at - going.started_at,
                    decode_s=now - going.stepped_at,
                    cost_s=going.run.cost_s,
                )
            )

    def _park(self) -> None:
        for job in [*(order.job.id for order in self._waiting), *self._going]:
            self._put_aside(job, Why.DRAIN)

    def _put_aside(self, job: JobId, why: Why) -> None:
        if self._take_back(job) is not None:
            self._report(Preempted(job=job, snapshot=None, cost_s=0.0, why=why))
            return
        going = self._going.pop(job, None)
        if going is None:
            return  # it ended meanwhile
        snapshot = None
        try:
            snapshot = going.run.snapshot()
            going.stop()
        except Exception as error:  # it goes on from the checkpoint before
            log.warning("run put aside without a checkpoint", job=job, exc_info=error)
        self._report(Preempted(job=job, snapshot=snapshot, cost_s=going.run.cost_s, why=why))


def _finished(going: Going) -> tuple[tuple[Any, ...], BaseException | None]:
    """The pictures of a run that is done, or why there are none."""
    if going.run.error is not None:
        return (), going.run.error
    try:
        return going.finish(going.run.output), None
    except Exception as error:  # noqa: BLE001 - one job's fault, told to its owner
        return (), error
