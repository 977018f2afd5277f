"""Memory that is free within the process, and goes back to the system.

Batches of ever other shapes leave gaps between what the C library's allocator keeps, and the process grows
for a long time although no more is in use. To let it keep nothing would cost a fifth of the time.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from functools import cache

__all__ = ["give_back"]


def give_back() -> None:
    """Return free memory to the system, where the C library can (glibc); elsewhere nothing happens."""
    trim = _trim()
    if trim is not None:
        trim(0)


@cache
def _trim() -> Callable[[int], int] | None:
    try:
        return getattr(ctypes.CDLL(None), "malloc_trim", None)
    except (OSError, TypeError):  # a system where a process cannot be asked for its own symbols
        return None
