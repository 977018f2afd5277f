"""The knowledge graph: entities, relations and triples as integer ids, with names, aliases and sources."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from roots_kg.errors import DataError, GraphError, nearest
from roots_kg.graph.assembly import Assembly, Ids, ReadReport, gather
from roots_kg.graph.card import Card, read_card
from roots_kg.graph.cells import Cells
from roots_kg.graph.readers import Batch, Literals, OnError, RawTriple, Source, read_file
from roots_kg.graph.values import Value
from roots_kg.graph.vocabulary import Vocabulary

__all__ = ["Adjacency", "Ids", "KnowledgeGraph", "ReadReport", "read_ids"]


@dataclass(frozen=True)
class Adjacency:
    """The edges around every entity, in both directions, in compressed sparse rows.

    The edges of entity e are the positions `start[e] : start[e + 1]` of the other arrays.

    Args:
        start: (E + 1,).
        neighbour: (2T,) the entity at the other end.
        direction: (2T,) `relation_id` for an edge away from e (e is its head), `relation_id + R` for one
            towards e (e is its tail).
        triple: (2T,) which triple the edge comes from.
    """

    start: Ids
    neighbour: Ids
    direction: Ids
    triple: Ids


@dataclass(frozen=True, eq=False)
class KnowledgeGraph:
    """An immutable set of triples over E entities and R relations.

    Args:
        entities: the key of each entity; the position is its id.
        relations: the name of each relation; the position is its id.
        head_id: (T,) the head entity of each triple.
        relation_id: (T,) the relation of each triple.
        tail_id: (T,) the tail entity of each triple.
        aliases: for an entity's key, what else it is called; the first is its display name.
        sources: the files that triples came from.
        source_id: (T,) which of `sources` each triple came from (the first that stated it); empty stands for
            the first source throughout.
        values: for an entity's key, the literals that were stated of it.
        cards: what is known about where the triples come from and under what licence.
    """

    entities: tuple[str, ...]
    relations: tuple[str, ...]
    head_id: Ids
    relation_id: Ids
    tail_id: Ids
    aliases: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    sources: tuple[str, ...] = ("",)
    source_id: Ids = field(default_factory=lambda: np.zeros(0, dtype=np.int64))
    values: Mapping[str, tuple[Value, ...]] = field(default_factory=dict)
    cards: tuple[Card, ...] = ()

    def __post_init__(self) -> None:
        if not len(self.source_id):
            object.__setattr__(self, "source_id", np.zeros(len(self.head_id), dtype=np.int64))

    @classmethod
    def from_triples(
        cls,
        triples: Iterable[RawTriple],
        *,
        aliases: Mapping[str, Sequence[str]] | None = None,
        source: str = "",
    ) -> KnowledgeGraph:
        """Build a graph from (head, relation, tail) names; a triple stated twice is kept once."""
        assembly = Assembly()
        assembly.begin_source()
        assembly.add(Batch(Cells.of([name for triple in triples for name in triple], 3)))
        found = assembly.triples()
        named = {key: tuple(names) for key, names in (aliases or {}).items()}
        return cls(*found[:5], aliases=named, sources=(source,))

    @classmethod
    def from_file(
        cls,
        *paths: Path | str,
        aliases: Path | str | Sequence[Path | str] | None = None,
        cards: Sequence[Path | str] = (),
        format: str | None = None,
        on_error: OnError = "strict",
        literals: Literals = "values",
        language: str = "en",
    ) -> KnowledgeGraph:
        """Read one or more triples files into one graph; see `read` for what can go wrong."""
        return cls.read(
            paths,
            aliases=aliases,
            cards=cards,
            format=format,
            on_error=on_error,
            literals=literals,
            language=language,
        )[0]

    @classmethod
    def read(
        cls,
        paths: Sequence[Path | str],
        *,
        aliases: Path | str | Sequence[Path | str] | None = None,
        cards: Sequence[Path | str] = (),
        format: str | None = None,
        on_error: OnError = "strict",
        literals: Literals = "values",
        language: str = "en",
    ) -> tuple[KnowledgeGraph, ReadReport]:
        """Read triples files and an aliases file into one graph, and report what was noticed.

        Args:
            paths: the files, in any mix of the formats of `roots_kg.graph.readers.FORMATS`.
            aliases: a file, or several, of two columns, entity<TAB>alias; an entity's first alias is its
                display name.
            cards: `card.yaml` files of the graphs that the files are.
            format: the format of all the triples files; None chooses file by file, by name or first lines.
            on_error: "strict" stops at the first bad line; "quarantine" sets bad lines aside.
            literals: whether literals become `values`, "entities" or nothing ("ignore"); names such as
                `rdfs:label` become aliases in any case.
            language: the language of the name to display, where an entity has names in several.

        Raises:
            UsageError: for an unknown option, or a format whose package is not installed.
            ConfigError: for a card that is none.
            DataError: for a missing, empty or malformed file.
        """
        described = tuple(read_card(Path(path)) for path in cards)
        sources = [Source(Path(path), on_error, literals, str(at)) for at, path in enumerate(paths)]
        named = [aliases] if isinstance(aliases, (str, Path)) else aliases or ()
        found, names, values, report = gather(
            sources, [Source(Path(path), on_error) for path in named], format, language
        )
        graph = cls(
            *found[:5],
            aliases=names,
            sources=tuple(map(str, paths)),
            source_id=found.source_id,
            values=values,
            cards=described,
        )
        return graph, report

    def __len__(self) -> int:
        """The number of triples, T."""
        return len(self.head_id)

    @property
    def num_entities(self) -> int:
        """The number of entities, E."""
        return len(self.entities)

    @property
    def num_relations(self) -> int:
        """The number of relations, R."""
        return len(self.relations)

    @cached_property
    def entity_ids(self) -> dict[str, int]:
        """From an entity's key to its id."""
        return {key: index for index, key in enumerate(self.entities)}

    @cached_property
    def relation_ids(self) -> dict[str, int]:
        """From a relation's name to its id."""
        return {name: index for index, name in enumerate(self.relations)}

    @cached_property
    def _ids_by_name(self) -> dict[str, list[int]]:
        by_name: dict[str, list[int]] = {}
        for index, key in enumerate(self.entities):
            for alias in dict.fromkeys(self.aliases.get(key) or (key,)):
                by_name.setdefault(alias, []).append(index)
        return by_name

    def entity_id(self, entity: str) -> int:
        """Return the id of an entity, given its key, or a name that only one entity has.

        Raises:
            GraphError: if there is none, or several have that name; the message names the nearest.
        """
        if entity in self.entity_ids:
            return self.entity_ids[entity]
        found = self._ids_by_name.get(entity, [])
        if len(found) == 1:
            return found[0]
        if found:
            keys = ", ".join(repr(self.entities[index]) for index in found[:5])
            raise GraphError(f"several entities are called {entity!r}", hint=f"use a key: {keys}")
        raise GraphError(f"the graph has no entity {entity!r}", hint=nearest(entity, self._ids_by_name))

    def relation(self, relation: str) -> int:
        """Return the id of a relation.

        Raises:
            GraphError: if there is none; the message names the nearest.
        """
        if relation not in self.relation_ids:
            hint = nearest(relation, self.relations)
            raise GraphError(f"the graph has no relation {relation!r}", hint=hint)
        return self.relation_ids[relation]

    def name(self, entity_id: int) -> str:
        """Return what an entity is called: its first alias, or else its key."""
        key = self.entities[entity_id]
        names = self.aliases.get(key)
        return names[0] if names else key

    def label(self, entity_id: int) -> str:
        """Return an entity's name, followed by its key where another entity has the same name."""
        name, key = self.name(entity_id), self.entities[entity_id]
        return name if name == key or len(self._ids_by_name[name]) == 1 else f"{name} [{key}]"

    def triple(self, index: int) -> tuple[str, str, str]:
        """Return the labels of triple number `index`: head, relation, tail."""
        head, tail = int(self.head_id[index]), int(self.tail_id[index])
        return self.label(head), self.relations[self.relation_id[index]], self.label(tail)

    def opposite(self, direction: int) -> int:
        """Return the direction that walks the same edges the other way."""
        return (direction + self.num_relations) % (2 * self.num_relations)

    @cached_property
    def adjacency(self) -> Adjacency:
        """The edges around every entity."""
        owner = np.concatenate([self.head_id, self.tail_id])
        neighbour = np.concatenate([self.tail_id, self.head_id])
        direction = np.concatenate([self.relation_id, self.relation_id + self.num_relations])
        triple = np.tile(np.arange(len(self)), 2)
        # the sort is stable, and so leaves triples in order; the owner and the direction fit one number
        order = np.lexsort((neighbour, owner * (2 * self.num_relations) + direction))
        start = np.concatenate([[0], np.cumsum(np.bincount(owner, minlength=self.num_entities))])
        return Adjacency(start, neighbour[order], direction[order], triple[order])

    @cached_property
    def fingerprint(self) -> str:
        """A SHA-256 over the entities, relations and triples, in their order."""
        digest = hashlib.sha256()
        for names in (self.entities, self.relations):
            digest.update("\0".join(names).encode() + b"\1")
        for ids in (self.head_id, self.relation_id, self.tail_id):
            digest.update(ids.astype("<i8").tobytes())
        return digest.hexdigest()

    def without(self, triples: Sequence[int]) -> KnowledgeGraph:
        """Return the graph without the triples at these positions; entities and relations keep their ids."""
        keep = np.ones(len(self), dtype=bool)
        keep[np.asarray(triples, dtype=np.int64)] = False
        return self.with_triples(
            self.head_id[keep], self.relation_id[keep], self.tail_id[keep], self.source_id[keep]
        )

    def with_triples(
        self, head_id: Ids, relation_id: Ids, tail_id: Ids, source_id: Ids | None = None
    ) -> KnowledgeGraph:
        """Return a graph of the same entities and relations with other triples, each (T,)."""
        return replace(
            self,
            head_id=head_id,
            relation_id=relation_id,
            tail_id=tail_id,
            source_id=np.zeros(0, dtype=np.int64) if source_id is None else source_id,
        )

    def to_networkx(self) -> Any:
        """Return a `networkx.MultiDiGraph` of entity keys with a `name`, edges keyed by relation."""
        import networkx

        graph = networkx.MultiDiGraph()
        for index, key in enumerate(self.entities):
            graph.add_node(key, name=self.name(index))
        for head, relation, tail in zip(self.head_id, self.relation_id, self.tail_id, strict=True):
            graph.add_edge(self.entities[head], self.entities[tail], key=self.relations[relation])
        return graph

    def to_pyg(self) -> Any:
        """Return a PyG `Data` with `edge_index` (2, T), `edge_type` (T,) and `num_nodes` E."""
        import torch
        from torch_geometric.data import Data

        edge_index = torch.from_numpy(np.stack([self.head_id, self.tail_id]))
        edge_type = torch.from_numpy(self.relation_id.copy())
        return Data(edge_index=edge_index, edge_type=edge_type, num_nodes=self.num_entities)


