"""Entities that change places, and take what is right with them."""

from __future__ import annotations

from dataclasses import replace

import torch

from roots_kg.fusion.augmentation.base import Augmentation, Linked, Loss

__all__ = ["Counterfactual"]


class Counterfactual(Augmentation):
    """(x_i, e_i, y_i) becomes (x_i, e_j, y_j), j drawn from those of the type of i with another target.

    Vectors (B, k) and targets (B, ...) to the same shapes; what else an example says, x, stays, so that what
    follows from the entity has to be told by the entity. An example that has no such j stays as it is.
    Changing what decides the label and the label with it: Kaushik et al. 2020 (arXiv:1909.12434); by
    replacing entities: Modarressi et al. 2024, "CovEReD" (arXiv:2407.06699).
    """

    moves_targets = True

    def virtual(self, linked: Linked, loss: Loss) -> Linked | None:
        """Give every example the vector and the target of another."""
        filled = linked.vectors.any(dim=1)
        usable = linked.differ() & filled[:, None] & filled
        if linked.types is not None:
            usable = usable & (linked.types[:, None] == linked.types)
        alone = ~usable.any(dim=1)
        usable[alone] = torch.eye(len(linked), dtype=torch.bool)[alone]
        other = torch.multinomial(usable.float(), 1, generator=self.random)[:, 0]
        return replace(
            linked,
            vectors=linked.vectors.detach()[other],
            targets=linked.targets[other],
            entity_ids=None if linked.entity_ids is None else linked.entity_ids[other],
        )
