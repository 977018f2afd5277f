"""The contract of an augmentation: linked examples in, as many virtual ones out."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import torch
from torch import Tensor

__all__ = ["REACH", "WEIGHT", "Augmentation", "Linked", "Loss", "augmented_loss"]

REACH = 0.45
"""ρ, how far a vector may move, as a share of the way to its nearest neighbour. Below one half, no vector
comes to lie nearer to another entity than to its own."""

WEIGHT = 0.5
"""How much virtual examples count beside real ones."""

ROWS_AT_ONCE = 256


@dataclass(frozen=True)
class Linked:
    """B examples that have an entity vector each.

    Args:
        vectors: (B, k).
        targets: (B,) or (B, ...), what is right for each; only compared and moved.
        entity_ids: (B,) the row of each in the table of entity vectors, or None where there is none.
        types: (B,) integers; only examples of one type may change places. None if all are of one type.
    """

    vectors: Tensor
    targets: Tensor
    entity_ids: Tensor | None = None
    types: Tensor | None = None

    def __len__(self) -> int:
        """Return B."""
        return len(self.vectors)

    def at(self, vectors: Tensor) -> Linked:
        """Return the same examples with other vectors, which are no rows of a table."""
        return replace(self, vectors=vectors, entity_ids=None)

    def differ(self) -> Tensor:
        """Return which examples have different targets, (B, B)."""
        flat = self.targets.reshape(len(self), -1)
        return (flat[:, None] != flat[None, :]).any(dim=2)


Loss = Callable[[Linked], Tensor]
"""The mean training loss of examples, with a gradient to their vectors where those ask for one."""


class Augmentation(ABC):
    """Makes virtual examples out of linked ones.

    The model minimises (L(linked) + w · L(virtual)) / (1 + w), so that what it is held to otherwise weighs
    what it did; see `augmented_loss`.

    Args:
        table: (E, k), the entity vectors among which neighbours are looked for; None for those of the batch.
        seed: of everything that is drawn.
    """

    moves_targets: ClassVar[bool] = False
    """Whether virtual examples have other targets than the examples they are made of."""

    def __init__(self, table: Tensor | None = None, seed: int = 0) -> None:
        self.table = None if table is None else table.detach()
        self.random = torch.Generator().manual_seed(seed)

    @abstractmethod
    def virtual(self, linked: Linked, loss: Loss) -> Linked | None:
        """Make virtual examples.

        Args:
            linked: B examples.
            loss: of such examples, with the model as it is.

        Returns:
            B examples without a gradient, or None where there is nothing to add. An example whose vector is
            zero, to which nothing is linked, stays as it is.
        """

    def state_dict(self) -> dict[str, Any]:
        """Return what a stopped training needs, to go on as it would have."""
        return {"random": self.random.get_state()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take that up."""
        self.random.set_state(state["random"])

    def neighbours(self, linked: Linked, count: int) -> tuple[Tensor, Tensor]:
        """Find the nearest other vectors of the table, or of the batch.

        Args:
            linked: B examples.
            count: how many neighbours, if there are so many.

        Returns:
            Their vectors, (B, n, k), and their distances, (B, n), ascending. What lies where the example
            lies, or at zero, does not count; distances to what is missing are infinite.
        """
        among = linked.vectors.detach() if self.table is None else self.table
        usable = among.any(dim=1)
        found, distances = [], []
        for start in range(0, len(linked), ROWS_AT_ONCE):
            rows = linked.vectors[start : start + ROWS_AT_ONCE].detach()
            distance = torch.cdist(rows, among).masked_fill(~usable, torch.inf)
            if self.table is not None and linked.entity_ids is not None:
                own = linked.entity_ids[start : start + ROWS_AT_ONCE]
                distance[torch.arange(len(rows)), own] = torch.inf
            scale = rows.norm(dim=1, keepdim=True)
            distance = distance.masked_fill(distance <= 1e-3 * scale, torch.inf)
            nearest, place = distance.topk(min(count, len(among)), dim=1, largest=False)
            found.append(among[place])
            distances.append(nearest)
        return torch.cat(found), torch.cat(distances)

    def radius(self, linked: Linked) -> Tensor:
        """Return ε = ρ · the distance to the nearest neighbour, (B, 1); 0 where there is none or no link."""
        distance = self.neighbours(linked, 1)[1]
        moves = distance.isfinite() & linked.vectors.any(dim=1, keepdim=True)
        return torch.where(moves, REACH * distance, torch.zeros_like(distance))


def augmented_loss(loss: Loss, linked: Linked, virtual: Linked | None) -> Tensor:
    """Return (L(linked) + w · L(virtual)) / (1 + w), and L(linked) alone where nothing is virtual."""
    added = None if virtual is None else loss(virtual)
    total = loss(linked)  # the last, so that what a loss remembers of its examples is of real ones
    return total if added is None else (total + WEIGHT * added) / (1 + WEIGHT)
