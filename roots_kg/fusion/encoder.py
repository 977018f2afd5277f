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

from roots_kg.encoding.hybrid import Reading
from roots_kg.encoding.interface import Encoder
from roots_kg.encoding.text_encoder import pool_tokens
from roots_kg.encoding.tokenization import TokenBatch
from roots_kg.fusion.layer import FusionConfig, FusionLayer
from roots_kg.graph.linking import Linker, Mention
from roots_kg.graph.retrieval import RetrievalConfig, Retriever, Subgraph
from roots_kg.graph.store import GraphBundle
from roots_kg.graph.triples import KnowledgeGraph

__all__ = ["EncodedTexts", "Knowledge", "KnowledgeEncoder"]

MENTION_STAND_IN = "this"
"""What a mention is replaced by when it is asked what a text says about it, whatever it is called."""

MOST_QUESTIONS, QUESTION_REACH = 32, 300
"""Of how many mentions of a text it is asked, and how many characters on either side of one are read."""


@dataclass(frozen=True)
class EncodedTexts:
    """N texts as the task heads see them.

    A text's features are two vectors side by side, each normalised: the mean hidden state of its tokens in
    the last block, which knows what the text is about, and half way up the trunk, which knows more of how
    it is put.

    Args:
        texts: the texts.
        features: (N, 2d), of length 1; the graph has no part in them.
        knowledge: (N, d), the normalised sum over tokens of g ⊙ W k; zero where nothing is linked.
        mentions: for each text, what was found in it.
        questions: for each text, (mentions, 2d), the features of what stands around each of its first
            `MOST_QUESTIONS` mentions, with the mention replaced by `MENTION_STAND_IN`: what is said about
            it. Empty unless asked for.
        subgraphs: for each text, the part of the graph that was retrieved, or None.
        attention: for each text, (M,), the share of its tokens' attention that each node received, or None.
        gates: for each text, for each token its first character, the one after its last, and how much
            knowledge it let in: the mean of its gate times the attention it paid to nodes, between 0 and 1.
            Empty without links.
        without: for each text, the triples that were treated as absent.
    """

    texts: list[str]
    features: Tensor
    knowledge: Tensor
    mentions: list[list[Mention]]
    questions: list[Tensor]
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
        self._named_by: tuple[Encoder, Reading | None] | None = None

    @property
    def graph(self) -> KnowledgeGraph:
        """The graph."""
        return self.bundle.graph

    @cached_property
    def linker(self) -> Linker:
        """The linker, built when it is first needed."""
        return Linker(self.graph)

    def names(self, entity_ids: Collection[int], encoder: Encoder, reading: Reading | None = None) -> Tensor:
        """Return the encoded names of entities by id, (E, d); rows never asked for are zero.

        They are kept until another encoder or another reading is asked for.
        """
        if self._names is None or self._named_by != (encoder, reading):
            self._named_by = encoder, reading
            self._names = torch.zeros(self.graph.num_entities, encoder.hidden_size)
            self._named = torch.zeros(self.graph.num_entities, dtype=torch.bool)
        wanted = torch.tensor(sorted(set(entity_ids)), dtype=torch.long)
        missing = wanted[~self._named[wanted]]
        if len(missing):
            missing_names = [self.graph.name(int(index)) for index in missing]
            self._names[missing] = encoder.encode(missing_names, reading)
            self._named[missing] = True
        return self._names


