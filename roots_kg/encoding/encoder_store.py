"""Encoders as bundles on disk: weights, shape and tokenizer together.

What is read back is the encoder that was saved, bit for bit: the tokenizer's file is kept as it was, and
every file has its SHA-256 in `config.json`.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from roots_kg.bundle import Bundle, atomic_folder, checked
from roots_kg.config import from_mapping, to_mapping
from roots_kg.encoding.adapters import AdapterShape, LowRankAdapter
from roots_kg.encoding.checkpoints import check_vocabulary
from roots_kg.encoding.hybrid import HybridEncoder, Reading
from roots_kg.encoding.language_model import LanguageModelHead
from roots_kg.encoding.text_encoder import TextEncoder
from roots_kg.encoding.tokenization import Tokenizer
from roots_kg.encoding.transformer import Transformer, TransformerConfig
from roots_kg.errors import BundleError, ConfigError, WeightsError

__all__ = ["KIND", "load_encoder", "save_encoder", "write_encoder"]

KIND = "encoder"

ENCODER, HEAD, TOKENIZER = "encoder.safetensors", "head.safetensors", "tokenizer.json"


@dataclass(frozen=True)
class _HeadSettings:
    transform: bool
    bias: bool
    layer_norm_eps: float


@dataclass(frozen=True)
class _Settings:
    trunk: TransformerConfig
    max_length: int
    reading: Reading
    head: _HeadSettings | None = None
    adapter: AdapterShape | None = None

    def __post_init__(self) -> None:
        if self.reading == "prefix":
            raise ValueError("texts without a prefix cannot have the reading 'prefix'")
        if not 1 <= self.max_length <= self.trunk.max_positions:
            most = self.trunk.max_positions
            raise ValueError(f"max_length must be from 1 to max_positions, {most}, found {self.max_length}")


def save_encoder(encoder: TextEncoder, path: Path) -> None:
    """Write an encoder to a folder, replacing an older saved encoder there, whole or not at all.

    Raises:
        BundleError: if the folder holds something else, or cannot be written.
    """
    with atomic_folder(path, kind=KIND) as folder:
        write_encoder(encoder, folder)


def write_encoder(encoder: TextEncoder, folder: Path) -> None:
    """Write the files of an encoder into an existing private folder."""
    hybrid, head = encoder.encoder, encoder.head
    settings = _Settings(
        trunk=hybrid.trunk.config,
        max_length=encoder.tokenizer.max_length,
        reading=encoder.reading,
        head=None if head is None else _head_settings(head),
        adapter=None if hybrid.adapter is None else hybrid.adapter.shape,
    )
    tensors = {ENCODER: hybrid.state_dict()}
    if head is not None:
        tensors[HEAD] = head.state_dict()
    (folder / TOKENIZER).write_bytes(encoder.tokenizer.content)
    Bundle.write(
        folder, KIND, to_mapping(settings), tensors=tensors, texts={"README.md": _readme(encoder, settings)}
    )


def load_encoder(path: Path) -> TextEncoder:
    """Load an encoder that was saved, in evaluation mode and frozen.

    Raises:
        BundleError: if the folder is no saved encoder, or a file of it is missing, differs from what was
            saved, or does not fit.
    """
    bundle = Bundle.read(path, KIND)
    try:
        settings = from_mapping(_Settings, bundle.settings)
        with torch.device("meta"):
            trunk = Transformer(settings.trunk)
            adapter, head = None, None
            if settings.adapter is not None:
                adapter = LowRankAdapter(trunk, settings.adapter.rank, settings.adapter.embedding_rank)
            if settings.head is not None:
                shape = settings.trunk.hidden_size, settings.trunk.vocab_size
                head = LanguageModelHead(*shape, **to_mapping(settings.head))
            hybrid = HybridEncoder(trunk, adapter)
        tokenizer = Tokenizer(bundle.file(TOKENIZER), settings.max_length)
        check_vocabulary(tokenizer, trunk, path / TOKENIZER)
    except ConfigError as error:
        raise checked(bundle, error) from error
    except WeightsError as error:
        raise BundleError(error.message, path=error.path, hint=error.hint) from error
    _fill(hybrid, bundle, ENCODER)
    if head is not None:
        _fill(head, bundle, HEAD)
    return TextEncoder(hybrid, tokenizer, head, settings.reading).requires_grad_(False).eval()


def _fill(module: nn.Module, bundle: Bundle, name: str) -> None:
    """Give a module without memory of its own the tensors of a file."""
    expected = module.state_dict()
    bundle.require_shapes(name, {key: tuple(tensor.shape) for key, tensor in expected.items()})
    tensors = bundle.tensors(name)
    for key in tensors:
        if key not in expected:
            raise BundleError(f"the tensor {key!r} is unknown", path=bundle.path / name)
    module.load_state_dict(tensors, assign=True)


def _head_settings(head: LanguageModelHead) -> _HeadSettings:
    eps = 1e-12 if head.norm is None else head.norm.eps
    return _HeadSettings(head.transform is not None, head.bias is not None, eps)


def _readme(encoder: TextEncoder, settings: _Settings) -> str:
    trunk = settings.trunk
    count = sum(parameter.numel() for parameter in encoder.parameters())
    head = "It has a language-model head, so it can generate." if settings.head else "It cannot generate."
    return (
        "# A text encoder\n\n"
        f"{count / 1e6:.1f} million weights: {trunk.num_layers} blocks of size {trunk.hidden_size} with "
        f"{trunk.num_heads} attention heads, {trunk.vocab_size:,} tokens, {trunk.max_positions} positions. "
        f"It reads texts in windows of {settings.max_length} tokens; its reading is {settings.reading}. "
        f"{head}\n\n"
        "Use it with `roots adapt TASK --encoder FOLDER`, or\n\n"
        "```python\n"
        "from roots_kg import RootsModel\n\n"
        'vectors = RootsModel.from_pretrained("FOLDER").encode(["a text"])\n'
        "```\n"
    )
