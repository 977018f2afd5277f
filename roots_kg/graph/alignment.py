"""Vectors of one graph in the space of another, through the entities that both have.

Every training of TransE finds a space of its own: vectors from two trainings have nothing to do with each
other, even of one graph. What was learned on top of one space can be used with another only after a map
between the two, here the linear one that takes shared entities closest to where they are in the other
space, by ridge regression (Mikolov et al. 2013, arXiv:1309.4168, map words between languages so).
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from roots_kg.errors import GraphError
from roots_kg.graph.editing import add_triples
from roots_kg.graph.store import GraphBundle
from roots_kg.graph.transe import TransE
from roots_kg.graph.triples import KnowledgeGraph

__all__ = ["merge", "project", "shared_entities"]

FEWEST_SHARED = 10
"""A map is not found from fewer entities."""

RIDGE = 0.1
"""How much the map is held back, in units of the mean variance of a dimension."""


@dataclass(frozen=True)
class _Map:
    """x ↦ (x − m) W + c for entities, and r ↦ r W for what leads from one entity to another."""

    before: Tensor
    weight: Tensor
    after: Tensor

    def entities(self, vectors: Tensor) -> Tensor:
        return (vectors - self.before) @ self.weight + self.after

    def translations(self, vectors: Tensor) -> Tensor:
        return vectors @ self.weight


def shared_entities(first: KnowledgeGraph, second: KnowledgeGraph) -> tuple[Tensor, Tensor]:
    """Return the ids, (n,) each, of entities that two graphs share: those of one key, else of one name.

    A name counts where it is the name of one entity only, in both graphs.
    """
    names, others = _by_name(first), _by_name(second)
    pairs = []
    for key, other in second.entity_ids.items():
        here = first.entity_ids.get(key)
        if here is None and others.get(second.name(other)) == other:
            here = names.get(second.name(other))
        if here is not None:
            pairs.append((here, other))
    found = torch.tensor(pairs, dtype=torch.long).reshape(-1, 2)
    return found[:, 0], found[:, 1]


def project(bundle: GraphBundle, onto: GraphBundle) -> GraphBundle:
    """Return a graph with its vectors in the space of another.

    Args:
        bundle: the graph; of its vectors any number of dimensions.
        onto: the graph in whose space they shall be.

    Raises:
        GraphError: if the two share too few entities to tell how the spaces lie to each other.
    """
    found = _map(bundle, onto)
    if found is None:
        raise GraphError(
            f"the graphs share fewer than {FEWEST_SHARED} entities, from which no map between their vectors "
            "can be found",
            hint="adapt the task again with this graph",
        )
    transe = _moved(bundle.transe, found)
    config = replace(bundle.config, dimension=onto.config.dimension)
    return replace(bundle, transe=transe, config=config, space=onto.space)


def merge(bundles: Sequence[GraphBundle]) -> GraphBundle:
    """Return one graph that holds several, each triple with the file that stated it.

    What one graph calls by the key or the only name of another's entity becomes one with it. The first graph
    keeps its vectors. The entities and relations that only a later one has come with their own, moved into
    the space of those before through the entities that both have; where these are too few, they stay as they
    are, and then say nothing of how entities of one graph lie to those of the other.

    Args:
        bundles: at least one.

    Raises:
        GraphError: if several entities of one graph have a name that another graph uses, or if vectors of
            other dimensions cannot be moved.
    """
    whole = bundles[0]
    for bundle in bundles[1:]:
        found = _map(bundle, whole)
        own = bundle.transe if found is None else _moved(bundle.transe, found)
        if bundle.config.dimension != whole.config.dimension and found is None:
            raise GraphError(
                f"the graphs have vectors of {whole.config.dimension} and of {bundle.config.dimension} "
                f"dimensions, and share fewer than {FEWEST_SHARED} entities",
                hint="train one of them with the `--dimension` of the other",
            )
        whole, added = add_triples(whole, bundle.graph)
        graph, transe = whole.graph, copy.deepcopy(whole.transe)
        tables: list[tuple[Tensor, Tensor, tuple[str, ...], dict[str, int], dict[str, int]]] = [
            (
                transe.entity.weight,
                own.entity.weight,
                added.entities,
                graph.entity_ids,
                bundle.graph.entity_ids,
            )
        ]
        relations = (added.relations, graph.relation_ids, bundle.graph.relation_ids)
        tables.append((transe.relation.weight, own.relation.weight, *relations))
        if transe.inverse is not None:
            back = -own.relation.weight if own.inverse is None else own.inverse.weight
            tables.append((transe.inverse.weight, back, *relations))
        for here, there, names, ids, other_ids in tables:
            here.data[[ids[name] for name in names]] = there.data[[other_ids[name] for name in names]]
        whole = replace(whole, transe=transe.eval().requires_grad_(False))
    return whole


def _map(bundle: GraphBundle, onto: GraphBundle) -> _Map | None:
    there, here = shared_entities(onto.graph, bundle.graph)
    if len(here) < FEWEST_SHARED:
        return None
    sources, targets = bundle.transe.entity.weight.data[here], onto.transe.entity.weight.data[there]
    before, after = sources.mean(dim=0), targets.mean(dim=0)
    sources, targets = sources - before, targets - after
    square = sources.T @ sources
    held = RIDGE * square.diagonal().mean().clamp_min(1e-9) * torch.eye(len(square))
    return _Map(before, torch.linalg.solve(square + held, sources.T @ targets), after)


def _moved(transe: TransE, found: _Map) -> TransE:
    reciprocal, dimension = transe.inverse is not None, found.weight.shape[1]
    moved = TransE(
        transe.num_entities, transe.num_relations, dimension, reciprocal=reciprocal, norm=transe.norm
    )
    moved.entity.weight.data = found.entities(transe.entity.weight.data)
    moved.relation.weight.data = found.translations(transe.relation.weight.data)
    if moved.inverse is not None and transe.inverse is not None:
        moved.inverse.weight.data = found.translations(transe.inverse.weight.data)
    return moved.eval().requires_grad_(False)


def _by_name(graph: KnowledgeGraph) -> dict[str, int]:
    """Return the id of every name that only one entity has."""
    ids: dict[str, int] = {}
    for index in range(graph.num_entities):
        name = graph.name(index)
        ids[name] = -1 if name in ids else index
    return {name: index for name, index in ids.items() if index >= 0}
