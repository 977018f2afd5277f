"""Rows of a table that lie with several processes: who holds which, and how vectors and gradients travel.

Row i lies with the process of rank i mod W, at place ⌊i / W⌋ of its shard: frequent rows often have
neighbouring numbers, and are spread evenly so. A process asks the owners for the rows that its part of the
batch needs (`ask`); vectors come back along the same ways (`Exchange.fetch`) and gradients go out along
them (`Exchange.deliver`). A step sends what its rows weigh, however many the table has.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, distributed

from roots_kg.graph.tables import Table, sparse_rows, uniform_rows

__all__ = ["Exchange", "ShardedTable", "ask", "shard_rows", "sharded_table"]


class ShardedTable(Table):
    """Vectors divided by rows among processes.

    All processes look up, and go backward, together, each with the rows that its own part of the batch needs.
    The gradient of a shard's rows is the sum over the processes: each counts its share of the loss, so that
    W processes learn what one would.

    Args:
        shard: (p, k) the rows `shard_rows(num_rows, group)`, trained in place.
        num_rows: E, over all processes.
        group: the processes; by default all.

    Raises:
        ValueError: if the shard has another number of rows.
    """

    def __init__(self, shard: Tensor, num_rows: int, group: distributed.ProcessGroup | None = None) -> None:
        own = len(shard_rows(num_rows, group))
        if len(shard) != own:
            raise ValueError(f"this process holds {own} of {num_rows} rows, found {len(shard)}")
        super().__init__(shard)
        self.num_rows, self.group = num_rows, group

    def total(self, part: Tensor) -> Tensor:
        """Return the sum of a tensor over the processes."""
        part = part.clone()
        distributed.all_reduce(part, group=self.group)
        return part

    def forward(self, rows: Tensor) -> Tensor:
        """Return the vectors (..., k) of rows (...), which may repeat, wherever they lie."""
        distinct, place = torch.unique(rows, return_inverse=True)
        return self.distinct(distinct)[place]

    def distinct(self, rows: Tensor) -> Tensor:
        """Return the vectors (n, k) of distinct rows (n,), wherever they lie; the gradient is sparse."""
        vectors: Tensor = _ShardedLookup.apply(self.weight, ask(rows, self.group))  # type: ignore[no-untyped-call]
        return vectors


def sharded_table(
    name: str, num_rows: int, dimension: int, bound: float, generator: torch.Generator | None
) -> Table:
    """Make this process's shard of a table; together they start like the table of one process."""
    rows = uniform_rows(shard_rows(num_rows), dimension, bound, generator)
    return ShardedTable(torch.cat([torch.empty(0, dimension), *rows]), num_rows)


@dataclass(frozen=True)
class Exchange:
    """Rows that every process asked of every other.

    Args:
        order: (n,) sorts the rows that are wanted here by their owner.
        wanted: how many of them each process holds.
        places: (m,) places in this process's shard that were asked for, by rank of who asked; a place that
            several asked for is there several times.
        given: how many of them each process asked for.
        group: the processes.
    """

    order: Tensor
    wanted: list[int]
    places: Tensor
    given: list[int]
    group: distributed.ProcessGroup | None

    def fetch(self, shard: Tensor) -> Tensor:
        """Return the vectors of the rows that were asked for, (n, k), from everybody's shard (p, k)."""
        received = _swap(shard.index_select(0, self.places), self.given, self.wanted, self.group)
        return torch.empty_like(received).index_copy_(0, self.order, received)

    def deliver(self, gradient: Tensor) -> tuple[Tensor, Tensor]:
        """Send each row's gradient to its owner, which adds up what comes for the same row.

        Args:
            gradient: (n, k), of the rows in the order in which they were asked for.

        Returns:
            Distinct, ascending places in this process's shard, and their gradients: (q,) and (q, k).
        """
        received = _swap(gradient.index_select(0, self.order), self.wanted, self.given, self.group)
        places, position = torch.unique(self.places, return_inverse=True)
        total = received.new_zeros(len(places), received.shape[1])
        return places, total.index_add_(0, position, received)


def ask(rows: Tensor, group: distributed.ProcessGroup | None = None) -> Exchange:
    """Tell the owners which rows are wanted here, and hear which of ours are wanted elsewhere.

    All processes of the group call it together, each with rows of its own; one that needs none asks for none.

    Args:
        rows: (n,) distinct rows of the whole table.
        group: the processes; by default all.

    Returns:
        What takes vectors here and gradients there, as often as wanted.
    """
    world = distributed.get_world_size(group)
    owner = rows % world
    order = owner.argsort(stable=True)
    counts = owner.bincount(minlength=world)
    others = torch.empty_like(counts)
    distributed.all_to_all_single(others, counts, group=group)
    wanted, given = counts.tolist(), others.tolist()
    places = _swap(rows.index_select(0, order) // world, wanted, given, group)
    return Exchange(order, wanted, places, given, group)


def shard_rows(num_rows: int, group: distributed.ProcessGroup | None = None) -> range:
    """Return the rows of a table of `num_rows` that this process holds, in the order of its shard."""
    return range(distributed.get_rank(group), num_rows, distributed.get_world_size(group))


class _ShardedLookup(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, shard: Tensor, exchange: Exchange) -> Tensor:
        ctx.exchange, ctx.shape = exchange, shard.shape
        return exchange.fetch(shard)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        places, total = ctx.exchange.deliver(gradient)
        return sparse_rows(places, total, ctx.shape), None


def _swap(
    items: Tensor, outgoing: list[int], incoming: list[int], group: distributed.ProcessGroup | None
) -> Tensor:
    """Send the first outgoing[0] items to rank 0, the next outgoing[1] to rank 1 …; return what came."""
    received = items.new_empty(sum(incoming), *items.shape[1:])
    distributed.all_to_all_single(received, items, incoming, outgoing, group=group)
    return received
