"""What a graph says about the entities that a text mentions, as triples to write from."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from roots_kg.adaptation.generation.triples import Triple
from roots_kg.fusion.knowledge import Knowledge
from roots_kg.graph.linking import Mention

__all__ = ["Fact", "linked_facts"]

MOST_FACTS = 8


@dataclass(frozen=True)
class Fact:
    """A triple of the graph.

    Args:
        number: in the graph.
        triple: by name.
        weight: how much of the retrieval's walk is at its two ends, as a share of that of all facts.
    """

    number: int
    triple: Triple
    weight: float


def linked_facts(knowledge: Knowledge, mentions: Sequence[Mention], without: Collection[int]) -> list[Fact]:
    """Return the weightiest triples around the entities that a text mentions, at most `MOST_FACTS`.

    Triples of a mentioned entity come before those that are further away.

    Args:
        knowledge: the graph.
        mentions: of the text.
        without: triples to treat as absent.
    """
    seeds = {mention.best.entity_id: mention.best.score for mention in mentions if mention.best.score > 0}
    if not seeds or not len(knowledge.graph):
        return []
    found = knowledge.retriever.retrieve(seeds, without)
    weights: dict[int, tuple[bool, float]] = {}
    for source, target, triple in zip(found.source, found.target, found.triple, strict=True):
        near = int(found.nodes[source]) in seeds or int(found.nodes[target]) in seeds
        weights[int(triple)] = (near, float(found.mass[source] + found.mass[target]))
    chosen = sorted(weights, key=lambda triple: (weights[triple], -triple), reverse=True)[:MOST_FACTS]
    total = sum(weights[triple][1] for triple in chosen)
    return [Fact(triple, knowledge.graph.triple(triple), weights[triple][1] / total) for triple in chosen]
