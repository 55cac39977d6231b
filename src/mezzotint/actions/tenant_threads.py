"""CPU-heavy work of requests, off the event loop: a few threads for all, one at a time for each tenant."""

import asyncio
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from typing import ParamSpec, TypeVar
from weakref import WeakValueDictionary

from mezzotint.domain.ids import TenantId
from mezzotint.domain.refusal import Refusal, RefusalCode

NUM_THREADS = 2
"""Threads of one process. They hold the interpreter's lock while they read texts: more would not be faster."""
MAX_AT_ONCE = 16
"""Calls of one tenant that run or wait, where nothing else is said."""
RETRY_AFTER_S = 1
Parameters = ParamSpec("Parameters")
Result = TypeVar("Result")


class TenantThreads:
    """Runs functions in threads of its own, so that one tenant's work never delays another's by more than one call."""

    def __init__(self, num_threads: int = NUM_THREADS, max_at_once: int = MAX_AT_ONCE) -> None:
        self._max_at_once = max_at_once
        self._executor = ThreadPoolExecutor(num_threads, thread_name_prefix="tenant")
        self._num_calls: Counter[TenantId] = Counter()
        self._turns: WeakValueDictionary[TenantId, asyncio.Lock] = WeakValueDictionary()

    async def run(
        self,
        tenant: TenantId,
        function: Callable[Parameters, Result],
        *args: Parameters.args,
        **kwargs: Parameters.kwargs,
    ) -> Result | Refusal:
        """Return the result of the function; a refusal where the tenant has `max_at_once` calls under way already."""
        if self._num_calls[tenant] >= self._max_at_once:
            return Refusal(
                code=RefusalCode.TOO_MANY_AT_ONCE,
                message=f"{self._max_at_once} of your requests are being read already.",
                hint="Send fewer at once.",
                retry_after_s=RETRY_AFTER_S,
            )
        turn = self._turns.setdefault(tenant, asyncio.Lock())
        with self._count_call(tenant):
            async with turn:
                call = partial(function, *args, **kwargs)
                return await asyncio.get_running_loop().run_in_executor(self._executor, call)

    @contextmanager
    def _count_call(self, tenant: TenantId) -> Iterator[None]:
        self._num_calls[tenant] += 1
        try:
            yield
        finally:
            self._num_calls[tenant] -= 1
            if not self._num_calls[tenant]:
                del self._num_calls[tenant]
