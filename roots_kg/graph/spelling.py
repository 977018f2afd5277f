"""Texts as vectors of their spelling: those that differ in a letter, or in the order of words, are near."""

from __future__ import annotations

import zlib
from collections import Counter
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from roots_kg.graph.words import FUNCTION_WORDS, MARK, cut

__all__ = ["spelling_vectors"]

GAPS = (1, 2)
FUNCTION_WORD_WEIGHT = 0.5


def spelling_vectors(texts: Sequence[str], dimension: int = 512) -> Tensor:
    """Return the hashed letter pairs of texts, (N, `dimension`), rows of length 1.

    A pair is two letters of a word in their order, at most one apart, with a mark before the word and one
    behind it ("open bigrams": Grainger and Whitney 2004, "Does the huamn mnid raed wrods as a wlohe?"); the
    order of words does not matter. They are counted under a hash with a random sign (Weinberger et al. 2009,
    "Feature hashing for large scale multitask learning"). The pairs of function words count half, and those
    of a word's second occurrence are others than those of its first. A text without words is all zeros.
    """
    rows: list[int] = []
    codes: list[int] = []
    weights: list[float] = []
    for number, text in enumerate(texts):
        seen: Counter[bytes] = Counter()
        for word in cut([text]).haystack.split(MARK)[1:-1]:
            letters = word.decode("utf-8", "surrogatepass")
            if not any(map(str.isalnum, letters)):
                continue
            seen[word] += 1
            marked = f"^{letters}$"
            pairs = [(marked[at], marked[at + gap]) for gap in GAPS for at in range(len(marked) - gap)]
            keyed = (f"{seen[word]}{first}{second}" for first, second in pairs)
            codes += [zlib.crc32(pair.encode("utf-8", "surrogatepass")) for pair in keyed]
            rows += [number] * len(pairs)
            weights += [FUNCTION_WORD_WEIGHT if letters in FUNCTION_WORDS else 1.0] * len(pairs)
    code = np.array(codes, dtype=np.int64)
    signed = np.where(code >> 31, -1.0, 1.0) * np.array(weights, dtype=np.float64)
    place = np.array(rows, dtype=np.int64) * dimension + code % dimension
    sums = np.bincount(place, signed, len(texts) * dimension)
    vectors = torch.from_numpy(sums).float().view(len(texts), dimension)
    return torch.nn.functional.normalize(vectors, dim=-1)
