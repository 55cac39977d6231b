"""How long single callbacks hold the event loop, in CPU time of its thread: a loaded machine does not change it."""

import asyncio
import gc
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

CLIENT = "the client"
"""The label while a request is made, which is not the server's doing."""


@dataclass(slots=True)
class LoopLag:
    """held_s: of each callback since `label` was set last, the longest, by label."""

    label: str = ""
    held_s: dict[str, float] = field(default_factory=dict)

    def note(self, seconds: float) -> None:
        self.held_s[self.label] = max(self.held_s.get(self.label, 0.0), seconds)

    @property
    def worst(self) -> tuple[str, float]:
        return max(
            ((label, held) for label, held in self.held_s.items() if label != CLIENT),
            key=lambda one: one[1],
            default=("", 0.0),
        )


@contextmanager
def measured() -> Iterator[LoopLag]:
    """Measure the callbacks of the event loops of this thread, as asyncio's own loop runs them."""
    gc.collect()
    gc.freeze()  # a look of the collector at what was there before is not the requests' doing
    lag, plain, thread = LoopLag(), asyncio.Handle._run, threading.get_ident()

    def run(handle: Any) -> None:
        begun = time.thread_time()
        plain(handle)
        if threading.get_ident() == thread:
            lag.note(time.thread_time() - begun)

    asyncio.Handle._run = run  # type: ignore[method-assign]
    try:
        yield lag
    finally:
        asyncio.Handle._run = plain  # type: ignore[method-assign]
        gc.unfreeze()
