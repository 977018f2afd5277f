"""Export to ONNX, to read texts where there is no PyTorch (extra `onnx`)."""

from __future__ import annotations

import importlib
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from roots_kg.encoding import masks
from roots_kg.encoding.hybrid import HybridEncoder, Reading
from roots_kg.encoding.text_encoder import TextEncoder, pool_tokens
from roots_kg.errors import UsageError
from roots_kg.files import replacing

__all__ = ["export_onnx"]

READINGS = ("bidirectional", "causal", "hybrid")
LARGEST_FILE = 2**31  # bytes, the most that one ONNX file may have


def export_onnx(encoder: TextEncoder, path: Path, reading: Reading | None = None) -> None:
    """Write an encoder in float32 as one ONNX file, whole or not at all.

    The inputs are `input_ids` and `attention_mask`, (B, L) int64 each, of any B and any L up to the positions
    of the trunk; the mask is 1 for tokens and 0 for padding. The outputs are `last_hidden_state`, (B, L, d),
    and `sentence_embedding`, (B, d), the normalised mean over the tokens. The metadata of the file holds the
    tokenizer as JSON (`tokenizer`), the most tokens of a row (`max_length`) and the `reading`.

    Args:
        encoder: the encoder, of any precision.
        path: the file to write.
        reading: bidirectional, causal or hybrid; by default the encoder's own.

    Raises:
        UsageError: if the packages of the extra are missing, or the reading is another, or the file would be
            larger than ONNX allows.
        DataError: if the file cannot be written.
    """
    reading = reading or encoder.reading
    if reading not in READINGS:
        hint = f"these can: {', '.join(READINGS)}"
        raise UsageError(f"the reading {reading!r} cannot be exported", hint=hint)
    onnx = _require("onnx")
    _require("onnxscript")
    module = _Exported(encoder.encoder, reading).eval()
    if sum(weight.nbytes for weight in module.state_dict().values()) >= LARGEST_FILE:
        raise UsageError("an ONNX file holds at most 2 GB, this encoder is larger")
    model = _export(module, encoder.encoder.trunk.config.max_positions)
    metadata = {
        "tokenizer": encoder.tokenizer.to_json(),
        "max_length": str(encoder.tokenizer.max_length),
        "reading": reading,
    }
    onnx.helper.set_model_props(model, metadata)
    with replacing(path) as temporary:
        onnx.save_model(model, temporary)


class _Exported(nn.Module):
    """Token ids to hidden states and a sentence's vector."""

    def __init__(self, encoder: HybridEncoder, reading: Reading) -> None:
        super().__init__()
        self.trunk = encoder.trunk if reading != "causal" else None
        self.causal_trunk = encoder.causal_trunk if reading != "bidirectional" else None
        self.gate = encoder.gate

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> tuple[Tensor, Tensor]:
        mask = attention_mask.bool()
        passes = []
        if self.trunk is not None:
            passes.append(self.trunk(input_ids, masks.bidirectional(mask))[0])
        if self.causal_trunk is not None:
            passes.append(self.causal_trunk(input_ids, masks.causal(mask))[0])
        hidden = passes[0] if len(passes) == 1 else self.gate(*passes)
        return hidden, functional.normalize(pool_tokens(hidden, mask), dim=-1)


def _export(module: nn.Module, max_positions: int) -> Any:
    """Return a module as an ONNX model."""
    input_ids, attention_mask = torch.ones(2, 3, min(5, max_positions), dtype=torch.long).unbind()
    dynamic = {0: torch.export.Dim("batch"), 1: torch.export.Dim("length", max=max_positions)}
    with _quiet(), torch.no_grad():
        program = torch.onnx.export(
            module,
            (input_ids, attention_mask.clone()),
            input_names=["input_ids", "attention_mask"],
            output_names=["last_hidden_state", "sentence_embedding"],
            dynamic_shapes=({**dynamic}, {**dynamic}),
            dynamo=True,
            verbose=False,
        )
    assert program is not None
    return program.model_proto


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep what the exporter says of its own parts from a person who cannot change them."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)


def _require(package: str) -> Any:
    try:
        return importlib.import_module(package)
    except ImportError as error:
        message = f"the export to ONNX needs the package {package}"
        raise UsageError(message, hint='pip install "roots-kg[onnx]"') from error