def read_ids(graph: KnowledgeGraph, path: Path, format: str | None = None) -> tuple[Ids, Ids, Ids]:
    """Read a triples file as ids of a graph; literals are left out, repeated triples are not.

    Args:
        graph: the graph that says which id a name has.
        path: the file.
        format: its format; None chooses by its name or its first lines.

    Returns:
        heads, relations and tails, each (T,); −1 stands for what the graph does not know.

    Raises:
        DataError: for a missing, empty or malformed file.
    """
    entities, relations = Vocabulary(), Vocabulary()
    ends, between = [np.zeros((0, 2), dtype=np.int32)], [np.zeros((0, 1), dtype=np.int32)]
    for batch in read_file(Source(Path(path), literals="ignore", scope="?"), format):
        ends.append(entities.ids(batch.triples.columns(0, 2)))
        between.append(relations.ids(batch.triples.columns(1)))
    if sum(map(len, ends)) == 0:
        raise DataError("holds no triple, only literals", path=path)
    entity_ids = np.array([graph.entity_ids.get(name, -1) for name in entities.names()], dtype=np.int64)
    relation_ids = np.array([graph.relation_ids.get(name, -1) for name in relations.names()], dtype=np.int64)
    head_id, tail_id = entity_ids[np.concatenate(ends)].T.copy()
    return head_id, relation_ids[np.concatenate(between)][:, 0], tail_id