class KnowledgeEncoder(nn.Module):
    """Layers 1 and 2.

    Args:
        encoder: the text encoder.
        knowledge: the graph, or None for text alone.
        fusion: the shape of the fusion layer.

    `reading` is how texts are read; None for the encoder's own way.
    """

    def __init__(
        self, encoder: Encoder, knowledge: Knowledge | None = None, fusion: FusionConfig | None = None
    ) -> None:
        super().__init__()
        self.encoder, self.knowledge = encoder, knowledge
        self.reading: Reading | None = None
        self.fusion: FusionLayer | None = None
        if knowledge is not None:
            entity_size = knowledge.entities.shape[1]
            self.fusion = FusionLayer(encoder.hidden_size, entity_size, fusion).eval().requires_grad_(False)

    @torch.inference_mode()
    def forward(
        self,
        texts: Sequence[str],
        without: Sequence[Collection[int]] | None = None,
        *,
        fuse: bool = True,
        ask: bool = False,
    ) -> EncodedTexts:
        """Encode texts.

        Args:
            texts: N of them, of any length, empty ones included.
            without: for each text, triples to treat as absent from the graph.
            fuse: run retrieval and fusion; without them, `knowledge` is zero.
            ask: fill `questions`.
        """
        absent = [frozenset(triples) for triples in without] if without else [frozenset[int]()] * len(texts)
        mentions = self._link(texts)
        nothing: list[Subgraph | None] = [None] * len(texts)
        subgraphs = self._retrieve(mentions, absent) if fuse else nothing
        size = self.encoder.hidden_size
        result = EncodedTexts(
            texts=list(texts),
            features=torch.zeros(len(texts), 2 * size),
            knowledge=torch.zeros(len(texts), size),
            mentions=mentions,
            questions=self._ask(texts, mentions) if ask else [torch.zeros(0, 2 * size)] * len(texts),
            subgraphs=subgraphs,
            attention=[None if part is None else torch.zeros(len(part.nodes)) for part in subgraphs],
            gates=[[] for _ in texts],
            without=absent,
        )
        names = self._names(subgraphs)
        for batch, last, middle in self.encoder.hidden_states(texts, self.reading):
            _add_features(result.features, batch, last, middle)
            self._collect_knowledge(result, batch, last, names)
        for total in result.attention:
            if total is not None:
                total /= total.sum().clamp_min(1e-9)
        result.features.copy_(_normalised_halves(result.features))
        result.knowledge.copy_(functional.normalize(result.knowledge, dim=-1))
        return result

    def _link(self, texts: Sequence[str]) -> list[list[Mention]]:
        if self.knowledge is None:
            return [[] for _ in texts]
        return [self.knowledge.linker.link(text) for text in texts]

    def _retrieve(
        self, mentions: Sequence[Sequence[Mention]], without: Sequence[frozenset[int]]
    ) -> list[Subgraph | None]:
        subgraphs: list[Subgraph | None] = []
        for found, absent in zip(mentions, without, strict=True):
            seeds: dict[int, float] = {}
            for mention in found:
                total = sum(candidate.score for candidate in mention.candidates)
                for candidate in mention.candidates:
                    weight = candidate.score**2 / total
                    seeds[candidate.entity_id] = seeds.get(candidate.entity_id, 0.0) + weight
            linked = bool(seeds) and self.knowledge is not None
            subgraphs.append(self.knowledge.retriever.retrieve(seeds, absent) if linked else None)  # type: ignore[union-attr]
        return subgraphs

    def _ask(self, texts: Sequence[str], mentions: Sequence[Sequence[Mention]]) -> list[Tensor]:
        mentions = [found[:MOST_QUESTIONS] for found in mentions]
        questions = [
            _about(text, mention) for text, found in zip(texts, mentions, strict=True) for mention in found
        ]
        features = torch.zeros(len(questions), 2 * self.encoder.hidden_size)
        for batch, last, middle in self.encoder.hidden_states(questions, self.reading):
            _add_features(features, batch, last, middle)
        return list(torch.split(_normalised_halves(features), [len(found) for found in mentions]))

    def _names(self, subgraphs: Sequence[Subgraph | None]) -> Tensor | None:
        if self.knowledge is None:
            return None
        wanted = {int(node) for part in subgraphs if part is not None for node in part.nodes}
        return self.knowledge.names(wanted, self.encoder, self.reading)

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
        gates = (fused.gate.mean(dim=-1) * fused.attention.sum(dim=-1)).cpu()
        for position, (_, row, part) in enumerate(linked):
            result.knowledge[row.text] += pooled[position]
            total = result.attention[row.text]
            assert total is not None
            total += received[position, : len(part.nodes)]
            for (start, end), gate in zip(row.offsets.tolist(), gates[position].tolist(), strict=False):
                if end > start:
                    result.gates[row.text].append((start, end, gate))


def _about(text: str, mention: Mention) -> str:
    """Return what stands around a mention, the mention itself replaced."""
    start, end = mention.best.start, mention.best.end
    before, after = text[max(0, start - QUESTION_REACH) : start], text[end : end + QUESTION_REACH]
    return f"{before}{MENTION_STAND_IN}{after}"


def _add_features(features: Tensor, batch: TokenBatch, last: Tensor, middle: Tensor) -> None:
    """Add the sums of a batch's hidden states to the features of the texts that its rows belong to."""
    owners = torch.tensor([row.text for row in batch.rows])
    mask = batch.attention_mask.to(last.device)
    features.index_add_(
        0, owners, torch.cat([pool_tokens(last, mask), pool_tokens(middle, mask)], dim=1).cpu()
    )


def _normalised_halves(features: Tensor) -> Tensor:
    """Normalise both halves of each row, and the whole."""
    halves = [functional.normalize(half, dim=-1) for half in features.chunk(2, dim=-1)]
    return functional.normalize(torch.cat(halves, dim=-1), dim=-1)
