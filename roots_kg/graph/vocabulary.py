"""Names to ids, millions at a time: a hash table of byte strings that lives in numpy arrays.

A Python dictionary wants a string object for every cell, and pyarrow's dictionary encoding must hash each
block's names a second time to join the blocks. Here each cell is looked up once, in the growing table itself,
and each name stored once, as its bytes. Whole names are compared, so that two of equal hash stay two.
"""

from __future__ import annotations

import hashlib
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from roots_kg.graph.cells import Bytes, Cells, Positions

__all__ = ["Vocabulary"]

WORD = 8
PART = 1 << 17
LONG = 32 * WORD
_MASKS = np.array([(1 << (8 * size)) - 1 for size in range(WORD + 1)], dtype=np.uint64)
_ODD = np.uint64(0x9E3779B97F4A7C15)
_OTHER_ODD = np.uint64(0xD6E8FEB86659FD93)

Words = NDArray[np.uint64]


class Vocabulary:
    """A growing set of names with ids 0, 1, 2, …, in no particular order."""

    def __init__(self) -> None:
        self._count = 0
        self._slots = np.zeros(1 << 12, dtype=np.int32)  # id + 1, or 0 for a free slot
        self._prints = np.zeros(1 << 10, dtype=np.uint64)
        self._sizes = np.zeros(1 << 10, dtype=np.uint8)  # the length, or 9 for all above 8
        self._begin = np.zeros((1 << 10) + 1, dtype=np.int64)
        self._text = np.zeros(1 << 13, dtype=np.uint8)

    def __len__(self) -> int:
        """The number of names."""
        return self._count

    def ids(self, cells: Cells) -> NDArray[np.int32]:
        """Return the id of each cell, (rows, columns), giving new names new ids."""
        found = np.empty(cells.start.size, dtype=np.int32)
        start, length = cells.start.ravel(), cells.length.ravel()
        text = np.concatenate([cells.text, np.zeros(WORD, dtype=np.uint8)])
        for at in range(0, len(found), PART):
            part = slice(at, at + PART)
            found[part] = self._ids(text, start[part], length[part])
        return found.reshape(cells.start.shape)

    def names(self) -> list[str]:
        """Return the name of each id."""
        names: list[str] = []
        for at in range(0, self._count, PART):
            begin = self._begin[at : min(at + PART, self._count) + 1]
            text = self._text[begin[0] : begin[-1]]
            whole, begin = text.tobytes().decode(), begin - begin[0]
            if len(whole) < len(text):  # from bytes to characters
                begin = np.concatenate([[0], np.cumsum((text & 0xC0) != 0x80)])[begin]
            names += [whole[start:end] for start, end in pairwise(begin.tolist())]
        return names

    def names_of(self, ids: NDArray[np.integer]) -> list[str]:
        """Return the names of these ids."""
        ends = zip(self._begin[ids].tolist(), self._begin[ids + 1].tolist(), strict=True)
        return [self._text[start:end].tobytes().decode() for start, end in ends]

    def _ids(self, text: Bytes, start: Positions, length: Positions) -> NDArray[np.int32]:
        ids = np.empty(len(start), dtype=np.int32)
        prints = _fingerprints(text, start, length)
        sizes = np.minimum(length, WORD + 1).astype(np.uint8)
        self._make_room(len(start))
        slot, unsettled = self._slot(prints), np.arange(len(start))
        while len(unsettled):
            found = self._slots[slot] - 1
            free = np.flatnonzero(found < 0)
            if len(free):
                wanted = slot[free]
                self._slots[wanted] = -1 - free  # where several want a slot, one is left in it
                winner = free[self._slots[wanted] == -1 - free]
                self._slots[slot[winner]] = np.arange(self._count + 1, self._count + 1 + len(winner))
                chosen = unsettled[winner]
                self._add(text, start[chosen], length[chosen], prints[chosen])
                found[free] = self._slots[wanted] - 1
            same = (self._prints[found] == prints[unsettled]) & (self._sizes[found] == sizes[unsettled])
            long = np.flatnonzero(same & (sizes[unsettled] > WORD))  # a shorter one is its fingerprint
            if len(long):
                same[long] = self._equal(text, start[unsettled[long]], length[unsettled[long]], found[long])
            ids[unsettled[same]] = found[same]
            unsettled, slot = unsettled[~same], (slot[~same] + 1) & (len(self._slots) - 1)
        return ids

    def _slot(self, prints: Words) -> Positions:
        bits = np.uint64(65 - len(self._slots).bit_length())
        return (((prints ^ (prints >> np.uint64(31))) * _ODD) >> bits).astype(np.int64)

    def _make_room(self, names: int) -> None:
        """Keep the table half empty, whatever the coming names are."""
        size = len(self._slots)
        while size < 2 * (self._count + names):
            size *= 2
        if size == len(self._slots):
            return
        self._slots = np.zeros(size, dtype=np.int32)
        slot = self._slot(self._prints[: self._count])
        entry = np.arange(1, self._count + 1, dtype=np.int32)
        while len(entry):
            free = self._slots[slot] == 0
            self._slots[slot[free]] = entry[free]
            left = self._slots[slot] != entry
            slot, entry = (slot[left] + 1) & (size - 1), entry[left]

    def _add(self, text: Bytes, start: Positions, length: Positions, prints: Words) -> None:
        first, last = self._count, self._count + len(start)
        end = self._begin[first] + np.cumsum(length)
        self._prints = _room_for(self._prints, last)
        self._sizes = _room_for(self._sizes, last)
        self._begin = _room_for(self._begin, last + 1)
        self._text = _room_for(self._text, int(end[-1]) + WORD)
        self._prints[first:last] = prints
        self._sizes[first:last] = np.minimum(length, WORD + 1)
        self._begin[first + 1 : last + 1] = end
        target = np.arange(self._begin[first], end[-1])
        self._text[target] = text[target + np.repeat(start - (end - length), length)]
        self._count = last

    def _equal(
        self, text: Bytes, start: Positions, length: Positions, ids: NDArray[np.int32]
    ) -> NDArray[np.bool_]:
        """Tell which names are, byte for byte, those of `ids`."""
        begin = self._begin[ids]
        same: NDArray[np.bool_] = self._begin[ids + 1] - begin == length
        given, stored = _words(text), _words(self._text)
        for at in range(0, min(int(length.max()), LONG), WORD):
            rows = np.flatnonzero(same & (length > at))
            mask = _MASKS[np.minimum(length[rows] - at, WORD)]
            same[rows] = (given[start[rows] + at] ^ stored[begin[rows] + at]) & mask == 0
        for row in np.flatnonzero(same & (length > LONG)).tolist():
            here, there, size = start[row], begin[row], length[row]
            same[row] = bool((text[here : here + size] == self._text[there : there + size]).all())
        return same


