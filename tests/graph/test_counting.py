"""Scores do not depend on where two vectors stand, and counts are those of a plain comparison."""

import numpy as np
import pytest
import torch

from roots_kg.graph.counting import (
    BLOCK,
    answer_scores,
    block_scores,
    count_better,
    filled_up,
    sums_of_squares,
)


@pytest.mark.parametrize("norm", [1, 2])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("dimension", [1, 3, 50, 128, 300])
@pytest.mark.parametrize(("queries", "candidates"), [(BLOCK, BLOCK), (48, 2 * BLOCK)])
def test_two_vectors_have_one_score_wherever_they_stand(queries, candidates, dimension, dtype, norm):
    generator = torch.Generator().manual_seed(0)
    query, candidate = torch.randn(2, 1, dimension, generator=generator, dtype=dtype)
    left = torch.randn(queries, dimension, generator=generator, dtype=dtype)
    right = torch.randn(candidates, dimension, generator=generator, dtype=dtype)
    rows, columns = torch.arange(queries) % 3 == 1, torch.arange(candidates) % 5 == 2
    left[rows], right[columns] = query, candidate
    found = block_scores(left, right, sums_of_squares(right), norm)[rows][:, columns]
    assert (found == found[0, 0]).all()
    everywhere = block_scores(
        query.repeat(queries, 1), candidate.repeat(candidates, 1), sums_of_squares(candidate), norm
    )
    assert (everywhere == found[0, 0]).all()


@pytest.mark.parametrize("norm", [1, 2])
@pytest.mark.parametrize("split", [1, BLOCK - 1, BLOCK, 700])
def test_counts_of_the_parts_of_a_table_add_up_to_those_of_the_whole(split, norm):
    generator = torch.Generator().manual_seed(0)
    candidates = torch.randn(900, 20, generator=generator)
    candidates[600:] = candidates[:300]  # everything in the last third has a twin in the first
    queries = torch.randn(50, 20, generator=generator)
    row = torch.arange(500) % 50
    column = torch.randint(900, (500,), generator=generator)
    scores = answer_scores(queries, row, candidates, column, norm)
    draw = np.random.default_rng(0)
    out = np.unique(np.stack([draw.integers(50, size=2000), draw.integers(900, size=2000)]), axis=1)

    def counted(first, last):
        part, mine = candidates[first:last], (out[1] >= first) & (out[1] < last)
        left_out = (out[0][mine], out[1][mine] - first)
        return count_better(queries, row, scores, left_out, part, sums_of_squares(part), norm)

    better, equal = counted(0, split) + counted(split, 900)
    every = torch.cdist(queries.double(), candidates.double(), p=norm)
    every[out[0], out[1]] = torch.inf
    truth = torch.cdist(queries.double(), candidates.double(), p=norm)[row, column]
    twins = (every[row] - truth[:, None]).abs() < 1e-9
    assert torch.equal(equal.long(), twins.sum(dim=1))
    assert torch.equal(better.long(), ((every[row] < truth[:, None]) & ~twins).sum(dim=1))
    assert equal.max() == 2


def test_rows_are_filled_up_with_zeros():
    rows = torch.ones(2, 3)
    assert filled_up(rows, 4).tolist() == [[1, 1, 1], [1, 1, 1], [0, 0, 0], [0, 0, 0]]
    assert filled_up(rows, 2) is rows
