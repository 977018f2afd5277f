"""No virtual knowledge."""

from __future__ import annotations

from roots_kg.fusion.augmentation.base import Augmentation, Linked, Loss

__all__ = ["Nothing"]


class Nothing(Augmentation):
    """Adds nothing: training is bit for bit what it is without augmentation."""

    def virtual(self, linked: Linked, loss: Loss) -> Linked | None:
        """Return None."""
        return None
