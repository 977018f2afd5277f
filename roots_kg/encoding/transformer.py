"""The trunk: one Transformer, read with any attention mask.

Attention, Vaswani et al. 2017 (arXiv:1706.03762), equation 1. Where the norms stand, how positions enter and
which activation is used are settings, so that one trunk covers BERT's layout (Devlin et al. 2019,
arXiv:1810.04805: norms after, learned positions) and GPT-2's (Radford et al. 2019: norms before). Rotary
positions are those of Su et al. 2021 (arXiv:2104.09864).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from roots_kg.encoding.cache import KeyValueCache
from roots_kg.encoding.initial_weights import draw_normal

__all__ = ["Transformer", "TransformerConfig"]

ROTARY_BASE = 10_000.0
MOST_LAYERS, LARGEST = 1_000, 1 << 24
"""No trunk has more blocks, and none of its other sizes is above the latter."""

_ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "gelu": functional.gelu,
    "gelu_tanh": partial(functional.gelu, approximate="tanh"),
    "relu": functional.relu,
    "silu": functional.silu,
}


@dataclass(frozen=True)
class TransformerConfig:
    """The shape of a trunk; the defaults are those of all-MiniLM-L6-v2.

    Args:
        vocab_size: how many tokens there are.
        hidden_size: d.
        num_layers: how many blocks.
        num_heads: attention heads of a block; they share d between them.
        intermediate_size: the width inside a block's feed-forward part.
        max_positions: the longest text in tokens.
        token_types: how many kinds of segment are told apart, such as BERT's first and second; 0 for none.
        layer_norm_eps: added to the variance.
        norm: after each part of a block, as in BERT, or before it, as in GPT-2.
        positions: learned vectors added to the tokens', or rotations of queries and keys.
        activation: of the feed-forward part.
        dropout: the share of hidden values that are dropped in training.
    """

    vocab_size: int = 30522
    hidden_size: int = 384
    num_layers: int = 6
    num_heads: int = 12
    intermediate_size: int = 1536
    max_positions: int = 512
    token_types: int = 2
    layer_norm_eps: float = 1e-12
    norm: Literal["post", "pre"] = "post"
    positions: Literal["learned", "rotary"] = "learned"
    activation: Literal["gelu", "gelu_tanh", "relu", "silu"] = "gelu"
    dropout: float = 0.0

    def __post_init__(self) -> None:
        for name in ("vocab_size", "hidden_size", "num_layers", "num_heads", "intermediate_size"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, found {getattr(self, name)}")
        if self.max_positions < 1 or self.token_types < 0:
            raise ValueError("max_positions must be at least 1 and token_types at least 0")
        sizes = (
            "vocab_size",
            "hidden_size",
            "num_heads",
            "intermediate_size",
            "max_positions",
            "token_types",
        )
        for name, most in (("num_layers", MOST_LAYERS), *((name, LARGEST) for name in sizes)):
            if getattr(self, name) > most:
                raise ValueError(f"{name} must be at most {most:,}, found {getattr(self, name):,}")
        if self.hidden_size % self.num_heads:
            raise ValueError(
                f"hidden_size {self.hidden_size} is not a multiple of num_heads {self.num_heads}"
            )
        if self.positions == "rotary" and self.hidden_size // self.num_heads % 2:
            raise ValueError(
                f"rotary positions need heads of an even size, found {self.hidden_size // self.num_heads}"
            )
        if not 0 <= self.dropout < 1:
            raise ValueError(f"dropout must be at least 0 and below 1, found {self.dropout}")


class Transformer(nn.Module):
    """Token ids to hidden states.

    Args:
        config: its shape.
    """

    def __init__(self, config: TransformerConfig) -> None:
        super().__init__()
        self.config = config
        size = config.hidden_size
        self.token_embedding = _embedding(config.vocab_size, size)
        self.position_embedding = (
            _embedding(config.max_positions, size) if config.positions == "learned" else None
        )
        self.type_embedding = _embedding(config.token_types, size) if config.token_types else None
        self.norm = nn.LayerNorm(size, eps=config.layer_norm_eps)
        self.dropout = nn.Dropout(config.dropout)
        self.blocks = nn.ModuleList(Block(config, number) for number in range(config.num_layers))
        self.apply(_initialise)

    def forward(
        self,
        input_ids: Tensor,
        mask: Tensor | None = None,
        *,
        causal: bool = False,
        positions: Tensor | None = None,
        token_types: Tensor | None = None,
        cache: KeyValueCache | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Encode a batch.

        Args:
            input_ids: (B, L) integers.
            mask: boolean, broadcastable to (B, 1, L, L), true where a row may see a column; see `masks`.
                With a cache that holds P tokens, the columns are those and then the L new ones.
                None lets every token see every token.
            causal: in place of a mask, let a token see itself and its left, which the kernel does sooner.
            positions: (B, L) integers below `config.max_positions`, the place of each token; by default
                0, 1, 2, … from what the cache holds.
            token_types: (B, L) integers, the segment of each token; by default all 0.
            cache: keys and values of the tokens to the left, to which those of this batch are added.

        Returns:
            The hidden states of the last block and of the one half way up, (B, L, d) each.
        """
        if positions is None:
            past = 0 if cache is None else cache.length
            positions = torch.arange(past, past + input_ids.shape[1], device=input_ids.device)[None]
        hidden = self.token_embedding(input_ids)
        if self.type_embedding is not None:
            hidden = hidden + (
                self.type_embedding.weight[0] if token_types is None else self.type_embedding(token_types)
            )
        rotation = None
        if self.position_embedding is not None:
            hidden = hidden + self.position_embedding(positions)
        else:
            rotation = _rotation(positions, self.config, hidden.dtype)
        post = self.config.norm == "post"
        hidden = self.dropout(self.norm(hidden) if post else hidden)
        middle = hidden
        for number, block in enumerate(self.blocks, start=1):
            hidden = block(hidden, mask, causal, rotation, cache)
            if number == len(self.blocks) // 2:
                middle = hidden
        if cache is not None:
            cache.length += input_ids.shape[1]
        return (hidden if post else self.norm(hidden)), middle


