"""Group commit: requests that arrive during a commit share the next one.

A commit waits for the disk, which takes longer than all that is written. Whoever comes alone waits for nobody.
"""

import asyncio
from collections.abc import Awaitable, Callable, Hashable, Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from sqlalchemy.exc import IntegrityError

T = TypeVar("T")
R = TypeVar("R")


@dataclass(slots=True, eq=False)
class PendingWrite(Generic[T, R]):
    one: T
    answer: asyncio.Future[R] = field(default_factory=lambda: asyncio.get_running_loop().create_future())


class GroupCommit(Generic[T, R]):
    """write: carries out many in one transaction; an answer for each, in their order. An exception among the answers
    is raised where that one waits. key: of those with equal keys only one goes at a time; None: any. most: of one
    transaction: a bound for how long it may take. gives_up: what nobody waits for any more is not carried out, and
    broken off when it is under way; else it is."""

    def __init__(
        self,
        name: str,
        write: Callable[[Sequence[T]], Awaitable[Sequence[R | Exception]]],
        most: int,
        key: Callable[[T], Hashable] = lambda one: None,
        *,
        gives_up: bool = False,
    ) -> None:
        self._name, self._write, self._most, self._key, self._gives_up = name, write, most, key, gives_up
        self._waiting: list[PendingWrite[T, R]] = []
        self._under_way: Sequence[PendingWrite[T, R]] = ()
        self._task: asyncio.Task[None] | None = None

    async def submit(self, one: T) -> R:
        """Returns once it is carried out. Raises: what its own writing raises."""
        waiting: PendingWrite[T, R] = PendingWrite(one)
        self._waiting.append(waiting)
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._commit_batches(), name=self._name)
        try:
            return await waiting.answer
        except asyncio.CancelledError:
            is_left = self._under_way and all(one.answer.done() for one in self._under_way)
            if self._gives_up and is_left and self._task is not None:
                self._task.cancel()
            raise

    async def _commit_batches(self) -> None:
        while self._waiting:
            self._under_way = together = self._next()
            try:
                await self._execute(together)
            except IntegrityError as error:
                await self._one_by_one(together, error)
            except BaseException as error:  # noqa: BLE001 - raised again where each of them waits
                _fail(together, error)
            self._under_way = ()
            await asyncio.sleep(0)  # who has its answer now and comes again at once goes along with the next

    def _next(self) -> list[PendingWrite[T, R]]:
        keys: set[Hashable] = set()
        together: list[PendingWrite[T, R]] = []
        later: list[PendingWrite[T, R]] = []
        for waiting in self._waiting:
            if self._gives_up and waiting.answer.done():
                continue
            key = self._key(waiting.one)
            if len(together) == self._most or key in keys:
                later.append(waiting)
                continue
            together.append(waiting)
            if key is not None:
                keys.add(key)
        self._waiting = later
        return together

    async def _execute(self, together: Sequence[PendingWrite[T, R]]) -> None:
        answers = await self._write([waiting.one for waiting in together])
        for waiting, answer in zip(together, answers, strict=True):
            if waiting.answer.done():
                continue  # nobody waits for it any more
            if isinstance(answer, Exception):
                waiting.answer.set_exception(answer)
            else:
                waiting.answer.set_result(answer)

    async def _one_by_one(self, together: Sequence[PendingWrite[T, R]], error: BaseException) -> None:
        """Repeat each request alone, so that the one at fault fails alone."""
        if len(together) == 1:
            _fail(together, error)
            return
        for waiting in together:
            try:
                await self._execute([waiting])
            except BaseException as its_own:  # noqa: BLE001 - raised again where it waits
                _fail([waiting], its_own)


def _fail(together: Sequence[PendingWrite[T, R]], error: BaseException) -> None:
    for waiting in together:
        if not waiting.answer.done():
            waiting.answer.set_exception(error)
