"""Prototypical networks: examples against the means of classes (Snell et al. 2017, arXiv:1703.05175)."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional

__all__ = ["prototype_logits"]


def prototype_logits(
    support: Tensor, query: Tensor, names: Tensor, *, scale: float, name_weight: float
) -> Tensor:
    """Return scale · cos(query, prototype), (Q, N); a prototype is a class's mean plus its name.

    Args:
        support: (N, K, f) vectors of length 1.
        query: (Q, f), likewise.
        names: (N, f), likewise.
        scale: what cosines are multiplied by.
        name_weight: how much a name counts beside the mean, which is of length 1, too.
    """
    means = functional.normalize(support.mean(dim=1), dim=1)
    prototypes = functional.normalize(means + name_weight * names, dim=1)
    return scale * query @ prototypes.T
