"""The knowledge graph: entities, relations and triples as integer ids, with names, aliases and sources."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from roots_kg.errors import DataError, GraphError, nearest
from roots_kg.graph.readers import Delimiter, OnError, RawTriple, Reject, TripleReader, read_aliases

__all__ = ["Adjacency", "KnowledgeGraph", "ReadReport"]

Ids = NDArray[np.int64]


@dataclass(frozen=True)
class ReadReport:
    """What was noticed while a graph was read.

    Args:
        rejects: the lines that were set aside.
        duplicates: how many triples were stated more than once (each is kept once).
        unused_aliases: how many aliases belong to entities that no triple mentions (ignored).
    """

    rejects: tuple[Reject, ...] = ()
    duplicates: int = 0
    unused_aliases: int = 0


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
    """

    entities: tuple[str, ...]
    relations: tuple[str, ...]
    head_id: Ids
    relation_id: Ids
    tail_id: Ids
    aliases: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    sources: tuple[str, ...] = ("",)
    source_id: Ids = field(default_factory=lambda: np.zeros(0, dtype=np.int64))

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
        builder = _Builder()
        builder.add(triples, source)
        return builder.build({key: tuple(names) for key, names in (aliases or {}).items()})

    @classmethod
    def from_file(
        cls,
        *paths: Path | str,
        aliases: Path | str | None = None,
        delimiter: Delimiter | None = None,
        on_error: OnError = "strict",
    ) -> KnowledgeGraph:
        """Read one or more triples files into one graph; see `read` for what can go wrong."""
        return cls.read(paths, aliases=aliases, delimiter=delimiter, on_error=on_error)[0]

    @classmethod
    def read(
        cls,
        paths: Sequence[Path | str],
        *,
        aliases: Path | str | None = None,
        delimiter: Delimiter | None = None,
        on_error: OnError = "strict",
    ) -> tuple[KnowledgeGraph, ReadReport]:
        """Read triples files and an aliases file into one graph, and report what was noticed.

        Args:
            paths: files of three columns; see `TripleReader`.
            aliases: a file of two columns, entity<TAB>alias; an entity's first alias is its display name.
            delimiter: what separates the columns of the triples files; None sniffs it, file by file.
            on_error: "strict" stops at the first bad line; "quarantine" sets bad lines aside.

        Raises:
            DataError: for a missing, empty or malformed file.
        """
        builder = _Builder()
        rejects: list[Reject] = []
        for path in map(Path, paths):
            reader = TripleReader(path, delimiter, on_error)
            builder.add(reader.read(), str(path))
            rejects += reader.rejects
        named, unused = _read_aliases(Path(aliases), builder.entities) if aliases is not None else ({}, 0)
        return builder.build(named), ReadReport(tuple(rejects), builder.duplicates, unused)

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

    @cached_property
    def adjacency(self) -> Adjacency:
        """The edges around every entity."""
        owner = np.concatenate([self.head_id, self.tail_id])
        neighbour = np.concatenate([self.tail_id, self.head_id])
        direction = np.concatenate([self.relation_id, self.relation_id + self.num_relations])
        triple = np.tile(np.arange(len(self)), 2)
        order = np.lexsort((triple, neighbour, direction, owner))
        start = np.searchsorted(owner[order], np.arange(self.num_entities + 1))
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
        from torch_geometric.data import Data

        edge_index = torch.from_numpy(np.stack([self.head_id, self.tail_id]))
        edge_type = torch.from_numpy(self.relation_id.copy())
        return Data(edge_index=edge_index, edge_type=edge_type, num_nodes=self.num_entities)


class _Builder:
    """Collects triples as ids, each distinct triple once."""

    def __init__(self) -> None:
        self.entities: dict[str, int] = {}
        self.relations: dict[str, int] = {}
        self.sources: list[str] = []
        self.triples: dict[tuple[int, int, int], int] = {}
        self.duplicates = 0

    def add(self, triples: Iterable[RawTriple], source: str) -> None:
        source_id = len(self.sources)
        self.sources.append(source)
        entities, relations, known = self.entities, self.relations, self.triples
        for head, relation, tail in triples:
            triple = (
                entities.setdefault(head, len(entities)),
                relations.setdefault(relation, len(relations)),
                entities.setdefault(tail, len(entities)),
            )
            self.duplicates += triple in known
            known.setdefault(triple, source_id)

    def build(self, aliases: Mapping[str, tuple[str, ...]]) -> KnowledgeGraph:
        ids = np.array(list(self.triples), dtype=np.int64).reshape(-1, 3)
        source_id = np.fromiter(self.triples.values(), dtype=np.int64, count=len(self.triples))
        head_id, relation_id, tail_id = (np.ascontiguousarray(column) for column in ids.T)
        names = (tuple(self.entities), tuple(self.relations))
        return KnowledgeGraph(*names, head_id, relation_id, tail_id, aliases, tuple(self.sources), source_id)


def _read_aliases(path: Path, entities: Mapping[str, int]) -> tuple[dict[str, tuple[str, ...]], int]:
    aliases: dict[str, list[str]] = {}
    unused = used = 0
    for _, entity, alias in read_aliases(path):
        if entity not in entities:
            unused += 1
        elif alias not in aliases.setdefault(entity, []):
            aliases[entity].append(alias)
            used += 1
    if unused and not used:
        raise DataError(
            "none of its entities is in the graph", path=path, hint="the first column is the entity's key"
        )
    return {entity: tuple(names) for entity, names in aliases.items()}, unused
