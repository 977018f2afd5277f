"""The hybrid encoder: one trunk read bidirectionally, causally, with a prefix, or both ways at once.

The hybrid reading fuses the bidirectional and the causal pass with a learned gate, which is untrained at
first: then the hybrid equals the bidirectional reading exactly.

The causal pass may have a low-rank adapter of its own. Without one, both passes are one stacked batch; with
one they have different weights, and merging the adapter makes the second pass as cheap as the first.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor, nn

from roots_kg.encoding import masks
from roots_kg.encoding.adapters import LowRankAdapter
from roots_kg.encoding.gate import FusionGate
from roots_kg.encoding.transformer import Transformer

__all__ = ["HybridEncoder", "Reading"]

Reading = Literal["bidirectional", "causal", "prefix", "hybrid"]


class HybridEncoder(nn.Module):
    """A trunk and the gate that fuses its two readings.

    Args:
        trunk: the shared Transformer.
        adapter: what the causal and the prefix reading change in its weights, or None for nothing.
    """

    def __init__(self, trunk: Transformer, adapter: LowRankAdapter | None = None) -> None:
        super().__init__()
        self.trunk, self.adapter = trunk, adapter
        self.gate = FusionGate(trunk.config.hidden_size)
        self._merged: list[Transformer] = []  # in a list, as it is no part of the state

    @property
    def causal_trunk(self) -> Transformer:
        """The trunk with the weights of the causal reading.

        An adapter is merged when this is first asked for; `merge_again` makes changes of it known.
        """
        if self.adapter is None:
            return self.trunk
        if not self._merged:
            self._merged.append(self.adapter.merged(self.trunk).train(self.training))
        return self._merged[0]

    def merge_again(self) -> None:
        """Forget the merged weights, after the trunk or the adapter has been changed."""
        self._merged.clear()

    def train(self, mode: bool = True) -> HybridEncoder:
        """Set training or evaluation mode."""
        self.merge_again()
        return super().train(mode)

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> HybridEncoder:
        self.merge_again()
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        return self

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
        if reading == "bidirectional":
            return self._read(self.trunk, input_ids, masks.bidirectional(attention_mask))
        if reading == "causal":
            return self._read(self.causal_trunk, input_ids, masks.causal(attention_mask))
        if prefix_lengths is None:
            raise ValueError("the prefix reading needs prefix_lengths")
        return self._read(self.causal_trunk, input_ids, masks.prefix(attention_mask, prefix_lengths))

    def _hybrid(self, input_ids: Tensor, attention_mask: Tensor) -> tuple[Tensor, Tensor]:
        bidirectional, causal = masks.bidirectional(attention_mask), masks.causal(attention_mask)
        if self.adapter is None:
            both_masks = torch.cat([bidirectional.expand_as(causal), causal])
            both = self._read(self.trunk, torch.cat([input_ids, input_ids]), both_masks)
            last, middle = (self.gate(*states.chunk(2)) for states in both)
            return last, middle
        left = self._read(self.causal_trunk, input_ids, causal)
        return tuple(map(self.gate, self._read(self.trunk, input_ids, bidirectional), left))

    def _read(self, trunk: Transformer, input_ids: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        states: tuple[Tensor, Tensor] = trunk(input_ids, mask)
        return states
