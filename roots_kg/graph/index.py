"""Nearest vectors, exactly: chunked matrix products and a running top k."""

from __future__ import annotations

import torch
from torch import Tensor

from roots_kg.graph.transe import distances

__all__ = ["VectorIndex"]


class VectorIndex:
    """Finds the rows of a table that are nearest to a query.

    Args:
        vectors: (E, k).
    """

    def __init__(self, vectors: Tensor) -> None:
        self.vectors = vectors

    @torch.inference_mode()
    def search(self, queries: Tensor, k: int, *, chunk_size: int = 262_144) -> tuple[Tensor, Tensor]:
        """Return the k nearest rows to each query.

        Args:
            queries: (B, k).
            k: how many, at most E.
            chunk_size: rows compared at a time.

        Returns:
            (B, k) Euclidean distances, ascending, and (B, k) row numbers; of equal distances the lower row
            comes first.
        """
        best = queries.new_zeros(len(queries), 0)
        rows = torch.zeros(len(queries), 0, dtype=torch.long)
        for begin in range(0, len(self.vectors), chunk_size):
            chunk = distances(queries, self.vectors[begin : begin + chunk_size])
            numbers = torch.arange(begin, begin + chunk.shape[1]).expand(len(queries), -1)
            merged, numbers = torch.cat([best, chunk], 1), torch.cat([rows, numbers], 1)
            best, order = merged.sort(dim=1, stable=True)
            best, rows = best[:, :k], numbers.gather(1, order)[:, :k]
        return best, rows
