"""Nearest vectors: exactly by default, or with faiss by an approximate index for very large tables.

The exact search compares every query with every row: for many queries by ‖v‖² − 2 q·v, one matrix product a
block of rows; for a few, and for L1, by the distance itself. Of a block's scores only those below the k-th
best so far are looked at again, which after the first blocks are few. Blocks keep one shape, the last of them
filled up, so that equal rows get equal scores wherever they stand. The distances that are returned are
computed anew from the differences.

faiss (Douze et al. 2024, arXiv:2401.08281) brings IVF, which searches some of the clusters of the table, and
HNSW (Malkov and Yashunin 2018, arXiv:1603.09320), which walks a graph of near neighbours. An index is always
built from the vectors and never read from a file.
"""

from __future__ import annotations

import math
from functools import partial
from typing import Any, Literal, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from roots_kg.errors import UsageError, nearest
from roots_kg.graph.counting import BLOCK, block_scores, filled_up, require_finite, sums_of_squares
from roots_kg.graph.parallel import in_order, workers

__all__ = ["IndexKind", "VectorIndex"]

IndexKind = Literal["exact", "ivf", "hnsw"]

QUERY_TILE = 48
"""Queries are filled up to a multiple of this; it divides `BLOCK`."""

BLOCKS_WIDE = 2
"""More rows at a time for fewer steps; their scores for `BLOCK` queries still fit into the cache."""

FEW = 4
"""So many queries are compared sooner one by one than by a product of `QUERY_TILE`."""

DIFFERENCES_AT_ONCE = 1 << 22
PROBED_SHARE = 1 / 32
TRAINING_ROWS, TRAINING_ROUNDS = 64, 10
HNSW_NEIGHBOURS, HNSW_BUILD_EFFORT, HNSW_EFFORT = 32, 64, 128
MOST_ON_GPU = 2048


