"""The hybrid encoder: one trunk read bidirectionally, causally, with a prefix, or both ways at once.

The hybrid reading runs the bidirectional and the causal pass as one stacked batch and fuses them with a
learned gate, h = b + s ⊙ σ(W[b; c] + v) ⊙ (c − b), where b and c are the two passes. s starts at zero,
so an untrained hybrid equals the bidirectional reading exactly.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

from roots_kg.encoding import masks
from roots_kg.encoding.transformer import Transformer

__all__ = ["HybridEncoder", "Reading"]

Reading = Literal["bidirectional", "causal", "prefix", "hybrid"]


class HybridEncoder(nn.Module):
    """A trunk and the gate that fuses its two readings.

    Args:
        trunk: the shared Transformer.
    """

    def __init__(self, trunk: Transformer) -> None:
        super().__init__()
        size = trunk.config.hidden_size
        self.trunk = trunk
        self.gate = nn.Linear(2 * size, size)
        self.scale = nn.Parameter(torch.zeros(size))

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor,
        reading: Reading = "bidirectional",
        prefix_lengths: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Encode a batch in one of the four readings.

        Args:
            input_ids: (B, L) integers.
            attention_mask: (B, L), true for tokens, false for padding.
            reading: which tokens a token sees.
            prefix_lengths: (B,), needed by the prefix reading only.

        Returns:
            The hidden states of the last block and of the one half way up, (B, L, d) each.
        """
        if reading == "hybrid":
            return self._hybrid(input_ids, attention_mask)
        if reading == "causal":
            mask = masks.causal(attention_mask)
        elif reading == "prefix":
            if prefix_lengths is None:
                raise ValueError("the prefix reading needs prefix_lengths")
            mask = masks.prefix(attention_mask, prefix_lengths)
        else:
            mask = masks.bidirectional(attention_mask)
        states: tuple[Tensor, Tensor] = self.trunk(input_ids, mask)
        return states

    def _hybrid(self, input_ids: Tensor, attention_mask: Tensor) -> tuple[Tensor, Tensor]:
        causal_mask = masks.causal(attention_mask)
        both_masks = torch.cat([masks.bidirectional(attention_mask).expand_as(causal_mask), causal_mask])
        both = self.trunk(torch.cat([input_ids, input_ids]), both_masks)
        last, middle = (self._fuse(*states.chunk(2)) for states in both)
        return last, middle

    def _fuse(self, bidirectional: Tensor, causal: Tensor) -> Tensor:
        gate = torch.sigmoid(self.gate(torch.cat([bidirectional, causal], dim=-1)))
        fused: Tensor = bidirectional + self.scale * gate * (causal - bidirectional)
        return fused
