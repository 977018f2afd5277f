"""Texts to vectors with knowledge: encoder, linker, retrieval and fusion together.

What a task head sees of layers 1 and 2 is an `EncodedTexts`. The text side of it never depends on the
graph, and a text in which nothing is linked has knowledge of exactly zero: to such a text, a model with a
graph is bit for bit the model without one.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from roots_kg.encoding.text_encoder import TextEncoder, pool_tokens
from roots_kg.encoding.tokenization import TokenBatch
from roots_kg.fusion.layer import FusionConfig, FusionLayer
from roots_kg.graph.linking import Linker, Mention
from roots_kg.graph.retrieval import RetrievalConfig, Retriever, Subgraph
from roots_kg.graph.store import GraphBundle
from roots_kg.graph.triples import KnowledgeGraph

__all__ = ["EncodedTexts", "Knowledge", "KnowledgeEncoder"]

@dataclass(frozen=True)
class EncodedTexts:
    """N texts as the task heads see them.

    Args:
        texts: the texts.
        vectors: (N, d), the normalised mean of each text's hidden states; the graph has no part in it.
        knowledge: (N, d), the normalised sum over tokens of g ⊙ W k; zero where nothing is linked.
        mentions: for each text, what was found in it.
        outside: for each text, (mentions, d), the normalised mean of the hidden states outside each mention:
            what is said about it.
        subgraphs: for each text, the part of the graph that was retrieved, or None.
        attention: for each text, (M,), the share of its tokens' attention that each node received, or None.
        gates: for each text, its tokens' first and last characters and mean gate; empty without links.
        without: for each text, the triples that were treated as absent.
    """

    texts: list[str]
    vectors: Tensor
    knowledge: Tensor
    mentions: list[list[Mention]]
    outside: list[Tensor]
    subgraphs: list[Subgraph | None]
    attention: list[Tensor | None]
    gates: list[list[tuple[int, int, float]]]
    without: list[frozenset[int]]


class Knowledge:
    """A graph made ready for use: its vectors, its linker and its retriever.

    Args:
        bundle: the graph and its TransE vectors.
        retrieval: how far and how wide to look.
    """

    def __init__(self, bundle: GraphBundle, retrieval: RetrievalConfig | None = None) -> None:
        self.bundle = bundle
        self.retriever = Retriever(bundle.graph, retrieval)
        transe = bundle.transe
        scale = transe.entity.weight.norm(dim=1).mean().clamp_min(1e-6)
        self.entities = transe.entity.weight / scale
        self.translations = transe.translations() / scale
        self._names: Tensor | None = None
        self._named = torch.zeros(0, dtype=torch.bool)

    @property
    def graph(self) -> KnowledgeGraph:
        """The graph."""
        return self.bundle.graph

    @cached_property
    def linker(self) -> Linker:
        """The linker, built when it is first needed."""
        return Linker(self.graph)

    def names(self, entity_ids: Collection[int], encoder: TextEncoder) -> Tensor:
        """Return the encoded names of entities, (E, d) by id, of which only those asked for so far are filled."""
        if self._names is None:
            self._names = torch.zeros(self.graph.num_entities, encoder.hidden_size)
            self._named = torch.zeros(self.graph.num_entities, dtype=torch.bool)
        wanted = torch.tensor(sorted(set(entity_ids)), dtype=torch.long)
        missing = wanted[~self._named[wanted]]
        if len(missing):
            self._names[missing] = encoder.encode([self.graph.name(int(index)) for index in missing])
            self._named[missing] = True
        return self._names


class KnowledgeEncoder(nn.Module):
    """Layers 1 and 2.

    Args:
        encoder: the text encoder.
        knowledge: the graph, or None for text alone.
        fusion: the shape of the fusion layer.
    """

    def __init__(
        self, encoder: TextEncoder, knowledge: Knowledge | None = None, fusion: FusionConfig | None = None
    ) -> None:
        super().__init__()
        self.encoder, self.knowledge = encoder, knowledge
        self.fusion: FusionLayer | None = None
        if knowledge is not None:
            entity_size = knowledge.entities.shape[1]
            self.fusion = FusionLayer(encoder.hidden_size, entity_size, fusion).eval().requires_grad_(False)

    @torch.inference_mode()
    def forward(
        self, texts: Sequence[str], without: Sequence[Collection[int]] | None = None
    ) -> EncodedTexts:
        """Encode texts.

        Args:
            texts: N of them, of any length, empty ones included.
            without: for each text, triples to treat as absent from the graph.
        """
        absent = [frozenset(triples) for triples in without] if without else [frozenset[int]()] * len(texts)
        mentions, subgraphs = self._retrieve(texts, absent)
        size = self.encoder.hidden_size
        result = EncodedTexts(
            texts=list(texts),
            vectors=torch.zeros(len(texts), size),
            knowledge=torch.zeros(len(texts), size),
            mentions=mentions,
            outside=[torch.zeros(len(found), size) for found in mentions],
            subgraphs=subgraphs,
            attention=[None if part is None else torch.zeros(len(part.nodes)) for part in subgraphs],
            gates=[[] for _ in texts],
            without=absent,
        )
        names = self._names(subgraphs)
        for batch, hidden in self.encoder.hidden_states(texts):
            self._collect_text(result, batch, hidden)
            self._collect_knowledge(result, batch, hidden, names)
        for index, found in enumerate(result.outside):
            result.outside[index] = functional.normalize(found, dim=-1)
            total = result.attention[index]
            if total is not None:
                result.attention[index] = total / total.sum().clamp_min(1e-9)
        result.vectors.copy_(functional.normalize(result.vectors, dim=-1))
        result.knowledge.copy_(functional.normalize(result.knowledge, dim=-1))
        return result

    def _retrieve(
        self, texts: Sequence[str], without: Sequence[frozenset[int]]
    ) -> tuple[list[list[Mention]], list[Subgraph | None]]:
        if self.knowledge is None:
            return [[] for _ in texts], [None] * len(texts)
        mentions = [self.knowledge.linker.link(text) for text in texts]
        subgraphs: list[Subgraph | None] = []
        for found, absent in zip(mentions, without, strict=True):
            seeds: dict[int, float] = {}
            for mention in found:
                total = sum(candidate.score for candidate in mention.candidates)
                for candidate in mention.candidates:
                    weight = candidate.score**2 / total
                    seeds[candidate.entity_id] = seeds.get(candidate.entity_id, 0.0) + weight
            subgraphs.append(self.knowledge.retriever.retrieve(seeds, absent) if seeds else None)
        return mentions, subgraphs

    def _names(self, subgraphs: Sequence[Subgraph | None]) -> Tensor | None:
        if self.knowledge is None:
            return None
        wanted = {int(node) for part in subgraphs if part is not None for node in part.nodes}
        return self.knowledge.names(wanted, self.encoder)

    def _collect_text(self, result: EncodedTexts, batch: TokenBatch, hidden: Tensor) -> None:
        owners = torch.tensor([row.text for row in batch.rows])
        result.vectors.index_add_(0, owners, pool_tokens(hidden, batch.attention_mask.to(hidden.device)).cpu())
        for row, states in zip(batch.rows, hidden, strict=True):
            found = result.mentions[row.text]
            if not found:
                continue
            start, end = torch.from_numpy(row.offsets.T)
            spans = torch.tensor([[mention.best.start, mention.best.end] for mention in found])
            apart = (end[None] <= spans[:, :1]) | (start[None] >= spans[:, 1:])
            result.outside[row.text] += (apart.to(states) @ states[: len(start)]).cpu()

    def _collect_knowledge(
        self, result: EncodedTexts, batch: TokenBatch, hidden: Tensor, names: Tensor | None
    ) -> None:
        if self.knowledge is None or self.fusion is None or names is None:
            return
        linked = [
            (index, row, part)
            for index, row in enumerate(batch.rows)
            if (part := result.subgraphs[row.text]) is not None
        ]
        if not linked:
            return
        rows = [index for index, _, _ in linked]
        mask = batch.attention_mask[rows].to(hidden.device)
        nodes = [torch.from_numpy(np.asarray(part.nodes)) for _, _, part in linked]
        fused = self.fusion(
            hidden[rows],
            mask,
            [part for _, _, part in linked],
            [names[ids].to(hidden) for ids in nodes],
            [self.knowledge.entities[ids].to(hidden) for ids in nodes],
            self.knowledge.translations.to(hidden),
        )
        pooled = pool_tokens(fused.knowledge, mask).cpu()
        received = pool_tokens(fused.attention, mask).cpu()
        gates = fused.gate.mean(dim=-1).cpu()
        for position, (_, row, part) in enumerate(linked):
            result.knowledge[row.text] += pooled[position]
            total = result.attention[row.text]
            assert total is not None
            total += received[position, : len(part.nodes)]
            for (start, end), gate in zip(row.offsets.tolist(), gates[position].tolist(), strict=False):
                if end > start:
                    result.gates[row.text].append((start, end, gate))
