"""Walks over the graph: every path of relations from an entity, and where it leads."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from roots_kg.graph.triples import Ids, KnowledgeGraph

__all__ = ["Paths", "affordable", "direction_numbers", "edges_around", "neighbours", "walk"]

MAX_EDGES = 100_000


@dataclass(frozen=True)
class Paths:
    """All paths of one to H relations from one entity, as ends of walks.

    End number i is reached by the path `directions[path[i]]`. A direction is `relation_id`, walked from head
    to tail, or `relation_id + R`, walked from tail to head; a path shorter than H is filled up with −1.

    Args:
        directions: (P, H).
        path: (n,) which path.
        entity: (n,) where it leads.
        mass: (n,) the probability that a walker who follows the path, choosing evenly among the edges of
            each relation, ends there.
    """

    directions: Ids
    path: Ids
    entity: Ids
    mass: NDArray[np.float64]


def direction_numbers(relations: Sequence[str], known: Sequence[str]) -> Ids:
    """Return, (2R,), for each direction of a graph with these relations its number among those of others.

    Args:
        relations: R names, in the order of the graph.
        known: other names, in their own order; −1 stands for what is not among them.
    """
    places = {name: place for place, name in enumerate(known)}
    forwards = np.array([places.get(name, -1) for name in relations], dtype=np.int64)
    return np.concatenate([forwards, np.where(forwards < 0, -1, forwards + len(known))])


def walk(
    graph: KnowledgeGraph,
    start: int,
    hops: int,
    *,
    returns: bool = False,
    without: Collection[int] = (),
) -> Paths:
    """Follow every path from an entity.

    Where a hop would look at more than `MAX_EDGES` edges, the walks of least mass are given up.

    Args:
        graph: the graph.
        start: the entity.
        hops: H, the longest path.
        returns: whether walks may come back to the entity; otherwise those that do are dropped.
        without: triples to treat as absent.
    """
    directions = np.full((1, hops), -1, dtype=np.int64)
    path, entity = np.zeros(1, dtype=np.int64), np.array([start])
    mass: NDArray[np.float64] = np.ones(1)
    found: list[tuple[Ids, Ids, Ids, NDArray[np.float64]]] = []
    for hop in range(hops):
        kept = affordable(graph, entity, mass)
        path, entity, mass = path[kept], entity[kept], mass[kept]
        owner, edge = edges_around(graph, entity)
        adjacency = graph.adjacency
        if without:
            keep = ~np.isin(adjacency.triple[edge], list(without))
            owner, edge = owner[keep], edge[keep]
        direction, neighbour = adjacency.direction[edge], adjacency.neighbour[edge]
        width = 2 * graph.num_relations
        _, group, count = np.unique(owner * width + direction, return_inverse=True, return_counts=True)
        moved = mass[owner] / count[group]
        stays_away = (neighbour != start) | returns
        taken, neighbour, moved = (
            (path[owner] * width + direction)[stays_away],
            neighbour[stays_away],
            moved[stays_away],
        )
        paths, path = np.unique(taken, return_inverse=True)
        ends, merged = np.unique(path * graph.num_entities + neighbour, return_inverse=True)
        mass = np.bincount(merged, weights=moved, minlength=len(ends)).astype(np.float64)
        path, entity = np.divmod(ends, graph.num_entities)
        directions = directions[paths // width]
        directions[:, hop] = paths % width
        found.append((directions, path, entity, mass))
    offsets = np.cumsum([0, *(len(part[0]) for part in found[:-1])])
    return Paths(
        np.concatenate([part[0] for part in found]),
        np.concatenate([part[1] + offset for part, offset in zip(found, offsets, strict=True)]),
        np.concatenate([part[2] for part in found]),
        np.concatenate([part[3] for part in found]),
    )


def edges_around(graph: KnowledgeGraph, entity: Ids) -> tuple[Ids, Ids]:
    """Return, for every edge around each of some entities, the position of its owner and of the edge."""
    start = graph.adjacency.start
    count = start[entity + 1] - start[entity]
    owner = np.repeat(np.arange(len(entity)), count)
    within = np.arange(len(owner)) - np.repeat(np.cumsum(count) - count, count)
    return owner, start[entity][owner] + within


def affordable(graph: KnowledgeGraph, entity: Ids, mass: NDArray[np.float64]) -> Ids:
    """Return the positions of the heaviest walks, in order, that together look at `MAX_EDGES` edges."""
    start = graph.adjacency.start
    order = np.argsort(-mass, kind="stable")
    edges = np.cumsum(start[entity[order] + 1] - start[entity[order]])
    return np.sort(order[: max(1, int(np.searchsorted(edges, MAX_EDGES, "right")))])


def neighbours(graph: KnowledgeGraph, entity: int, direction: int) -> Ids:
    """Return where the edges of an entity in one direction lead, ascending."""
    adjacency = graph.adjacency
    first, last = adjacency.start[entity], adjacency.start[entity + 1]
    begin, end = first + np.searchsorted(adjacency.direction[first:last], [direction, direction + 1])
    return adjacency.neighbour[begin:end]
