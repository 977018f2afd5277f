"""Checkpoints of others, read into our trunk and head: the BERT and the GPT-2 family.

A folder in the layout of Hugging Face holds `config.json`, `model.safetensors` (or its shards and their
index) and `tokenizer.json`. Every tensor must have its place: one that is missing, too many or of another
shape is an error.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor

from roots_kg.encoding.checkpoint_layouts import LAYOUTS, Layout, StatedShape
from roots_kg.encoding.language_model import LanguageModelHead
from roots_kg.encoding.safetensors_files import read_json, read_tensors, weights_file
from roots_kg.encoding.tokenization import Tokenizer
from roots_kg.encoding.transformer import Transformer, TransformerConfig
from roots_kg.errors import WeightsError, nearest

__all__ = ["Checkpoint", "bert_trunk", "check_vocabulary", "is_checkpoint", "load_checkpoint"]

FLOATS = (torch.float32, torch.float16, torch.bfloat16, torch.float64)


@dataclass(frozen=True)
class Checkpoint:
    """What a checkpoint folder holds.

    Args:
        trunk: the trunk, in evaluation mode and frozen, in float32.
        head: its output, if it has one.
        tokenizer: of its vocabulary.
        reading: how it was trained to be read.
    """

    trunk: Transformer
    head: LanguageModelHead | None
    tokenizer: Tokenizer
    reading: Literal["bidirectional", "causal"]


def is_checkpoint(folder: Path) -> bool:
    """Tell whether a folder's `config.json` looks like that of a checkpoint, whatever its family."""
    try:
        return "model_type" in read_json(folder / "config.json")
    except WeightsError:
        return False


def load_checkpoint(folder: Path) -> Checkpoint:
    """Load a folder in the layout of Hugging Face.

    Texts are later pooled by the mean of their tokens, also where the folder states another pooling.

    Raises:
        WeightsError: if a file is missing or cannot be read; if the shape is one that the trunk cannot
            express; if a tensor is missing, unknown or of another shape (the first is named); or if the
            tokenizer gives token ids that the trunk does not have.
    """
    if not folder.is_dir():
        raise WeightsError("this is not a folder", path=folder, hint="name the folder that holds config.json")
    stated = StatedShape(read_json(folder / "config.json"), folder / "config.json")
    family = stated.settings.get("model_type")
    if not isinstance(family, str) or family not in LAYOUTS:
        message = f"model_type is {family!r}, and the trunk cannot be shaped like that"
        hint = f"{nearest(str(family), LAYOUTS)}; `TransformersEncoder` reads other families"
        raise WeightsError(message, path=stated.path, hint=hint)
    layout = LAYOUTS[family]
    path = weights_file(folder)
    tokenizer_path = folder / "tokenizer.json"
    if not tokenizer_path.is_file():
        hint = "`transformers.AutoTokenizer.from_pretrained(FOLDER).save_pretrained(FOLDER)` writes it"
        raise WeightsError("this folder has no tokenizer.json", path=folder, hint=hint)
    try:
        skipped = layout.skipped_positions(stated)
        config = layout.shape(stated)
        config = replace(config, max_positions=config.max_positions - skipped)
    except ValueError as error:
        raise WeightsError(str(error), path=stated.path) from error
    tensors = _Tensors(path, layout)
    trunk = _trunk(tensors, config, skipped)
    head = _head(tensors, trunk, stated)
    tensors.refuse_unknown()
    tokenizer = Tokenizer(tokenizer_path, _window(folder, config.max_positions))
    check_vocabulary(tokenizer, trunk, tokenizer_path)
    causal = family == "gpt2" or bool(stated.settings.get("is_decoder"))
    return Checkpoint(trunk, head, tokenizer, "causal" if causal else "bidirectional")


def bert_trunk(path: Path, config: TransformerConfig | None = None) -> Transformer:
    """Load a BERT without a head from a safetensors file of a known shape.

    Args:
        path: the `.safetensors` file.
        config: the shape of the checkpoint.

    Returns:
        The trunk, in evaluation mode.

    Raises:
        WeightsError: if a tensor is missing, unknown or of another shape; the message names the first.
    """
    tensors = _Tensors(path, LAYOUTS["bert"])
    trunk = _trunk(tensors, config or TransformerConfig(), 0)
    tensors.refuse_unknown()
    return trunk


def check_vocabulary(tokenizer: Tokenizer, trunk: Transformer, path: Path) -> None:
    """Refuse a tokenizer that gives token ids which the trunk does not have.

    Raises:
        WeightsError: if so; both numbers are named.
    """
    rows = trunk.config.vocab_size
    if tokenizer.vocab_size > rows:
        raise WeightsError(
            f"this tokenizer has token ids up to {tokenizer.vocab_size - 1}, "
            f"the model's embedding has {rows} rows",
            path=path,
            hint="use the tokenizer that the model was trained with",
        )


