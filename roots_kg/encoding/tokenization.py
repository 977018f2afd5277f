"""Texts to padded batches of token ids, with the character offsets of every token.

A text longer than the trunk's window is cut into consecutive windows, each a row of its own; pooling
puts the rows of one text together again. Rows are sorted by length and cut into batches by token count,
so that little is wasted on padding.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tokenizers
import torch
from numpy.typing import NDArray
from torch import Tensor

from roots_kg.errors import UsageError, WeightsError
from roots_kg.files import not_a_file

__all__ = ["TokenBatch", "TokenRow", "Tokenizer", "library_tokenizer", "tokenizer_errors"]

HIGHEST_ID = 2**24
"""Above it stands no token: memory is asked for by the highest id, however few tokens there are."""


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

    `content` holds the bytes of the file; every token id is below `vocab_size`.

    Raises:
        WeightsError: if the file cannot be read, or has a token id that no model could have.
    """

    def __init__(self, path: Path, max_length: int = 256) -> None:
        problem = not_a_file(path)
        if problem is not None:
            raise WeightsError(f"cannot be read as a tokenizer: {problem}", path=path)
        self.path = path
        with tokenizer_errors(path, "cannot be read as a tokenizer"):
            self.content = path.read_bytes()
            self._tokenizer = tokenizers.Tokenizer.from_buffer(self.content)
        self._tokenizer.no_padding()
        self._tokenizer.enable_truncation(max_length)
        self.max_length = max_length
        self.vocab_size = 1 + max(self._tokenizer.get_vocab(with_added_tokens=True).values(), default=-1)
        if self.vocab_size > 1 + HIGHEST_ID:
            message = f"it has the token id {self.vocab_size - 1:,}, the limit is {HIGHEST_ID:,}"
            raise WeightsError(message, path=path)
        with tokenizer_errors(path):
            self._tokenizer.encode("")  # what it puts around a text may be missing

    def to_json(self) -> str:
        """Return the tokenizer as its library writes it, with the settings it has here."""
        text: str = self._tokenizer.to_str()
        return text

    def rows(self, texts: Sequence[str]) -> list[TokenRow]:
        """Tokenize `texts`; every text gives at least one row.

        Raises:
            UsageError: if one of them is no string, or holds half of a character; the message has its index.
            WeightsError: if the tokenizer fails, as one may that has no token for the unknown.
        """
        rows: list[TokenRow] = []
        strings = _strings(texts)
        with tokenizer_errors(self.path):
            encodings = self._tokenizer.encode_batch(strings)
        for index, encoding in enumerate(encodings):
            for window in (encoding, *encoding.overflowing):
                offsets = np.asarray(window.offsets, dtype=np.int64).reshape(-1, 2)
                rows.append(TokenRow(index, window.ids, offsets))
        return rows

    def batches(self, texts: Sequence[str], max_tokens: int = 4096) -> Iterator[TokenBatch]:
        """Yield padded batches, longest rows first, each of at most `max_tokens` tokens with padding."""
        rows = sorted(self.rows(texts), key=lambda row: len(row.input_ids), reverse=True)
        start = 0
        while start < len(rows):
            length = len(rows[start].input_ids)
            stop = start + max(1, max_tokens // max(1, length))
            yield _pad(rows[start:stop], length)
            start = stop


@contextlib.contextmanager
def tokenizer_errors(path: Path | None = None, what: str = "this tokenizer fails") -> Iterator[None]:
    """Turn what the library tokenizers raises into an error about a tokenizer's file.

    The library raises bare exceptions; where its own code panics it raises what is not even an `Exception`,
    and has written the place to standard error.

    Args:
        path: the file, where it is known.
        what: what went wrong, in words.

    Raises:
        WeightsError: in its place.
    """
    try:
        yield
    except BaseException as error:
        if not isinstance(error, Exception) and type(error).__name__ != "PanicException":
            raise
        raise WeightsError(f"{what}: {error}", path=path) from error


def library_tokenizer(text: str) -> tokenizers.Tokenizer:
    """Read the JSON of a tokenizer, which the library may refuse although it wrote it itself.

    Raises:
        WeightsError: if so.
    """
    with tokenizer_errors(what="cannot be read as a tokenizer"):
        return tokenizers.Tokenizer.from_str(text)


def _strings(texts: Sequence[str]) -> list[str]:
    """Return texts that the tokenizer takes, or say which one it would not."""
    if isinstance(texts, str):
        raise UsageError("found one text where several are expected", hint="put it in a list")
    for index, text in enumerate(texts):
        if not isinstance(text, str):
            raise UsageError(f"text {index} is of the type {type(text).__name__}, expected a string")
        try:
            text.encode()
        except UnicodeEncodeError as error:
            message = f"text {index} is not Unicode: character {error.start} is half of a pair"
            raise UsageError(message, hint="read the text as UTF-8") from error
    return list(texts)


def _pad(rows: list[TokenRow], length: int) -> TokenBatch:
    lengths = torch.tensor([len(row.input_ids) for row in rows])
    input_ids = torch.tensor([row.input_ids + [0] * (length - len(row.input_ids)) for row in rows])
    return TokenBatch(rows, input_ids.long(), torch.arange(length) < lengths[:, None])
