"""What the layers above see of an encoder, whoever made it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Protocol

from torch import Tensor

from roots_kg.encoding.hybrid import Reading
from roots_kg.encoding.tokenization import TokenBatch

__all__ = ["Encoder"]


class Encoder(Protocol):
    """Strings to hidden states and vectors: a `TextEncoder` or a `TransformersEncoder`."""

    @property
    def hidden_size(self) -> int:
        """The size d of a vector."""

    def hidden_states(
        self, texts: Sequence[str], reading: Reading | None = None
    ) -> Iterator[tuple[TokenBatch, Tensor, Tensor]]:
        """Yield batches of rows with the hidden states of the last block and of the one half way up."""

    def encode(self, texts: Sequence[str], reading: Reading | None = None) -> Tensor:
        """Return the normalised vector of each text, (N, d)."""
