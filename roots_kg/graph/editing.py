"""Graphs that change: triples added to a bundle and taken out of it, without training again.

What was there keeps its id and its vector, so that a model that uses the bundle stays as it is. What is new
comes after it, with vectors from `roots_kg.graph.placement`. An entity that loses its last triple stays.
"""

from __future__ import annotations

import difflib
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from roots_kg.errors import GraphError
from roots_kg.graph.placement import place
from roots_kg.graph.readers import RawTriple
from roots_kg.graph.store import GraphBundle
from roots_kg.graph.triples import Ids, KnowledgeGraph
from roots_kg.graph.values import Value

__all__ = ["Addition", "Facts", "Removal", "add_triples", "remove_triples", "similar_names"]

Facts = KnowledgeGraph | Iterable[RawTriple]
"""Triples as another graph, which also says where they come from, or as names of head, relation and tail."""

SIMILAR = 0.85
SHOWN = 6


@dataclass(frozen=True)
class Addition:
    """What adding triples did.

    Args:
        triples: (n,) the positions of the added triples in the new graph.
        known: how many of the stated triples were there already.
        values: how many literals were added.
        entities: the keys of the new entities.
        relations: the names of the new relations.
        unplaced: those of the new entities that nothing known connects with an entity that was there before;
            their vector is the mean of all.
    """

    triples: Ids
    known: int
    values: int
    entities: tuple[str, ...]
    relations: tuple[str, ...]
    unplaced: tuple[str, ...]


@dataclass(frozen=True)
class Removal:
    """What removing triples did.

    Args:
        triples: (n,) the positions that the removed triples had in the old graph.
        left_bare: the keys of entities that have no triple any more.
    """

    triples: Ids
    left_bare: tuple[str, ...]


def add_triples(bundle: GraphBundle, facts: Facts, *, new: bool = True) -> tuple[GraphBundle, Addition]:
    """Add triples, and the entities and relations that the graph does not know.

    Args:
        bundle: the graph and its vectors; not changed.
        facts: what to add. An entity is named by its key or by a name that no other has; what is neither is
            the key of a new one. Aliases count for new entities only, literals for all.
        new: whether entities and relations may be new.

    Returns:
        A bundle with the triples, after those that were there, and what was done.

    Raises:
        GraphError: if several entities have a name, or if something is new that may not be.
    """
    facts = _as_graph(facts)
    graph = bundle.graph
    entity, entities = _numbered(_entity_ids(graph, facts), facts.entities, graph.num_entities)
    relation = np.array([graph.relation_ids.get(name, -1) for name in facts.relations], dtype=np.int64)
    relation, relations = _numbered(relation, facts.relations, graph.num_relations)
    if not new and (entities or relations):
        lookup = graph.entity_id if entities else graph.relation
        lookup((entities or relations)[0])  # raises, and names the nearest
    stated = np.stack([entity[facts.head_id], relation[facts.relation_id], entity[facts.tail_id]])
    fresh = _not_there(graph, stated)
    values, stated_values = _joined_values(graph, facts, entity)
    already = len(facts) - len(fresh)
    if not len(fresh) and not stated_values:
        return bundle, Addition(fresh, already, 0, (), (), ())
    sources, source_id = _joined_sources(graph, facts, fresh)
    head_id, relation_id, tail_id = np.concatenate([_columns(graph, slice(None)), stated[:, fresh]], axis=1)
    grown = replace(
        graph,
        entities=graph.entities + entities,
        relations=graph.relations + relations,
        head_id=head_id,
        relation_id=relation_id,
        tail_id=tail_id,
        aliases={**graph.aliases, **{key: facts.aliases[key] for key in entities if key in facts.aliases}},
        sources=sources,
        source_id=source_id,
        values=values,
        cards=graph.cards + tuple(card for card in facts.cards if card not in graph.cards),
    )
    placement = place(bundle.transe, graph, grown)
    unplaced = tuple(grown.entities[index] for index in placement.unplaced.tolist())
    added = np.arange(len(graph), len(grown))
    report = Addition(added, already, stated_values, entities, relations, unplaced)
    return replace(bundle, graph=grown, transe=placement.transe), report


