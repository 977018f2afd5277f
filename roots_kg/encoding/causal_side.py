"""The causal side of a pretrained encoder in a file of its own: a low-rank adapter and a language-model head.

The trunk is somebody else's and is not copied; what was trained on top of it is small, and is kept in half
precision.
"""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from roots_kg.encoding.adapters import LowRankAdapter
from roots_kg.encoding.language_model import LanguageModelHead
from roots_kg.encoding.transformer import Transformer
from roots_kg.errors import WeightsError

__all__ = ["read_causal_side", "write_causal_side"]

ADAPTER, HEAD = "adapter.", "head."


def write_causal_side(adapter: LowRankAdapter, head: LanguageModelHead, path: Path) -> None:
    """Write an adapter and a head to a safetensors file, as float16."""
    parts = {ADAPTER: adapter, HEAD: head}
    named = {
        prefix + name: weight for prefix, part in parts.items() for name, weight in part.state_dict().items()
    }
    save_file({name: weight.half().contiguous() for name, weight in named.items()}, path)


def read_causal_side(path: Path, trunk: Transformer) -> tuple[LowRankAdapter, LanguageModelHead]:
    """Read what `write_causal_side` wrote, as float32.

    Args:
        path: the file.
        trunk: what the adapter belongs to.

    Raises:
        WeightsError: if the file cannot be read, or does not fit the trunk.
    """
    try:
        tensors = {name: weight.float() for name, weight in load_file(path).items()}
    except (SafetensorError, OSError) as error:
        raise WeightsError(f"cannot be read as safetensors: {error}", path=path) from error
    embedding = tensors.get(f"{ADAPTER}up.token_embedding/weight")
    matrix = tensors.get(f"{ADAPTER}up.blocks/0/output/weight")
    if embedding is None or matrix is None:
        raise WeightsError("this file holds no adapter", path=path)
    with torch.device("meta"):
        adapter = LowRankAdapter(trunk, matrix.shape[1], embedding.shape[1])
        head = LanguageModelHead(trunk.config.hidden_size, trunk.config.vocab_size)
    try:
        for prefix, part in ((ADAPTER, adapter), (HEAD, head)):
            own = {
                name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)
            }
            part.load_state_dict(own, assign=True)
    except RuntimeError as error:
        message = " ".join(str(error).split())
        raise WeightsError(f"its tensors do not fit the trunk: {message}", path=path) from error
    return adapter.requires_grad_(False).eval(), head.requires_grad_(False).eval()
