"""Encoding each text once, though a model is adapted and asked many times over."""

from __future__ import annotations

import copy
from collections.abc import Collection, Sequence
from dataclasses import fields
from typing import Any

import torch
from torch import Tensor

from roots_kg.fusion.encoder import EncodedTexts, KnowledgeEncoder, Text

__all__ = ["RememberingEncoder", "rows"]

Place = tuple[EncodedTexts, int]


class RememberingEncoder(KnowledgeEncoder):
    """Layers 1 and 2 that keep what they made of each text, as it depends on neither head nor support set.

    With triples treated as absent, texts are encoded anew.

    Args:
        layers: what encodes.
    """

    def __init__(self, layers: KnowledgeEncoder) -> None:
        super().__init__(layers.encoder)
        self.layers = copy.copy(layers)  # so that the way of reading can be set here alone
        self.knowledge, self.fusion = layers.knowledge, layers.fusion
        self.reading = layers.reading
        self._places: dict[tuple[Any, ...], Place] = {}

    def forward(
        self, texts: Sequence[Text], without: Sequence[Collection[int]] | None = None, **options: Any
    ) -> EncodedTexts:
        """Encode texts; see `KnowledgeEncoder.forward`."""
        self.layers.reading = self.reading
        if not texts or any(without or ()):
            return self._encode(texts, without, options)
        kind = (self.reading, *sorted(options.items()))
        missing = [text for text in dict.fromkeys(texts) if (text, *kind) not in self._places]
        if missing:
            encoded = self._encode(missing, None, options)
            self._places.update({(text, *kind): (encoded, index) for index, text in enumerate(missing)})
        return _gathered([self._places[(text, *kind)] for text in texts])

    def _encode(
        self, texts: Sequence[Text], without: Sequence[Collection[int]] | None, options: dict[str, Any]
    ) -> EncodedTexts:
        with torch.inference_mode():
            encoded: EncodedTexts = self.layers(texts, without, **options)
        return encoded


def rows(encoded: EncodedTexts, positions: Sequence[int]) -> EncodedTexts:
    """Return some of the texts, at least one, in the given order."""
    return _gathered([(encoded, position) for position in positions])


def _gathered(places: Sequence[Place]) -> EncodedTexts:
    """Put texts from several places together, of which all are pairs or none is."""
    seconds = [(encoded.second, position) for encoded, position in places if encoded.second is not None]
    columns: dict[str, Any] = {
        "second": _gathered(seconds) if seconds else None,
        "encoder": places[0][0].encoder,
    }
    for field in fields(EncodedTexts):
        if field.name in columns:
            continue
        entries = [getattr(encoded, field.name)[position] for encoded, position in places]
        whole = getattr(places[0][0], field.name)
        columns[field.name] = torch.stack(entries) if isinstance(whole, Tensor) else entries
    return EncodedTexts(**columns)
