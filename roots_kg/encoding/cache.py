"""The keys and values of tokens already read, kept so that generating a token reads that token alone."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["KeyValueCache"]


class KeyValueCache:
    """Room for the keys and values of every block of a trunk.

    Args:
        num_layers: how many blocks.
        batch: B.
        num_heads: attention heads of a block.
        capacity: the most tokens that are read, prompt included.
        head_size: d / heads.
        device: where they lie.
        dtype: what they are.

    `length` is how many tokens are in it.
    """

    def __init__(
        self,
        num_layers: int,
        batch: int,
        num_heads: int,
        capacity: int,
        head_size: int,
        device: torch.device | str = "cpu",
        dtype: torch.dtype = torch.float32,
    ) -> None:
        shape = (2, num_layers, batch, num_heads, capacity, head_size)
        self._states = torch.empty(shape, device=device, dtype=dtype)
        self.length = 0

    def extend(self, layer: int, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
        """Add the keys and values of new tokens, (B, heads, L, d / heads) each, to a block's.

        Returns:
            Those of all tokens so far, (B, heads, length + L, d / heads) each. `length` is moved on by the
            trunk, once all blocks have added theirs.
        """
        stop = self.length + key.shape[2]
        if stop > self._states.shape[4]:
            raise ValueError(f"the cache has room for {self._states.shape[4]} tokens, {stop} are wanted")
        both = self._states[:, layer, :, :, :stop]
        both[0, :, :, self.length :], both[1, :, :, self.length :] = key, value
        return both[0], both[1]

    def select(self, rows: Tensor) -> None:
        """Keep these rows of the batch, in this order, as beam search does; rows may repeat."""
        self._states = self._states.index_select(2, rows)
