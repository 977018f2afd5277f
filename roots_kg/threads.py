"""How many threads torch uses: one, where the work is too small for more to help much."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager

import torch

__all__ = ["one_thread", "some_threads"]


def one_thread() -> AbstractContextManager[None]:
    """Run torch on one thread: for small steps, more cost more than they save.

    On a busy machine, threads that wait for each other at every step can take ten times as long.
    """
    return some_threads(1)


@contextmanager
def some_threads(count: int) -> Iterator[None]:
    """Run torch on `count` threads, and afterwards on as many as before."""
    threads = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
