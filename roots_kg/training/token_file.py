"""Text as one long row of token ids in a file, from which training takes rows in any order.

The text is read once, a paragraph at a time, and its tokens are written one after the other; neither the text
nor the tokens are ever in memory as a whole. That any row can be taken at once makes a shuffle over the whole
text cheap, and going on after a stop exact.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
import tokenizers
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Sampler

from roots_kg.encoding.text_files import Piece
from roots_kg.encoding.tokenization import tokenizer_errors
from roots_kg.errors import DataError

__all__ = ["ShuffledRows", "TokenFile", "open_tokens", "write_tokens"]

PIECES_AT_A_TIME = 1_000


@dataclass(frozen=True)
class TokenFile:
    """Token ids in a file, cut into rows.

    Args:
        tokens: (T,), the tokens of all texts, in the file.
        length: L, of a row.
        start_id: the token that every row begins with, or None; the other places are cut from `tokens`,
            none of which is in two rows.
        text_bytes: how long the texts are in UTF-8, after their preprocessing; 0 if it is not known.
    """

    tokens: NDArray[np.integer]
    length: int
    start_id: int | None
    text_bytes: int = 0

    @property
    def step(self) -> int:
        """How many tokens of the text a row holds."""
        return self.length - (self.start_id is not None)

    def __len__(self) -> int:
        """The number of whole rows."""
        return len(self.tokens) // self.step

    def rows(self, numbers: Tensor) -> Tensor:
        """Return rows by their numbers, (B, L)."""
        rows = [self.tokens[self.step * number : self.step * (number + 1)] for number in numbers.tolist()]
        cut = torch.from_numpy(np.stack(rows).astype(np.int64))
        if self.start_id is None:
            return cut
        return torch.cat([cut.new_full((len(cut), 1), self.start_id), cut], dim=1)


def write_tokens(
    path: Path,
    pieces: Iterable[Piece],
    tokenizer: tokenizers.Tokenizer,
    *,
    preprocess: Callable[[str], str | None] = lambda text: text,
    end_id: int | None = None,
    progress: Callable[[int], None] | None = None,
) -> int:
    """Tokenize pieces of text into a file, for `open_tokens`.

    Args:
        path: the file to write.
        pieces: paragraphs or whole texts, in order.
        tokenizer: gives the tokens.
        preprocess: is given every piece, and returns it changed, or None to leave it out.
        end_id: the token that is written where a document ends.
        progress: called with the number of characters read since the last call.

    Returns:
        How long the texts are in UTF-8, without the white space around their pieces.

    Raises:
        DataError: if no token is left.
        WeightsError: if the tokenizer fails.
    """
    kind, text_bytes = _kind(tokenizer), 0
    with path.open("wb") as file:
        for part in _parts(pieces):
            made = [preprocess(piece.text) for piece in part]
            text_bytes += sum(len(text.strip().encode()) for text in made if text is not None)
            texts = [_joined(text, piece) for text, piece in zip(made, part, strict=True)]
            kept = [text for text in texts if text is not None]
            with tokenizer_errors():
                encodings = iter(tokenizer.encode_batch_fast(kept, add_special_tokens=False))
            for piece, text in zip(part, texts, strict=True):
                ids = next(encodings).ids if text is not None else []
                if piece.ends_document and end_id is not None:
                    ids = [*ids, end_id]
                file.write(np.asarray(ids, dtype=kind).tobytes())
            if progress is not None:
                progress(sum(len(piece.text) for piece in part))
    if not path.stat().st_size:
        raise DataError("no text is left after the preprocessing", hint="look at its steps and at the files")
    return text_bytes


def open_tokens(path: Path, tokenizer: tokenizers.Tokenizer) -> NDArray[np.integer]:
    """Return the tokens that `write_tokens` wrote, (T,), mapped from their file."""
    return np.memmap(path, dtype=_kind(tokenizer), mode="r")


class ShuffledRows(Sampler[Tensor]):
    """The numbers of rows in a new random order each time through, a batch at a time, without an end.

    Args:
        num_rows: how many rows there are.
        batch_size: B.
        seed: of the order.
        taken: how many batches were taken before, in a run that this one takes up.
    """

    def __init__(self, num_rows: int, batch_size: int, seed: int, taken: Callable[[], int]) -> None:
        self.num_rows, self.batch_size, self.seed, self.taken = num_rows, batch_size, seed, taken

    def __iter__(self) -> Iterator[Tensor]:
        """Yield (B,) numbers of rows."""
        position = self.taken() * self.batch_size
        while True:
            wanted = range(position, position + self.batch_size)
            yield torch.tensor([self._row(place) for place in wanted])
            position += self.batch_size

    def _row(self, place: int) -> int:
        time, place = divmod(place, self.num_rows)
        if getattr(self, "_time", None) != time:
            generator = torch.Generator().manual_seed(self.seed + time)
            self._time, self._order = time, torch.randperm(self.num_rows, generator=generator)
        return int(self._order[place])


def _kind(tokenizer: tokenizers.Tokenizer) -> type[np.integer]:
    return np.uint16 if tokenizer.get_vocab_size() <= 2**16 else np.uint32


def _joined(text: str | None, piece: Piece) -> str | None:
    """Return the text with the blank line that follows it inside its document."""
    return text if text is None or piece.ends_document else f"{text}\n\n"


def _parts(pieces: Iterable[Piece]) -> Iterator[list[Piece]]:
    iterator = iter(pieces)
    while part := list(islice(iterator, PIECES_AT_A_TIME)):
        yield part
