"""Work in many equal pieces on a few threads."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

import torch

from roots_kg.threads import one_thread

__all__ = ["in_order", "workers"]

Result = TypeVar("Result")

MOST_WORKERS = 8
"""More of them mostly wait for the interpreter's lock."""


def workers() -> int:
    """Return how many threads `in_order` works on: as many as torch is set to use, up to 8."""
    return min(torch.get_num_threads(), MOST_WORKERS)


def in_order(work: Iterable[Callable[[], Result]]) -> Iterator[Result]:
    """Do pieces of work on a few threads, begun and given back in their order, and only a few begun ahead.

    Each of the threads runs torch on one: where pieces are small, threads that share one of them mostly
    wait for each other, and on a busy machine take ten times as long.
    """
    count = workers()
    waiting: deque[Future[Result]] = deque()
    with one_thread(), ThreadPoolExecutor(count) as pool:
        for piece in work:
            waiting.append(pool.submit(piece))
            if len(waiting) > count:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
