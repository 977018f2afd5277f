"""Convex mixtures with hard negatives."""

from __future__ import annotations

import torch

from roots_kg.fusion.augmentation.base import Augmentation, Linked, Loss

__all__ = ["Mixture"]

NEIGHBOURS = 8


class Mixture(Augmentation):
    """e' = λ e + (1 − λ) (μ n₁ + (1 − μ) n₂), λ ~ U(½, 1), μ ~ U(0, 1), n₁ and n₂ drawn from the 8 hardest.

    Vectors (B, k) to (B, k). The hardest negatives are the entities nearest to e; where neighbours come from
    the batch, those of another target. What e is the greater part of keeps its target. Mixing: Zhang et al.
    2018, "mixup" (arXiv:1710.09412); mixtures of hard negatives: Che et al. 2022, "MixKG" (arXiv:2202.09606).
    """

    def virtual(self, linked: Linked, loss: Loss) -> Linked | None:
        """Mix every vector with two of its hardest negatives."""
        vectors = linked.vectors.detach()
        near, distance = self._negatives(linked)
        weights = distance.isfinite().to(vectors)
        there = weights.any(dim=1, keepdim=True) & vectors.any(dim=1, keepdim=True)
        weights = torch.where(there, weights, torch.ones_like(weights))
        drawn = torch.multinomial(weights.cpu(), 2, replacement=True, generator=self.random)
        rows = torch.arange(len(linked))
        first, second = (near[rows, column] for column in drawn.T)
        own, part = (torch.rand(len(linked), 1, generator=self.random).to(vectors) for _ in range(2))
        own = 0.5 + 0.5 * own
        mixed = own * vectors + (1 - own) * (part * first + (1 - part) * second)
        return linked.at(torch.where(there, mixed, vectors))

    def _negatives(self, linked: Linked) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the vectors of the hardest negatives, (B, n, k), and their distances, infinite for none."""
        if self.table is not None:
            return self.neighbours(linked, NEIGHBOURS)
        vectors = linked.vectors.detach()
        usable = linked.differ() & vectors.any(dim=1)
        distance = torch.cdist(vectors, vectors).masked_fill(~usable, torch.inf)
        nearest, place = distance.topk(min(NEIGHBOURS, len(linked)), dim=1, largest=False)
        return vectors[place], nearest
