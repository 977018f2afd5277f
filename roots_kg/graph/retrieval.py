"""The part of the graph that a text is about: a bounded, deterministic k-hop subgraph.

Mass starts on the linked entities and flows outwards. An entity passes its mass on to the relations around
it, in proportion to how relevant to the text each of them is, and each relation splits its share among its
edges, so that a relation with one answer ("located in") carries far more than one with thousands, and a hub
cannot drown the rest. The entities with the most mass are kept, and every fact between two of them. This is a
random walk that starts anew at the linked entities (personalised PageRank: Haveliwala 2002, "Topic-sensitive
PageRank"), cut off after a few steps, with relations that differ in weight.

Nothing depends on the order in which a file states its triples: where masses are equal, and among the edges
of a hub, a hash of the entity's key decides. Of a relation with too many edges, the neighbours with the
lowest hashes are followed: a bottom-k sample (Cohen and Kaplan 2007, "Summarizing data using bottom-k
sketches"), which an edit elsewhere cannot change, and which prefers the same entities at every hub.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from roots_kg.graph.triples import Adjacency, Ids, KnowledgeGraph

__all__ = ["RetrievalConfig", "Retriever", "Subgraph"]

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class RetrievalConfig:
    """How far and how wide to look.

    Args:
        hops: how many edges away from a linked entity.
        max_nodes: the entities kept, linked ones included.
        max_fanout: of a relation with more edges than this at one entity, so many are followed; each carries
            no more mass than if all were.
        decay: the mass that reaches the next hop, as a share of the mass that is there.
        max_edges: the edges followed in one hop; where there are more, the relations whose edges carry the
            least are given up. One relation at one entity is always followed.
        misspelt: where a text mentions nothing, look for misspelt names; see `DenseLinker`.
    """

    hops: int = 2
    max_nodes: int = 32
    max_fanout: int = 256
    decay: float = 0.7
    max_edges: int = 4096
    misspelt: bool = False

    def __post_init__(self) -> None:
        for name in ("hops", "max_nodes", "max_fanout", "max_edges"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, found {getattr(self, name)}")
        if not 0 < self.decay <= 1:
            raise ValueError(f"decay must be above 0 and at most 1, found {self.decay}")


@dataclass(frozen=True)
class Subgraph:
    """M entities around the entities that a text mentions, with all the edges between them.

    A triple is two edges, one each way; edges are ordered by source and target.

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

    The first subgraph takes longer, as it builds an index: at most 28 bytes a triple, beside the 48 of
    `KnowledgeGraph.adjacency`, and 12 an entity (48 and 16 beyond 2³⁰ triples).

    Args:
        graph: the whole.
        config: how far and how wide to look.
    """

    def __init__(self, graph: KnowledgeGraph, config: RetrievalConfig | None = None) -> None:
        self.graph, self.config = graph, config or RetrievalConfig()

    def retrieve(
        self,
        seeds: Mapping[int, float],
        without: Collection[int] = (),
        relevance: NDArray[np.floating[Any]] | None = None,
    ) -> Subgraph:
        """Return the subgraph around some entities.

        Args:
            seeds: the linked entities and their weights, above 0; at least one. They are always among the
                nodes, but of more than `config.max_nodes` those of least weight are left out.
            without: triples to treat as if they were not in the graph.
            relevance: (2R,), for each direction (`relation_id` from head to tail, `relation_id + R` from tail
                to head) how much it has to do with the text, above 0: the mass of an entity is shared among
                the directions around it in this proportion. None stands for equal weights.

        Raises:
            ValueError: for a relevance of another shape, or one that is not above 0.
        """
        directions = 2 * self.graph.num_relations
        weights = np.ones(directions) if relevance is None else np.asarray(relevance, dtype=np.float64)
        if weights.shape != (directions,):
            raise ValueError(f"relevance must have the shape ({directions},), found {weights.shape}")
        if not ((weights > 0) & (weights < np.inf)).all():
            raise ValueError("relevance must be above 0 and finite in every direction")
        absent = _Absent.of(without, self.graph) if without else None
        entity = np.fromiter(seeds.keys(), dtype=np.int64, count=len(seeds))
        mass = np.fromiter(seeds.values(), dtype=np.float64, count=len(seeds))
        first = self._heaviest(entity, mass)
        linked, mass = entity[first], mass[first] / mass[first].sum()
        frontier, reached = linked, [(linked, mass)]
        for _ in range(self.config.hops):
            entity, mass = self._spread(frontier, mass, weights, absent)
            reached.append((entity, mass))
            first = self._heaviest(entity, mass)
            frontier, mass = entity[first], mass[first]
        entity, mass = _sums(*(np.concatenate(part) for part in zip(*reached, strict=True)))
        preference = mass.copy()
        preference[np.searchsorted(entity, linked)] = np.inf
        kept = self._heaviest(entity, preference)
        kept = kept[self._heaviest(entity[kept], mass[kept])]
        rounded = mass[kept].astype(np.float32)
        return Subgraph(entity[kept], rounded / rounded.sum(), *self._between(entity[kept], absent))

    @cached_property
    def _index(self) -> _Index:
        return _Index.of(self.graph, self.config.max_fanout)

    def _spread(
        self, frontier: Ids, mass: Floats, weights: Floats, absent: _Absent | None
    ) -> tuple[Ids, Floats]:
        """Let mass flow along one edge; return the entities that it reaches, (n,), and how much, (n,).

        Args:
            frontier: (m,) where it is, by falling mass.
            mass: (m,) how much there is.
            weights: (2R,) the weight of each direction.
            absent: triples to leave out.
        """
        index, adjacency, config = self._index, self.graph.adjacency, self.config
        owner, group = _ranges(index.first_group[frontier], index.first_group[frontier + 1])
        start, end = index.first_edge[group], index.first_edge[group + 1]
        direction = adjacency.direction[start]
        gone = np.zeros(len(group), dtype=np.int64)
        if absent is not None:
            gone = absent.count(frontier[owner], direction)
            alive = end - start > gone
            owner, start, end, direction, gone = (
                part[alive] for part in (owner, start, end, direction, gone)
            )
        size = end - start - gone
        total = np.bincount(owner, weights[direction], len(frontier))
        share = config.decay * mass[owner] * weights[direction] / (total[owner] * size)
        followed = self._affordable(owner, direction, share, np.minimum(size, config.max_fanout))
        start, end, gone = start[followed], end[followed], gone[followed]
        group, position = _ranges(start, np.minimum(end, start + config.max_fanout + gone))
        edge = index.order[position]
        if absent is not None:
            present = ~np.isin(adjacency.triple[edge], absent.triples)
            group, edge = group[present], edge[present]
            within = np.arange(len(group)) - np.searchsorted(group, group)
            group, edge = group[within < config.max_fanout], edge[within < config.max_fanout]
        return _sums(adjacency.neighbour[edge], share[followed][group])

    def _affordable(self, owner: Ids, direction: Ids, share: Floats, edges: Ids) -> Ids:
        """Return which groups to follow, those whose edges carry most first, up to `max_edges` edges."""
        if edges.sum() <= self.config.max_edges:
            return np.arange(len(edges))
        ties = owner * (2 * self.graph.num_relations) + self._index.direction_rank[direction]
        order = np.lexsort((ties, -share.astype(np.float32)))
        count = int(np.searchsorted(np.cumsum(edges[order]), self.config.max_edges, "right"))
        return order[: max(1, count)]

    def _heaviest(self, entity: Ids, mass: Floats) -> Ids:
        """Return the positions of at most `max_nodes` entities, those of most mass, by falling mass.

        They are compared as float32: by what is lost there, equal masses differ that were summed in another
        order.
        """
        rounded, count = mass.astype(np.float32), self.config.max_nodes
        candidates = np.arange(len(entity))
        if len(entity) > count:
            least = np.partition(rounded, len(entity) - count)[len(entity) - count]
            candidates = np.flatnonzero(rounded >= least)
        ties = self._index.entity_tie[entity[candidates]]
        return candidates[np.lexsort((ties, -rounded[candidates]))[:count]]

    def _between(self, nodes: Ids, absent: _Absent | None) -> tuple[Ids, Ids, Ids, Ids]:
        """Return source, target, direction and triple of all the edges between some entities."""
        index, by_id = self._index, np.argsort(nodes)
        ordered = nodes[by_id]
        pairs = (ordered[:, None] * self.graph.num_entities + ordered).ravel()
        pair, position = _ranges(
            np.searchsorted(index.pair, pairs), np.searchsorted(index.pair, pairs, "right")
        )
        triple = index.pair_triple[position].astype(np.int64)
        if absent is not None:
            present = ~np.isin(triple, absent.triples)
            pair, triple = pair[present], triple[present]
        head, tail = by_id[pair // len(nodes)], by_id[pair % len(nodes)]
        relation = self.graph.relation_id[triple]
        source, target = np.concatenate([head, tail]), np.concatenate([tail, head])
        direction = np.concatenate([relation, relation + self.graph.num_relations])
        place = (source * len(nodes) + target) * (2 * self.graph.num_relations)
        order = np.argsort(place + index.direction_rank[direction], kind="stable")
        return source[order], target[order], direction[order], np.tile(triple, 2)[order]


@dataclass(frozen=True)
class _Index:
    """What retrieval knows of a graph beside its adjacency, so that no hub has to be read.

    A group is the edges of one direction at one entity; they lie together in the adjacency.

    Args:
        first_group: (E + 1,) the groups of entity e are `first_group[e] : first_group[e + 1]`.
        first_edge: (G + 1,) the edges of group g are `first_edge[g] : first_edge[g + 1]`.
        order: (2T,) the edges of each group in the order in which they are followed.
        pair: (T,) head · E + tail of the triples, rising.
        pair_triple: (T,) the triples in that order.
        entity_tie: (E,) what decides between entities of equal mass, the lower first.
        direction_rank: (2R,) what decides between directions of equal share, the lower first.
    """

    first_group: NDArray[np.signedinteger[Any]]
    first_edge: NDArray[np.signedinteger[Any]]
    order: NDArray[np.signedinteger[Any]]
    pair: Ids
    pair_triple: NDArray[np.signedinteger[Any]]
    entity_tie: NDArray[np.uint64]
    direction_rank: Ids

    @classmethod
    def of(cls, graph: KnowledgeGraph, max_fanout: int) -> _Index:
        """Build the index of a graph, where a group of up to `max_fanout` edges needs no order."""
        adjacency, entity_tie = graph.adjacency, _ties(graph.entities)
        first_edge = _first_edges(adjacency)
        order = np.arange(2 * len(graph))
        large = np.flatnonzero(np.diff(first_edge) > max_fanout)
        for start, end in zip(first_edge[large].tolist(), first_edge[large + 1].tolist(), strict=True):
            order[start:end] = start + np.argsort(entity_tie[adjacency.neighbour[start:end]], kind="stable")
        pair = graph.head_id * graph.num_entities + graph.tail_id
        by_pair = np.argsort(pair, kind="stable")
        directions = [mark + name for mark in ("", "\0") for name in graph.relations]
        return cls(
            _narrow(np.searchsorted(first_edge, adjacency.start)),
            _narrow(first_edge),
            _narrow(order),
            pair[by_pair],
            _narrow(by_pair),
            entity_tie,
            np.argsort(np.argsort(_ties(directions))),
        )


@dataclass(frozen=True)
class _Absent:
    """Triples that are treated as if they were not in the graph.

    Args:
        triples: (n,) their positions, rising.
        groups: (2n,) entity · 2R + direction of the groups that lack an edge, rising, one entry an edge.
        directions: 2R.
    """

    triples: Ids
    groups: Ids
    directions: int

    @classmethod
    def of(cls, without: Collection[int], graph: KnowledgeGraph) -> _Absent:
        triples = np.unique(np.fromiter(without, dtype=np.int64, count=len(without)))
        triples = triples[(triples >= 0) & (triples < len(graph))]
        relation, directions = graph.relation_id[triples], 2 * graph.num_relations
        outwards = graph.head_id[triples] * directions + relation
        inwards = graph.tail_id[triples] * directions + relation + graph.num_relations
        return cls(triples, np.sort(np.concatenate([outwards, inwards])), directions)

    def count(self, entity: Ids, direction: Ids) -> Ids:
        """Return how many edges each of some groups lacks, given its entity and direction."""
        group = entity * self.directions + direction
        return np.searchsorted(self.groups, group, "right") - np.searchsorted(self.groups, group)


def _first_edges(adjacency: Adjacency) -> Ids:
    """Return where each run of edges of one entity and direction begins, and the end of the last."""
    begins = np.ones(len(adjacency.direction) + 1, dtype=bool)
    begins[1:-1] = adjacency.direction[1:] != adjacency.direction[:-1]
    begins[adjacency.start] = True
    return np.flatnonzero(begins)


def _ties(names: Iterable[str]) -> NDArray[np.uint64]:
    """Return a number for each name that depends on nothing else, spread evenly over 64 bits."""
    digests = [hashlib.blake2b(name.encode(), digest_size=8).digest() for name in names]
    return np.frombuffer(b"".join(digests), dtype="<u8").astype(np.uint64)


def _narrow(ids: Ids) -> NDArray[np.signedinteger[Any]]:
    """Return ids, none of which is above the last power of two that they need, in 32 bits if they fit."""
    return ids.astype(np.int32) if not len(ids) or ids.max() <= np.iinfo(np.int32).max else ids


def _ranges(start: NDArray[Any], end: NDArray[Any]) -> tuple[Ids, Ids]:
    """Return, for every position in some ranges `start[i] : end[i]`, i and the position."""
    count = end - start
    owner = np.repeat(np.arange(len(count)), count)
    return owner, np.arange(len(owner)) + (start - np.cumsum(count) + count)[owner]


def _sums(entity: Ids, mass: Floats) -> tuple[Ids, Floats]:
    """Return each of some entities once, by rising id, and the sum of the mass that is stated for it."""
    distinct, position = np.unique(entity, return_inverse=True)
    return distinct, np.bincount(position, mass, len(distinct)).astype(np.float64)