def _fingerprints(text: Bytes, start: Positions, length: Positions) -> Words:
    """Return 64 bits for each name; names of equal length up to 8 bytes never share them."""
    words = _words(text)
    prints = (words[start] & _MASKS[np.minimum(length, WORD)]) * _ODD
    for at in range(WORD, min(int(length.max(initial=0)), LONG), WORD):
        rows = np.flatnonzero(length > at)
        mixed = prints[rows]
        mixed ^= mixed >> np.uint64(29)
        mixed += words[start[rows] + at] & _MASKS[np.minimum(length[rows] - at, WORD)]
        prints[rows] = mixed * _OTHER_ODD
    for row in np.flatnonzero(length > LONG).tolist():
        content = text[start[row] : start[row] + length[row]].tobytes()
        prints[row] = int.from_bytes(hashlib.blake2b(content, digest_size=WORD).digest(), "little")
    return prints


def _words(text: Bytes) -> Words:
    """Return the eight bytes from each position of `text` on, as one number, without copying."""
    return np.ndarray((len(text) - WORD + 1,), dtype="<u8", buffer=text, strides=(1,))


def _room_for(values: NDArray, count: int) -> NDArray:  # type: ignore[type-arg]
    """Return an array with room for `count` entries, twice as long where it must grow."""
    if count <= len(values):
        return values
    larger = np.zeros(max(count, 2 * len(values)), dtype=values.dtype)
    larger[: len(values)] = values
    return larger
