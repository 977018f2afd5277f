"""Dynamic batching: what many clients ask at the same time is answered together.

Nothing waits for others to come. While the model works on one batch, what arrives forms the next, so that
batches grow with the load and a single client is answered at once.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Hashable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, TypeVar

from roots_kg.errors import RootsError

__all__ = ["Batcher", "Busy"]

R = TypeVar("R")


class Busy(RootsError):
    """More waits for an answer than the server takes, or it is about to stop."""


@dataclass(frozen=True)
class _Item:
    kind: Hashable
    asked: Any
    answer: asyncio.Future[Any]


class Batcher:
    """One thread that answers items in batches; items of a batch are of one kind.

    Args:
        answer: kind and items to one answer an item; never called twice at the same time.
        max_batch: the most items of a batch.
        max_waiting: the most items that wait.
        observe: called after each batch with its kind and size.
    """

    def __init__(
        self,
        answer: Callable[[Any, Sequence[Any]], Sequence[Any]],
        max_batch: int,
        max_waiting: int,
        observe: Callable[[Any, int], None] = lambda kind, size: None,
    ) -> None:
        self._answer, self._max_batch, self._max_waiting = answer, max_batch, max_waiting
        self._observe = observe
        self._waiting: deque[_Item] = deque()
        self._arrived = asyncio.Event()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="model")
        self._task: asyncio.Task[None] | None = None
        self._closed = False

    @property
    def waiting(self) -> int:
        """How many items wait."""
        return len(self._waiting)

    @property
    def working(self) -> bool:
        """Whether items are answered."""
        return self._task is not None and not self._task.done() and not self._closed

    def start(self) -> None:
        """Begin to answer, on the running event loop."""
        self._task = asyncio.get_running_loop().create_task(self._work())

    async def close(self) -> None:
        """Take nothing more, answer what waits, and stop."""
        self._closed = True
        self._arrived.set()
        if self._task is not None:
            await self._task
        self._thread.shutdown()

    async def ask(self, kind: Hashable, items: Sequence[Any]) -> list[Any]:
        """Return an answer for each item.

        Raises:
            Busy: if too many items wait already, or if the batcher was closed.
            RootsError: what `answer` raised for the first item that it raised for.
        """
        if self._closed:
            raise Busy("the server is about to stop")
        if len(self._waiting) + len(items) > self._max_waiting:
            raise Busy(f"{len(self._waiting)} texts wait already", hint="come back in a moment")
        loop = asyncio.get_running_loop()
        asked = [_Item(kind, item, loop.create_future()) for item in items]
        self._waiting.extend(asked)
        self._arrived.set()
        try:
            return list(await asyncio.gather(*(item.answer for item in asked)))
        finally:
            for item in asked:
                item.answer.cancel()  # whoever asked has gone, or one of them failed

    async def alone(self, work: Callable[[], R]) -> R:
        """Run something between two batches."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)

    async def _work(self) -> None:
        while True:
            await self._arrived.wait()
            batch = self._next()
            if batch:
                await self._finish(batch)
            elif self._closed:
                return
            else:
                self._arrived.clear()

    def _next(self) -> list[_Item]:
        """Take the item that has waited longest, and others of its kind, in their order."""
        batch: list[_Item] = []
        others: deque[_Item] = deque()
        while self._waiting and len(batch) < self._max_batch:
            item = self._waiting.popleft()
            if item.answer.done():
                continue
            (batch if not batch or item.kind == batch[0].kind else others).append(item)
        self._waiting.extendleft(reversed(others))
        return batch

    async def _finish(self, batch: Sequence[_Item]) -> None:
        """Answer a batch; one that fails is answered item by item, so that none fails for another's fault."""
        kind = batch[0].kind
        try:
            answers = await self.alone(lambda: list(self._answer(kind, [item.asked for item in batch])))
        except Exception as error:
            if len(batch) > 1:
                for item in batch:
                    await self._finish([item])
            elif not batch[0].answer.done():
                batch[0].answer.set_exception(error)
            return
        self._observe(kind, len(batch))
        for item, answer in zip(batch, answers, strict=True):
            if not item.answer.done():
                item.answer.set_result(answer)
