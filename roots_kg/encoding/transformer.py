"""The trunk: one Transformer encoder (post-norm, learned positions), read with any attention mask.

Attention, Vaswani et al. 2017 (arXiv:1706.03762), equation 1; the block's layout is BERT's, Devlin et
al. 2019 (arXiv:1810.04805). Weights are loaded from a BERT-family safetensors file.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional

from roots_kg.errors import WeightsError

__all__ = ["Transformer", "TransformerConfig"]


@dataclass(frozen=True)
class TransformerConfig:
    """The size of a trunk; the defaults are those of all-MiniLM-L6-v2."""

    vocab_size: int = 30522
    hidden_size: int = 384
    num_layers: int = 6
    num_heads: int = 12
    intermediate_size: int = 1536
    max_positions: int = 512
    token_types: int = 2
    layer_norm_eps: float = 1e-12

    def __post_init__(self) -> None:
        if self.hidden_size % self.num_heads:
            raise ValueError(
                f"hidden_size {self.hidden_size} is not a multiple of num_heads {self.num_heads}"
            )


class Transformer(nn.Module):
    """Token ids to hidden states.

    Args:
        config: its size.
    """

    def __init__(self, config: TransformerConfig) -> None:
        super().__init__()
        self.config = config
        self.token_embedding = nn.Embedding(config.vocab_size, config.hidden_size)
        self.position_embedding = nn.Embedding(config.max_positions, config.hidden_size)
        self.type_embedding = nn.Embedding(config.token_types, config.hidden_size)
        self.norm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        self.blocks = nn.ModuleList(Block(config) for _ in range(config.num_layers))

    def forward(self, input_ids: Tensor, mask: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Encode a batch.

        Args:
            input_ids: (B, L) integers, L at most `config.max_positions`.
            mask: boolean, broadcastable to (B, 1, L, L), true where a row may see a column; see `masks`.
                None lets every token see every token.

        Returns:
            The hidden states of the last block and of the one half way up, (B, L, d) each.
        """
        positions = torch.arange(input_ids.shape[1], device=input_ids.device)
        embedded = self.token_embedding(input_ids) + self.type_embedding.weight[0]
        hidden: Tensor = self.norm(embedded + self.position_embedding(positions))
        middle = hidden
        for number, block in enumerate(self.blocks, start=1):
            hidden = block(hidden, mask)
            if number == len(self.blocks) // 2:
                middle = hidden
        return hidden, middle

    @classmethod
    def from_bert(cls, path: Path, config: TransformerConfig | None = None) -> Transformer:
        """Load a BERT-family checkpoint in safetensors format.

        Args:
            path: the `.safetensors` file.
            config: the size of the checkpoint.

        Returns:
            The trunk, in evaluation mode.

        Raises:
            WeightsError: if a tensor is missing or has another shape; the message names the first.
        """
        try:
            checkpoint = {name.removeprefix("bert."): value for name, value in load_file(path).items()}
        except (SafetensorError, OSError) as error:
            raise WeightsError(f"cannot be read as safetensors: {error}", path=path) from error
        with torch.device("meta"):
            trunk = cls(config or TransformerConfig())
        try:
            state = {name: _from_bert(name, checkpoint) for name in trunk.state_dict()}
        except KeyError as error:
            raise WeightsError(f"the tensor {error.args[0]!r} is missing", path=path) from error
        for name, expected in trunk.state_dict().items():
            if state[name].shape != expected.shape:
                raise WeightsError(
                    f"{name} has shape {tuple(state[name].shape)}, expected {tuple(expected.shape)}",
                    path=path,
                )
        trunk.load_state_dict(state, assign=True)
        return trunk.eval().requires_grad_(False)


class Block(nn.Module):
    """One layer: x ← norm(x + attention(x)), then x ← norm(x + mlp(x))."""

    def __init__(self, config: TransformerConfig) -> None:
        super().__init__()
        self.num_heads = config.num_heads
        self.query_key_value = nn.Linear(config.hidden_size, 3 * config.hidden_size)
        self.attention_output = nn.Linear(config.hidden_size, config.hidden_size)
        self.attention_norm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        self.intermediate = nn.Linear(config.hidden_size, config.intermediate_size)
        self.output = nn.Linear(config.intermediate_size, config.hidden_size)
        self.output_norm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)

    def forward(self, hidden: Tensor, mask: Tensor | None) -> Tensor:
        """Map (B, L, d) to (B, L, d); `mask` as in `Transformer.forward`."""
        batch, length, size = hidden.shape
        stacked = self.query_key_value(hidden).view(batch, length, 3, self.num_heads, size // self.num_heads)
        query, key, value = stacked.permute(2, 0, 3, 1, 4)
        attended = functional.scaled_dot_product_attention(query, key, value, attn_mask=mask)
        attended = self.attention_output(attended.transpose(1, 2).reshape(batch, length, size))
        hidden = self.attention_norm(hidden + attended)
        expanded = functional.gelu(self.intermediate(hidden))
        result: Tensor = self.output_norm(hidden + self.output(expanded))
        return result


_BERT_NAMES = {
    "token_embedding": "embeddings.word_embeddings",
    "position_embedding": "embeddings.position_embeddings",
    "type_embedding": "embeddings.token_type_embeddings",
    "norm": "embeddings.LayerNorm",
    "attention_output": "attention.output.dense",
    "attention_norm": "attention.output.LayerNorm",
    "intermediate": "intermediate.dense",
    "output": "output.dense",
    "output_norm": "output.LayerNorm",
}


def _from_bert(name: str, checkpoint: dict[str, Tensor]) -> Tensor:
    """Return the tensor of a BERT checkpoint that belongs at `name` in our trunk."""
    *layer, module, kind = name.removeprefix("blocks.").split(".")
    start = f"encoder.layer.{layer[0]}." if layer else ""
    if module == "query_key_value":
        parts = [checkpoint[f"{start}attention.self.{part}.{kind}"] for part in ("query", "key", "value")]
        return torch.cat(parts)
    return checkpoint[f"{start}{_BERT_NAMES[module]}.{kind}"]
