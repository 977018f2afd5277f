"""What a graph looks like in numbers: degrees, relation cardinalities, components and likely duplicates.

Everything is a few sorts and counts over the id arrays, so that a graph of millions of triples takes seconds.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from roots_kg.graph.triples import Ids, KnowledgeGraph

__all__ = [
    "SAME_NAME",
    "Bin",
    "Cardinality",
    "DuplicateGroup",
    "RelationStatistics",
    "component_sizes",
    "degree_histogram",
    "degree_quantiles",
    "degrees",
    "likely_duplicates",
    "relation_statistics",
]

Cardinality = Literal["1-1", "1-N", "N-1", "N-N"]

MANY = 1.5
"""The mean number of answers from which on a side of a relation counts as N (Bordes et al. 2013)."""

SAME_NAME = "same name"
QUANTILES = {"minimum": 0.0, "quarter": 0.25, "median": 0.5, "three_quarters": 0.75, "p90": 0.9, "p99": 0.99}


@dataclass(frozen=True)
class RelationStatistics:
    """How one relation is used.

    Args:
        relation: its name.
        triples: how many triples it has.
        heads: how many distinct head entities.
        tails: how many distinct tail entities.
        tails_per_head: the mean number of tails of a head.
        heads_per_tail: the mean number of heads of a tail.
        cardinality: heads to tails: a side is N where its mean is 1.5 or more (Bordes et al. 2013, section
            4.1); None for a relation without triples.
        example: the labels of its first triple; None for a relation without triples.
    """

    relation: str
    triples: int
    heads: int
    tails: int
    tails_per_head: float
    heads_per_tail: float
    cardinality: Cardinality | None
    example: tuple[str, str, str] | None


@dataclass(frozen=True)
class Bin:
    """How many entities have a degree from `low` to `high`, both included."""

    low: int
    high: int
    entities: int


@dataclass(frozen=True)
class DuplicateGroup:
    """Entities or relations whose names are the same but for how they are written.

    Args:
        difference: what sets the names apart, the weakest that explains all of them: "same name" (other
            keys), "NFC/NFD" (composed and decomposed accents, the same to the eye), "compatibility
            forms" (such as full-width letters), "letter case", or "spacing and punctuation".
        keys: in the order of their ids; at least two.
        names: what they are called.
    """

    difference: str
    keys: tuple[str, ...]
    names: tuple[str, ...]


def degrees(graph: KnowledgeGraph) -> Ids:
    """Return the number of edge ends at each entity, (E,); a self-loop counts twice."""
    size = graph.num_entities
    return np.bincount(graph.head_id, minlength=size) + np.bincount(graph.tail_id, minlength=size)


def degree_quantiles(degree: Ids) -> dict[str, float]:
    """Return the quantiles of the degrees, (E,), with their mean and their maximum."""
    degree = degree if len(degree) else np.zeros(1, dtype=np.int64)
    values = np.quantile(degree, list(QUANTILES.values()), method="inverted_cdf")
    found = {name: float(value) for name, value in zip(QUANTILES, values, strict=True)}
    return {**found, "maximum": float(degree.max()), "mean": float(degree.mean())}


def degree_histogram(degree: Ids) -> list[Bin]:
    """Return how many entities have a degree of 0, 1, 2 to 3, 4 to 7 and so on, up to the highest."""
    exponent = np.frexp(degree.astype(np.float64))[1]  # 0 for 0, 1 for 1, 2 for 2 and 3, …
    counts = np.bincount(exponent).tolist()
    bins = [Bin(0, 0, counts[0])] if counts[0] else []
    first = next((index for index, count in enumerate(counts) if index and count), len(counts))
    return bins + [Bin(1 << (i - 1), (1 << i) - 1, counts[i]) for i in range(first, len(counts))]


def relation_statistics(graph: KnowledgeGraph) -> list[RelationStatistics]:
    """Return how each relation is used, the most frequent first, of equals by name."""
    relation, count = graph.relation_id, len(graph)
    triples = np.bincount(relation, minlength=graph.num_relations)
    heads, tails = (_distinct(graph, ids) for ids in (graph.head_id, graph.tail_id))
    first = np.zeros(graph.num_relations, dtype=np.int64)
    first[relation[::-1]] = np.arange(count - 1, -1, -1)
    order = sorted(range(graph.num_relations), key=lambda index: (-triples[index], graph.relations[index]))
    found = []
    for index in order:
        total, head_count, tail_count = int(triples[index]), int(heads[index]), int(tails[index])
        tails_per_head, heads_per_tail = total / max(1, head_count), total / max(1, tail_count)
        found.append(
            RelationStatistics(
                graph.relations[index],
                total,
                head_count,
                tail_count,
                tails_per_head,
                heads_per_tail,
                _cardinality(tails_per_head, heads_per_tail) if total else None,
                graph.triple(int(first[index])) if total else None,
            )
        )
    return found


def component_sizes(graph: KnowledgeGraph) -> Ids:
    """Return the number of entities in each connected component, the largest first.

    Entities without triples belong to none. Roots of trees are hooked onto their smallest neighbour, and all
    paths halved until they are flat, until no edge joins two trees.
    """
    label = np.arange(graph.num_entities)
    here, there = graph.head_id, graph.tail_id
    while len(here):
        low, high = np.minimum(here, there), np.maximum(here, there)
        np.minimum.at(label, high, low)
        while not np.array_equal(label, flatter := label[label]):
            label = flatter
        here, there = label[here], label[there]
        apart = here != there
        here, there = here[apart], there[apart]
    used = np.zeros(graph.num_entities, dtype=bool)
    used[graph.head_id] = used[graph.tail_id] = True
    sizes = np.bincount(label[used])
    return np.sort(sizes[sizes > 0])[::-1]


def likely_duplicates(keys: Sequence[str], names: Sequence[str]) -> list[DuplicateGroup]:
    """Return the groups of names that fold to the same text.

    Folded are Unicode compatibility forms (NFKC), letter case, and runs of spaces and punctuation. The groups
    whose names differ least to the eye come first, those that share one and the same name last.

    Args:
        keys: of entities or relations; no two the same.
        names: what each is called.
    """
    hashes = np.fromiter(map(hash, map(fold, names)), dtype=np.int64, count=len(names))
    ordered = np.sort(hashes)
    repeated = np.unique(ordered[1:][ordered[1:] == ordered[:-1]])
    groups: dict[str, list[int]] = {}
    for index in np.flatnonzero(np.isin(hashes, repeated)).tolist():
        groups.setdefault(fold(names[index]), []).append(index)
    found = []
    for members in groups.values():
        if len(members) > 1:
            alike = tuple(names[index] for index in members)
            found.append(DuplicateGroup(_difference(alike), tuple(keys[index] for index in members), alike))
    rank = {name: index for index, name in enumerate([*list(_STEPS)[1:], _LAST, SAME_NAME])}
    return sorted(found, key=lambda group: rank[group.difference])


def fold(name: str) -> str:
    """Return a name without what often differs between two spellings of it; never empty for a name."""
    text = name if name.isascii() else unicodedata.normalize("NFKC", name)
    return " ".join(text.casefold().translate(_TO_SPACE).split()) or name


def _distinct(graph: KnowledgeGraph, ids: Ids) -> Ids:
    """Return how many distinct entities of one side, (T,), each relation has, (R,)."""
    pairs = np.sort(graph.relation_id.astype(np.int64) * graph.num_entities + ids)
    is_first = np.ones(len(pairs), dtype=bool)
    is_first[1:] = pairs[1:] != pairs[:-1]
    return np.bincount(pairs[is_first] // graph.num_entities, minlength=graph.num_relations)


def _cardinality(tails_per_head: float, heads_per_tail: float) -> Cardinality:
    if heads_per_tail < MANY:
        return "1-1" if tails_per_head < MANY else "1-N"
    return "N-1" if tails_per_head < MANY else "N-N"


class _Separators(dict[int, str]):
    """A table for `str.translate`: what separates words becomes a space, what is not seen goes.

    Symbols that carry meaning (as in C# or 100%) stay, like all the rest.
    """

    def __missing__(self, code: int) -> str:
        char, category = chr(code), unicodedata.category(chr(code))
        separates = char.isspace() or category == "Cc" or (category[0] == "P" and char not in "#%&@*§")
        self[code] = " " if separates else "" if category == "Cf" else char
        return self[code]


_TO_SPACE = _Separators()
_STEPS: dict[str, Callable[[str], str]] = {
    SAME_NAME: str,
    "NFC/NFD": lambda name: unicodedata.normalize("NFC", name),
    "compatibility forms": lambda name: unicodedata.normalize("NFKC", name),
    "letter case": lambda name: unicodedata.normalize("NFKC", name).casefold(),
}
_LAST = "spacing and punctuation"


def _difference(names: tuple[str, ...]) -> str:
    return next((kind for kind, step in _STEPS.items() if len(set(map(step, names))) == 1), _LAST)
