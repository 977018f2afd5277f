"""Augmentations for trainers that know only vectors, and whose targets cannot move."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from roots_kg.errors import ConfigError
from roots_kg.fusion.augmentation.base import Augmentation, Linked, augmented_loss

__all__ = ["VectorLoss", "augment_vectors"]

VectorLoss = Callable[[Tensor], Tensor]
"""The loss of a batch whose entities have these vectors, (U, k)."""


def augment_vectors(augmentation: Augmentation) -> Callable[[Tensor, VectorLoss], Tensor]:
    """Return what makes, of a batch's entity vectors, (U, k), and their loss, the loss to train with.

    Raises:
        ConfigError: if the augmentation moves targets.
    """
    if augmentation.moves_targets:
        raise ConfigError(
            "this augmentation moves targets, which cannot be moved here",
            hint="choose one that moves vectors only, such as fgm",
        )

    def total(vectors: Tensor, loss: VectorLoss) -> Tensor:
        linked = Linked(vectors, torch.arange(len(vectors)))
        virtual = augmentation.virtual(linked, lambda examples: loss(examples.vectors))
        return augmented_loss(lambda examples: loss(examples.vectors), linked, virtual)

    return total