class Block(nn.Module):
    """One layer: attention, then a feed-forward part.

    x ← norm(x + attention(x)), x ← norm(x + mlp(x)) where the norms stand after, and
    x ← x + attention(norm(x)), x ← x + mlp(norm(x)) where they stand before.

    Args:
        config: the shape of the trunk.
        number: the place of the block in it, from 0.
    """

    def __init__(self, config: TransformerConfig, number: int) -> None:
        super().__init__()
        size = config.hidden_size
        self.number, self.num_heads = number, config.num_heads
        self.post = config.norm == "post"
        self.activation = _ACTIVATIONS[config.activation]
        self.dropout = nn.Dropout(config.dropout)
        self.query_key_value = nn.Linear(size, 3 * size)
        self.attention_output = nn.Linear(size, size)
        self.attention_norm = nn.LayerNorm(size, eps=config.layer_norm_eps)
        self.intermediate = nn.Linear(size, config.intermediate_size)
        self.output = nn.Linear(config.intermediate_size, size)
        self.output_norm = nn.LayerNorm(size, eps=config.layer_norm_eps)

    def forward(
        self,
        hidden: Tensor,
        mask: Tensor | None,
        causal: bool,
        rotation: tuple[Tensor, Tensor] | None,
        cache: KeyValueCache | None,
    ) -> Tensor:
        """Map (B, L, d) to (B, L, d); `mask`, `causal` and `cache` as in `Transformer.forward`.

        `rotation` holds the cosines and sines of rotary positions, (B, 1, L, d / heads / 2) each.
        """
        if self.post:
            hidden = self.attention_norm(hidden + self._attend(hidden, mask, causal, rotation, cache))
            result: Tensor = self.output_norm(hidden + self._feed_forward(hidden))
            return result
        hidden = hidden + self._attend(self.attention_norm(hidden), mask, causal, rotation, cache)
        return hidden + self._feed_forward(self.output_norm(hidden))

    def _attend(
        self,
        hidden: Tensor,
        mask: Tensor | None,
        causal: bool,
        rotation: tuple[Tensor, Tensor] | None,
        cache: KeyValueCache | None,
    ) -> Tensor:
        batch, length, size = hidden.shape
        stacked = self.query_key_value(hidden).view(batch, length, 3, self.num_heads, size // self.num_heads)
        query, key, value = stacked.permute(2, 0, 3, 1, 4)
        if rotation is not None:
            query, key = _rotate(query, *rotation), _rotate(key, *rotation)
        if cache is not None:
            key, value = cache.extend(self.number, key, value)
        attended = functional.scaled_dot_product_attention(
            query, key, value, attn_mask=mask, is_causal=causal and mask is None
        )
        attended = self.attention_output(attended.transpose(1, 2).reshape(batch, length, size))
        result: Tensor = self.dropout(attended)
        return result

    def _feed_forward(self, hidden: Tensor) -> Tensor:
        result: Tensor = self.dropout(self.output(self.activation(self.intermediate(hidden))))
        return result


def _embedding(rows: int, size: int) -> nn.Embedding:
    """Return an embedding; on the meta device without drawing its weights, see `draw_normal`."""
    weight = torch.empty(rows, size)
    return nn.Embedding(rows, size, _weight=weight) if weight.is_meta else nn.Embedding(rows, size)


def _initialise(module: nn.Module) -> None:
    """Draw weights as BERT and GPT-2 do: normal with a deviation of 0.02, biases 0."""
    if isinstance(module, (nn.Linear, nn.Embedding)):
        draw_normal(module.weight, 0.02)
    if isinstance(module, nn.Linear):
        nn.init.zeros_(module.bias)


def _rotation(positions: Tensor, config: TransformerConfig, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """Return the cosines and sines of position times frequency, (B, 1, L, d / heads / 2) each."""
    half = config.hidden_size // config.num_heads // 2
    frequencies = ROTARY_BASE ** (-torch.arange(half, device=positions.device, dtype=torch.float32) / half)
    angles = positions[:, None, :, None] * frequencies
    return angles.cos().to(dtype), angles.sin().to(dtype)


def _rotate(states: Tensor, cosine: Tensor, sine: Tensor) -> Tensor:
    """Turn each pair (i, i + half) of (B, heads, L, size) by the angle of its position."""
    first, second = states.chunk(2, dim=-1)
    return torch.cat([first * cosine - second * sine, second * cosine + first * sine], dim=-1)
