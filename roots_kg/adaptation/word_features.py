"""What is known of each word of a text: its hidden states, and how it is written.

The trunk of roots-base reads lower-cased subwords. How a word is written (capitals, digits, its first and
last letters) is told to a model of spans beside them, as conditional random fields have long been told
(Lafferty et al. 2001, section 5.3), hashed into a fixed number of dimensions with signs (Weinberger et al.
2009, "Feature hashing for large scale multitask learning", equation 2).
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

from roots_kg.fusion.texts import Span, TokenStates

__all__ = ["SPELLING_SIZE", "spelling", "word_states"]

SPELLING_SIZE = 512
"""H, the number of dimensions that spellings are hashed into."""

AFFIXES = (2, 3)
"""The lengths of the beginnings and endings of a word that count as features."""


def word_states(words: Sequence[Span], tokens: TokenStates) -> Tensor:
    """Return the mean hidden state of the tokens of each word, both halves normalised.

    A token belongs to the word that its last character stands in. A word without a token of its own gets
    the one before it.

    Args:
        words: W spans of a text, in their order.
        tokens: the tokens of that text, T of them.

    Returns:
        (W, 2d), which has gradients to the states of the tokens; zero if there is no token.
    """
    size = tokens.states.shape[1]
    if not len(tokens.starts) or not words:
        return tokens.states.new_zeros(len(words), size)
    starts = torch.tensor([start for start, _ in words])
    owners = torch.searchsorted(starts, tokens.ends - 1, right=True) - 1
    inside = owners >= 0
    owners = owners.clamp_min(0)
    counts = torch.zeros(len(words)).index_add(0, owners, inside.float())
    sums = torch.zeros(len(words), size).index_add(0, owners, tokens.states * inside[:, None])
    nearest = (torch.searchsorted(tokens.starts.contiguous(), starts, right=True) - 1).clamp_min(0)
    means = torch.where(counts[:, None] > 0, sums / counts.clamp_min(1)[:, None], tokens.states[nearest])
    return functional.normalize(means.reshape(len(words), 2, -1), dim=2).flatten(1)


def spelling(text: str, words: Sequence[Span]) -> Tensor:
    """Return how each of W words is written, (W, `SPELLING_SIZE`)."""
    result = torch.zeros(len(words), SPELLING_SIZE)
    for number, (start, end) in enumerate(words):
        for feature in _features(text[start:end]):
            code = zlib.crc32(feature.encode())
            result[number, code % SPELLING_SIZE] += 1 if code >> 16 & 1 else -1
    return result


def _features(word: str) -> list[str]:
    shape = re.sub(r"(.)\1+", r"\1", "".join(map(_kind, word)))
    lowered = word.lower()
    return [
        f"shape {shape}",
        f"initial {word[:1].isupper()}",
        f"capitals {word.isupper()}",
        f"digits {any(map(str.isdigit, word))}",
        f"mark {not any(map(str.isalnum, word))}",
        *(f"prefix {lowered[:length]}" for length in AFFIXES),
        *(f"suffix {lowered[-length:]}" for length in AFFIXES),
    ]


def _kind(character: str) -> str:
    if character.isdigit():
        return "0"
    if character.isalpha():
        return "A" if character.isupper() else "a"
    return character
