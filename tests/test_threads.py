import contextlib

import torch

from roots_kg.threads import one_thread


def test_one_thread_lasts_as_long_as_its_block_even_if_that_fails():
    threads, inside = torch.get_num_threads(), []
    torch.set_num_threads(2)
    try:
        with contextlib.suppress(ZeroDivisionError), one_thread():
            inside.append(torch.get_num_threads())
            raise ZeroDivisionError
        assert (inside, torch.get_num_threads()) == ([1], 2)
    finally:
        torch.set_num_threads(threads)
