"""Drawing the weights that a model starts from."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["draw_normal"]


@torch.no_grad()
def draw_normal(weight: Tensor, deviation: float) -> None:
    """Fill a tensor with normal numbers of mean 0.

    One on the meta device, whose numbers are to be loaded, is left alone: to draw nothing there, torch would
    import its compiler, which takes longer than loading does.
    """
    if not weight.is_meta:
        weight.normal_(std=deviation)
