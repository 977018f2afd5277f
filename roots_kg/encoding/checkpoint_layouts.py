"""How the checkpoints of others are laid out: the names of their tensors, and their shape from `config.json`.

Names are without the prefix of the model inside a larger one, such as `bert.`; `{}` stands for the number of
a block.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from roots_kg.encoding.transformer import TransformerConfig
from roots_kg.errors import WeightsError

__all__ = ["LAYOUTS", "Layout", "StatedShape"]

LARGEST = 2**24  # that a number in the shape of a model may be

Activation = Literal["gelu", "gelu_tanh", "relu", "silu"]

ACTIVATIONS: dict[Any, Activation] = {
    "gelu": "gelu",
    "gelu_new": "gelu_tanh",
    "gelu_pytorch_tanh": "gelu_tanh",
    "relu": "relu",
    "silu": "silu",
    "swish": "silu",
}


@dataclass(frozen=True)
class StatedShape:
    """The `config.json` of a checkpoint.

    Args:
        settings: what it says.
        path: the file, for messages.
    """

    settings: Mapping[str, Any]
    path: Path

    def integer(self, name: str, default: int | None = None) -> int:
        """Return a whole number; None stands for the default."""
        value = self.settings.get(name)
        value = default if value is None else value
        if value is None:
            raise WeightsError(f"the key {name!r} is missing", path=self.path)
        if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= LARGEST:
            message = f"{name} must be a whole number up to {LARGEST:,}, found {value!r}"
            raise WeightsError(message, path=self.path)
        return value

    def fraction(self, name: str, default: float) -> float:
        """Return a number from 0 to below 1."""
        value = self.settings.get(name, default)
        if not isinstance(value, (int, float)) or isinstance(value, bool) or not 0 <= value < 1:
            raise WeightsError(f"{name} must be a number from 0 to below 1, found {value!r}", path=self.path)
        return float(value)

    def activation(self, name: str, default: str) -> Activation:
        """Return our name of the activation."""
        value = self.settings.get(name, default)
        if not isinstance(value, str) or value not in ACTIVATIONS:
            known = ", ".join(map(repr, ACTIVATIONS))
            raise self.inexpressible(name, value, f"known: {known}")
        return ACTIVATIONS[value]

    def require(self, name: str, expected: Any) -> None:
        """Refuse a setting that is neither absent, nor null, nor as expected."""
        value = self.settings.get(name)
        if value is not None and value != expected:
            raise self.inexpressible(name, value, f"it knows {expected!r} only")

    def inexpressible(self, name: str, value: Any, hint: str) -> WeightsError:
        """Return the error about a setting that our trunk has no counterpart of."""
        return WeightsError(f"{name} is {value!r}, which the trunk cannot express", path=self.path, hint=hint)


@dataclass(frozen=True)
class Layout:
    """A family of checkpoints.

    Args:
        prefix: of the names, where the model is part of a larger one.
        shape: reads the shape of the trunk.
        trunk: for each part of our trunk those of theirs, which are stacked where there are several.
        head: for each parameter of our head the names of theirs, of which the first that is there counts.
        head_starts: how the names of its head begin.
        output_embedding: the name of the output embedding, which must be the input embedding again.
        unused: matches what our trunk has no use for, and does not miss.
        transposed: whether the linear maps of the blocks are stored as (in, out).
        skipped_positions: how many rows of the position embedding stand in front of that of the first token.
    """

    prefix: str
    shape: Callable[[StatedShape], TransformerConfig]
    trunk: Mapping[str, tuple[str, ...]]
    head: Mapping[str, tuple[str, ...]]
    head_starts: tuple[str, ...]
    output_embedding: str
    unused: re.Pattern[str]
    transposed: bool = False
    skipped_positions: Callable[[StatedShape], int] = lambda stated: 0


def _bert_shape(stated: StatedShape) -> TransformerConfig:
    stated.require("position_embedding_type", "absolute")
    stated.require("add_cross_attention", False)
    return TransformerConfig(
        vocab_size=stated.integer("vocab_size"),
        hidden_size=stated.integer("hidden_size"),
        num_layers=stated.integer("num_hidden_layers"),
        num_heads=stated.integer("num_attention_heads"),
        intermediate_size=stated.integer("intermediate_size"),
        max_positions=stated.integer("max_position_embeddings"),
        token_types=stated.integer("type_vocab_size", 2),
        layer_norm_eps=stated.fraction("layer_norm_eps", 1e-12),
        activation=stated.activation("hidden_act", "gelu"),
    )


def _distilbert_shape(stated: StatedShape) -> TransformerConfig:
    return TransformerConfig(
        vocab_size=stated.integer("vocab_size"),
        hidden_size=stated.integer("dim"),
        num_layers=stated.integer("n_layers"),
        num_heads=stated.integer("n_heads"),
        intermediate_size=stated.integer("hidden_dim"),
        max_positions=stated.integer("max_position_embeddings"),
        token_types=0,
        layer_norm_eps=1e-12,
        activation=stated.activation("activation", "gelu"),
    )


def _gpt2_shape(stated: StatedShape) -> TransformerConfig:
    for name, expected in (
        ("scale_attn_weights", True),
        ("scale_attn_by_inverse_layer_idx", False),
        ("reorder_and_upcast_attn", False),
        ("add_cross_attention", False),
    ):
        stated.require(name, expected)
    size = stated.integer("n_embd")
    return TransformerConfig(
        vocab_size=stated.integer("vocab_size"),
        hidden_size=size,
        num_layers=stated.integer("n_layer"),
        num_heads=stated.integer("n_head"),
        intermediate_size=stated.integer("n_inner", 4 * size),
        max_positions=stated.integer("n_positions"),
        token_types=0,
        layer_norm_eps=stated.fraction("layer_norm_epsilon", 1e-5),
        norm="pre",
        activation=stated.activation("activation_function", "gelu_new"),
    )


def _roberta_skipped(stated: StatedShape) -> int:
    return stated.integer("pad_token_id", 1) + 1


_BERT = Layout(
    prefix="bert.",
    shape=_bert_shape,
    trunk={
        "token_embedding": ("embeddings.word_embeddings",),
        "position_embedding": ("embeddings.position_embeddings",),
        "type_embedding": ("embeddings.token_type_embeddings",),
        "norm": ("embeddings.LayerNorm",),
        "query_key_value": (
            "encoder.layer.{}.attention.self.query",
            "encoder.layer.{}.attention.self.key",
            "encoder.layer.{}.attention.self.value",
        ),
        "attention_output": ("encoder.layer.{}.attention.output.dense",),
        "attention_norm": ("encoder.layer.{}.attention.output.LayerNorm",),
        "intermediate": ("encoder.layer.{}.intermediate.dense",),
        "output": ("encoder.layer.{}.output.dense",),
        "output_norm": ("encoder.layer.{}.output.LayerNorm",),
    },
    head={
        "transform.weight": ("cls.predictions.transform.dense.weight",),
        "transform.bias": ("cls.predictions.transform.dense.bias",),
        "norm.weight": ("cls.predictions.transform.LayerNorm.weight",),
        "norm.bias": ("cls.predictions.transform.LayerNorm.bias",),
        "bias": ("cls.predictions.bias", "cls.predictions.decoder.bias"),
    },
    head_starts=("cls.predictions.",),
    output_embedding="cls.predictions.decoder.weight",
    unused=re.compile(
        r"embeddings\.(position_ids|token_type_ids)|pooler\.dense\.(weight|bias)"
        r"|cls\.seq_relationship\.(weight|bias)"
    ),
)

_ROBERTA = Layout(
    prefix="roberta.",
    shape=_bert_shape,
    trunk=_BERT.trunk,
    head={
        "transform.weight": ("lm_head.dense.weight",),
        "transform.bias": ("lm_head.dense.bias",),
        "norm.weight": ("lm_head.layer_norm.weight",),
        "norm.bias": ("lm_head.layer_norm.bias",),
        "bias": ("lm_head.bias", "lm_head.decoder.bias"),
    },
    head_starts=("lm_head.",),
    output_embedding="lm_head.decoder.weight",
    unused=_BERT.unused,
    skipped_positions=_roberta_skipped,
)

_DISTILBERT = Layout(
    prefix="distilbert.",
    shape=_distilbert_shape,
    trunk={
        "token_embedding": ("embeddings.word_embeddings",),
        "position_embedding": ("embeddings.position_embeddings",),
        "norm": ("embeddings.LayerNorm",),
        "query_key_value": (
            "transformer.layer.{}.attention.q_lin",
            "transformer.layer.{}.attention.k_lin",
            "transformer.layer.{}.attention.v_lin",
        ),
        "attention_output": ("transformer.layer.{}.attention.out_lin",),
        "attention_norm": ("transformer.layer.{}.sa_layer_norm",),
        "intermediate": ("transformer.layer.{}.ffn.lin1",),
        "output": ("transformer.layer.{}.ffn.lin2",),
        "output_norm": ("transformer.layer.{}.output_layer_norm",),
    },
    head={
        "transform.weight": ("vocab_transform.weight",),
        "transform.bias": ("vocab_transform.bias",),
        "norm.weight": ("vocab_layer_norm.weight",),
        "norm.bias": ("vocab_layer_norm.bias",),
        "bias": ("vocab_projector.bias",),
    },
    head_starts=("vocab_",),
    output_embedding="vocab_projector.weight",
    unused=re.compile(r"embeddings\.position_ids"),
)

_GPT2 = Layout(
    prefix="transformer.",
    shape=_gpt2_shape,
    trunk={
        "token_embedding": ("wte",),
        "position_embedding": ("wpe",),
        "norm": ("ln_f",),
        "attention_norm": ("h.{}.ln_1",),
        "query_key_value": ("h.{}.attn.c_attn",),
        "attention_output": ("h.{}.attn.c_proj",),
        "output_norm": ("h.{}.ln_2",),
        "intermediate": ("h.{}.mlp.c_fc",),
        "output": ("h.{}.mlp.c_proj",),
    },
    head={},
    head_starts=("lm_head.",),
    output_embedding="lm_head.weight",
    unused=re.compile(r"h\.\d+\.attn\.(bias|masked_bias)"),
    transposed=True,
)

LAYOUTS: dict[str, Layout] = {
    "bert": _BERT,
    "distilbert": _DISTILBERT,
    "gpt2": _GPT2,
    "roberta": _ROBERTA,
    "xlm-roberta": _ROBERTA,
}
"""By the `model_type` of their `config.json`."""
