"""One model of the library transformers, with its tokenizer: any encoder or decoder of Hugging Face."""

from __future__ import annotations

import importlib
import tempfile
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from roots_kg.encoding.tokenization import Tokenizer
from roots_kg.errors import UsageError, WeightsError

__all__ = ["TransformersModel"]

WINDOW = 512  # tokens; fewer where the tokenizer or the model says so
PROBE = 8  # tokens that show whether a model is causal


class TransformersModel(nn.Module):
    """A model of transformers and its tokenizer.

    Args:
        model: gives hidden states from token ids and an attention mask.
        tokenizer: of its vocabulary.
        padding_id: what stands in the padding.
    """

    def __init__(self, model: Any, tokenizer: Tokenizer, padding_id: int = 0) -> None:
        super().__init__()
        self.model, self.tokenizer, self.padding_id = model, tokenizer, padding_id

    @classmethod
    def load(cls, name: str, *, is_causal: bool) -> TransformersModel:
        """Load a model; see `TransformersEncoder.from_pretrained`."""
        transformers = _transformers()
        if Path(name).is_absolute() and not Path(name).exists():  # it is no name on the Hub either
            raise WeightsError("there is no such folder", path=name)
        try:
            config = transformers.AutoConfig.from_pretrained(name, trust_remote_code=False)
            reader = transformers.AutoTokenizer.from_pretrained(name, trust_remote_code=False)
            model, loaded = transformers.AutoModel.from_pretrained(
                name, config=config, trust_remote_code=False, use_safetensors=True, output_loading_info=True
            )
        except Exception as error:  # the library raises many kinds, which all mean the same
            reason = " ".join(str(error).split())
            hint = "it needs config.json, a tokenizer, and its weights as safetensors"
            raise WeightsError(f"cannot be loaded: {reason}", path=name, hint=hint) from error
        for key in sorted(loaded["missing_keys"]):
            if not key.startswith("pooler."):
                raise WeightsError(f"the tensor {key!r} is missing", path=name)
        if config.is_encoder_decoder:
            raise UsageError(f"{name!r} is an encoder and a decoder in one, which is neither side")
        tokenizer = _tokenizer(reader, model, name)
        rows = model.get_input_embeddings().num_embeddings
        if tokenizer.vocab_size > rows:
            message = (
                f"the tokenizer has token ids up to {tokenizer.vocab_size - 1}, the embedding has {rows} rows"
            )
            raise WeightsError(message, path=name)
        side = cls(model.float().eval(), tokenizer, getattr(config, "pad_token_id", None) or 0)
        if side.is_causal() and not is_causal:
            raise UsageError(f"in {name!r} a token sees its left only", hint="give it as the causal side")
        if is_causal and not side.is_causal():
            message = f"in {name!r} a token sees what follows it"
            raise UsageError(message, hint="give it as the bidirectional side")
        return side

    @property
    def hidden_size(self) -> int:
        """The size of its hidden states."""
        return int(self.model.config.hidden_size)

    @property
    def device(self) -> torch.device:
        """Where the model is."""
        device: torch.device = next(self.model.parameters()).device
        return device

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> tuple[Tensor, Tensor]:
        """Return the hidden states of the last block and of the one half way up, (B, L, d) each.

        Args:
            input_ids: (B, L) integers.
            attention_mask: (B, L), true for tokens, false for padding, which stands at the right.
        """
        if not input_ids.shape[1]:  # a text without tokens, which not every model takes
            nothing = torch.zeros(*input_ids.shape, self.hidden_size, device=self.device)
            return nothing, nothing
        input_ids = input_ids.masked_fill(~attention_mask, self.padding_id).to(self.device)
        mask = attention_mask.long().to(self.device)
        output = self.model(input_ids=input_ids, attention_mask=mask, output_hidden_states=True)
        states = output.hidden_states
        return output.last_hidden_state, states[(len(states) - 1) // 2]

    @torch.inference_mode()
    def is_causal(self) -> bool:
        """Tell whether what follows a token leaves its hidden state as it is."""
        rows = self.model.get_input_embeddings().num_embeddings
        first = torch.randint(rows, (1, PROBE), generator=torch.Generator().manual_seed(0))
        other = first.clone()
        other[:, PROBE // 2 :] = (other[:, PROBE // 2 :] + rows // 2) % rows
        input_ids = torch.cat([first, other])
        states, _ = self(input_ids, torch.ones_like(input_ids, dtype=torch.bool))
        one, two = states[:, : PROBE // 2]
        return bool((one - two).abs().max() <= 1e-5 * one.abs().max())


def _transformers() -> Any:
    try:
        return importlib.import_module("transformers")
    except ImportError as error:
        message = "models of Hugging Face need the package transformers"
        raise UsageError(message, hint='pip install "roots-kg[transformers]"') from error


def _tokenizer(reader: Any, model: Any, name: str) -> Tokenizer:
    """Turn a tokenizer of transformers into ours, with the window of its model."""
    backend = getattr(reader, "backend_tokenizer", None)
    if backend is None:
        hint = "it needs one in the format of the library tokenizers"
        raise WeightsError("the tokenizer does not tell the characters of a token", path=name, hint=hint)
    limits = [WINDOW, reader.model_max_length]
    positions = getattr(model.config, "max_position_embeddings", None)
    if positions is not None:
        taken = [
            part.padding_idx + 1  # these models count positions from behind that of the padding
            for place, part in model.named_modules()
            if place.endswith("position_embeddings") and getattr(part, "padding_idx", None) is not None
        ]
        limits.append(positions - max(taken, default=0))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "tokenizer.json"
        path.write_text(backend.to_str(), encoding="utf-8")
        return Tokenizer(path, int(min(limits)))
