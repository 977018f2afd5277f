"""The text encoder: tokenizer and hybrid encoder together, from strings to hidden states and vectors."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional

from roots_kg.encoding.hybrid import HybridEncoder, Reading
from roots_kg.encoding.tokenization import TokenBatch, Tokenizer
from roots_kg.encoding.transformer import Transformer
from roots_kg.weights import find_pretrained

__all__ = ["TextEncoder", "pool_tokens"]


class TextEncoder(nn.Module):
    """Strings to hidden states, or to one normalised vector a text.

    Args:
        encoder: the hybrid encoder.
        tokenizer: the tokenizer its vocabulary belongs to.
    """

    def __init__(self, encoder: HybridEncoder, tokenizer: Tokenizer) -> None:
        super().__init__()
        self.encoder = encoder
        self.tokenizer = tokenizer

    @classmethod
    def from_pretrained(cls, name: str = "roots-base", folder: Path | None = None) -> TextEncoder:
        """Load a pretrained encoder; where from, and what is raised, see `weights.find_pretrained`."""
        files = find_pretrained(name, folder)
        encoder = HybridEncoder(Transformer.from_bert(files.model)).requires_grad_(False)
        return cls(encoder, Tokenizer(files.tokenizer)).eval()

    @property
    def hidden_size(self) -> int:
        """The size d of a vector."""
        return self.encoder.trunk.config.hidden_size

    def hidden_states(
        self, texts: Sequence[str], reading: Reading = "bidirectional"
    ) -> Iterator[tuple[TokenBatch, Tensor, Tensor]]:
        """Yield batches of rows with the hidden states of the last block and of the one half way up.

        The states are (B, L, d) each; see `Tokenizer.batches` for the order of the rows.
        """
        device = self.encoder.scale.device
        for batch in self.tokenizer.batches(texts):
            input_ids, attention_mask = batch.input_ids.to(device), batch.attention_mask.to(device)
            yield batch, *self.encoder(input_ids, attention_mask, reading)

    @torch.inference_mode()
    def encode(self, texts: Sequence[str], reading: Reading = "bidirectional") -> Tensor:
        """Encode texts as the normalised mean of their tokens' hidden states.

        Args:
            texts: N texts of any length; of a text longer than one window every window counts.
            reading: the reading of the trunk.

        Returns:
            (N, d), rows of length 1.
        """
        sums = torch.zeros(len(texts), self.hidden_size)
        for batch, hidden, _ in self.hidden_states(texts, reading):
            owners = torch.tensor([row.text for row in batch.rows])
            sums.index_add_(0, owners, pool_tokens(hidden, batch.attention_mask).cpu())
        return functional.normalize(sums, dim=-1)


def pool_tokens(hidden: Tensor, attention_mask: Tensor) -> Tensor:
    """Sum the hidden states of the tokens that `attention_mask` keeps.

    The sum, not the mean: sums of several windows add up, and normalising makes the two the same.

    Args:
        hidden: (B, L, d).
        attention_mask: (B, L).

    Returns:
        (B, d).
    """
    return (attention_mask.to(hidden)[:, None, :] @ hidden).squeeze(1)
