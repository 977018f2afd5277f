"""The three attention masks with which the one trunk is read.

Every mask is boolean of shape (B, 1, L, L) or broadcastable to it, true where the row (query) may see
the column (key), as `torch.nn.functional.scaled_dot_product_attention` expects.
"""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["bidirectional", "causal", "prefix"]


def bidirectional(attention_mask: Tensor) -> Tensor:
    """Every token sees every token that is not padding.

    Args:
        attention_mask: (B, L), true for tokens, false for padding.

    Returns:
        (B, 1, 1, L).
    """
    return attention_mask.bool()[:, None, None, :]


def causal(attention_mask: Tensor) -> Tensor:
    """A token sees itself and what stands to its left.

    Args:
        attention_mask: (B, L), true for tokens, false for padding.

    Returns:
        (B, 1, L, L).
    """
    return bidirectional(attention_mask) & _lower_triangle(attention_mask)


def prefix(attention_mask: Tensor, prefix_lengths: Tensor) -> Tensor:
    """The first tokens see each other in both directions, the rest are causal.

    Args:
        attention_mask: (B, L), true for tokens, false for padding.
        prefix_lengths: (B,), how many tokens of each text form the prefix.

    Returns:
        (B, 1, L, L).
    """
    positions = torch.arange(attention_mask.shape[1], device=attention_mask.device)
    in_prefix = positions[None, :] < prefix_lengths[:, None]
    return bidirectional(attention_mask) & (_lower_triangle(attention_mask) | in_prefix[:, None, None, :])


def _lower_triangle(attention_mask: Tensor) -> Tensor:
    length = attention_mask.shape[1]
    return torch.ones(length, length, dtype=torch.bool, device=attention_mask.device).tril()
