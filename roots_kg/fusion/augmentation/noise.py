"""Random steps, the control for steps that are chosen."""

from __future__ import annotations

import torch
from torch.nn import functional

from roots_kg.fusion.augmentation.base import Augmentation, Linked, Loss

__all__ = ["Noise"]


class Noise(Augmentation):
    """e' = e + ε u / ‖u‖, u ~ N(0, I), with the ε of `GradientStep`.

    Vectors (B, k) to (B, k). What a chosen direction is worth is its difference to this one; training with
    noise is a kind of regularisation (Bishop 1995, "Training with Noise is Equivalent to Tikhonov
    Regularization").
    """

    def virtual(self, linked: Linked, loss: Loss) -> Linked | None:
        """Move every vector in a random direction."""
        drawn = torch.randn(linked.vectors.shape, generator=self.random).to(linked.vectors)
        return linked.at(linked.vectors.detach() + self.radius(linked) * functional.normalize(drawn, dim=1))
