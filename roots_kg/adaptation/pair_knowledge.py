"""What a graph says of a pair of entities, as one vector."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from functools import cached_property

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from roots_kg.fusion.knowledge import Knowledge
from roots_kg.graph.paths import direction_numbers
from roots_kg.graph.triples import Ids, KnowledgeGraph

__all__ = ["Pair", "PairKnowledge"]

Pair = tuple[int, int]
"""The ids of a head entity and a tail entity."""

MOST_RELATIONS = 1000
"""So many relations are told apart, those with the most triples."""


class PairKnowledge:
    """Tells of pairs of entities how one gets from the first to the second, and what is known about either.

    A vector has four parts of equal length, each zero where the graph has nothing to say: the difference of
    the TransE vectors, t − h, which is that of the relation between them (Bordes et al. 2013, equation 1);
    the relations that the head has, in either direction; those that the tail has, which say what kind of
    thing it is; and those that lead from the head to the tail. A relation counts the more the fewer
    entities have it: log(1 + E / entities with it).

    Args:
        knowledge: the graph and its vectors.
        relations: names of relations in the order in which they stand in the vectors, of which the graph
            may lack some; by default the graph's own with the most triples.
    """

    def __init__(self, knowledge: Knowledge, relations: Sequence[str] | None = None) -> None:
        self._knowledge = knowledge
        self.relations = list(_commonest(knowledge.graph) if relations is None else relations)

    @property
    def size(self) -> int:
        """The size of a vector."""
        return int(self._knowledge.entities.shape[1]) + 3 * self._directions

    def vectors(self, pairs: Sequence[Pair | None], without: Sequence[Collection[int]]) -> Tensor:
        """Return the vector of each pair, of length 1, or zero for None: (B, size).

        Args:
            pairs: B of them.
            without: for each, triples to treat as absent; what TransE has learned from them stays.
        """
        found = torch.zeros(len(pairs), self.size)
        for row, pair, absent in zip(found, pairs, without, strict=True):
            if pair is not None:
                head, tail = self._knowledge.entities[list(pair)]
                bags = [self._bag(places) for places, _ in self._edges(pair, absent)]
                parts = [functional.normalize(part, dim=0) for part in (tail - head, *bags)]
                row[:] = torch.cat(parts)
        return functional.normalize(found, dim=1)

    def evidence(self, pair: Pair, without: Collection[int], weights: Tensor) -> list[tuple[int, float]]:
        """Return triples that raise a score, the most weighty first, with how much each raises it.

        The share of a relation in the score is divided among the triples that state it.

        Args:
            pair: a pair.
            without: triples to treat as absent.
            weights: (size,), of which the score is the product with the vector of the pair.
        """
        (vector,) = self.vectors([pair], [without])
        shares = (weights * vector)[-3 * self._directions :].view(3, -1).numpy()
        raised: dict[int, float] = {}
        for share, (places, triples) in zip(shares, self._edges(pair, without), strict=True):
            counts = np.bincount(places, minlength=self._directions)
            for place, triple in zip(places.tolist(), triples.tolist(), strict=True):
                raised[triple] = raised.get(triple, 0.0) + float(share[place]) / int(counts[place])
        positive = [(triple, weight) for triple, weight in raised.items() if weight > 0]
        return sorted(positive, key=lambda found: (-found[1], found[0]))

    @property
    def _directions(self) -> int:
        return 2 * len(self.relations)

    def _edges(self, pair: Pair, without: Collection[int]) -> list[tuple[Ids, Ids]]:
        """Return the places of the directions, and the triples, of head, tail, and from head to tail."""
        adjacency = self._knowledge.graph.adjacency
        sides = []
        for entity in pair:
            edges = np.arange(adjacency.start[entity], adjacency.start[entity + 1])
            kept = self._place[adjacency.direction[edges]] >= 0
            if without:
                kept &= ~np.isin(adjacency.triple[edges], list(without))
            sides.append(edges[kept])
        between = sides[0][adjacency.neighbour[sides[0]] == pair[1]]
        return [
            (self._place[adjacency.direction[edges]], adjacency.triple[edges]) for edges in (*sides, between)
        ]

    def _bag(self, places: Ids) -> Tensor:
        bag = torch.zeros(self._directions)
        present = torch.from_numpy(np.unique(places))
        bag[present] = self._rarity[present]
        return bag

    @cached_property
    def _place(self) -> Ids:
        """Where each direction of the graph stands in a bag; -1 for those that do not."""
        return direction_numbers(self._knowledge.graph.relations, self.relations)

    @cached_property
    def _rarity(self) -> Tensor:
        """How much each place of a bag counts."""
        graph = self._knowledge.graph
        start, direction = graph.adjacency.start, graph.adjacency.direction
        owner = np.repeat(np.arange(graph.num_entities), np.diff(start))
        different = np.unique(owner * 2 * graph.num_relations + direction) % max(1, 2 * graph.num_relations)
        places = self._place[different]
        having = np.bincount(places[places >= 0], minlength=self._directions)
        return torch.from_numpy(np.log1p(graph.num_entities / np.maximum(having, 1))).float()


def _commonest(graph: KnowledgeGraph) -> list[str]:
    """Return the names of the relations with the most triples, in the order of the graph."""
    counts = np.bincount(graph.relation_id, minlength=graph.num_relations)
    chosen = np.argsort(-counts, kind="stable")[:MOST_RELATIONS]
    return [graph.relations[relation] for relation in sorted(chosen.tolist())]
