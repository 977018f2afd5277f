"""From what the readers yield to the arrays of a graph: ids in order of appearance, each triple once."""

from __future__ import annotations

from collections.abc import Container, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from roots_kg.errors import DataError
from roots_kg.graph.readers import Batch, Reject, Source, read_aliases, read_file
from roots_kg.graph.values import Value, is_name, name_order
from roots_kg.graph.vocabulary import Vocabulary

__all__ = ["Assembly", "Ids", "ReadReport", "TripleArrays", "first_statements", "gather"]

Ids = NDArray[np.int64]
Names = dict[str, tuple[str, ...]]
Values = dict[str, tuple[Value, ...]]
_ShortIds = NDArray[np.int32]

ROWS = 1 << 20


@dataclass(frozen=True)
class ReadReport:
    """What was noticed while a graph was read.

    Args:
        rejects: the lines that were set aside.
        duplicates: how many triples were stated more than once (each is kept once).
        unused_aliases: how many aliases belong to entities that no triple mentions (ignored).
        unused_values: how many literals belong to entities that no triple mentions (ignored).
        ignored_literals: how many literals were left out because that was asked for.
    """

    rejects: tuple[Reject, ...] = ()
    duplicates: int = 0
    unused_aliases: int = 0
    unused_values: int = 0
    ignored_literals: int = 0


class TripleArrays(NamedTuple):
    """Distinct triples, in the order in which they were first stated.

    Args:
        entities: the key of each entity, in order of appearance, heads before tails.
        relations: the name of each relation, in order of appearance.
        head_id: (T,).
        relation_id: (T,).
        tail_id: (T,).
        source_id: (T,) which source stated the triple first.
        duplicates: how many statements repeated another.
    """

    entities: tuple[str, ...]
    relations: tuple[str, ...]
    head_id: Ids
    relation_id: Ids
    tail_id: Ids
    source_id: Ids
    duplicates: int


class Assembly:
    """Collects the statements of one file or several, as ids."""

    def __init__(self) -> None:
        self._entities, self._relations, self._texts = Vocabulary(), Vocabulary(), Vocabulary()
        self._ends: list[_ShortIds] = []
        self._between: list[_ShortIds] = []
        self._values: list[_ShortIds] = []
        self._sizes: list[int] = []

    def begin_source(self) -> None:
        """Say that the coming batches are of the next source."""
        self._sizes.append(0)

    def add(self, batch: Batch) -> None:
        """Take the statements of a batch."""
        self._sizes[-1] += len(batch.triples)
        self._ends.append(self._entities.ids(batch.triples.columns(0, 2)))
        self._between.append(self._relations.ids(batch.triples.columns(1))[:, 0])
        self._values.append(self._texts.ids(batch.values))

    @property
    def num_literals(self) -> int:
        """The number of literals."""
        return sum(map(len, self._values))

    def triples(self) -> TripleArrays:
        """Return the triples. The assembly forgets them, for there may be many."""
        head, tail = (_joined(ends[:, side] for ends in self._ends) for side in (0, 1))
        relation = _joined(self._between)
        self._ends, self._between = [], []
        entities, rank = _by_appearance(self._entities, head, tail)
        self._entities = Vocabulary()
        head, tail = rank[head], rank[tail]
        relations, rank = _by_appearance(self._relations, relation)
        relation = rank[relation]
        source_id = np.zeros(len(head), dtype=np.int64)
        if len(self._sizes) > 1:
            source_id = np.repeat(np.arange(len(self._sizes)), self._sizes)
        keep = first_statements(head, relation, tail, len(entities), len(relations))
        duplicates = len(keep) - int(keep.sum())
        if duplicates:
            head, relation, tail, source_id = head[keep], relation[keep], tail[keep], source_id[keep]
        head_id, relation_id, tail_id = (column.astype(np.int64) for column in (head, relation, tail))
        return TripleArrays(entities, relations, head_id, relation_id, tail_id, source_id, duplicates)

    def literals(self, entities: Container[str], language: str) -> tuple[Values, Names, int]:
        """Return what the literals say about these entities.

        Args:
            entities: the keys of those that count.
            language: which language is preferred for the name to display.

        Returns:
            the values of each entity in the order of their statements; the names of each, the one to display
            first; how many literals belong to none of the entities.
        """
        rows = np.concatenate([np.zeros((0, 5), dtype=np.int32), *self._values])
        self._values = []
        subjects = np.unique(rows[:, 0])
        known = np.zeros(len(self._texts), dtype=bool)
        known[subjects] = [name in entities for name in self._texts.names_of(subjects)]
        used = rows[known[rows[:, 0]]]
        wanted = np.unique(used)
        text = dict(zip(wanted.tolist(), self._texts.names_of(wanted), strict=True))
        values: dict[str, dict[Value, None]] = {}
        names: dict[str, dict[str, tuple[int, int]]] = {}
        for at in range(0, len(used), ROWS):
            for row in used[at : at + ROWS].tolist():
                entity, relation, said, datatype, tag = (text[item] for item in row)
                if not is_name(relation):
                    value = Value(relation, said, datatype or None, tag or None)
                    values.setdefault(entity, {})[value] = None
                elif said := said.strip():
                    order = name_order(relation, tag, language)
                    known_as = names.setdefault(entity, {})
                    known_as[said] = min(order, known_as.get(said, order))
        return (
            {entity: tuple(stated) for entity, stated in values.items()},
            {entity: tuple(sorted(found, key=found.__getitem__)) for entity, found in names.items()},
            len(rows) - len(used),
        )