def remove_triples(bundle: GraphBundle, facts: Facts) -> tuple[GraphBundle, Removal]:
    """Take triples out; entities, relations and literals stay.

    Args:
        bundle: the graph and its vectors; not changed.
        facts: what to remove; entities are named by key or by a name that no other has.

    Raises:
        GraphError: if the graph does not hold one of the triples; the message names near ones.
    """
    facts = _as_graph(facts)
    graph = bundle.graph
    entity = _entity_ids(graph, facts)
    for index in np.flatnonzero(entity < 0):
        graph.entity_id(facts.entities[index])  # raises, and names the nearest
    relation = np.array([graph.relation(name) for name in facts.relations], dtype=np.int64)
    stated = np.stack([entity[facts.head_id], relation[facts.relation_id], entity[facts.tail_id]])
    near, known, codes = _compared(graph, stated)
    absent = np.flatnonzero(~np.isin(codes, known))
    if len(absent):
        raise _no_such_triple(graph, stated[:, absent[0]], near, len(absent))
    removed = near[np.isin(known, codes)]
    left = graph.without(removed.tolist())
    ends = np.unique(stated[[0, 2]])
    bare = ends[~np.isin(ends, left.head_id) & ~np.isin(ends, left.tail_id)]
    report = Removal(removed, tuple(graph.entities[index] for index in bare))
    return replace(bundle, graph=left), report


def similar_names(names: Sequence[str], known: Iterable[str]) -> dict[str, str]:
    """Return, for those of `names` that look like a misspelt known one, what they look like.

    Only names with the same first letter and much the same length are compared, so that it does not take long
    in a large graph. One with a digit is a number or a code, which resembles others by nature: it may differ
    in upper and lower case alone.
    """
    candidates: dict[str, dict[str, str]] = {_plain(name)[:1]: {} for name in names}
    for name in known:
        plain = _plain(name)
        if plain[:1] in candidates:
            candidates[plain[:1]].setdefault(plain, name)
    found = {}
    for name in names:
        plain = _plain(name)
        there = candidates[plain[:1]]
        near = [other for other in there if abs(len(other) - len(plain)) <= 2]
        if any(map(str.isdigit, plain)):
            close = [plain] if plain in there else []
        else:
            close = [other for other in near if sorted(other) == sorted(plain)]
            close = close or difflib.get_close_matches(plain, near, n=1, cutoff=SIMILAR)
        if close:
            found[name] = there[close[0]]
    return found


def _plain(name: str) -> str:
    return unicodedata.normalize("NFKC", name).casefold()


def _as_graph(facts: Facts) -> KnowledgeGraph:
    """Return facts as a graph of their own that has no entities and relations but theirs."""
    if not isinstance(facts, KnowledgeGraph):
        return KnowledgeGraph.from_triples(facts)
    ends, end = np.unique(np.concatenate([facts.head_id, facts.tail_id]), return_inverse=True)
    used, relation_id = np.unique(facts.relation_id, return_inverse=True)
    head_id, tail_id = np.split(end, 2)
    return replace(
        facts,
        entities=tuple(facts.entities[index] for index in ends.tolist()),
        relations=tuple(facts.relations[index] for index in used.tolist()),
        head_id=head_id,
        relation_id=relation_id,
        tail_id=tail_id,
    )


def _entity_ids(graph: KnowledgeGraph, facts: KnowledgeGraph) -> Ids:
    """Return the ids of the facts' entities, by key or by unique name, −1 for those that are not known."""
    ids = np.array([graph.entity_ids.get(name, -1) for name in facts.entities], dtype=np.int64)
    missing = {facts.entities[index]: index for index in np.flatnonzero(ids < 0).tolist()}
    for key, aliases in graph.aliases.items() if missing else ():
        for alias in missing.keys() & set(aliases):
            if ids[missing[alias]] >= 0:
                graph.entity_id(alias)  # raises, and names the keys
            ids[missing[alias]] = graph.entity_ids.get(key, -1)
    return ids


