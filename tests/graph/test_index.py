"""The index finds what comparing with every row finds."""

import pytest
import torch

from roots_kg.graph.index import VectorIndex


@pytest.mark.parametrize("chunk_size", [1, 2, 7, 50, 1000])
@pytest.mark.parametrize("k", [1, 5, 50])
def test_the_nearest_rows_are_the_same_whatever_the_chunks(chunk_size, k):
    generator = torch.Generator().manual_seed(0)
    vectors, queries = torch.randn(50, 6, generator=generator), torch.randn(4, 6, generator=generator)
    found, rows = VectorIndex(vectors).search(queries, k, chunk_size=chunk_size)
    every = torch.cdist(queries, vectors, compute_mode="donot_use_mm_for_euclid_dist")
    expected, expected_rows = every.topk(k, largest=False, sorted=True)
    assert torch.equal(rows, expected_rows)
    assert torch.allclose(found, expected, atol=1e-5)


@pytest.mark.parametrize("chunk_size", [1, 3, 100])
def test_of_equal_distances_the_lower_row_comes_first(chunk_size):
    vectors = torch.tensor([[1.0], [3.0], [1.0], [-1.0], [1.0], [3.0]])
    distances, rows = VectorIndex(vectors).search(torch.zeros(2, 1), 5, chunk_size=chunk_size)
    assert rows.tolist() == [[0, 2, 3, 4, 1]] * 2
    assert distances[0].tolist() == [1, 1, 1, 1, 3]


def test_of_many_equal_distances_the_lowest_rows_come_first():
    vectors = torch.tensor([1.0, -1.0, 2.0]).repeat(2000)[:, None]
    rows = VectorIndex(vectors).search(torch.zeros(1, 1), 100)[1]
    assert rows[0].tolist() == [row for row in range(200) if row % 3 < 2][:100]


def test_no_queries_give_no_rows():
    distances, rows = VectorIndex(torch.randn(5, 2)).search(torch.zeros(0, 2), 3)
    assert distances.shape == rows.shape == (0, 3)
