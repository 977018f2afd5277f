"""Tables of vectors, one row an entity or a relation, and the optimizer that trains the rows a step touches.

A step's cost depends on the rows it looks up and not on how many the table has: the gradient is sparse and
row-wise Adagrad updates those rows alone. The vectors lie in memory, in a file that the operating system
pages in and out (`mapped_tables`), or with several processes (`sharding.ShardedTable`); training sees no
difference.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from roots_kg.errors import DataError
from roots_kg.files import reserve

__all__ = [
    "MakeTable",
    "RowwiseAdagrad",
    "Table",
    "mapped_tables",
    "mapped_vectors",
    "sparse_rows",
    "table_in_memory",
    "uniform_rows",
]

_CHUNK_ROWS = 65_536


class Table(nn.Module):
    """Vectors that this process holds.

    Args:
        vectors: (rows, k), trained in place.
    """

    def __init__(self, vectors: Tensor) -> None:
        super().__init__()
        self.weight = nn.Parameter(vectors)
        self.num_rows = len(vectors)

    def forward(self, rows: Tensor) -> Tensor:
        """Return the vectors (..., k) of rows (...), which may repeat."""
        return self.weight[rows]

    def distinct(self, rows: Tensor) -> Tensor:
        """Return the vectors (n, k) of distinct, ascending rows (n,); the gradient is sparse."""
        vectors: Tensor = _Lookup.apply(self.weight, rows)  # type: ignore[no-untyped-call]
        return vectors


class MakeTable(Protocol):
    """Makes a table whose entries start uniform between `bound` and its negative."""

    def __call__(
        self, name: str, num_rows: int, dimension: int, bound: float, generator: torch.Generator | None
    ) -> Table:
        """Make the table called `name`, of `num_rows` rows over all processes."""
        ...


def table_in_memory(
    name: str, num_rows: int, dimension: int, bound: float, generator: torch.Generator | None
) -> Table:
    """Make a table in this process's memory."""
    return Table(torch.empty(num_rows, dimension).uniform_(-bound, bound, generator=generator))


def mapped_tables(folder: Path) -> MakeTable:
    """Return what makes tables in files of a folder, one `NAME.safetensors` a table.

    Such a table may be larger than the memory. Its file is a whole safetensors file at every moment.
    """
    made: list[Path] = []

    def make(
        name: str, num_rows: int, dimension: int, bound: float, generator: torch.Generator | None
    ) -> Table:
        path, start = folder / f"{name}.safetensors", 0
        try:
            vectors = mapped_vectors(path, num_rows, dimension)
        except DataError:  # the disk is full, and what the other tables hold is of no use
            for other in made:
                other.unlink(missing_ok=True)
            raise
        made.append(path)
        for chunk in uniform_rows(range(num_rows), dimension, bound, generator):
            vectors[start : start + len(chunk)] = chunk
            start += len(chunk)
        return Table(vectors)

    return make


def uniform_rows(
    rows: range, dimension: int, bound: float, generator: torch.Generator | None
) -> Iterator[Tensor]:
    """Draw the initial vectors of some rows of a table, a piece at a time.

    A row's vector does not depend on which others are wanted: processes that draw from the same seed get,
    together, the table that one would. All rows up to the last are drawn, four seconds for ten million.

    Args:
        rows: ascending, such as `range(num_rows)`, or those of a shard.
        dimension: k.
        bound: entries are uniform between this and its negative.
        generator: draws them.

    Yields:
        The next rows, (at most 65,536, k).
    """
    for start in range(0, rows.stop, _CHUNK_ROWS):
        drawn = torch.empty(min(_CHUNK_ROWS, rows.stop - start), dimension)
        drawn.uniform_(-bound, bound, generator=generator)
        first = rows.start - start
        yield drawn[first if first >= 0 else first % rows.step :: rows.step]


