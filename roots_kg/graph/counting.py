"""Scoring candidates in blocks, and counting those that answer a query better than a given answer.

Candidates are in the order of ‖c‖² − 2 q·c, which differs from the squared distance only by ‖q‖². All
products are taken in blocks of `BLOCK` × `BLOCK`, the last of them filled up: a block's scores stay in the
processor's cache, and the same two vectors give the same bits wherever in a table they stand, so that equal
vectors are equally good, also where a table is split over processes.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from roots_kg.errors import GraphError
from roots_kg.graph.triples import Ids

__all__ = [
    "BLOCK",
    "answer_scores",
    "block_scores",
    "count_better",
    "filled_up",
    "require_finite",
    "sums_of_squares",
]

BLOCK = 384
"""A multiple of the tiles that matrix products are made of (4 to 192 rows), so that none is a part of one."""


def answer_scores(queries: Tensor, row: Tensor, candidates: Tensor, column: Tensor, norm: int = 2) -> Tensor:
    """Score some answers, bit for bit as `count_better` scores candidates.

    Args:
        queries: (B, k).
        row: (P,) the query of each answer.
        candidates: (N, k).
        column: (P,) which candidate each answer is.
        norm: of the distance, 2 or 1.

    Returns:
        (P,); lower is better.
    """
    scores = queries.new_empty(len(row))
    for rows, columns, part in zip(
        torch.split(row, BLOCK), torch.split(column, BLOCK), torch.split(scores, BLOCK), strict=True
    ):
        answers = filled_up(candidates[columns], BLOCK)
        block = block_scores(filled_up(queries[rows], BLOCK), answers, (answers * answers).sum(dim=1), norm)
        part.copy_(block.diagonal()[: len(part)])
    return scores


def count_better(
    queries: Tensor,
    row: Tensor,
    scores: Tensor,
    left_out: tuple[Ids, Ids],
    candidates: Tensor,
    squares: Tensor,
    norm: int = 2,
) -> Tensor:
    """Count, for each of some answers, the candidates that are better and those that are as good.

    Args:
        queries: (B, k), at most `BLOCK`.
        row: (P,) the query of each answer.
        scores: (P,) the answers' own, from `answer_scores`.
        left_out: rows of queries and numbers of candidates that are not counted, (n,) each.
        candidates: (N, k).
        squares: (N,) from `sums_of_squares`.
        norm: of the distance, 2 or 1.

    Returns:
        (2, P) counts as float64: better, equal.
    """
    queries = filled_up(queries, BLOCK)
    counts = torch.zeros(2, len(row), dtype=torch.float64, device=queries.device)
    columns = (row, scores[:, None], *counts)
    answers = list(zip(*(torch.split(column, BLOCK) for column in columns), strict=True))
    order = np.argsort(left_out[1], kind="stable")
    out_row, out_column = (torch.from_numpy(ids[order]).to(queries.device) for ids in left_out)
    starts = np.searchsorted(left_out[1][order], np.arange(0, len(candidates) + BLOCK, BLOCK)).tolist()
    buffer, rivals, better = (queries.new_empty(BLOCK, BLOCK) for _ in range(3))
    worst = queries.new_tensor(torch.inf)
    for number, begin in enumerate(range(0, len(candidates), BLOCK)):
        chunk = candidates[begin : begin + BLOCK]
        own_squares = filled_up(squares[begin : begin + BLOCK], BLOCK)
        block = block_scores(queries, filled_up(chunk, BLOCK), own_squares, norm, buffer)
        block[:, len(chunk) :] = worst
        here = slice(starts[number], starts[number + 1])
        block.index_put_((out_row[here], out_column[here] - begin), worst)
        for rows, truth, is_better, is_equal in answers:
            # comparisons written as numbers of the same type are several times faster than as booleans
            mine, less = rivals[: len(rows)], better[: len(rows)]
            torch.index_select(block, 0, rows, out=mine)
            is_better += torch.lt(mine, truth, out=less).sum(dim=1)
            is_equal += mine.eq_(truth).sum(dim=1)
    return counts


def block_scores(
    queries: Tensor, candidates: Tensor, squares: Tensor, norm: int = 2, out: Tensor | None = None
) -> Tensor:
    """Score candidates for queries: ‖c‖² − 2 q·c, or the L1 distance.

    Args:
        queries: (B, k), B a multiple of 48 for equal bits of equal vectors.
        candidates: (N, k), N a multiple of `BLOCK` for the same.
        squares: (N,) from `sums_of_squares`; not looked at for norm 1.
        norm: of the distance, 2 or 1.
        out: (B, N), where the scores are put for norm 2.

    Returns:
        (B, N); lower is better.
    """
    if norm == 1:
        return torch.cdist(queries, candidates, p=1.0)
    return torch.addmm(squares, queries, candidates.T, alpha=-2, out=out)


def sums_of_squares(vectors: Tensor) -> Tensor:
    """Return the sum of the squares of every row of (N, k), (N,), at little extra memory."""
    squares = vectors.new_empty(len(vectors))
    for rows, part in zip(torch.split(vectors, BLOCK), torch.split(squares, BLOCK), strict=True):
        torch.sum(rows * rows, dim=1, out=part)
    return squares


def require_finite(values: Tensor) -> None:
    """Raise rather than let what is not a number, to which nothing is better, be the best answer.

    Raises:
        GraphError: if a value is not a finite number.
    """
    if not values.isfinite().all():
        hint = "train it again with a smaller learning rate"
        raise GraphError("the graph's vectors hold values that are not finite numbers", hint=hint)


def filled_up(rows: Tensor, size: int) -> Tensor:
    """Return a table of `size` rows: these, and zeros."""
    if len(rows) == size:
        return rows
    filled = rows.new_zeros(size, *rows.shape[1:])
    filled[: len(rows)] = rows
    return filled
