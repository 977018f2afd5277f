"""Tasks made from a graph: classes are tails of a relation, examples are texts that mention heads.

A text tells a few other things about the head, in the sentences that fusion layers are trained on, and never
the triple that makes its class. An entity of which nothing else is known is mentioned by its name alone.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from roots_kg.fusion.encoder import Text
from roots_kg.fusion.names import relation_text
from roots_kg.graph.triples import Ids, KnowledgeGraph
from roots_kg.training.fusion_texts import sentence
from roots_kg.training.meta_config import GraphEpisodes

__all__ = ["GraphTask", "graph_task"]

MOST_HEADS = 100
"""Of how many heads of a tail texts are made."""


@dataclass(frozen=True)
class GraphTask:
    """A task made from one relation.

    Args:
        name: what it is called.
        description: the relation as words.
        texts: that mention heads.
        labels: for each, the name of its tail.
    """

    name: str
    description: str
    texts: list[Text]
    labels: list[str]


def graph_task(graph: KnowledgeGraph, config: GraphEpisodes, examples: int, seed: int) -> Iterator[GraphTask]:
    """Yield a task for each relation of which enough tails have enough heads.

    A head that has several tails by the relation makes no example of it.

    Args:
        graph: the graph.
        config: how many tails a relation needs, and how much a text tells.
        examples: how many heads a tail needs.
        seed: of what is drawn.
    """
    for relation in range(graph.num_relations):
        generator = np.random.default_rng([seed, relation])
        chosen = np.flatnonzero(graph.relation_id == relation)
        heads, tails = graph.head_id[chosen], graph.tail_id[chosen]
        pairs = np.unique(np.stack([heads, tails]), axis=1)
        heads, first, counts = np.unique(pairs[0], return_index=True, return_counts=True)
        heads, tails = heads[counts == 1], pairs[1][first[counts == 1]]
        kept, sizes = np.unique(tails, return_counts=True)
        kept = kept[sizes >= examples]
        names = [graph.name(int(tail)) for tail in kept]
        if len(set(names)) < config.tails:
            continue
        words = relation_text(graph.relations[relation])
        task = GraphTask(f"graph: {graph.relations[relation]}", words, [], [])
        for tail, name in zip(kept.tolist(), names, strict=True):
            members = generator.permutation(heads[tails == tail])[:MOST_HEADS]
            for head in members.tolist():
                task.texts.append(_text(graph, head, relation, tail, config.told, generator))
                task.labels.append(name)
        yield task


def _text(
    graph: KnowledgeGraph, head: int, relation: int, tail: int, told: int, generator: np.random.Generator
) -> str:
    """Tell a few things about an entity, but not how it is connected with the tail."""
    edges = graph.adjacency
    around: Ids = np.arange(edges.start[head], edges.start[head + 1])
    triples = np.unique(edges.triple[around[edges.neighbour[around] != tail]])
    triples = triples[graph.relation_id[triples] != relation]
    count = min(told, len(triples))
    if not count:
        return graph.name(head)
    chosen = generator.choice(triples, size=count, replace=False).tolist()
    return " ".join(sentence(graph, triple, set(), generator)[0] for triple in chosen)
