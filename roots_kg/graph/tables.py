"""Tables of vectors, one row an entity or a relation, and the optimizer that trains the rows a step touches.

A step's cost depends on the rows it looks up and not on how many the table has: the gradient is sparse and
row-wise Adagrad updates those rows alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

__all__ = ["RowwiseAdagrad", "Table"]


class Table(nn.Module):
    """Vectors in memory.

    Args:
        num_rows: how many.
        dimension: k.
        bound: entries start uniform between this and its negative.
        generator: draws them.
    """

    def __init__(
        self, num_rows: int, dimension: int, *, bound: float, generator: torch.Generator | None = None
    ) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(num_rows, dimension))
        nn.init.uniform_(self.weight, -bound, bound, generator=generator)

    @property
    def num_rows(self) -> int:
        """How many rows the table has."""
        return len(self.weight)

    def forward(self, rows: Tensor) -> Tensor:
        """Return the vectors (..., k) of rows (...), which may repeat."""
        return self.weight[rows]

    def distinct(self, rows: Tensor) -> Tensor:
        """Return the vectors (n, k) of distinct, ascending rows (n,); the gradient is sparse."""
        return _lookup(self.weight, rows)


class _Lookup(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, weight: Tensor, rows: Tensor) -> Tensor:
        ctx.rows, ctx.shape = rows, weight.shape
        return weight.index_select(0, rows)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        return torch.sparse_coo_tensor(
            ctx.rows[None], gradient, ctx.shape, is_coalesced=True, check_invariants=False
        ), None


def _lookup(weight: Tensor, rows: Tensor) -> Tensor:
    vectors: Tensor = _Lookup.apply(weight, rows)  # type: ignore[no-untyped-call]
    return vectors


class RowwiseAdagrad(Optimizer):
    """Adagrad with one accumulator a row, for sparse gradients of tables.

    s_i ← s_i + mean(g_i²), w_i ← w_i − lr · g_i / (√s_i + ε), for the rows i that have a gradient.
    Duchi et al. 2011; the row-wise form is that of Naumov et al. 2019 (arXiv:1906.00091).

    Args:
        params: tables' weights, (rows, k) each.
        lr: the learning rate.
        eps: keeps the division finite.
    """

    def __init__(self, params: Iterable[Tensor], lr: float = 0.1, eps: float = 1e-10) -> None:
        super().__init__(params, {"lr": lr, "eps": eps})

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
                gradient = (weight.grad if weight.grad.is_sparse else weight.grad.to_sparse(1)).coalesce()
                rows, values = gradient.indices()[0], gradient.values()
                squares = state["squares"].index_add_(0, rows, values.square().mean(dim=1))
                scale = group["lr"] / (squares[rows].sqrt() + group["eps"])
                weight.index_add_(0, rows, values * scale[:, None], alpha=-1)
        return loss
