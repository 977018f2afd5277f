"""Scores that move along the edges: from a question's topic, hop by hop, to entities that may answer it.

s_{t+1}(e') = Σ_{e, d} s_t(e) · P_t(d | q) · T_d(e' | e), where T_d splits evenly among the edges of a
direction (Cohen et al. 2020, arXiv:2002.06115, follow relations in this way). Where an entity has no edge in
a direction, a completion may say where one would lead.
An answer's score is Σ_t P(t hops | q) · s_t(e'), and the way most of it came is its evidence.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from roots_kg.graph.paths import affordable, edges_around
from roots_kg.graph.triples import Ids, KnowledgeGraph

__all__ = ["Complete", "Flow", "Step", "flow"]

Scores = NDArray[np.float64]

Complete = Callable[[Ids, int], tuple[Ids, Ids, Scores]]
"""Where missing edges would lead: entities (n,) and a direction to positions among them, ends, and shares."""

UNLIKELY = 0.01
"""A direction this much less probable than the likeliest is not followed."""

COMPLETED_DIRECTION, COMPLETED_ENTITIES = 0.05, 12
"""Edges are completed in directions at least so probable, at so many entities of the highest score."""


@dataclass(frozen=True)
class Step:
    """One edge of the way to an answer.

    Args:
        start: the entity it was walked from.
        direction: `relation_id`, or `relation_id + R` if it was walked from tail to head.
        end: where it leads.
        triple: which triple of the graph it is, or −1 if the graph does not hold it.
    """

    start: int
    direction: int
    end: int
    triple: int


@dataclass(frozen=True)
class _Hop:
    """Where scores stand after a hop, each entity once, and the edge that brought most of each."""

    entity: Ids
    score: Scores
    previous: Ids
    direction: Ids
    triple: Ids


@dataclass(frozen=True)
class Flow:
    """The scores of one question about one topic.

    Args:
        topic: where they start.
        hops: where they stand after each hop.
        length: (H,) P(hops | q).
        spread: the score that completions gave to entities too many to list.
    """

    topic: int
    hops: tuple[_Hop, ...]
    length: Scores
    spread: float

    def arriving(self) -> tuple[Ids, Scores]:
        """Return the entities at which a score arrives, ascending, and the scores."""
        entity = np.concatenate([hop.entity for hop in self.hops])
        score = np.concatenate(
            [share * hop.score for hop, share in zip(self.hops, self.length, strict=False)]
        )
        ends, merged = np.unique(entity, return_inverse=True)
        return ends, np.bincount(merged, weights=score, minlength=len(ends)).astype(np.float64)

    def chain(self, entity: int) -> list[Step]:
        """Return the way by which most of its score came to an entity at which some arrived."""
        at: list[tuple[float, int, int]] = []
        for number, hop in enumerate(self.hops):
            found = int(np.searchsorted(hop.entity, entity))
            if found < len(hop.entity) and hop.entity[found] == entity:
                at.append((-self.length[number] * hop.score[found], number, found))
        _, number, position = min(at)
        steps: list[Step] = []
        while number >= 0:
            hop = self.hops[number]
            previous = int(hop.previous[position])
            start = int(self.hops[number - 1].entity[previous]) if number else self.topic
            steps.append(
                Step(
                    start, int(hop.direction[position]), int(hop.entity[position]), int(hop.triple[position])
                )
            )
            number, position = number - 1, previous
        return steps[::-1]


def flow(
    graph: KnowledgeGraph,
    topic: int,
    direction: Scores,
    length: Scores,
    *,
    complete: Complete | None = None,
    returns: bool = False,
    without: Collection[int] = (),
) -> Flow:
    """Let a score of 1 move from a topic along the edges.

    Args:
        graph: the graph.
        topic: the entity.
        direction: (H, 2R), P_t(direction | q).
        length: (H,), P(hops | q).
        complete: says where edges that the graph lacks would lead, or None to leave them out.
        returns: whether scores may come back to the topic; otherwise those that do are dropped.
        without: triples to treat as absent; what they state is not completed either.
    """
    likely = direction >= UNLIKELY * direction.max(axis=1, keepdims=True)
    found = _flow(graph, topic, direction, length, likely, complete, returns, without)
    if not found.hops:  # nothing in a likely direction: any answer is better than none
        found = _flow(graph, topic, direction, length, np.ones_like(likely), None, returns, without)
    return found


def _flow(
    graph: KnowledgeGraph,
    topic: int,
    probability: Scores,
    length: Scores,
    likely: NDArray[np.bool_],
    complete: Complete | None,
    returns: bool,
    without: Collection[int],
) -> Flow:
    adjacency, width = graph.adjacency, 2 * graph.num_relations
    absent = np.fromiter(without, dtype=np.int64)
    frontier, score = np.array([topic]), np.ones(1)
    hops: list[_Hop] = []
    spread = 0.0
    for number in range(len(length)):
        kept = affordable(graph, frontier, score)
        owner, edge = edges_around(graph, frontier[kept])
        owner = kept[owner]
        followed = likely[number, adjacency.direction[edge]]
        owner, edge = owner[followed], edge[followed]
        there = owner * width + adjacency.direction[edge]
        if len(absent):
            present = ~np.isin(adjacency.triple[edge], absent)
            owner, edge = owner[present], edge[present]
        way = adjacency.direction[edge]
        _, group, count = np.unique(owner * width + way, return_inverse=True, return_counts=True)
        columns = [
            (adjacency.neighbour[edge], score[owner] * probability[number, way] / count[group], owner, way,
             adjacency.triple[edge])
        ]  # fmt: skip
        if complete is not None:
            for place in np.nonzero(probability[number] >= COMPLETED_DIRECTION)[0].tolist():
                best = kept[np.argsort(-score[kept], kind="stable")[:COMPLETED_ENTITIES]]
                lacking = best[~np.isin(best * width + place, there)]
                if len(lacking):
                    position, end, share = complete(frontier[lacking], place)
                    moved = score[lacking] * probability[number, place]
                    spread += float(length[number] * (moved.sum() - (moved[position] * share).sum()))
                    columns.append(
                        (end, moved[position] * share, lacking[position], np.full(len(end), place),
                         np.full(len(end), -1))
                    )  # fmt: skip
        end, moved, owner, way, triple = (np.concatenate(part) for part in zip(*columns, strict=True))
        away = (end != topic) | returns
        end, moved, owner, way, triple = (part[away] for part in (end, moved, owner, way, triple))
        if not len(end):
            break
        order = np.lexsort((triple, -moved, end))
        end, moved, owner, way, triple = (part[order] for part in (end, moved, owner, way, triple))
        first = np.concatenate([[True], end[1:] != end[:-1]])
        begins = np.nonzero(first)[0]
        arrived = np.add.reduceat(moved, begins)
        hops.append(_Hop(end[begins], arrived, owner[begins], way[begins], triple[begins]))
        frontier, score = end[begins], arrived
    return Flow(topic, tuple(hops), length, spread)
