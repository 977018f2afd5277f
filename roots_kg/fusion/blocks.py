"""What part of the graph each token of a text may know of.

A text that is read as a whole has one subgraph, around all that it mentions. A text that is read from left
to right has one for each mention, a *block*: it is retrieved with what the text says up to the end of that
mention, and is there for the tokens from there on. The blocks of a text stand side by side in one subgraph,
without edges between them, so that nothing of a later mention comes to an earlier token, not even through the
graph.
"""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from roots_kg.encoding.tokenization import TokenBatch, TokenRow
from roots_kg.graph.linking import Mention
from roots_kg.graph.retrieval import Subgraph

__all__ = [
    "Block",
    "LinkedRows",
    "Surroundings",
    "blocks_of",
    "first_tokens",
    "linked_rows",
    "read_so_far",
    "side_by_side",
]

MOST_BLOCKS = 32
"""How many mentions of a text that is read from left to right have a block; the first ones."""


@dataclass(frozen=True)
class Block:
    """Entities of a text whose surroundings are retrieved together.

    Args:
        text: which text.
        seeds: the entities and their weights.
        end: how much of the text, in characters, must have been read before anything of it is known; None for
            what is known from the start, of a text that is read as a whole.
    """

    text: int
    seeds: Mapping[int, float]
    end: int | None = None


@dataclass(frozen=True, eq=False)
class LinkedRows:
    """Those rows of a batch whose texts mention something.

    Args:
        batch: the batch.
        numbers: which rows of the batch they are.
        rows: B of them.
        hidden: (B, L, d).
        mask: (B, L), true for tokens, false for padding.
    """

    batch: TokenBatch
    numbers: list[int]
    rows: list[TokenRow]
    hidden: Tensor
    mask: Tensor

    def of(self, texts: Container[int]) -> LinkedRows:
        """Return the rows of some texts."""
        kept = [index for index, row in enumerate(self.rows) if row.text in texts]
        if len(kept) == len(self.rows):
            return self
        numbers, rows = [self.numbers[index] for index in kept], [self.rows[index] for index in kept]
        return LinkedRows(self.batch, numbers, rows, self.hidden[kept], self.mask[kept])


class Surroundings:
    """Rows of texts with what a graph says around their mentions.

    Args:
        rows: in batches, of texts with a subgraph.
        subgraphs: for each text, the part of the graph, or None.
        ends: where texts are read from left to right, for each text and each node of its subgraph how much of
            the text must have been read before it is known.

    `nodes` are the entities of all subgraphs, (U,), each once; `places` are, for each text, the positions of
    its subgraph's nodes there, (M,).
    """

    def __init__(
        self, rows: list[LinkedRows], subgraphs: list[Subgraph | None], ends: list[list[int]] | None
    ) -> None:
        self.rows, self.subgraphs, self.ends = rows, subgraphs, ends
        each = [np.zeros(0, dtype=np.int64) if part is None else part.nodes for part in subgraphs]
        nodes, places = np.unique(np.concatenate(each), return_inverse=True)
        self.nodes = torch.from_numpy(nodes)
        self.places = torch.split(torch.from_numpy(places), [len(ids) for ids in each])

    def of(self, texts: Container[int]) -> Surroundings:
        """Return the rows of some texts, with the nodes of all."""
        rows = [part for part in (part.of(texts) for part in self.rows) if part.rows]
        return Surroundings(rows, self.subgraphs, self.ends)

    def subgraph(self, text: int) -> Subgraph:
        """Return the subgraph of a text that has one."""
        part = self.subgraphs[text]
        assert part is not None
        return part


def linked_rows(batch: TokenBatch, hidden: Tensor, mentions: Sequence[Sequence[Mention]]) -> LinkedRows:
    """Return those rows of a batch whose texts mention something."""
    numbers = [index for index, row in enumerate(batch.rows) if mentions[row.text]]
    rows = [batch.rows[index] for index in numbers]
    if len(numbers) == len(batch.rows):
        return LinkedRows(batch, numbers, rows, hidden, batch.attention_mask.to(hidden.device))
    mask = batch.attention_mask[numbers].to(hidden.device)
    return LinkedRows(batch, numbers, rows, hidden[numbers], mask)


