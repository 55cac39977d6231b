"""Background tasks that live as long as the process, and its end by a signal.

Each task is tried again after a failure, counted and seen.

A task is a round of work that is repeated. A round that raises never ends its task: the next round comes after a wait
that doubles with each failure in a row. `BackgroundTasks.failing` names the tasks that do not get a round done.
"""

import asyncio
import os
import signal
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

import structlog

from mezzotint.domain.errors import StorageUnavailable

FIRST_WAIT_S = 0.5
MAX_WAIT_S = 5.0
"""Short against a lease, which a worker must renew as soon as its database answers again."""
FAILING_S = 10.0
"""A task whose rounds failed for so long keeps the process from being ready."""
log = structlog.get_logger()


@dataclass(slots=True)
class BackgroundTasks:
    """on_restart: told the name of a task whose round failed."""

    on_restart: Callable[[str], None] = lambda name: None
    _failing_since: dict[str, float] = field(default_factory=dict)

    @property
    def failing(self) -> list[str]:
        """Names of the tasks that have failed for `FAILING_S` without a good round between."""
        now = time.monotonic()
        return sorted(name for name, since in self._failing_since.items() if now - since >= FAILING_S)

    async def run_forever(
        self, name: str, every_s: float, work: Callable[[], Awaitable[object]], wake: asyncio.Event | None = None
    ) -> None:
        """Repeat `work`, `every_s` seconds after its end, or sooner when `wake` is set. Ends by cancellation alone."""
        failures = 0
        while True:
            if wake is not None:
                wake.clear()
            try:
                await work()
            except asyncio.CancelledError as error:
                task = asyncio.current_task()
                if task is not None and task.cancelling():  # this one, not something that the round waited for
                    raise
                failures = self._note_failure(name, failures, error)
            except Exception as error:  # noqa: BLE001 - whatever one round raises, the next one comes
                failures = self._note_failure(name, failures, error)
            else:
                failures = 0
                self._failing_since.pop(name, None)
            if failures:
                await asyncio.sleep(back_off_s(failures))
            elif wake is None:
                await asyncio.sleep(every_s)
            else:
                with suppress(TimeoutError):
                    async with asyncio.timeout(every_s):
                        await wake.wait()

    @asynccontextmanager
    async def running(self, *tasks: Coroutine[None, None, None]) -> AsyncIterator[None]:
        """Run the tasks, each a `run_forever`, until the block ends."""
        started = [asyncio.create_task(task) for task in tasks]
        try:
            yield
        finally:
            for task in started:
                task.cancel()
            await asyncio.gather(*started, return_exceptions=True)

    def _note_failure(self, name: str, failures: int, error: BaseException) -> int:
        """Count a failed round. Returns how many failed in a row."""
        self._failing_since.setdefault(name, time.monotonic())
        self.on_restart(name)
        trace = None if isinstance(error, StorageUnavailable) else error
        why = f"{type(error).__name__}: {error}"[:300]
        log.warning("background task failed, tried again", task=name, why=why, failures=failures + 1, exc_info=trace)
        return failures + 1


def handle_stop_signals(stop: Callable[[], None]) -> None:
    """Call `stop` at the first SIGINT or SIGTERM that the running loop gets; the second ends the process at once."""
    loop = asyncio.get_running_loop()
    received: list[int] = []

    def receive(number: int) -> None:
        received.append(number)
        if len(received) > 1:
            log.warning("stopped at once: jobs go on from their last checkpoints when their leases end")
            end_process(128 + number)
        log.info("stopping: runs are put aside; a second signal ends the process at once")
        stop()

    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, receive, number)


def end_process(code: int) -> None:
    """End the process with threads that cannot be joined: at a regular end they may abort it inside a library."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def back_off_s(failures: int) -> float:
    """Seconds to wait after so many failures in a row, at least 1."""
    return min(FIRST_WAIT_S * 2.0 ** min(failures - 1, 16), MAX_WAIT_S)
