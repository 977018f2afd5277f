"""Pieces of work come back in their order, a few at a time."""

import threading
import time
from functools import partial

import pytest
import torch

from roots_kg.graph.parallel import in_order


@pytest.fixture
def three_threads():
    torch.set_num_threads(3)
    yield
    torch.set_num_threads(1)


@pytest.mark.usefixtures("three_threads")
def test_results_come_in_the_order_of_the_work_and_torch_runs_on_one_thread():
    def piece(number):
        time.sleep(0.02 if number % 3 == 0 else 0)
        return number, torch.get_num_threads(), threading.current_thread().name

    found = list(in_order(partial(piece, number) for number in range(20)))
    assert [number for number, _, _ in found] == list(range(20))
    assert {threads for _, threads, _ in found} == {1}
    assert len({name for _, _, name in found}) > 1
    assert torch.get_num_threads() == 3


@pytest.mark.usefixtures("three_threads")
def test_only_a_few_pieces_are_begun_ahead():
    begun = 0

    def work():
        nonlocal begun
        for number in range(100):
            begun += 1
            yield lambda number=number: number

    results = in_order(work())
    assert next(results) == 0
    assert begun < 10
    results.close()
    assert torch.get_num_threads() == 3


def test_an_error_in_a_piece_is_raised():
    def piece():
        raise ValueError("broken")

    with pytest.raises(ValueError, match="broken"):
        list(in_order([piece, lambda: 1]))
    assert torch.get_num_threads() == 1
