"""Steps in the direction in which the loss rises fastest."""

from __future__ import annotations

import torch
from torch.nn import functional

from roots_kg.fusion.augmentation.base import Augmentation, Linked, Loss

__all__ = ["GradientStep"]


class GradientStep(Augmentation):
    """e' = e + ε g / ‖g‖, g = ∂L/∂e, ε = ρ · the distance from e to its nearest neighbour.

    The "fast gradient method". Vectors (B, k) to (B, k). Miyato et al. 2017, "Adversarial Training Methods
    for Semi-Supervised Text Classification" (arXiv:1605.07725), with a norm for each entity, so that none
    turns into another.
    """

    def virtual(self, linked: Linked, loss: Loss) -> Linked | None:
        """Move every vector up its gradient."""
        vectors = linked.vectors.detach().clone().requires_grad_()
        with torch.enable_grad():
            (gradient,) = torch.autograd.grad(loss(linked.at(vectors)), vectors)
        step = gradient / gradient.norm(dim=1, keepdim=True).clamp_min(torch.finfo(gradient.dtype).tiny)
        return linked.at(vectors.detach() + self.radius(linked) * functional.normalize(step, dim=1))
