"""Reading prompts once and then a token at a time, with what was read kept in the cache."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from roots_kg.encoding import masks
from roots_kg.encoding.cache import KeyValueCache
from roots_kg.encoding.language_model import LanguageModelHead
from roots_kg.encoding.pairs import Sources, places_of
from roots_kg.encoding.transformer import Transformer

__all__ = ["CausalReader"]

ABSENT = -1


class CausalReader:
    """A batch of texts that grow on the right, and the logits of what may come next.

    Prompts of different lengths are padded on the left, and each counts its positions from its own beginning,
    so that a text has the logits that it has alone.

    Args:
        trunk: the trunk, read causally, or as `sources` says.
        head: its output.
        prompts: B lists of token ids, none of them empty.
        new_tokens: the most tokens that will be added to each.
        sources: how much of each prompt is a source to write a target for; None where prompts are continued.

    `sequences` holds the tokens so far, (B, L), -1 on the left of shorter ones; `logits` are those of the
    next, (B, V); `lengths` are the tokens of each text so far, (B,).
    """

    def __init__(
        self,
        trunk: Transformer,
        head: LanguageModelHead,
        prompts: Sequence[Sequence[int]],
        new_tokens: int,
        sources: Sources | None = None,
    ) -> None:
        self._trunk, self._head = trunk, head
        embedding, config = trunk.token_embedding.weight, trunk.config
        longest = max(map(len, prompts))
        rows = [[ABSENT] * (longest - len(prompt)) + list(prompt) for prompt in prompts]
        self.sequences = torch.tensor(rows, device=embedding.device)
        self.lengths = torch.tensor([len(prompt) for prompt in prompts], device=embedding.device)
        self._cache = KeyValueCache(
            config.num_layers,
            len(prompts),
            config.num_heads,
            longest + new_tokens,
            config.hidden_size // config.num_heads,
            embedding.device,
            embedding.dtype,
        )
        self._visible: Tensor | None = None
        self._layout, self._source_lengths = None, torch.zeros_like(self.lengths)
        if sources is not None:
            self._layout = sources.layout
            self._source_lengths = torch.tensor(sources.lengths, device=embedding.device)
        if sources is None and min(map(len, prompts)) == longest:
            self.logits = self._read(self.sequences, causal=True)
        else:
            self.logits = self._read_padded(new_tokens)

    def add(self, tokens: Tensor) -> None:
        """Add a token, of (B,), to each text."""
        self.sequences = torch.cat([self.sequences, tokens[:, None]], dim=1)
        mask = None
        if self._visible is not None:
            mask = self._visible[:, None, None, : self.sequences.shape[1]]
        self.logits = self._read(tokens[:, None], mask, places=self.lengths[:, None])
        self.lengths = self.lengths + 1

    def select(self, rows: Sequence[int]) -> None:
        """Go on with these rows, in this order; rows may repeat."""
        if list(rows) == list(range(len(self.lengths))):
            return
        chosen = torch.tensor(rows, device=self.lengths.device)
        self._cache.select(chosen)
        self.sequences, self.lengths = self.sequences[chosen], self.lengths[chosen]
        self._source_lengths = self._source_lengths[chosen]
        self.logits = self.logits[chosen]
        if self._visible is not None:
            self._visible = self._visible[chosen]

    def _read_padded(self, new_tokens: int) -> Tensor:
        present = self.sequences != ABSENT
        length = present.shape[1]
        mask = masks.causal(present)
        places = (present.cumsum(dim=1) - 1).clamp_min(0)
        if self._layout is not None and self._layout.prefix:
            in_source = present & (places < self._source_lengths[:, None])
            mask = mask | in_source[:, None, None, :] & present[:, None, :, None]
        # padding sees itself: a row of the mask that is false throughout would give no numbers
        mask = mask | torch.eye(length, dtype=torch.bool, device=present.device)
        self._visible = torch.cat([present, present.new_ones(len(present), new_tokens)], dim=1)
        return self._read(self.sequences.clamp_min(0), mask, places=places)

    def _read(
        self,
        input_ids: Tensor,
        mask: Tensor | None = None,
        *,
        causal: bool = False,
        places: Tensor | None = None,
    ) -> Tensor:
        positions, token_types = places, None
        if places is not None and self._layout is not None:
            positions, token_types = places_of(places, self._source_lengths[:, None], self._layout)
        hidden, _ = self._trunk(
            input_ids, mask, causal=causal, positions=positions, token_types=token_types, cache=self._cache
        )
        logits: Tensor = self._head(hidden[:, -1], self._trunk.token_embedding.weight).float()
        return logits
