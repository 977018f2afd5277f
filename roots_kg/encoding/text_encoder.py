"""The text encoder: tokenizer and hybrid encoder together, from strings to hidden states and vectors."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Literal, get_args

import torch
from torch import Tensor, nn
from torch.nn import functional

from roots_kg.encoding import generation
from roots_kg.encoding.adapters import AdaptedTransformer, LowRankAdapter
from roots_kg.encoding.causal_side import read_causal_side
from roots_kg.encoding.checkpoints import bert_trunk, is_checkpoint, load_checkpoint
from roots_kg.encoding.decoding.config import GenerationConfig
from roots_kg.encoding.decoding.text import TextCodec
from roots_kg.encoding.decoding.text_rules import TextRule
from roots_kg.encoding.hybrid import HybridEncoder, Reading
from roots_kg.encoding.language_model import LanguageModelHead
from roots_kg.encoding.quantization import QuantizedEncoder
from roots_kg.encoding.tokenization import TokenBatch, Tokenizer
from roots_kg.encoding.transformer import Transformer
from roots_kg.errors import UsageError, nearest
from roots_kg.weights import PRETRAINED, find_pretrained

__all__ = ["Precision", "TextEncoder", "pool_tokens"]

Precision = Literal["float32", "int8"]

TOKENS_PER_THREAD = 512  # at once: what a block makes of them fits into the cache of a core
TOKENS_ON_DEVICE = 32_768


class TextEncoder(nn.Module):
    """Strings to hidden states, or to one normalised vector a text.

    Args:
        encoder: the hybrid encoder.
        tokenizer: the tokenizer its vocabulary belongs to.
        head: what tells the next token in the causal reading, or None where none was trained.
        reading: how texts are read where nothing else is said.
        precision: in which numbers texts are read; see `to_precision`.

    `pretrained_name` is its name in `roots_kg.weights.PRETRAINED`, or None where its weights are others.
    """

    def __init__(
        self,
        encoder: HybridEncoder,
        tokenizer: Tokenizer,
        head: LanguageModelHead | None = None,
        reading: Reading = "bidirectional",
        precision: Precision = "float32",
    ) -> None:
        super().__init__()
        self.encoder = encoder
        self.tokenizer = tokenizer
        self.head = head
        self.reading = reading
        self.precision = precision
        self.pretrained_name: str | None = None
        self._tuning: list[LowRankAdapter] = []  # in a list, as it is no part of the state
        self._quantized: list[QuantizedEncoder] = []  # in a list, as it is no part of the state

    @classmethod
    def from_pretrained(
        cls,
        name_or_path: str | Path = "roots-base",
        folder: Path | None = None,
        precision: Precision = "float32",
    ) -> TextEncoder:
        """Load a pretrained encoder.

        Args:
            name_or_path: a name in `roots_kg.weights.PRETRAINED`; the folder of a saved encoder; or a folder
                in the layout of Hugging Face with a model of the BERT or the GPT-2 family.
            folder: where the files of that name are looked for, and nowhere else.
            precision: see `to_precision`.

        Raises:
            UsageError: if there is neither such a name nor such a folder.
            WeightsError, BundleError: if it cannot be loaded; see `weights.find_pretrained`,
                `checkpoints.load_checkpoint` and `encoder_store.load_encoder`.
        """
        name, path = str(name_or_path), Path(name_or_path)
        if folder is None and name not in PRETRAINED and path.exists():
            return _from_folder(path).to_precision(precision)
        files = find_pretrained(name, folder)
        trunk = bert_trunk(files.model)
        adapter, head = read_causal_side(files.causal, trunk)
        encoder = cls(HybridEncoder(trunk, adapter), Tokenizer(files.tokenizer), head)
        encoder.pretrained_name = name
        return encoder.requires_grad_(False).eval().to_precision(precision)

    def to_precision(self, precision: Precision) -> TextEncoder:
        """Return an encoder that reads texts in other numbers and shares all weights with this one.

        Args:
            precision: float32, or int8, which is faster on a processor with VNNI instructions and off by a
                little; benchmarks/encoding.py measures both. What is saved, exported or generated is always
                that of float32.

        Raises:
            UsageError: if there is no such precision. Where int8 cannot be had, reading a text raises it.
        """
        if precision not in get_args(Precision):
            hint = nearest(precision, get_args(Precision))
            raise UsageError(f"there is no precision {precision!r}", hint=hint)
        return self._beside(self.encoder, precision)

    def with_adapter(self, adapter: LowRankAdapter) -> TextEncoder:
        """Return an encoder whose trunk has the weights of an adapter; this one stays what it is.

        Args:
            adapter: of this encoder's trunk. In training mode its weights are formed anew whenever a text is
                read, in float32 and in the bidirectional reading only, and gradients reach it; otherwise they
                are merged once.
        """
        trunk = self.encoder.trunk
        live = adapter.training
        adapted = AdaptedTransformer(trunk, adapter) if live else adapter.merged(trunk)
        hybrid = HybridEncoder(adapted, None if live else self.encoder.adapter)
        hybrid.gate = self.encoder.gate
        result = self._beside(hybrid, "float32" if live else self.precision)
        result._tuning = [adapter]
        return result

    def _beside(self, encoder: HybridEncoder, precision: Precision) -> TextEncoder:
        """Return an encoder with this one's tokenizer and head."""
        result = TextEncoder(encoder, self.tokenizer, self.head, self.reading, precision)
        result.pretrained_name, result._tuning = self.pretrained_name, self._tuning
        return result.train(self.training)

    @property
    def tuning(self) -> LowRankAdapter | None:
        """The adapter that has been merged into the trunk, if any."""
        return self._tuning[0] if self._tuning else None

    @property
    def hidden_size(self) -> int:
        """The size d of a vector."""
        return self.encoder.trunk.config.hidden_size

    def hidden_states(
        self, texts: Sequence[str], reading: Reading | None = None
    ) -> Iterator[tuple[TokenBatch, Tensor, Tensor]]:
        """Yield batches of rows with the hidden states of the last block and of the one half way up.

        The states are (B, L, d) each; see `Tokenizer.batches` for the order of the rows.
        """
        encoder = self.encoder if self.precision == "float32" else self._int8()
        device = self.encoder.trunk.token_embedding.weight.device
        on_cpu = device.type == "cpu"
        at_once = TOKENS_PER_THREAD * torch.get_num_threads() if on_cpu else TOKENS_ON_DEVICE
        for batch in self.tokenizer.batches(texts, at_once):
            input_ids, attention_mask = batch.input_ids.to(device), batch.attention_mask.to(device)
            states = encoder(input_ids, attention_mask, reading or self.reading)
            yield batch, *(state.float() for state in states)  # of which autocast may have lowered one

    @torch.inference_mode()
    def encode(self, texts: Sequence[str], reading: Reading | None = None) -> Tensor:
        """Encode texts as the normalised mean of their tokens' hidden states.

        Args:
            texts: N texts of any length; of a text longer than one window every window counts.
            reading: of the trunk; by default the encoder's own.

        Returns:
            (N, d), rows of length 1.

        Raises:
            UsageError: if a text is no string, or the precision cannot be had on this device.
        """
        sums = torch.zeros(len(texts), self.hidden_size)
        for batch, hidden, _ in self.hidden_states(texts, reading):
            owners = torch.tensor([row.text for row in batch.rows])
            pooled = pool_tokens(hidden, batch.attention_mask.to(hidden.device))
            sums.index_add_(0, owners, pooled.cpu())
        return functional.normalize(sums, dim=-1)

    def generate(
        self,
        prompts: Sequence[str],
        config: GenerationConfig,
        progress: Callable[[int], None] | None = None,
        text_rules: Sequence[TextRule] = (),
    ) -> list[list[str]]:
        """Continue prompts; arguments and result as in `generation.generate`.

        Raises:
            UsageError: if the encoder has no trained language-model head, or a prompt does not fit.
        """
        trunk, head = self.language_model()
        return generation.generate(trunk, head, self.codec, prompts, config, progress, text_rules)

    def stream(
        self, prompt: str, config: GenerationConfig, text_rules: Sequence[TextRule] = ()
    ) -> Iterator[str]:
        """Continue one prompt, piece by piece; see `generation.stream` and `generate`."""
        return generation.stream(*self.language_model(), self.codec, prompt, config, text_rules)

    def train(self, mode: bool = True) -> TextEncoder:
        """Set training or evaluation mode."""
        self._quantized.clear()
        return super().train(mode)

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> TextEncoder:
        self._quantized.clear()
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        return self

    def _int8(self) -> QuantizedEncoder:
        """Return the encoder in int8, made when it is first asked for after its weights may have changed."""
        quantized = self._quantized[:] or [QuantizedEncoder(self.encoder)]
        self._quantized[:] = quantized  # whatever other threads did meanwhile
        return quantized[0]

    def language_model(self) -> tuple[Transformer, LanguageModelHead]:
        """Return the trunk with the weights of the causal reading, and what tells the next token.

        Raises:
            UsageError: if the encoder has no trained language-model head.
        """
        if self.head is None:
            raise UsageError(
                "this encoder cannot generate: it has no trained language-model head",
                hint="GPT-2-family checkpoints have one, and so have encoders that `roots pretrain` wrote",
            )
        return self.encoder.causal_trunk, self.head

    @cached_property
    def codec(self) -> TextCodec:
        """The tokenizer as generation needs it."""
        return TextCodec(self.tokenizer.to_json())


def _from_folder(path: Path) -> TextEncoder:
    """Load a checkpoint in the layout of Hugging Face, or else a saved encoder."""
    if is_checkpoint(path) or not (path / "config.json").is_file():
        found = load_checkpoint(path)
        encoder = TextEncoder(HybridEncoder(found.trunk), found.tokenizer, found.head, found.reading)
        return encoder.requires_grad_(False).eval()
    from roots_kg.encoding.encoder_store import load_encoder  # which imports this module

    return load_encoder(path)


def pool_tokens(hidden: Tensor, attention_mask: Tensor) -> Tensor:
    """Sum the hidden states of the tokens that `attention_mask` keeps.

    The sum, not the mean: sums of several windows add up, and normalising makes the two the same.

    Args:
        hidden: (B, L, d).
        attention_mask: (B, L).

    Returns:
        (B, d).
    """
    sums: Tensor = (attention_mask.to(hidden)[:, None, :] @ hidden).squeeze(1)
    return sums.to(hidden.dtype)  # which autocast may have lowered
