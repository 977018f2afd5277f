"""Memory that goes back to the system."""

import ctypes
from pathlib import Path

import pytest

from roots_kg.serve.memory import give_back

LIBRARY = ctypes.CDLL(None)
PIECE, PIECES = 64_000, 2_000


def resident():
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return 1024 * int(status.split("VmRSS:")[1].split()[0])


@pytest.mark.skipif(not hasattr(LIBRARY, "malloc_trim"), reason="the C library is not glibc")
def test_what_lies_free_below_what_is_in_use_goes_back_to_the_system():
    LIBRARY.malloc.restype, LIBRARY.free.argtypes = ctypes.c_void_p, [ctypes.c_void_p]
    pieces = [LIBRARY.malloc(PIECE) for _ in range(PIECES)]
    for piece in pieces:
        ctypes.memset(piece, 1, PIECE)
    *freed, in_use = pieces
    for piece in freed:
        LIBRARY.free(piece)
    before = resident()
    give_back()
    assert before - resident() > 0.9 * PIECE * PIECES
    LIBRARY.free(in_use)
    give_back()  # with nothing to give it does no harm
