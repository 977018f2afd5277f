"""Texts to padded batches of token ids, with the character offsets of every token.

A text longer than the trunk's window is cut into consecutive windows, each a row of its own; pooling
puts the rows of one text together again. Rows are sorted by length and cut into batches by token count,
so that little is wasted on padding.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tokenizers
import torch
from numpy.typing import NDArray
from torch import Tensor

from roots_kg.errors import WeightsError

__all__ = ["TokenBatch", "TokenRow", "Tokenizer"]


@dataclass(frozen=True)
class TokenRow:
    """One window of one text.

    Args:
        text: the index of the text it belongs to.
        input_ids: its token ids, special tokens included.
        offsets: (L, 2), each token's first and past-the-last character in the text; (0, 0) for specials.
    """

    text: int
    input_ids: list[int]
    offsets: NDArray[np.int64]


@dataclass(frozen=True)
class TokenBatch:
    """Rows of similar length, padded.

    Args:
        rows: the rows, in the order of the tensors.
        input_ids: (B, L).
        attention_mask: (B, L), true for tokens, false for padding.
    """

    rows: list[TokenRow]
    input_ids: Tensor
    attention_mask: Tensor


class Tokenizer:
    """A trained subword tokenizer.

    Args:
        path: a `tokenizer.json` in the format of the `tokenizers` library.
        max_length: the length of a window in tokens, special tokens included.

    Raises:
        WeightsError: if the file cannot be read.
    """

    def __init__(self, path: Path, max_length: int = 256) -> None:
        try:
            self._tokenizer = tokenizers.Tokenizer.from_file(str(path))
        except Exception as error:  # the library raises bare Exceptions
            raise WeightsError(f"cannot be read as a tokenizer: {error}", path=path) from error
        self._tokenizer.no_padding()
        self._tokenizer.enable_truncation(max_length)
        self.max_length = max_length

    def rows(self, texts: Sequence[str]) -> list[TokenRow]:
        """Tokenize `texts`; every text gives at least one row."""
        rows = []
        for index, encoding in enumerate(self._tokenizer.encode_batch(list(texts))):
            for window in (encoding, *encoding.overflowing):
                rows.append(TokenRow(index, window.ids, np.asarray(window.offsets, dtype=np.int64)))
        return rows

    def batches(self, texts: Sequence[str], max_tokens: int = 4096) -> Iterator[TokenBatch]:
        """Yield padded batches, longest rows first, each of at most `max_tokens` tokens with padding."""
        rows = sorted(self.rows(texts), key=lambda row: len(row.input_ids), reverse=True)
        start = 0
        while start < len(rows):
            length = len(rows[start].input_ids)
            stop = start + max(1, max_tokens // length)
            yield _pad(rows[start:stop], length)
            start = stop


def _pad(rows: list[TokenRow], length: int) -> TokenBatch:
    input_ids = torch.zeros(len(rows), length, dtype=torch.long)
    attention_mask = torch.zeros(len(rows), length, dtype=torch.bool)
    for index, row in enumerate(rows):
        input_ids[index, : len(row.input_ids)] = torch.tensor(row.input_ids)
        attention_mask[index, : len(row.input_ids)] = True
    return TokenBatch(rows, input_ids, attention_mask)
