"""Controls for "does the graph help?": graphs and vectors of the same size and shape that know nothing."""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch.nn import functional

from roots_kg.fusion.encoder import EncodedTexts, KnowledgeEncoder, Text
from roots_kg.graph.store import GraphBundle

__all__ = ["RandomKnowledge", "random_vectors", "shuffled_graph"]


def shuffled_graph(bundle: GraphBundle, seed: int) -> GraphBundle:
    """Return a graph that states as much as `bundle` and is wrong.

    The tails of every relation are permuted among its triples, so that all degrees stay as they are, and
    the entities' TransE vectors are permuted among all entities.

    Args:
        bundle: the true graph.
        seed: of the permutations.
    """
    generator = np.random.default_rng(seed)
    graph = bundle.graph
    tail_id = graph.tail_id.copy()
    for relation in range(graph.num_relations):
        (members,) = np.nonzero(graph.relation_id == relation)
        tail_id[members] = tail_id[generator.permutation(members)]
    transe = copy.deepcopy(bundle.transe)
    order = torch.from_numpy(generator.permutation(graph.num_entities))
    transe.entity.weight.data = transe.entity.weight.data[order]
    wrong = graph.with_triples(graph.head_id, graph.relation_id, tail_id, graph.source_id)
    return replace(bundle, graph=wrong, transe=transe.eval().requires_grad_(False))


def random_vectors(bundle: GraphBundle, seed: int) -> GraphBundle:
    """Return the graph with the vector of each entity and relation exchanged for a random one of its length.

    Args:
        bundle: the true graph; its triples stay as they are.
        seed: of the vectors.
    """
    generator = torch.Generator().manual_seed(seed)
    transe = copy.deepcopy(bundle.transe)
    for table in transe.parameters():
        noise = functional.normalize(torch.randn(table.shape, generator=generator), dim=1)
        table.data = table.data.norm(dim=1, keepdim=True) * noise
    return replace(bundle, transe=transe.eval().requires_grad_(False))


class RandomKnowledge(KnowledgeEncoder):
    """Layers 1 and 2 with each text's knowledge vector exchanged for a random one of the same length.

    The vector depends on the text and nothing else. Arguments are those of `KnowledgeEncoder`.
    """

    def forward(
        self,
        texts: Sequence[Text],
        without: Sequence[Collection[int]] | None = None,
        **options: Any,
    ) -> EncodedTexts:
        """Encode texts; see `KnowledgeEncoder.forward`."""
        encoded = super().forward(texts, without, **options)
        lengths = encoded.knowledge.norm(dim=1, keepdim=True)
        rows = []
        for text in encoded.texts:
            seed = int.from_bytes(hashlib.sha256(text.encode()).digest()[:7], "big")
            rows.append(
                torch.randn(encoded.knowledge.shape[1], generator=torch.Generator().manual_seed(seed))
            )
        noise = functional.normalize(torch.stack(rows), dim=1) if rows else encoded.knowledge
        return replace(encoded, knowledge=lengths * noise)
