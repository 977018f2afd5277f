"""Negatives for training: entities drawn once a step and shared by all its queries, both sides.

Query number i of a graph of T triples asks for the tail of triple i, query number T + i for its head.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from roots_kg.graph.transe import TransEConfig
from roots_kg.graph.triples import Ids, KnowledgeGraph

__all__ = ["NegativeSampler", "Negatives", "TrueAnswers"]


@dataclass(frozen=True)
class Negatives:
    """What a batch is compared with.

    Args:
        queries: (Q,) the numbers of the queries that are asked, those for tails first.
        candidates: (N,) distinct entities, ascending.
        excluded: positions in `queries` and in `candidates` of the pairs that do not count.
    """

    queries: Tensor
    candidates: Tensor
    excluded: tuple[Tensor, Tensor]

    def share(self, rank: int, world_size: int) -> Negatives:
        """Return every `world_size`-th query from number `rank` on, against the same candidates."""
        row, column = self.excluded
        mine = row % world_size == rank
        excluded = (row[mine] // world_size, column[mine])
        return Negatives(self.queries[rank::world_size], self.candidates, excluded)


class NegativeSampler:
    """Draws what the triples of a batch are compared with.

    Args:
        graph: the triples.
        config: how many negatives, and of which kind.
    """

    def __init__(self, graph: KnowledgeGraph, config: TransEConfig) -> None:
        self.config = config
        self.num_triples, self.num_entities = len(graph), graph.num_entities
        self.true_answers = TrueAnswers(graph) if config.filtered else None
        self.types = _Types(graph) if config.sampling == "typed" else None
        self.corrupt_tail = _bernoulli(graph) if config.sampling == "bernoulli" else None

    def draw(self, triples: Tensor, generator: torch.Generator) -> Negatives:
        """Return the queries of some triples, numbers (B,), and entities to compare them with."""
        if self.corrupt_tail is not None:
            tail = torch.rand(len(triples), generator=generator) < self.corrupt_tail[triples]
            queries = torch.cat([triples[tail], triples[~tail] + self.num_triples])
        else:
            queries = torch.cat([triples, triples + self.num_triples])
        if self.types is not None:
            drawn = self.types.draw(queries, self.config.negatives, generator)
        else:
            drawn = torch.randint(self.num_entities, (self.config.negatives,), generator=generator)
        candidates = torch.unique(drawn)
        excluded: list[tuple[Tensor, Tensor]] = []
        if self.true_answers is not None:
            excluded.append(self.true_answers.among(queries, candidates))
        if self.types is not None:
            excluded.append(self.types.strangers(queries, candidates))
        rows, columns = (torch.cat(parts) for parts in zip(*excluded, strict=True)) if excluded else _NO_PAIRS
        return Negatives(queries, candidates, (rows, columns))


class TrueAnswers:
    """For every entity, the queries of a graph's own triples that it answers.

    Args:
        graph: the triples.
    """

    def __init__(self, graph: KnowledgeGraph) -> None:
        slot = np.concatenate([graph.relation_id, graph.relation_id + graph.num_relations])
        anchors = np.concatenate([graph.head_id, graph.tail_id])
        answers = np.concatenate([graph.tail_id, graph.head_id])
        distinct, group = np.unique(anchors * (2 * graph.num_relations) + slot, return_inverse=True)
        order = np.argsort(answers, kind="stable")
        self._group = torch.from_numpy(group)  # queries that ask the same are one group
        self._answered = torch.from_numpy(group[order])
        self._start = torch.from_numpy(np.searchsorted(answers[order], np.arange(graph.num_entities + 1)))
        self._place = torch.full((len(distinct),), -1)

    def among(self, queries: Tensor, candidates: Tensor) -> tuple[Tensor, Tensor]:
        """Find the true answers of some queries among some candidates.

        It goes through what each candidate answers, which is less than all answers to each query.

        Args:
            queries: (Q,) numbers of queries.
            candidates: (N,) distinct entities.

        Returns:
            Positions in `queries` and in `candidates` of the pairs that are true.
        """
        groups, which, count = torch.unique(self._group[queries], return_inverse=True, return_counts=True)
        by_group, first = torch.argsort(which), count.cumsum(0) - count
        self._place[groups] = torch.arange(len(groups))
        start = self._start[candidates]
        column, position = _ranges(start, self._start[candidates + 1] - start)
        place = self._place[self._answered[position]]
        self._place[groups] = -1
        asked = place >= 0
        place, column = place[asked], column[asked]
        pair, position = _ranges(first[place], count[place])
        return by_group[position], column[pair]


class _Types:
    """Which entities each relation has somewhere as its tail (slot r) and as its head (slot r + R)."""

    def __init__(self, graph: KnowledgeGraph) -> None:
        slot = np.concatenate([graph.relation_id, graph.relation_id + graph.num_relations])
        answers = np.concatenate([graph.tail_id, graph.head_id])
        keys = np.unique(slot * graph.num_entities + answers)
        self.slot, self.keys = torch.from_numpy(slot), torch.from_numpy(keys)
        self.num_entities = graph.num_entities
        self.start = torch.from_numpy(
            np.searchsorted(keys, np.arange(2 * graph.num_relations + 1) * graph.num_entities)
        )

    def draw(self, queries: Tensor, count: int, generator: torch.Generator) -> Tensor:
        """Draw entities, each of the type that one of the queries asks for."""
        slot = self.slot[queries[torch.randint(len(queries), (count,), generator=generator)]]
        size = self.start[slot + 1] - self.start[slot]
        within = (torch.rand(count, generator=generator, dtype=torch.double) * size).long()
        return self.keys[self.start[slot] + within] % self.num_entities

    def strangers(self, queries: Tensor, candidates: Tensor) -> tuple[Tensor, Tensor]:
        """Return the pairs of a query and a candidate that is not of the type the query asks for."""
        slots, which = torch.unique(self.slot[queries], return_inverse=True)
        wanted = slots[:, None] * self.num_entities + candidates
        place = torch.searchsorted(self.keys, wanted).clamp_max_(len(self.keys) - 1)
        rows, columns = torch.nonzero((self.keys[place] != wanted)[which], as_tuple=True)
        return rows, columns


def _ranges(first: Tensor, count: Tensor) -> tuple[Tensor, Tensor]:
    """Lay out the ranges [first, first + count) one after another: whose each place is, and its number."""
    owner = torch.repeat_interleave(count)
    offset = first - (count.cumsum(0) - count)
    return owner, torch.arange(len(owner)) + offset[owner]


_NO_PAIRS = (torch.zeros(0, dtype=torch.long), torch.zeros(0, dtype=torch.long))


def _bernoulli(graph: KnowledgeGraph) -> Tensor:
    """For each triple, the probability that its tail is corrupted: hpt / (tph + hpt) of its relation."""
    tails_per_head = _answers_per_query(graph.relation_id, graph.head_id, graph)
    heads_per_tail = _answers_per_query(graph.relation_id, graph.tail_id, graph)
    share = heads_per_tail / (tails_per_head + heads_per_tail)
    return torch.from_numpy(share[graph.relation_id])


def _answers_per_query(relation_id: Ids, anchor: Ids, graph: KnowledgeGraph) -> NDArray[np.float64]:
    queries = np.unique(relation_id * graph.num_entities + anchor) // graph.num_entities
    count = np.bincount(relation_id, minlength=graph.num_relations)
    return count / np.maximum(np.bincount(queries, minlength=graph.num_relations), 1)
