"""Text as numpy arrays: one array of bytes, and where in it each cell of a table begins and ends."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["Bytes", "Cells", "Positions", "merged", "trim"]

Bytes = NDArray[np.uint8]
Positions = NDArray[np.int64]

ROUNDS = 4
_SPACE = np.zeros(256, dtype=bool)
_SPACE[[*range(0x09, 0x0E), *range(0x1C, 0x21)]] = True
_SPACE_PAIR = np.zeros(1 << 16, dtype=bool)  # how the white space beyond ASCII begins in UTF-8
_SPACE_PAIR[[0xC285, 0xC2A0, 0xE19A, 0xE280, 0xE281, 0xE380]] = True
_HIGHEST_ASCII, _LAST_CONTINUATION = 0x7F, 0xBF


@dataclass(frozen=True)
class Cells:
    """Rows of text: cell (i, j) is `text[start[i, j] : start[i, j] + length[i, j]]`, in UTF-8.

    Args:
        text: the bytes that the cells lie in, in any order.
        start: (rows, columns).
        length: (rows, columns).
    """

    text: Bytes
    start: Positions
    length: Positions

    @classmethod
    def of(cls, strings: list[str], columns: int) -> Cells:
        """Return strings, row after row, as cells."""
        encoded = [string.encode() for string in strings]
        length = np.fromiter(map(len, encoded), dtype=np.int64, count=len(encoded))
        start = np.cumsum(length) - length
        text = np.frombuffer(b"".join(encoded), dtype=np.uint8)
        return cls(text, start.reshape(-1, columns), length.reshape(-1, columns))

    def __len__(self) -> int:
        """The number of rows."""
        return len(self.start)

    def columns(self, *columns: int) -> Cells:
        """Return only these columns."""
        return Cells(self.text, self.start[:, columns], self.length[:, columns])


def trim(text: Bytes, begin: Positions, end: Positions) -> NDArray[np.bool_]:
    """Take the white space off both ends of each cell, in place, and tell which rows need a closer look.

    Those are rows with an empty cell, with a cell that may begin or end in white space beyond ASCII, and
    with one that begins in the middle of a character.

    Args:
        text: the bytes that the cells lie in; no cell reaches up to its very end.
        begin: (rows, columns) of each cell.
        end: (rows, columns), one past each cell.

    Returns:
        (rows,).
    """
    for round_ in range(ROUNDS + 1):
        first, last = text[begin], text[end - 1]
        leading, trailing = _SPACE[first], _SPACE[last]
        if round_ == ROUNDS or not (leading.any() or trailing.any()):
            break
        begin += leading & (begin < end)
        end -= trailing & (begin < end)
    doubt = (begin >= end) | leading | trailing
    if max(first.max(initial=0), last.max(initial=0)) > _HIGHEST_ASCII:
        doubt |= (first > _HIGHEST_ASCII) & (first <= _LAST_CONTINUATION)
        doubt |= _pair(text, begin) | _pair(text, end - 2) | _pair(text, end - 3)
    return np.asarray(doubt.any(axis=1))


def merged(cells: Cells, rows: Positions, more: Mapping[int, Sequence[str]]) -> Cells:
    """Return cells, which stand in these rows of a table, together with `more` rows, in the table's order."""
    if not more:
        return cells
    added = Cells.of([text for columns in more.values() for text in columns], cells.start.shape[1])
    order = np.argsort(np.concatenate([rows, list(more)]), kind="stable")
    return Cells(
        np.concatenate([cells.text, added.text]),
        np.concatenate([cells.start, added.start + len(cells.text)])[order],
        np.concatenate([cells.length, added.length])[order],
    )


def _pair(text: Bytes, at: Positions) -> NDArray[np.bool_]:
    """Tell whether the two bytes from each position on begin a white space character."""
    first, second = text.take(at, mode="clip"), text.take(at + 1, mode="clip")
    found: NDArray[np.bool_] = _SPACE_PAIR[(first.astype(np.uint16) << 8) | second]
    return found