class _Tensors:
    """The tensors of a checkpoint, taken out one by one.

    Args:
        path: of the file or the index.
        layout: of its names.
    """

    def __init__(self, path: Path, layout: Layout) -> None:
        self.path, self.layout = path, layout
        self._stored = {
            _plain_name(name, layout): (name, value) for name, value in read_tensors(path).items()
        }
        self._unknown = dict.fromkeys(self._stored)

    def names(self) -> list[str]:
        """Return the names of all tensors, without the prefix."""
        return list(self._stored)

    def take(self, name: str, shape: torch.Size, transposed: bool = False) -> Tensor:
        """Return a tensor in float32; `shape` is that after transposing."""
        if name not in self._stored:
            raise WeightsError(f"the tensor {name!r} is missing", path=self.path)
        stated, value = self._stored[name]
        expected = shape[::-1] if transposed else shape
        if value.shape != expected:
            raise WeightsError(
                f"{stated} has shape {tuple(value.shape)}, expected {tuple(expected)}", path=self.path
            )
        if value.dtype not in FLOATS:
            raise WeightsError(
                f"{stated} holds {value.dtype}, expected floating-point numbers", path=self.path
            )
        self._unknown.pop(name, None)
        return (value.T.contiguous() if transposed else value).float()

    def refuse_unknown(self) -> None:
        """Raise if there is a tensor that was not taken and has no known reason to be there."""
        for name in self._unknown:
            if not self.layout.unused.fullmatch(name):
                raise WeightsError(
                    f"the tensor {self._stored[name][0]!r} is unknown: the model has no place for it",
                    path=self.path,
                    hint="save the base model alone, without the layers of a task",
                )


def _plain_name(name: str, layout: Layout) -> str:
    """Return a name without the prefix, and the scale and shift of a norm by their names of today."""
    name = name.removeprefix(layout.prefix)
    for old, new in ((".gamma", ".weight"), (".beta", ".bias")):
        if name.endswith(old):
            return name.removesuffix(old) + new
    return name


def _trunk(tensors: _Tensors, config: TransformerConfig, skipped: int) -> Transformer:
    if config.num_layers > len(tensors.names()):
        raise WeightsError(
            f"there are to be {config.num_layers} layers, and there are {len(tensors.names())} tensors",
            path=tensors.path,
        )
    with torch.device("meta"):
        trunk = Transformer(config)
    state = {}
    for name, expected in trunk.state_dict().items():
        *block, module, kind = name.removeprefix("blocks.").split(".")
        parts = [f"{part.format(*block)}.{kind}" for part in tensors.layout.trunk[module]]
        rows, *columns = expected.shape
        ahead = skipped if module == "position_embedding" else 0
        shape = torch.Size([rows // len(parts) + ahead, *columns])
        transposed = tensors.layout.transposed and bool(block) and len(shape) == 2
        state[name] = torch.cat([tensors.take(part, shape, transposed)[ahead:] for part in parts])
    trunk.load_state_dict(state, assign=True)
    return trunk.eval().requires_grad_(False)


def _head(tensors: _Tensors, trunk: Transformer, stated: StatedShape) -> LanguageModelHead | None:
    layout, embedding = tensors.layout, trunk.token_embedding.weight
    if not _has_head(tensors, stated):
        return None
    if layout.output_embedding in tensors.names():
        output = tensors.take(layout.output_embedding, embedding.shape)
        if not torch.equal(output, embedding):
            message = (
                f"{layout.output_embedding} differs from the input embedding, which the model cannot express"
            )
            raise WeightsError(message, path=tensors.path)
    config = trunk.config
    with torch.device("meta"):
        head = LanguageModelHead(
            config.hidden_size,
            config.vocab_size,
            transform=bool(layout.head),
            bias=bool(layout.head),
            layer_norm_eps=config.layer_norm_eps,
        )
    if layout.head and config.activation != "gelu":
        raise stated.inexpressible("the activation of the head", config.activation, "it knows 'gelu' only")
    state = {}
    for name, expected in head.state_dict().items():
        found = [their for their in layout.head[name] if their in tensors.names()] or layout.head[name][:1]
        state[name], *_ = (tensors.take(their, expected.shape) for their in found)
    head.load_state_dict(state, assign=True)
    return head.eval().requires_grad_(False)


def _has_head(tensors: _Tensors, stated: StatedShape) -> bool:
    """Tell whether there is a head; that of a GPT-2 is its embedding again, and often not stored."""
    if any(name.startswith(tensors.layout.head_starts) for name in tensors.names()):
        return True
    architectures = stated.settings.get("architectures")
    tied = stated.settings.get("tie_word_embeddings") is not False
    return not tensors.layout.head and tied and (architectures == ["GPT2LMHeadModel"] or not architectures)


def _window(folder: Path, positions: int) -> int:
    """Return how many tokens of a text are read at once: what the folder says, if the positions suffice."""
    for name, key in (
        ("sentence_bert_config.json", "max_seq_length"),
        ("tokenizer_config.json", "model_max_length"),
    ):
        if (folder / name).is_file():
            stated = read_json(folder / name).get(key)
            if isinstance(stated, (int, float)) and 1 <= stated <= positions:
                return int(stated)
    return positions