def seeds_of(mentions: Sequence[Mention]) -> dict[int, float]:
    """Return the candidates of some mentions and their weights, which for one add up to its score at most."""
    seeds: dict[int, float] = {}
    for mention in mentions:
        total = sum(candidate.score for candidate in mention.candidates)
        for candidate in mention.candidates:
            seeds[candidate.entity_id] = seeds.get(candidate.entity_id, 0.0) + candidate.score**2 / total
    return seeds


def blocks_of(text: int, mentions: Sequence[Mention], *, left_to_right: bool) -> list[Block]:
    """Return the blocks of a text.

    Args:
        text: its number.
        mentions: what it mentions, from left to right.
        left_to_right: whether it is read so; then an entity that is mentioned again has no second block.
    """
    if not left_to_right:
        return [Block(text, seeds_of(mentions))] if mentions else []
    blocks: dict[tuple[int, ...], Block] = {}
    for mention in sorted(mentions, key=lambda mention: mention.best.end):
        candidates = tuple(candidate.entity_id for candidate in mention.candidates)
        if candidates not in blocks and len(blocks) < MOST_BLOCKS:
            blocks[candidates] = Block(text, seeds_of([mention]), mention.best.end)
    return list(blocks.values())


def side_by_side(parts: Sequence[Subgraph], weights: Sequence[float]) -> Subgraph:
    """Return one subgraph that holds several, without edges between them.

    Args:
        parts: at least one.
        weights: what each one's mass is multiplied by; so the mass of the whole does not add up to 1.
    """
    offsets = np.cumsum([0, *(len(part.nodes) for part in parts[:-1])])
    return Subgraph(
        np.concatenate([part.nodes for part in parts]),
        np.concatenate([part.mass * np.float32(weight) for part, weight in zip(parts, weights, strict=True)]),
        np.concatenate([part.source + offset for part, offset in zip(parts, offsets, strict=True)]),
        np.concatenate([part.target + offset for part, offset in zip(parts, offsets, strict=True)]),
        np.concatenate([part.direction for part in parts]),
        np.concatenate([part.triple for part in parts]),
    )


def first_tokens(row: TokenRow, ends: Sequence[int]) -> NDArray[np.signedinteger[Any]]:
    """Return, for places in a text, the first token of a row with which the text has been read up to there.

    Where the row ends before, that is the number of its tokens. The special token in front of a row knows
    what stood before the row.
    """
    start, end = row.offsets.T
    real = np.flatnonzero(end > start)
    before = start[real[0]] if len(real) else 0
    reached = np.maximum.accumulate(np.where(end > start, end, before))
    return np.searchsorted(reached, np.asarray(ends))


def read_so_far(parts: Sequence[LinkedRows], blocks: Sequence[Block]) -> Tensor:
    """Return, for each block, the sum of the hidden states of the tokens up to its end, (blocks, d).

    Args:
        parts: all rows of the texts, in any order.
        blocks: each with an `end`.
    """
    rows: dict[int, list[tuple[int, TokenRow, Tensor]]] = {}
    for part in parts:
        for row, hidden in zip(part.rows, part.hidden, strict=True):
            start = int(row.offsets[:, 1].max(initial=0))
            rows.setdefault(row.text, []).append((start, row, hidden[: len(row.input_ids)].cumsum(dim=0)))
    for windows in rows.values():
        windows.sort(key=lambda window: window[0])
    vectors = []
    for block in blocks:
        vector = torch.zeros(parts[0].hidden.shape[2]).to(parts[0].hidden)
        for _, row, sums in rows[block.text]:
            token = int(first_tokens(row, [block.end or 0])[0])
            vector = vector + sums[min(token, len(sums) - 1)]
            if token < len(sums):
                break
        vectors.append(vector)
    return torch.stack(vectors)