def gather(
    sources: Sequence[Source], aliases: Sequence[Source], format: str | None, language: str
) -> tuple[TripleArrays, Names, Values, ReadReport]:
    """Read triples files and files of aliases.

    Args:
        sources: the triples files.
        aliases: files of entity<TAB>alias.
        format: the format of the triples files; None chooses file by file.
        language: which language is preferred for the name to display.

    Returns:
        the triples; the names of each entity, those of the files of aliases first; the values of each entity;
        what was noticed.

    Raises:
        DataError: for a missing, empty or malformed file.
    """
    assembly = Assembly()
    for source in sources:
        assembly.begin_source()
        for batch in read_file(source, format):
            assembly.add(batch)
    found = assembly.triples()
    if not len(found.head_id):
        raise DataError("holds no triple, only literals", path=sources[0].path if sources else None)
    entities = frozenset(found.entities) if aliases or assembly.num_literals else frozenset()
    names, unused_aliases = _read_aliases(aliases, entities)
    values, labels, unused_values = assembly.literals(entities, language)
    for entity, more in labels.items():
        names[entity] = tuple(dict.fromkeys((*names.get(entity, ()), *more)))
    report = ReadReport(
        rejects=tuple(reject for source in (*sources, *aliases) for reject in source.rejects),
        duplicates=found.duplicates,
        unused_aliases=unused_aliases,
        unused_values=unused_values,
        ignored_literals=sum(source.ignored for source in sources),
    )
    return found, names, values, report


def first_statements(
    head: NDArray[np.integer],
    relation: NDArray[np.integer],
    tail: NDArray[np.integer],
    entities: int,
    relations: int,
) -> NDArray[np.bool_]:
    """Tell of each triple whether no earlier one is equal to it.

    Args:
        head: (T,) ids below `entities`.
        relation: (T,) ids below `relations`.
        tail: (T,) ids below `entities`.
        entities: E.
        relations: R.

    Returns:
        (T,).
    """
    first = np.ones(len(head), dtype=bool)
    if entities * entities * relations > np.iinfo(np.int64).max:  # a triple does not fit into one number
        order = np.lexsort((tail, relation, head))
        same = [column[order[1:]] == column[order[:-1]] for column in (head, relation, tail)]
        first[order[1:]] = ~np.logical_and.reduce(same)
        return first
    key = head.astype(np.int64)
    key *= relations
    key += relation
    key *= entities
    key += tail
    ordered = np.sort(key)
    repeated = ordered[1:][ordered[1:] == ordered[:-1]]
    if len(repeated):  # few, as a rule: only their statements are put into order
        del ordered
        among = np.flatnonzero(np.isin(key, repeated))
        order = np.argsort(key[among], kind="stable")
        grouped = key[among[order]]
        first[among[order[1:]]] = grouped[1:] != grouped[:-1]
    return first


def _by_appearance(vocabulary: Vocabulary, *columns: _ShortIds) -> tuple[tuple[str, ...], _ShortIds]:
    """Return the names of a vocabulary in the order in which they appear in rows, and each id's new id."""
    first = np.full(len(vocabulary), np.iinfo(np.int64).max)
    for place, column in enumerate(columns):
        own = first.copy()
        for end in range(len(column), 0, -ROWS):  # backwards: of several assignments, the last is kept
            start = max(0, end - ROWS)
            own[column[start:end][::-1]] = np.arange(end - 1, start - 1, -1) * len(columns) + place
        np.minimum(first, own, out=first)
    order = np.argsort(first)
    rank = np.empty(len(order), dtype=np.int32)
    rank[order] = np.arange(len(order))
    names = np.empty(len(order), dtype=object)
    names[:] = vocabulary.names()
    return tuple(names[order].tolist()), rank


def _joined(parts: Iterator[_ShortIds] | list[_ShortIds]) -> _ShortIds:
    return np.concatenate([np.zeros(0, dtype=np.int32), *parts])


def _read_aliases(sources: Sequence[Source], entities: Container[str]) -> tuple[Names, int]:
    """Return the names of these entities, and how many names are of others."""
    aliases: dict[str, dict[str, None]] = {}
    unused = 0
    for source in sources:
        used = skipped = 0
        for _, entity, alias in read_aliases(source):
            if entity in entities:
                aliases.setdefault(entity, {})[alias] = None
                used += 1
            else:
                skipped += 1
        if skipped and not used:
            message = "none of its entities is in the graph"
            raise DataError(message, path=source.path, hint="the first column is the entity's key")
        unused += skipped
    return {entity: tuple(names) for entity, names in aliases.items()}, unused
