"""Any encoder and decoder of Hugging Face as the bidirectional and the causal side (extra `transformers`).

The two sides are models of their own, with tokenizers of their own. Rows and tokens are those of the
bidirectional side. A token is given the state of the last causal token that ends where it ends or before: of
all states that have read nothing behind it, this is the one that has read most. Causal tokens are matched by
the characters they cover, so the special tokens of the causal side stand for nothing. Where no causal token
has ended yet, as at the start of a text, the causal state is zero and the fused one the bidirectional.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.rnn import pad_sequence

from roots_kg.encoding.gate import FusionGate
from roots_kg.encoding.hybrid import Reading
from roots_kg.encoding.text_encoder import pool_tokens
from roots_kg.encoding.tokenization import TokenBatch, TokenRow
from roots_kg.encoding.transformers_model import TransformersModel
from roots_kg.errors import UsageError

__all__ = ["TransformersEncoder"]

TOKENS_AT_A_TIME = 4096
NOTHING = -1


class TransformersEncoder(nn.Module):
    """Strings to hidden states through models of the library transformers; used like a `TextEncoder`.

    Args:
        bidirectional: the side in which every token sees every token, or None.
        causal: the side in which a token sees its left, or None.

    `reading` is how texts are read where nothing else is said: bidirectional where there is such a side.

    Raises:
        UsageError: if there is neither side.
    """

    def __init__(
        self, bidirectional: TransformersModel | None = None, causal: TransformersModel | None = None
    ) -> None:
        super().__init__()
        if bidirectional is None and causal is None:
            raise UsageError("an encoder needs a bidirectional or a causal side")
        self.bidirectional, self.causal = bidirectional, causal
        self.reading: Reading = "causal" if bidirectional is None else "bidirectional"
        self.projection: nn.Module = nn.Identity()
        size = self.hidden_size
        self.gate = FusionGate(size)
        if causal is not None and causal.hidden_size != size:
            self.projection = nn.Linear(causal.hidden_size, size, bias=False)
            # keeps distances where it can, and is the same each time
            nn.init.orthogonal_(self.projection.weight, generator=torch.Generator().manual_seed(0))

    @classmethod
    def from_pretrained(
        cls, *, bidirectional: str | Path | None = None, causal: str | Path | None = None
    ) -> TransformersEncoder:
        """Load one or both sides.

        Args:
            bidirectional: a folder, or a name on the Hugging Face Hub, of an encoder such as BERT.
            causal: the same of a decoder such as GPT-2, GPT-Neo or BLOOM.

        Returns:
            The encoder, in evaluation mode, frozen, in float32. Only safetensors are read, and no code that
            comes with a model is run.

        Raises:
            UsageError: if the package transformers is missing, there is neither side, or a model does not
                read the way its side is to.
            WeightsError: if a model or its tokenizer cannot be loaded.
        """
        sides = [
            None if name is None else TransformersModel.load(str(name), is_causal=is_causal)
            for name, is_causal in ((bidirectional, False), (causal, True))
        ]
        return cls(*sides).requires_grad_(False).eval()

    @property
    def hidden_size(self) -> int:
        """The size d of a vector."""
        return self._rows_side().hidden_size

    def hidden_states(
        self, texts: Sequence[str], reading: Reading | None = None
    ) -> Iterator[tuple[TokenBatch, Tensor, Tensor]]:
        """Yield batches of rows with the hidden states of the last block and of the one half way up.

        The states are (B, L, d) each; see `Tokenizer.batches` for the order of the rows.

        Raises:
            UsageError: if the encoder has no side for the reading.
        """
        reading = reading or self.reading
        self._require(reading)
        side = self._rows_side()
        left = None
        if reading != "bidirectional" and self.causal is not None and self.causal is not side:
            left = _Alignment(self.causal, texts)
        for batch in side.tokenizer.batches(texts):
            if left is None:
                yield batch, *side(batch.input_ids, batch.attention_mask)
                continue
            found, covered = left(batch)
            causal = [self.projection(states) for states in found]
            if reading == "causal":
                yield batch, *causal
                continue
            both = side(batch.input_ids, batch.attention_mask)
            last, middle = (
                self.gate(b, torch.where(covered, c, b)) for b, c in zip(both, causal, strict=True)
            )
            yield batch, last, middle

    @torch.inference_mode()
    def encode(self, texts: Sequence[str], reading: Reading | None = None) -> Tensor:
        """Encode texts as the normalised mean of their tokens' hidden states.

        Args:
            texts: N texts of any length; of a text longer than one window every window counts.
            reading: bidirectional, causal or hybrid; by default the encoder's own.

        Returns:
            (N, d), rows of length 1; zero for a text without tokens.
        """
        sums = torch.zeros(len(texts), self.hidden_size)
        for batch, hidden, _ in self.hidden_states(texts, reading):
            owners = torch.tensor([row.text for row in batch.rows])
            sums.index_add_(0, owners, pool_tokens(hidden, batch.attention_mask.to(hidden.device)).cpu())
        return functional.normalize(sums, dim=-1)

    def _rows_side(self) -> TransformersModel:
        side = self.causal if self.bidirectional is None else self.bidirectional
        assert side is not None
        return side

    def _require(self, reading: Reading) -> None:
        has = {
            "bidirectional": self.bidirectional is not None,
            "causal": self.causal is not None,
            "hybrid": self.bidirectional is not None and self.causal is not None,
        }
        if not has.get(reading, False):
            known = ", ".join(name for name, there in has.items() if there)
            raise UsageError(f"this encoder has no {reading} reading", hint=f"it has: {known}")


class _Alignment:
    """The causal states of texts, at the tokens of another tokenizer.

    Args:
        side: the causal side.
        texts: the texts.
    """

    def __init__(self, side: TransformersModel, texts: Sequence[str]) -> None:
        self.side = side
        self.rows = side.tokenizer.rows(texts)
        numbers: list[list[int]] = [[] for _ in texts]
        for number, row in enumerate(self.rows):
            numbers[row.text].append(number)
        self.ends = [_ends([(number, self.rows[number]) for number in part]) for part in numbers]

    def __call__(self, batch: TokenBatch) -> tuple[list[Tensor], Tensor]:
        """Return the two states of each token, (B, L, d) each, and whether there are any, (B, L, 1)."""
        places = np.full((*batch.input_ids.shape, 2), NOTHING)
        for index, row in enumerate(batch.rows):
            places[index, : len(row.input_ids)] = self._places(row)
        numbers = torch.from_numpy(places[..., 0])
        shape = (*numbers.shape, self.side.hidden_size)
        gathered = [torch.zeros(shape, device=self.side.device) for _ in range(2)]
        for part in self._parts(np.unique(places[..., 0]).tolist()):
            states = self.side(*self._padded(part))
            for index, number in enumerate(part):
                here = torch.nonzero(numbers == number, as_tuple=True)
                positions = torch.from_numpy(places[..., 1])[here]
                for target, state in zip(gathered, states, strict=True):
                    target[here] = state[index, positions.to(state.device)]
        return gathered, (numbers != NOTHING)[..., None].to(self.side.device)

    def _places(self, row: TokenRow) -> NDArray[np.int64]:
        """Return the causal row, and the position in it, whose state each token of a row is given, (L, 2)."""
        ends, places = self.ends[row.text]
        ended = np.searchsorted(ends, np.maximum.accumulate(row.offsets[:, 1]), side="right")
        return places[ended]

    def _parts(self, numbers: Sequence[int]) -> Iterator[list[int]]:
        """Yield the numbers of causal rows, longest first, cut by tokens with padding."""
        wanted = [number for number in numbers if number != NOTHING]
        wanted.sort(key=lambda number: len(self.rows[number].input_ids), reverse=True)
        while wanted:
            count = max(1, TOKENS_AT_A_TIME // len(self.rows[wanted[0]].input_ids))
            yield wanted[:count]
            wanted = wanted[count:]

    def _padded(self, numbers: Sequence[int]) -> tuple[Tensor, Tensor]:
        """Return token ids and attention mask of causal rows, (B, L) each."""
        ids = [torch.tensor(self.rows[number].input_ids) for number in numbers]
        lengths = torch.tensor([len(row) for row in ids])
        mask = torch.arange(int(lengths.max()))[None, :] < lengths[:, None]
        return pad_sequence(ids, batch_first=True), mask


def _ends(rows: Sequence[tuple[int, TokenRow]]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return where the tokens of a text end, and the row and position of each.

    Args:
        rows: the numbered rows of one text.

    Returns:
        (T,), never falling, and (1 + T, 2), of which the first row stands for no token at all.
    """
    ends, places = [np.zeros(0, dtype=np.int64)], [np.full((1, 2), NOTHING)]
    for number, row in rows:
        positions = np.flatnonzero(row.offsets[:, 1] > row.offsets[:, 0])
        ends.append(row.offsets[positions, 1])
        places.append(np.stack([np.full_like(positions, number), positions], axis=1))
    return np.maximum.accumulate(np.concatenate(ends)), np.concatenate(places)