def _numbered(ids: Ids, names: Sequence[str], before: int) -> tuple[Ids, tuple[str, ...]]:
    """Give those of `names` that are not known (−1) the ids from `before` on, and return them too."""
    missing = np.flatnonzero(ids < 0)
    ids[missing] = np.arange(before, before + len(missing))
    return ids, tuple(names[index] for index in missing.tolist())


def _columns(graph: KnowledgeGraph, rows: Ids | slice) -> Ids:
    """Return triples of a graph, (3, n)."""
    return np.stack([ids[rows] for ids in (graph.head_id, graph.relation_id, graph.tail_id)])


def _compared(graph: KnowledgeGraph, stated: Ids) -> tuple[Ids, Ids, Ids]:
    """Make the triples `stated`, (3, n), comparable with those of a graph.

    Returns:
        The positions (m,) of the graph's triples with one of their heads, and a number for each of these (m,)
        and for each of those stated (n,), the same for the same triple.
    """
    near = np.flatnonzero(np.isin(graph.head_id, stated[0]))
    head, relation, tail = np.concatenate([_columns(graph, near), stated], axis=1)
    # two steps, since head × relation × tail may not fit 64 bits
    question = np.unique(head * (relation.max(initial=0) + 1) + relation, return_inverse=True)[1]
    codes = question * (tail.max(initial=0) + 1) + tail
    return near, codes[: len(near)], codes[len(near) :]


def _not_there(graph: KnowledgeGraph, stated: Ids) -> Ids:
    """Return which of the triples `stated`, (3, n), the graph does not hold, each once."""
    _, known, codes = _compared(graph, stated)
    first = np.unique(codes, return_index=True)[1]
    return np.sort(first[~np.isin(codes[first], known)])


def _joined_sources(graph: KnowledgeGraph, facts: KnowledgeGraph, fresh: Ids) -> tuple[tuple[str, ...], Ids]:
    """Return the sources, and which of them each triple of the graph and then each fresh fact comes from."""
    sources, source_id = [*graph.sources], facts.source_id[fresh]
    numbers = np.zeros(len(facts.sources), dtype=np.int64)
    for index in np.unique(source_id).tolist():
        if facts.sources[index] not in sources:
            sources.append(facts.sources[index])
        numbers[index] = sources.index(facts.sources[index])
    return tuple(sources), np.concatenate([graph.source_id, numbers[source_id]])


def _joined_values(
    graph: KnowledgeGraph, facts: KnowledgeGraph, entity: Ids
) -> tuple[dict[str, tuple[Value, ...]], int]:
    """Return the literals of both graphs, and how many are new.

    Args:
        graph: the graph.
        facts: what is added.
        entity: the id that each entity of the facts has, or will have, in the graph.
    """
    values, new = dict(graph.values), 0
    for name, index in zip(facts.entities, entity.tolist(), strict=True):
        if name in facts.values:
            key = graph.entities[index] if index < graph.num_entities else name
            before = values.get(key, ())
            values[key] = tuple(dict.fromkeys((*before, *facts.values[name])))
            new += len(values[key]) - len(before)
    return values, new


def _no_such_triple(graph: KnowledgeGraph, triple: Ids, near: Ids, absent: int) -> GraphError:
    """Say that the graph does not hold a triple, and show those around its head that are most like it."""
    head, relation, tail = triple.tolist()
    others = f", nor {absent - 1:,} more of them" if absent > 1 else ""
    stated = f"{graph.label(head)} · {graph.relations[relation]} · {graph.label(tail)}"
    near = near[graph.head_id[near] == head]
    same = np.stack([graph.relation_id[near] == relation, graph.tail_id[near] == tail]).any(axis=0)
    near = near[np.argsort(~same, kind="stable")]
    shown = "; ".join(" · ".join(graph.triple(index)) for index in near[:SHOWN])
    more = f"; and {len(near) - SHOWN:,} more" if len(near) > SHOWN else ""
    hint = f"it holds {shown}{more}" if len(near) else f"it holds none with the head {graph.label(head)}"
    return GraphError(f"the graph does not hold {stated}{others}", hint=hint)
