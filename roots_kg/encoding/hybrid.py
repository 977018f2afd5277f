"""The hybrid encoder: one trunk read bidirectionally, causally, with a prefix, or both ways at once.

The hybrid reading fuses the bidirectional and the causal pass with a learned gate, which is untrained at
first: then the hybrid equals the bidirectional reading exactly.

The causal pass may have a low-rank adapter of its own, whose merging makes it as cheap as the other. The two
passes are run one after the other, not as one stacked batch: docs/decisions/0008-two-passes.md.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

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
        merged = self._merged[:] or [self.adapter.merged(self.trunk).train(self.training)]
        self._merged[:] = merged  # whatever other threads did meanwhile
        return merged[0]

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
        if reading == "bidirectional":
            return self._read_both_ways(input_ids, attention_mask)
        if reading == "causal":
            return self._read_causally(input_ids, attention_mask)
        if reading == "hybrid":
            both, left = (
                self._read_both_ways(input_ids, attention_mask),
                self._read_causally(input_ids, attention_mask),
            )
            return self.gate(both[0], left[0]), self.gate(both[1], left[1])
        if prefix_lengths is None:
            raise ValueError("the prefix reading needs prefix_lengths")
        return self.causal_trunk(input_ids, masks.prefix(attention_mask, prefix_lengths))  # type: ignore[no-any-return]

    def _read_both_ways(self, input_ids: Tensor, attention_mask: Tensor) -> tuple[Tensor, Tensor]:
        mask = None if bool(attention_mask.all()) else masks.bidirectional(attention_mask)
        return self.trunk(input_ids, mask)  # type: ignore[no-any-return]

    def _read_causally(self, input_ids: Tensor, attention_mask: Tensor) -> tuple[Tensor, Tensor]:
        padding_last = bool((attention_mask[:, 1:] <= attention_mask[:, :-1]).all())
        if padding_last:  # which no token sees that is not padding itself
            return self.causal_trunk(input_ids, causal=True)  # type: ignore[no-any-return]
        return self.causal_trunk(input_ids, masks.causal(attention_mask))  # type: ignore[no-any-return]
