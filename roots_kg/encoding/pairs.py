"""Source and target in one row of tokens: how one trunk reads the first and writes the second.

A row is [start] source [end] target [end]. Read with the prefix mask, every token of the source sees the
whole source, and a token of the target sees the source and the target to its left; so one trunk is encoder
and decoder at once (UniLM, Dong et al. 2019, arXiv:1905.03197; the prefix language model of Raffel et al.
2020, arXiv:1910.10683, section 3.2).

Where the target is a segment of its own, it has the second token type, begins with a start token of its own,
and counts its positions anew. Then a word and its translation stand at about the same position, which the
trunk need not learn to work out from the length of the source.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from roots_kg.encoding import masks
from roots_kg.encoding.language_model import LanguageModelHead
from roots_kg.encoding.transformer import Transformer

__all__ = [
    "Pair",
    "PairBatch",
    "PairLayout",
    "Sources",
    "batch_pairs",
    "log_probabilities",
    "make_pair",
    "parts_of_similar_length",
    "places_of",
    "target_states",
    "written",
]


@dataclass(frozen=True)
class PairLayout:
    """How a trunk reads rows of source and target.

    Args:
        prefix: whether a token of the source sees the whole source, or what is to its left.
        segments: whether the target is a segment of its own.
    """

    prefix: bool = True
    segments: bool = True


@dataclass(frozen=True)
class Sources:
    """Of B prompts, how many tokens at the beginning of each are its source, (B,), and how they are read."""

    lengths: Sequence[int]
    layout: PairLayout


@dataclass(frozen=True)
class Pair:
    """A row of token ids.

    Args:
        source: the tokens that are read, [start] source [end].
        target: the tokens that are written, the last of them the end; before them, in a layout with segments,
            the start token, which is not written.
        given: how many tokens of `target` are given rather than written: 1 with segments, else 0.
    """

    source: tuple[int, ...]
    target: tuple[int, ...]
    given: int

    def __len__(self) -> int:
        """The number of tokens of the row."""
        return len(self.source) + len(self.target)

    @property
    def prompt(self) -> list[int]:
        """The tokens that stand there before the first one is written."""
        return [*self.source, *self.target[: self.given]]


@dataclass(frozen=True)
class PairBatch:
    """Rows padded on the right.

    Args:
        input_ids: (B, L).
        source_lengths: (B,).
        lengths: (B,), of source and target together.
        written: (B, L), true at the positions whose next token is one that is written.
        labels: (W,), those next tokens, row by row.
    """

    input_ids: Tensor
    source_lengths: Tensor
    lengths: Tensor
    written: Tensor
    labels: Tensor

    def to(self, device: torch.device) -> PairBatch:
        """Return the batch on a device."""
        return PairBatch(*(getattr(self, name).to(device) for name in self.__dataclass_fields__))


def written(pairs: Sequence[Pair]) -> int:
    """Return how many tokens of rows are written, over which the loss is a mean."""
    return sum(len(row.target) - row.given for row in pairs)


def make_pair(
    source: Sequence[int], target: Sequence[int], layout: PairLayout, start_id: int | None, end_id: int
) -> Pair:
    """Make a row of the tokens of a source and of a target, both without special tokens.

    Args:
        source: of any length.
        target: of any length.
        layout: how the row is read.
        start_id: the token that starts a text; None where there is none, and then the end stands for it.
        end_id: the token that ends one.
    """
    start = () if start_id is None else (start_id,)
    begins = (start or (end_id,)) if layout.segments else ()
    return Pair((*start, *source, end_id), (*begins, *target, end_id), len(begins))


def batch_pairs(pairs: Sequence[Pair]) -> PairBatch:
    """Pad rows to one length."""
    longest = max(map(len, pairs))
    rows = [[*row.source, *row.target] for row in pairs]
    input_ids = torch.tensor([row + [0] * (longest - len(row)) for row in rows])
    sources = torch.tensor([len(row.source) for row in pairs])
    lengths = torch.tensor([len(row) for row in rows])
    given = torch.tensor([row.given for row in pairs])
    places = torch.arange(longest)
    written = (places >= (sources + given - 1)[:, None]) & (places < (lengths - 1)[:, None])
    return PairBatch(input_ids, sources, lengths, written, input_ids.roll(-1, dims=1)[written])


def target_states(trunk: Transformer, batch: PairBatch, layout: PairLayout) -> Tensor:
    """Return the last hidden states at the positions whose next token is written, (W, d)."""
    places = torch.arange(batch.input_ids.shape[1], device=batch.input_ids.device)[None]
    present = places < batch.lengths[:, None]
    positions, token_types = places_of(places, batch.source_lengths[:, None], layout)
    if layout.prefix:
        mask = masks.prefix(present, batch.source_lengths)
        states, _ = trunk(batch.input_ids, mask, positions=positions, token_types=token_types)
    else:  # padding stands last, so no token sees it
        states, _ = trunk(batch.input_ids, causal=True, positions=positions, token_types=token_types)
    result: Tensor = states[batch.written]
    return result


def places_of(places: Tensor, source_lengths: Tensor, layout: PairLayout) -> tuple[Tensor, Tensor | None]:
    """Return the positions and the token types of places in rows, (B, L) each.

    Args:
        places: (B, L) or (1, L), counted from the beginning of each row.
        source_lengths: (B, 1).
        layout: how the rows are read. Without segments, all types are 0, for which None stands.
    """
    if not layout.segments:
        return places.expand(len(source_lengths), -1), None
    second = places >= source_lengths
    return torch.where(second, places - source_lengths, places), second.long()


@torch.inference_mode()
def log_probabilities(
    trunk: Transformer,
    head: LanguageModelHead,
    pairs: Sequence[Pair],
    layout: PairLayout,
    at_once: int = 8192,
) -> list[tuple[float, int]]:
    """Return of each pair the log-probability of its target, and the number of tokens that it sums over.

    Args:
        trunk: read as `layout` says.
        head: its output.
        pairs: in any order.
        layout: of the rows.
        at_once: the most tokens of a batch, with padding.
    """
    results: list[tuple[float, int]] = [(0.0, 0)] * len(pairs)
    device = trunk.token_embedding.weight.device
    for numbers in parts_of_similar_length(pairs, at_once):
        batch = batch_pairs([pairs[number] for number in numbers]).to(device)
        logits = head(target_states(trunk, batch, layout), trunk.token_embedding.weight).float()
        found = logits.log_softmax(dim=1).gather(1, batch.labels[:, None]).squeeze(1).double()
        rows = batch.written.nonzero()[:, 0]
        sums = torch.zeros(len(numbers), dtype=torch.double, device=device).index_add_(0, rows, found)
        counts = batch.written.sum(dim=1)
        for number, total, count in zip(numbers, sums.tolist(), counts.tolist(), strict=True):
            results[number] = (total, count)
    return results


def parts_of_similar_length(pairs: Sequence[Pair], at_once: int) -> Iterator[list[int]]:
    """Yield the numbers of rows of similar length, in parts of at most so many tokens with padding."""
    part: list[int] = []
    for number in sorted(range(len(pairs)), key=lambda number: len(pairs[number])):
        if part and (len(part) + 1) * len(pairs[number]) > at_once:
            yield part
            part = []
        part.append(number)
    if part:
        yield part
