"""The card of a knowledge graph: what it is, where it comes from, its licence, and how much it holds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from roots_kg.config import from_mapping, load_yaml

if TYPE_CHECKING:
    from roots_kg.graph.triples import KnowledgeGraph

__all__ = ["Card", "Counts", "card_problems", "read_card"]


@dataclass(frozen=True)
class Counts:
    """How much a graph holds; what is None is not stated.

    Args:
        triples: distinct triples.
        entities: entities that a triple mentions.
        relations: relations that a triple uses.
        aliases: names of entities.
        by_relation: triples of each relation.
    """

    triples: int | None = None
    entities: int | None = None
    relations: int | None = None
    aliases: int | None = None
    by_relation: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Card:
    """What `card.yaml` says about a graph.

    Args:
        source: where the facts come from.
        licence: under what licence they may be used.
        name: what the graph is called.
        description: what it is about.
        counts: how much it holds.
        generator: the versions of the packages that it was made with.
    """

    source: str
    licence: str
    name: str = ""
    description: str = ""
    counts: Counts = Counts()
    generator: dict[str, str] = field(default_factory=dict)


def read_card(path: Path) -> Card:
    """Read a `card.yaml`.

    Raises:
        ConfigError: if it is no card; an unknown key is refused with the nearest known one.
    """
    return from_mapping(Card, load_yaml(path), path=path)


def card_problems(card: Card, graph: KnowledgeGraph) -> list[str]:
    """Return where a card's counts differ from the graph, each as a sentence.

    A graph that was put together from several files has no count to compare.
    """
    if len(graph.sources) > 1:
        return []
    counts = card.counts
    found = {
        "triples": len(graph),
        "entities": graph.num_entities,
        "relations": graph.num_relations,
        "aliases": sum(map(len, graph.aliases.values())),
    }
    problems = [
        f"the card counts {stated:,} {name}, the graph has {found[name]:,}"
        for name in found
        if (stated := getattr(counts, name)) is not None and stated != found[name]
    ]
    return problems + (_by_relation(counts.by_relation, graph) if counts.by_relation else [])


def _by_relation(stated: Mapping[str, int], graph: KnowledgeGraph) -> list[str]:
    import numpy as np

    counts = np.bincount(graph.relation_id, minlength=graph.num_relations).tolist()
    found = dict(zip(graph.relations, counts, strict=True))
    return [
        f"the card counts {stated.get(name, 0):,} triples of {name!r}, the graph has {found.get(name, 0):,}"
        for name in {**stated, **found}
        if stated.get(name, 0) != found.get(name, 0)
    ]
