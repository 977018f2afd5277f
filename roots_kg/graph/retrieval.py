"""The part of the graph that a text is about: a bounded, deterministic k-hop subgraph.

Mass starts on the linked entities and flows outwards. An entity passes its mass on in equal shares to the
relations around it, and each relation splits its share among its edges, so that a relation with one
answer ("located in") carries far more than one with thousands, and a hub cannot drown the rest. The
entities with the most mass are kept.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from roots_kg.graph.triples import Ids, KnowledgeGraph

__all__ = ["RetrievalConfig", "Retriever", "Subgraph"]


@dataclass(frozen=True)
class RetrievalConfig:
    """How far and how wide to look.

    Args:
        hops: how many edges away from a linked entity.
        max_nodes: the entities kept, linked ones included.
        max_fanout: a relation with more edges than this at one entity is not followed from there.
        decay: the mass that reaches the next hop, as a share of the mass that is there.
    """

    hops: int = 2
    max_nodes: int = 32
    max_fanout: int = 256
    decay: float = 0.7

    def __post_init__(self) -> None:
        for name in ("hops", "max_nodes", "max_fanout"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, found {getattr(self, name)}")
        if not 0 < self.decay <= 1:
            raise ValueError(f"decay must be above 0 and at most 1, found {self.decay}")


@dataclass(frozen=True)
class Subgraph:
    """M entities around the entities that a text mentions, with the edges that led to them.

    Args:
        nodes: (M,) entity ids, by falling mass.
        mass: (M,) how much of the walk reaches each, summing to 1.
        source: (F,) the node (a position in `nodes`) that an edge comes from.
        target: (F,) the node it leads to.
        direction: (F,) `relation_id` if the source is the triple's head, `relation_id + R` if its tail.
        triple: (F,) the triple behind the edge.
    """

    nodes: Ids
    mass: NDArray[np.float32]
    source: Ids
    target: Ids
    direction: Ids
    triple: Ids


class Retriever:
    """Cuts subgraphs out of one graph.

    Args:
        graph: the whole.
        config: how far and how wide to look.
    """

    def __init__(self, graph: KnowledgeGraph, config: RetrievalConfig | None = None) -> None:
        self.graph, self.config = graph, config or RetrievalConfig()

    def retrieve(self, seeds: Mapping[int, float], without: Collection[int] = ()) -> Subgraph:
        """Return the subgraph around some entities.

        Args:
            seeds: the linked entities and their weights, above 0; at least one. Of more than
                `config.max_nodes`, those of least weight are left out.
            without: triples to treat as if they were not in the graph.
        """
        first = sorted(seeds, key=lambda entity: (-seeds[entity], entity))[: self.config.max_nodes]
        total = sum(seeds[entity] for entity in first)
        frontier = {entity: seeds[entity] / total for entity in first}
        mass = dict(frontier)
        edges: list[tuple[Ids, Ids, Ids, Ids]] = []
        expanded: set[int] = set()
        for _ in range(self.config.hops):
            reached: dict[int, float] = {}
            for entity, amount in frontier.items():
                groups = self._groups(entity, without)
                for group in groups:
                    target = group[1]
                    if entity not in expanded:
                        edges.append(group)
                    share = self.config.decay * amount / (len(target) * len(groups))
                    for neighbour in target.tolist():
                        reached[neighbour] = reached.get(neighbour, 0.0) + share
                expanded.add(entity)
            for entity, amount in reached.items():
                mass[entity] = mass.get(entity, 0.0) + amount
            kept = sorted(reached, key=lambda entity: (-reached[entity], entity))
            frontier = {entity: reached[entity] for entity in kept[: self.config.max_nodes]}
        return self._cut(mass, edges)

    def _groups(self, entity: int, without: Collection[int]) -> list[tuple[Ids, Ids, Ids, Ids]]:
        """Return the edges away from `entity`, one group a relation and direction."""
        adjacency = self.graph.adjacency
        position, end = int(adjacency.start[entity]), int(adjacency.start[entity + 1])
        groups = []
        while position < end:
            direction = adjacency.direction[position]
            size = int(np.searchsorted(adjacency.direction[position:end], direction, "right"))
            part = slice(position, position + size)
            position += size
            if size > self.config.max_fanout:
                continue
            neighbour, triple = adjacency.neighbour[part], adjacency.triple[part]
            if without:
                keep = ~np.isin(triple, list(without))
                neighbour, triple = neighbour[keep], triple[keep]
            if len(neighbour):
                owner, directions = np.full(len(neighbour), entity), np.full(len(neighbour), direction)
                groups.append((owner, neighbour, directions, triple))
        return groups

    def _cut(self, mass: Mapping[int, float], edges: list[tuple[Ids, Ids, Ids, Ids]]) -> Subgraph:
        nodes = sorted(mass, key=lambda entity: (-mass[entity], entity))[: self.config.max_nodes]
        weights = np.array([mass[entity] for entity in nodes], dtype=np.float32)
        order = np.argsort(nodes)
        empty = np.zeros(0, dtype=np.int64)
        columns = [np.concatenate(part) for part in zip(*edges, strict=True)] if edges else [empty] * 4
        sorted_nodes = np.asarray(nodes)[order]
        ends = []
        keep = np.ones(len(columns[0]), dtype=bool)
        for entity in columns[:2]:
            found = np.minimum(np.searchsorted(sorted_nodes, entity), len(nodes) - 1)
            keep &= sorted_nodes[found] == entity
            ends.append(order[found])
        source, target, direction, triple = (part[keep] for part in (*ends, *columns[2:]))
        return Subgraph(np.asarray(nodes), weights / weights.sum(), source, target, direction, triple)