def mapped_vectors(path: Path, num_rows: int, dimension: int) -> Tensor:
    """Open vectors that lie in a safetensors file, to be changed in place.

    The file is made if it is missing, all zeros, and takes all of its space at once.

    Args:
        path: the file, of one tensor "weight".
        num_rows: how many.
        dimension: k.

    Returns:
        (num_rows, k); the operating system keeps in memory what is used, and writes changes back.

    Raises:
        ValueError: if the file holds something else.
        DataError: if there is no space for it.
    """
    size = num_rows * dimension * 4
    entry = {"weight": {"dtype": "F32", "shape": [num_rows, dimension], "data_offsets": [0, size]}}
    header = json.dumps(entry, separators=(",", ":")).encode()
    header += b" " * (-len(header) % 8)
    start = len(header).to_bytes(8, "little") + header
    if not path.exists():
        reserve(path, len(start) + size)
        with path.open("r+b") as file:
            file.write(start)
    with path.open("rb") as file:
        if file.read(len(start)) != start or path.stat().st_size != len(start) + size:
            raise ValueError(f"{path} does not hold {num_rows} vectors of {dimension} entries")
    pages = torch.from_file(str(path), shared=True, size=len(start) + size, dtype=torch.uint8)
    return pages[len(start) :].view(torch.float32).view(num_rows, dimension)


def sparse_rows(rows: Tensor, values: Tensor, shape: torch.Size) -> Tensor:
    """Return a sparse gradient of a table's shape that is `values`, (n, k), at distinct rows (n,)."""
    return torch.sparse_coo_tensor(rows[None], values, shape, is_coalesced=True, check_invariants=False)


class _Lookup(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, weight: Tensor, rows: Tensor) -> Tensor:
        ctx.rows, ctx.shape = rows, weight.shape
        return weight.index_select(0, rows)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        return sparse_rows(ctx.rows, gradient, ctx.shape), None


class RowwiseAdagrad(Optimizer):
    """Adagrad with one accumulator a row, for sparse gradients of tables.

    g_i ← g_i + λ w_i, s_i ← s_i + mean(g_i²), w_i ← w_i − lr · g_i / (√s_i + ε), for the rows i that have a
    gradient. Duchi et al. 2011; the row-wise form is that of Naumov et al. 2019 (arXiv:1906.00091).

    Args:
        params: tables' weights, (rows, k) each.
        lr: the learning rate.
        eps: keeps the division finite.
        weight_decay: λ.
    """

    def __init__(
        self,
        params: Iterable[Tensor] | Iterable[dict[str, Any]],
        lr: float = 0.1,
        eps: float = 1e-10,
        weight_decay: float = 0.0,
    ) -> None:
        super().__init__(params, {"lr": lr, "eps": eps, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> Any:
        """Take one step; a weight's gradient may be sparse or dense."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            for weight in group["params"]:
                if weight.grad is None:
                    continue
                state = self.state[weight]
                if not state:
                    state["squares"] = torch.zeros(len(weight), device=weight.device)
                rows, values = _by_row(weight.grad)
                if group["weight_decay"]:
                    values = values.add(weight[rows], alpha=group["weight_decay"])
                squares = state["squares"].index_add_(0, rows, values.square().mean(dim=1))
                scale = -group["lr"] / (squares[rows].sqrt() + group["eps"])
                weight.index_add_(0, rows, values * scale[:, None])  # alpha=-1 takes three times as long
        return loss


def _by_row(gradient: Tensor) -> tuple[Tensor, Tensor]:
    """Return the distinct rows (n,) that have a gradient, and theirs, (n, k)."""
    if not gradient.is_sparse:
        gradient = gradient.to_sparse(1)
    rows = gradient._indices()[0]
    if (rows.diff() <= 0).any():  # distinct and ascending they need no sorting, which costs a third of a step
        gradient = gradient.coalesce()
        rows = gradient.indices()[0]
    return rows, gradient._values()
