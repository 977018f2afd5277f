"""The gate that fuses the bidirectional and the causal reading of the same tokens."""

from __future__ import annotations

import torch
from torch import Tensor, nn

__all__ = ["FusionGate"]


class FusionGate(nn.Module):
    """h = b + s ⊙ σ(W[b; c] + v) ⊙ (c − b), token by token.

    s starts at zero: an untrained gate gives b, bit for bit.

    Args:
        hidden_size: d.
    """

    def __init__(self, hidden_size: int) -> None:
        super().__init__()
        self.gate = nn.Linear(2 * hidden_size, hidden_size)
        self.scale = nn.Parameter(torch.zeros(hidden_size))

    def forward(self, bidirectional: Tensor, causal: Tensor) -> Tensor:
        """Fuse the states b and c, (…, d) each, to h, (…, d)."""
        opened = torch.sigmoid(self.gate(torch.cat([bidirectional, causal], dim=-1)))
        fused: Tensor = bidirectional + self.scale * opened * (causal - bidirectional)
        return fused