class VectorIndex:
    """Finds the rows of a table that are nearest to a query.

    Args:
        vectors: (E, k).
        kind: "exact" compares with every row; "ivf" and "hnsw" need faiss, take time to build, and then
            find most of the nearest rows of a very large table much sooner. IVF is built and searched on a
            GPU where there is one and faiss can use it.
        norm: 2 for the Euclidean distance, 1 for the sum of absolute differences (only exactly).
        effort: how much an approximate search looks at. For IVF it is how many of 2√E clusters, by default
            one in 32 and enough to find what is asked for; for HNSW how many rows it keeps in view, by
            default 128 and at least as many as are asked for.

    Raises:
        UsageError: for an unknown kind, an approximate index with norm 1, or when faiss is missing.
    """

    def __init__(
        self, vectors: Tensor, kind: IndexKind = "exact", *, norm: int = 2, effort: int | None = None
    ) -> None:
        if kind not in get_args(IndexKind):
            raise UsageError(f"there is no index {kind!r}", hint=nearest(kind, get_args(IndexKind)))
        if norm == 1 and kind != "exact":
            message = f"the index {kind!r} knows only Euclidean distances, and these vectors have norm 1"
            raise UsageError(message, hint="use the exact index")
        self.vectors, self.norm = vectors.detach(), norm
        self._squares = sums_of_squares(self.vectors)
        require_finite(self._squares)
        self._faiss = None if kind == "exact" else _Faiss(self.vectors, kind, effort)

    def search(self, queries: Tensor, k: int) -> tuple[Tensor, Tensor]:
        """Return the k nearest rows to each query.

        Args:
            queries: (B, k).
            k: how many; of a smaller table, all.

        Returns:
            (B, k) distances, ascending, and (B, k) row numbers; of equal distances the lower row comes
            first. Where an approximate index finds fewer than k rows, the last are −1, infinitely far away.
        """
        k = min(k, len(self.vectors))
        queries = queries.detach()
        require_finite(queries)
        if self._faiss is not None:
            return self._measured(queries, self._faiss.nearest(queries, k))
        tiles = -(-len(queries) // (QUERY_TILE * workers()))
        parts = torch.split(queries, max(1, min(BLOCK // QUERY_TILE, tiles)) * QUERY_TILE)
        found = list(in_order(partial(self._nearest, part, k) for part in parts))
        distances, rows = (torch.cat(column) for column in zip(*found, strict=True))
        return distances, rows

    def _nearest(self, queries: Tensor, k: int) -> tuple[Tensor, Tensor]:
        """Search for at most `BLOCK` queries."""
        best = _Best(queries, k)
        height = max(1, -(-len(queries) // QUERY_TILE)) * QUERY_TILE
        width = BLOCK // height * BLOCKS_WIDE * BLOCK
        directly = self.norm == 1 or len(queries) <= FEW
        tile, buffer = filled_up(queries, height), queries.new_empty(height, width)
        for begin in range(0, len(self.vectors), width):
            chunk = self.vectors[begin : begin + width]
            if directly:
                scores = torch.cdist(queries, chunk, self.norm, "donot_use_mm_for_euclid_dist")
            else:
                squares = filled_up(self._squares[begin : begin + width], width)
                scores = block_scores(tile, filled_up(chunk, width), squares, out=buffer)
            best.offer(scores[: len(queries), : len(chunk)], begin)
        return self._measured(queries, best.rows())

    def _measured(self, queries: Tensor, rows: Tensor) -> tuple[Tensor, Tensor]:
        """Measure the distances of found rows, (B, k), −1 for none, and put them in order."""
        missing = len(self.vectors)
        rows = torch.where(rows < 0, missing, rows).sort(dim=1).values
        query = torch.arange(len(rows), device=rows.device).repeat_interleave(rows.shape[1])
        at_once = max(1, DIFFERENCES_AT_ONCE // max(1, queries.shape[1]))
        distances = queries.new_empty(len(query))
        columns = (query, rows.reshape(-1), distances)
        for asked, found, part in zip(*(torch.split(column, at_once) for column in columns), strict=True):
            difference = queries[asked] - self.vectors[found.clamp(max=missing - 1)]
            torch.linalg.vector_norm(difference, ord=self.norm, dim=1, out=part)
            part[found == missing] = torch.inf
        distances, order = distances.view(rows.shape).sort(dim=1, stable=True)
        rows = rows.gather(1, order)
        return distances, torch.where(rows == missing, -1, rows)


class _Best:
    """The k best rows so far to each of B queries; blocks of scores are offered in the order of the rows.

    Scores that may belong to them wait until there are B × k of them, and are then sorted in.
    """

    def __init__(self, queries: Tensor, k: int) -> None:
        self.queries, self.k = len(queries), k
        self._scores = queries.new_full((len(queries), k), torch.inf)
        self._rows = torch.full((len(queries), k), -1, device=queries.device)
        self._query = torch.arange(len(queries), device=queries.device)
        self._waiting: list[tuple[Tensor, Tensor, Tensor]] = []
        self._number_waiting = 0

    def offer(self, scores: Tensor, first: int) -> None:
        """Look at scores (B, N) of the rows from `first` on."""
        if not scores.numel() or not self.k:
            return
        limit = self._scores[:, -1]
        if first == 0 and scores.shape[1] > self.k:  # nothing limits the first block but itself
            largest = scores.topk(self.k, largest=False).values[:, -1]
            limit = largest.nextafter(largest.new_tensor(torch.inf))
        query = (scores.amin(dim=1) < limit).nonzero()[:, 0]
        scores = scores[query]
        place, column = (scores < limit[query, None]).nonzero(as_tuple=True)
        self._waiting.append((query[place], scores[place, column], column + first))
        self._number_waiting += len(place)
        if self._number_waiting >= self._scores.numel():
            self._sort_in()

    def rows(self) -> Tensor:
        """Return the best rows, (B, k)."""
        self._sort_in()
        return self._rows

    def _sort_in(self) -> None:
        kept = (self._query.repeat_interleave(self.k), self._scores.reshape(-1), self._rows.reshape(-1))
        query, scores, rows = map(torch.cat, zip(kept, *self._waiting, strict=True))
        self._waiting, self._number_waiting = [], 0
        order = scores.sort(stable=True).indices  # equal scores stay in the order of their rows
        order = order[query[order].sort(stable=True).indices]
        count = torch.bincount(query, minlength=self.queries)
        start = count.cumsum(0) - count
        best = order[start[:, None] + torch.arange(self.k, device=order.device)]
        self._scores, self._rows = scores[best], rows[best]


class _Faiss:
    """An approximate index of Euclidean distances."""

    def __init__(self, vectors: Tensor, kind: IndexKind, effort: int | None) -> None:
        self.faiss = faiss = _faiss(kind)
        faiss.omp_set_num_threads(torch.get_num_threads())
        self.kind, self.effort, self.on_gpu = kind, effort, False
        table = _array(vectors)
        count, dimension = table.shape
        if kind == "hnsw":
            self.index = faiss.IndexHNSWFlat(dimension, HNSW_NEIGHBOURS)
            self.index.hnsw.efConstruction = HNSW_BUILD_EFFORT
        else:
            clusters = min(count, 2 * math.isqrt(count))
            index = faiss.IndexIVFFlat(faiss.IndexFlatL2(dimension), dimension, clusters)
            index.cp.niter = TRAINING_ROUNDS
            index.cp.min_points_per_centroid, index.cp.max_points_per_centroid = 1, TRAINING_ROWS
            self.on_gpu = faiss.get_num_gpus() > 0
            self.index = faiss.index_cpu_to_all_gpus(index) if self.on_gpu else index
            self.index.train(table)
        self.index.add(table)

    def nearest(self, queries: Tensor, k: int) -> Tensor:
        """Return the k nearest rows that are found, (B, k), −1 for none."""
        if self.on_gpu and k > MOST_ON_GPU:
            raise UsageError(f"on a GPU, faiss finds at most {MOST_ON_GPU:,} rows at once, asked for {k:,}")
        rows = self.index.search(_array(queries), k, params=self._parameters(k))[1]
        return torch.from_numpy(rows).to(queries.device)

    def _parameters(self, k: int) -> Any:
        if self.kind == "hnsw":
            return self.faiss.SearchParametersHNSW(efSearch=max(self.effort or HNSW_EFFORT, k))
        clusters, rows = self.index.nlist, self.index.ntotal
        enough = max(clusters * PROBED_SHARE, 2 * k * clusters / rows)  # twice as many rows as are asked for
        return self.faiss.SearchParametersIVF(nprobe=min(clusters, self.effort or math.ceil(enough)))


def _array(vectors: Tensor) -> NDArray[np.float32]:
    return np.ascontiguousarray(vectors.float().cpu().numpy())


def _faiss(kind: IndexKind) -> Any:
    try:
        import faiss
    except ImportError as error:
        message = f"the index {kind!r} needs faiss, which is not installed"
        raise UsageError(message, hint="pip install 'roots-kg[faiss]'") from error
    return faiss
