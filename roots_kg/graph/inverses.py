"""Relations that say the same thing backwards: r(h, t) whenever r'(t, h), or r(t, h) itself.

A test triple whose inverse stands in the training set is no test (Toutanova & Chen 2015, "Observed versus
latent features"), and TransE cannot model a relation that is its own inverse.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from roots_kg.graph.triples import Ids, KnowledgeGraph

__all__ = ["InverseRelations", "inverse_relations"]

CHUNK = 1 << 22


@dataclass(frozen=True)
class InverseRelations:
    """Two relations of which one is, for the most part, the other read backwards.

    Args:
        relation: a relation.
        inverse: its inverse; the same relation where it is symmetric.
        triples: how many triples `relation` has, self-loops left out.
        inverse_triples: how many triples `inverse` has, self-loops left out.
        matched: how many of `relation`'s triples (h, t) have a triple (t, h) of `inverse`.
    """

    relation: str
    inverse: str
    triples: int
    inverse_triples: int
    matched: int

    @property
    def symmetric(self) -> bool:
        """Whether it is one relation that holds in both directions."""
        return self.relation == self.inverse

    @property
    def share(self) -> float:
        """Which share of the triples of the rarer relation has its inverse stated."""
        return self.matched / min(self.triples, self.inverse_triples)


def inverse_relations(
    graph: KnowledgeGraph, *, least_share: float = 0.5, least_matched: int = 2
) -> list[InverseRelations]:
    """Return the pairs of relations that are mostly inverse to each other, most matches first.

    Args:
        graph: the graph.
        least_share: the lowest `share` that is reported.
        least_matched: the lowest `matched` that is reported, for a single pair proves nothing.

    Returns:
        each pair once, whichever of the two comes first in the graph.
    """
    no_loop = graph.head_id != graph.tail_id
    head, relation, tail = (ids[no_loop] for ids in (graph.head_id, graph.relation_id, graph.tail_id))
    count = np.bincount(relation, minlength=graph.num_relations)
    matched: Counter[tuple[int, int]] = Counter()
    for one, other in _opposite_edges(head, relation, tail, graph.num_entities):
        pairs, times = np.unique(one * graph.num_relations + other, return_counts=True)
        for pair, number in zip(pairs.tolist(), times.tolist(), strict=True):
            first, second = sorted(divmod(pair, graph.num_relations))
            matched[first, second] += 2 * number if first == second else number
    found = [
        InverseRelations(
            graph.relations[first], graph.relations[second], int(count[first]), int(count[second]), number
        )
        for (first, second), number in sorted(matched.items())
        if number >= least_matched
    ]
    reported = [pair for pair in found if pair.share >= least_share]
    return sorted(reported, key=lambda pair: -pair.matched)


def _opposite_edges(head: Ids, relation: Ids, tail: Ids, entities: int) -> Iterator[tuple[Ids, Ids]]:
    """Yield the relations of every two triples (h, t) and (t, h), h < t first, some millions at a time."""
    upward = head < tail
    key = np.where(upward, head, tail) * entities + np.where(upward, tail, head)
    sides = []
    for side in (upward, ~upward):
        order = np.argsort(key[side], kind="stable")
        sides.append((key[side][order], relation[side][order]))
    (up_key, up), (down_key, down) = sides
    start = np.searchsorted(down_key, up_key, side="left")
    partners = np.searchsorted(down_key, up_key, side="right") - start
    partnered = np.flatnonzero(partners)
    up, start, partners = up[partnered], start[partnered], partners[partnered]
    before = np.cumsum(partners) - partners
    at = 0
    while at < len(up):
        end = max(at + 1, int(np.searchsorted(before, before[at] + CHUNK)))
        times = partners[at:end]
        offset = np.arange(times.sum()) - np.repeat(before[at:end] - before[at], times)
        yield np.repeat(up[at:end], times), down[np.repeat(start[at:end], times) + offset]
        at = end
