"""The gate that decides, token by token, how much knowledge to let in."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

__all__ = ["KnowledgeGate"]


class KnowledgeGate(nn.Module):
    """h' = h + g ⊙ W k with g = σ(W_g[h; k] + b).

    W starts as the identity, W_g and b at zero: an untrained gate stands half open.

    Args:
        size: d.
    """

    def __init__(self, size: int) -> None:
        super().__init__()
        self.gate = nn.Linear(2 * size, size)
        self.value = nn.Linear(size, size, bias=False)
        nn.init.zeros_(self.gate.weight)
        nn.init.zeros_(self.gate.bias)
        nn.init.eye_(self.value.weight)

    def forward(self, tokens: Tensor, knowledge: Tensor) -> tuple[Tensor, Tensor]:
        """Gate what each token took from the graph.

        Args:
            tokens: h, (B, L, d).
            knowledge: k, (B, L, d).

        Returns:
            g ⊙ W k, (B, L, d), to be added to h, and g, (B, L, d).
        """
        of_tokens, of_knowledge = self.gate.weight.chunk(2, dim=1)  # W_g[h; k], without a copy of h and k
        asked = functional.linear(tokens, of_tokens, self.gate.bias)
        gate = torch.sigmoid(asked + functional.linear(knowledge, of_knowledge))
        return gate * self.value(knowledge), gate
