"""The gate that fuses the bidirectional and the causal reading of the same tokens."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

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
        of_bidirectional, of_causal = self.gate.weight.chunk(2, dim=1)  # W[b; c], without a copy of b and c
        asked = functional.linear(bidirectional, of_bidirectional, self.gate.bias)
        opened = torch.sigmoid(asked + functional.linear(causal, of_causal))
        return torch.lerp(bidirectional, causal, self.scale * opened)
