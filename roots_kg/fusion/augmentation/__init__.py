"""Virtual knowledge: training examples with entity vectors that no graph holds."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from torch import Tensor

from roots_kg.errors import ConfigError, nearest
from roots_kg.fusion.augmentation.base import WEIGHT, Augmentation, Linked, Loss, augmented_loss
from roots_kg.fusion.augmentation.counterfactual import Counterfactual
from roots_kg.fusion.augmentation.gradient import GradientStep
from roots_kg.fusion.augmentation.learned import Generator
from roots_kg.fusion.augmentation.mixture import Mixture
from roots_kg.fusion.augmentation.noise import Noise
from roots_kg.fusion.augmentation.nothing import Nothing
from roots_kg.fusion.augmentation.vectors import augment_vectors

__all__ = [
    "AUGMENTATIONS",
    "WEIGHT",
    "Augmentation",
    "Linked",
    "Loss",
    "augment_vectors",
    "augmented_loss",
    "make_augmentation",
    "require_augmentation",
]

AUGMENTATIONS: Mapping[str, type[Augmentation]] = MappingProxyType(
    {
        "none": Nothing,
        "noise": Noise,
        "mix": Mixture,
        "fgm": GradientStep,
        "generator": Generator,
        "counterfactual": Counterfactual,
    }
)


def require_augmentation(name: str) -> None:
    """Check the name of an augmentation.

    Raises:
        ConfigError: if there is none of that name.
    """
    if name not in AUGMENTATIONS:
        raise ConfigError(f"there is no augmentation {name!r}", hint=nearest(name, AUGMENTATIONS))


def make_augmentation(name: str, table: Tensor | None = None, seed: int = 0) -> Augmentation:
    """Return a new augmentation.

    Args:
        name: one of `AUGMENTATIONS`.
        table: (E, k), the entity vectors among which neighbours are looked for; None for those of the batch.
        seed: of everything that is drawn.

    Raises:
        ConfigError: if there is none of that name.
    """
    require_augmentation(name)
    return AUGMENTATIONS[name](table, seed)
