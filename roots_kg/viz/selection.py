"""Which entities and triples a picture shows: those around some entities, as many as can be read."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from roots_kg.graph.triples import Ids, KnowledgeGraph

__all__ = ["Neighbourhood", "neighbourhood", "whole"]

MOST_CONNECTED = 3


@dataclass(frozen=True)
class Neighbourhood:
    """A part of a graph.

    Args:
        graph: the whole.
        centres: the entities that it lies around.
        hops: how many edges away from them it reaches.
        entities: (M,) the entities in it, the centres first.
        triples: (F,) the triples between them, ascending.
        left_out: how many entities within the same reach are not in it.
        chosen: whether the centres are the most connected entities, as none was named.
    """

    graph: KnowledgeGraph
    centres: tuple[int, ...]
    hops: int
    entities: Ids
    triples: Ids
    left_out: int
    chosen: bool = False

    @property
    def title(self) -> str:
        """The labels of the centres, or what stands for them."""
        shown = [self.graph.label(centre) for centre in self.centres[:MOST_CONNECTED]]
        more = len(self.centres) - len(shown)
        return ", ".join(shown) + (f" and {more} more" if more else "") if shown else "the whole graph"

    @property
    def summary(self) -> str:
        """What is shown and what is left out, in one line."""
        entities, triples = len(self.entities), len(self.triples)
        size = f"{_count(entities, 'entity', 'entities')}, {_count(triples, 'triple', 'triples')}"
        if not self.centres:
            return size
        left_out = f"; {self.left_out:,} more entities there are left out" if self.left_out else ""
        chosen = "; no entity was named, these are the most connected" if self.chosen else ""
        return f"{size} within {_count(self.hops, 'hop', 'hops')}{left_out}{chosen}"


def neighbourhood(
    graph: KnowledgeGraph, entities: Sequence[str] = (), *, hops: int = 1, max_nodes: int | None = 60
) -> Neighbourhood:
    """Choose what to show around some entities.

    Where there are more neighbours than places, each hop gets an equal share of the places, and the entities
    reached so far take turns over their relations, so that none crowds out the others; of a relation's
    neighbours the best connected come first. The choice depends on nothing but the graph.

    Args:
        graph: the whole.
        entities: keys or names; without any, the most connected entities.
        hops: how many edges away to look.
        max_nodes: the most entities to show, those named included; None shows all.

    Raises:
        GraphError: if one is not in the graph.
    """
    degree = np.bincount(graph.head_id, minlength=graph.num_entities)
    degree += np.bincount(graph.tail_id, minlength=graph.num_entities)
    if entities:
        centres = tuple(dict.fromkeys(graph.entity_id(entity) for entity in entities))
    else:
        centres = tuple(np.argsort(-degree, kind="stable")[:MOST_CONNECTED].tolist())
    levels = _levels(graph, centres, hops)
    reached = np.concatenate(levels)
    limit = max(len(centres), len(reached) if max_nodes is None else max_nodes)
    kept = reached if limit >= len(reached) else _kept(graph, levels, limit, degree)
    shown = np.zeros(graph.num_entities, dtype=bool)
    shown[kept] = True
    triples = np.flatnonzero(shown[graph.head_id] & shown[graph.tail_id])
    return Neighbourhood(graph, centres, hops, kept, triples, len(reached) - len(kept), not entities)


def whole(graph: KnowledgeGraph) -> Neighbourhood:
    """Return all of a graph, around nothing."""
    return Neighbourhood(graph, (), 0, np.arange(graph.num_entities), np.arange(len(graph)), 0)


def _levels(graph: KnowledgeGraph, centres: Sequence[int], hops: int) -> list[Ids]:
    """Return the entities that are 0, 1, 2, … edges away: the centres as they come, the others by id."""
    seen = np.zeros(graph.num_entities, dtype=bool)
    levels = [np.array(centres, dtype=np.int64)]
    seen[levels[0]] = True
    for _ in range(hops):
        touched = np.zeros_like(seen)
        touched[graph.tail_id[seen[graph.head_id]]] = True
        touched[graph.head_id[seen[graph.tail_id]]] = True
        new = np.flatnonzero(touched & ~seen)
        if not len(new):
            break
        levels.append(new)
        seen |= touched
    return levels


def _kept(graph: KnowledgeGraph, levels: Sequence[Ids], limit: int, degree: Ids) -> Ids:
    """Return `limit` entities, fewer than there are; what one hop does not need goes to the others."""
    away = np.full(graph.num_entities, len(levels))
    for hop, entities in enumerate(levels):
        away[entities] = hop
    hops = len(levels) - 1
    kept, seen = levels[0], np.zeros(graph.num_entities, dtype=bool)
    seen[kept] = True
    for hop in itertools.cycle(range(hops)):
        share = -(-(limit - len(kept)) // (hops - hop))
        found = _taking_turns(graph, kept[away[kept] == hop], seen, degree)[:share]
        kept = np.concatenate([kept, found])
        seen[found] = True
        if len(kept) == limit:
            break
    return kept


def _taking_turns(graph: KnowledgeGraph, owners: Ids, seen: Ids, degree: Ids) -> Ids:
    """Return the new neighbours of some entities, best first.

    Every entity gives one of a first relation, then one of a second relation, and when all relations have had
    their turn, a second one of the first.
    """
    position = np.full(graph.num_entities, -1, dtype=np.int64)
    position[owners] = np.arange(len(owners))
    parts = []
    for here, there, shift in (
        (graph.head_id, graph.tail_id, 0),
        (graph.tail_id, graph.head_id, graph.num_relations),
    ):
        edge = np.flatnonzero((position[here] >= 0) & ~seen[there])
        parts.append(np.stack([position[here[edge]], graph.relation_id[edge] + shift, there[edge]]))
    owner, direction, entity = np.concatenate(parts, axis=1)
    order = np.lexsort((entity, -degree[entity], direction, owner))
    owner, direction, entity = owner[order], direction[order], entity[order]
    relation = owner * (2 * graph.num_relations) + direction
    turn = _place_within(relation)
    relations, inverse = np.unique(relation, return_inverse=True)
    relation_turn = _place_within(relations // (2 * graph.num_relations))[inverse]
    best_first = entity[np.lexsort((owner, relation_turn, turn))]
    _, first = np.unique(best_first, return_index=True)
    return np.asarray(best_first[np.sort(first)])


def _place_within(group: Ids) -> Ids:
    """Return, for sorted group numbers, each one's place in its group: 0, 1, 2, …"""
    starts = np.flatnonzero(np.concatenate([[True], group[1:] != group[:-1]]))
    return np.arange(len(group)) - np.repeat(starts, np.diff(np.append(starts, len(group))))


def _count(number: int, one: str, many: str) -> str:
    return f"{number:,} {one if number == 1 else many}"
