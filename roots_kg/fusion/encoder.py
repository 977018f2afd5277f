"""Texts to vectors with knowledge: encoder, linker, retrieval and fusion together.

What a task head sees of layers 1 and 2 is an `EncodedTexts`. The text side of it never depends on the
graph, and a text in which nothing is linked has knowledge of exactly zero: to such a text, a model with a
graph is bit for bit the model without one.
"""

from __future__ import annotations

import copy
from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from roots_kg.encoding.hybrid import Reading
from roots_kg.encoding.interface import Encoder
from roots_kg.encoding.text_encoder import pool_tokens
from roots_kg.encoding.tokenization import TokenBatch
from roots_kg.fusion.blocks import (
    Block,
    LinkedRows,
    Surroundings,
    blocks_of,
    first_tokens,
    linked_rows,
    read_so_far,
    side_by_side,
)
from roots_kg.fusion.knowledge import Knowledge
from roots_kg.fusion.layer import Fused, FusionConfig, FusionLayer
from roots_kg.fusion.texts import EncodedTexts, MarkedText, Text, TokenCollector, TokenStates, plain_text
from roots_kg.graph.linking import Mention
from roots_kg.graph.retrieval import Subgraph

__all__ = [
    "TEXTS_AT_A_TIME",
    "EncodedTexts",
    "Knowledge",
    "KnowledgeEncoder",
    "MarkedText",
    "Surroundings",
    "Text",
    "TokenStates",
    "plain_text",
]

TEXTS_AT_A_TIME = 256
"""Of many texts, how many should be read at once."""

MENTION_STAND_IN = "this"
"""What a mention is replaced by when it is asked what a text says about it, whatever it is called."""

TEXTS_TOGETHER, CHARACTERS_TOGETHER = 256, 200_000
"""Of how many texts, and of texts of what length together, hidden states are kept at a time."""

MOST_QUESTIONS, QUESTION_REACH = 32, 300
"""Of how many mentions of a text it is asked, and how many characters on either side of one are read."""


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

    def reading_in(self, reading: Reading | None) -> KnowledgeEncoder:
        """Return the same layers, which share everything but read in this way; these stay as they are."""
        if reading == self.reading:
            return self
        other = copy.copy(self)
        other.reading = reading
        return other

    def forward(
        self,
        texts: Sequence[Text],
        without: Sequence[Collection[int]] | None = None,
        *,
        read: bool = True,
        fuse: bool = True,
        ask: bool = False,
        tokens: bool = False,
    ) -> EncodedTexts:
        """Encode texts.

        What is returned has gradients to those parameters of the encoder and of the fusion layer that ask for
        them. Whoever wants none calls this in `torch.inference_mode`.

        Args:
            texts: N of them, of any length, empty ones included.
            without: for each text, triples to treat as absent from the graph.
            read: read the texts as they stand; without, `features` and `knowledge` are zero, and what a text
                says does not choose among the candidates of its mentions.
            fuse: run retrieval and fusion; without them, `knowledge` is zero.
            ask: fill `questions`.
            tokens: fill `tokens`, of texts that are read.
        """
        absent, mentions = _absent(texts, without), self._link(texts)
        plain = [plain_text(text) for text in texts]
        size = self.encoder.hidden_size
        features = torch.zeros(len(texts), 2 * size)
        found, collector = _Found(len(texts), size), TokenCollector(len(texts), size)
        for part in _parts(plain) if read else ():
            rows = []
            for batch, last, middle in self.encoder.hidden_states(plain[part], self.reading):
                _add_features(features[part], batch, last, middle)
                if tokens:
                    collector.add(part.start, batch, last, middle)
                rows.append(linked_rows(batch, last, mentions[part]))
            mentions[part] = self._told_apart(texts[part], mentions[part], rows)
            around = self.look_around(rows, mentions[part], absent[part]) if fuse else None
            if around is not None:
                for linked, fused in self.fuse(around):
                    found.add(part.start, linked, fused, around)
        return EncodedTexts(
            texts=plain,
            features=_normalised_halves(features),
            knowledge=functional.normalize(found.knowledge(), dim=-1),
            mentions=mentions,
            questions=self._ask(plain, mentions) if ask else [torch.zeros(0, 2 * size)] * len(texts),
            subgraphs=found.subgraphs,
            attention=[
                None if total is None else total / total.sum().clamp_min(1e-9) for total in found.attention
            ],
            gates=found.gates,
            without=absent,
            spans=[() if isinstance(text, str) else text.spans for text in texts],
            tokens=collector.tokens(),
            second=self._seconds(texts, absent, read=read, fuse=fuse, ask=ask, tokens=tokens),
            encoder=self.encoder,
        )

    def states(
        self, texts: Sequence[Text], without: Sequence[Collection[int]] | None = None
    ) -> Iterator[tuple[TokenBatch, Tensor]]:
        """Yield batches of rows with the fused states of the last block, h' = h + g ⊙ W k, (B, L, d).

        Arguments are those of `forward`. The states of a text that mentions nothing are those of the encoder,
        bit for bit; in the causal reading no state depends on what follows its token, given the mentions.
        """
        absent, mentions = _absent(texts, without), self._link(texts)
        plain = [plain_text(text) for text in texts]
        for part in _parts(plain):
            batches = [
                (batch, last) for batch, last, _ in self.encoder.hidden_states(plain[part], self.reading)
            ]
            rows = [linked_rows(batch, last, mentions[part]) for batch, last in batches]
            mentions[part] = self._told_apart(texts[part], mentions[part], rows)
            around = self.look_around(rows, mentions[part], absent[part])
            fused = (
                {id(linked.batch): (linked, found) for linked, found in self.fuse(around)} if around else {}
            )
            for batch, states in batches:
                if id(batch) in fused:
                    linked, found = fused[id(batch)]
                    numbers = torch.tensor(linked.numbers).to(states.device)
                    states = states.index_copy(0, numbers, found.states)
                shifted = [replace(row, text=row.text + part.start) for row in batch.rows]
                yield replace(batch, rows=shifted), states

    def surroundings(
        self, texts: Sequence[Text], without: Sequence[Collection[int]] | None = None
    ) -> Iterator[tuple[slice, Surroundings]]:
        """Yield parts of the texts with what is around their mentions, ready for `fuse`.

        Arguments are those of `forward`. A part in which there is nothing to fuse is left out; texts count
        from its start.
        """
        absent, mentions = _absent(texts, without), self._link(texts)
        plain = [plain_text(text) for text in texts]
        for part in _parts(plain):
            read = self.encoder.hidden_states(plain[part], self.reading)
            rows = [linked_rows(batch, last, mentions[part]) for batch, last, _ in read]
            mentions[part] = self._told_apart(texts[part], mentions[part], rows)
            around = self.look_around(rows, mentions[part], absent[part])
            if around is not None:
                yield part, around

    def look_around(
        self,
        rows: Sequence[LinkedRows],
        mentions: Sequence[Sequence[Mention]],
        without: Sequence[Collection[int]],
    ) -> Surroundings | None:
        """Retrieve what a graph says around the mentions of texts that have been read.

        Args:
            rows: all rows of texts that may mention something; a row's `text` counts in `mentions`.
            mentions: of each text.
            without: for each text, triples to treat as absent.

        Returns:
            What `fuse` needs, or None where there is nothing to fuse: no mention, or a graph without triples.
        """
        if self.knowledge is None or not len(self.knowledge.graph):
            return None
        linked = {text for text, found in enumerate(mentions) if found}
        rows = [part for part in (part.of(linked) for part in rows) if part.rows]
        if not rows:
            return None
        left_to_right = self._reading == "causal"
        blocks = [
            block
            for text in sorted({row.text for part in rows for row in part.rows})
            for block in blocks_of(text, mentions[text], left_to_right=left_to_right)
        ]
        subgraphs: list[Subgraph | None] = [None] * len(mentions)
        ends: list[list[int]] = [[] for _ in mentions]
        parts: dict[int, list[tuple[Subgraph, Block]]] = {}
        for block, part in zip(blocks, self._retrieve(blocks, rows, without), strict=True):
            parts.setdefault(block.text, []).append((part, block))
        for text, found in parts.items():
            subgraphs[text] = found[0][0]
            if left_to_right:
                weights = [sum(block.seeds.values()) for _, block in found]
                subgraphs[text] = side_by_side([part for part, _ in found], weights)
                ends[text] = [block.end or 0 for part, block in found for _ in part.nodes]
        return Surroundings(list(rows), subgraphs, ends if left_to_right else None)

    def fuse(
        self, around: Surroundings, entities: Tensor | None = None
    ) -> Iterator[tuple[LinkedRows, Fused]]:
        """Fuse texts with what is around their mentions, batch by batch.

        Args:
            around: what `look_around` found.
            entities: (U, k), vectors to use for `around.nodes` in place of the graph's own.
        """
        assert self.knowledge is not None
        assert self.fusion is not None
        like, ids = around.rows[0].hidden, around.nodes
        names = self.knowledge.names(ids.tolist(), self.encoder, self.reading)[ids].to(like)
        vectors = self.knowledge.entities[ids] if entities is None else entities
        nodes = self.fusion.node_features(names, vectors.to(like))
        edges = self.fusion.edge_features(
            self.knowledge.directions(self.encoder, self.reading).to(like),
            self.knowledge.translations.to(like),
        )
        for part in around.rows:
            since = None
            if around.ends is not None:
                since = [torch.from_numpy(first_tokens(row, around.ends[row.text])) for row in part.rows]
            subgraphs = [around.subgraph(row.text) for row in part.rows]
            own = [nodes[around.places[row.text]] for row in part.rows]
            yield part, self.fusion(part.hidden, part.mask, subgraphs, own, edges, since)

    @property
    def _reading(self) -> Reading:
        own: Reading = getattr(self.encoder, "reading", "bidirectional")
        return self.reading or own

    def _seconds(
        self, texts: Sequence[Text], without: Sequence[Collection[int]], **how: bool
    ) -> EncodedTexts | None:
        """Return the second texts of pairs, encoded; None where there is no pair."""
        seconds = [None if isinstance(text, str) else text.second for text in texts]
        if all(second is None for second in seconds):
            return None
        result: EncodedTexts = self(["" if second is None else second for second in seconds], without, **how)
        return result

    def _link(self, texts: Sequence[Text]) -> list[list[Mention]]:
        if self.knowledge is None:
            return [[] for _ in texts]
        given = [None if isinstance(text, str) else text.mentions for text in texts]
        found = [list(mentions or ()) for mentions in given]
        unknown = {
            index: plain_text(text)
            for index, (text, mentions) in enumerate(zip(texts, given, strict=True))
            if mentions is None
        }
        linked = self.knowledge.linker.link_all(list(unknown.values()))
        for index, mentions in zip(unknown, linked, strict=True):
            found[index] = mentions
        if self.knowledge.retriever.config.misspelt:
            bare = {index: text for index, text in unknown.items() if not found[index]}
            for index, mentions in zip(
                bare, self.knowledge.dense_linker.link_all(list(bare.values())), strict=True
            ):
                found[index] = mentions
        return found

    def _told_apart(
        self, texts: Sequence[Text], mentions: list[list[Mention]], rows: Sequence[LinkedRows]
    ) -> list[list[Mention]]:
        """Choose among the candidates of mentions by the text, or read causally by what stands before."""
        if self.knowledge is None:
            return mentions
        knowledge, left_to_right = self.knowledge, self._reading == "causal"
        open_ones = [
            (index, place)
            for index, (text, found) in enumerate(zip(texts, mentions, strict=True))
            if isinstance(text, str) or text.mentions is None
            for place, mention in enumerate(found)
            if knowledge.disambiguator.is_needed([mention])
        ]
        if not open_ones:
            return mentions

        def names(ids: list[int]) -> Tensor:
            return knowledge.names(ids, self.encoder, self.reading)[ids]

        asked = [mentions[index][place] for index, place in open_ones]
        blocks = [
            Block(index, {}, mention.best.end if left_to_right else None)
            for (index, _), mention in zip(open_ones, asked, strict=True)
        ]
        said = self._said(blocks, [part for part in rows if part.rows]).detach().cpu()
        chosen = knowledge.disambiguator.choose([[mention] for mention in asked], said, names)
        answers = dict(zip(open_ones, chosen, strict=True))
        return [
            [kept for place, mention in enumerate(found) for kept in answers.get((index, place), [mention])]
            for index, found in enumerate(mentions)
        ]

    def _retrieve(
        self, blocks: Sequence[Block], rows: Sequence[LinkedRows], without: Sequence[Collection[int]]
    ) -> list[Subgraph]:
        """Return the subgraph of each block; relations that have to do with the text draw more of it."""
        assert self.knowledge is not None
        relevance: Sequence[NDArray[np.float64] | None] | NDArray[np.float64] = [None] * len(blocks)
        if self.fusion is not None and self.fusion.config.relevance and self.knowledge.graph.num_relations:
            names = self.knowledge.directions(self.encoder, self.reading)
            texts = functional.normalize(self._said(blocks, rows).detach().cpu(), dim=1)
            relevance = (self.fusion.config.relevance * (texts @ names.T)).exp().double().numpy()
        retrieve = self.knowledge.retriever.retrieve
        return [
            retrieve(block.seeds, without[block.text], weights)
            for block, weights in zip(blocks, relevance, strict=True)
        ]

    def _said(self, blocks: Sequence[Block], rows: Sequence[LinkedRows]) -> Tensor:
        """Return the sum of the hidden states that choose what is retrieved for each block, (blocks, d)."""
        if self._reading == "causal":
            return read_so_far(rows, blocks)
        texts = 1 + max(row.text for part in rows for row in part.rows)
        sums = torch.zeros(texts, self.encoder.hidden_size).to(rows[0].hidden)
        for part in rows:
            owners = torch.tensor([row.text for row in part.rows]).to(sums.device)
            sums.index_add_(0, owners, pool_tokens(part.hidden, part.mask))
        return sums[[block.text for block in blocks]]

    def _ask(self, texts: Sequence[str], mentions: Sequence[Sequence[Mention]]) -> list[Tensor]:
        mentions = [found[:MOST_QUESTIONS] for found in mentions]
        questions = [
            _about(text, mention) for text, found in zip(texts, mentions, strict=True) for mention in found
        ]
        position = {question: index for index, question in enumerate(dict.fromkeys(questions))}
        features = torch.zeros(len(position), 2 * self.encoder.hidden_size)
        for batch, last, middle in self.encoder.hidden_states(list(position), self.reading):
            _add_features(features, batch, last, middle)
        features = _normalised_halves(features)[[position[question] for question in questions]]
        return list(torch.split(features, [len(found) for found in mentions]))


class _Found:
    """What fusion found for N texts, collected row by row."""

    def __init__(self, texts: int, size: int) -> None:
        self.subgraphs: list[Subgraph | None] = [None] * texts
        self.attention: list[Tensor | None] = [None] * texts
        self.gates: list[list[tuple[int, int, float]]] = [[] for _ in range(texts)]
        self._shape = texts, size
        self._owners: list[int] = []
        self._pooled: list[Tensor] = []

    def add(self, start: int, linked: LinkedRows, fused: Fused, around: Surroundings) -> None:
        """Add rows whose texts count from `start` on."""
        self._owners += [start + row.text for row in linked.rows]
        self._pooled.append(pool_tokens(fused.knowledge, linked.mask).cpu())
        received = pool_tokens(fused.attention.detach(), linked.mask).cpu()
        gates = (fused.gate.mean(dim=-1) * fused.attention.sum(dim=-1)).tolist()
        for row, share, openness in zip(linked.rows, received, gates, strict=True):
            text, part = start + row.text, around.subgraph(row.text)
            before = self.attention[text]
            share = share[: len(part.nodes)]
            self.subgraphs[text] = part
            self.attention[text] = share if before is None else before + share
            offsets = row.offsets.tolist()
            self.gates[text] += [
                (begin, end, gate)
                for (begin, end), gate in zip(offsets, openness[: len(offsets)], strict=True)
                if end > begin
            ]

    def knowledge(self) -> Tensor:
        """Return the sum over tokens of g ⊙ W k, (N, d)."""
        total = torch.zeros(self._shape)
        if not self._owners:
            return total
        return total.index_add(0, torch.tensor(self._owners), torch.cat(self._pooled))


def _absent(texts: Sequence[Text], without: Sequence[Collection[int]] | None) -> list[frozenset[int]]:
    return [frozenset(triples) for triples in without] if without else [frozenset[int]()] * len(texts)


def _parts(texts: Sequence[str]) -> Iterator[slice]:
    """Cut texts into parts whose hidden states fit into memory together."""
    start = characters = 0
    for index, text in enumerate(texts):
        if index - start == TEXTS_TOGETHER or (
            index > start and characters + len(text) > CHARACTERS_TOGETHER
        ):
            yield slice(start, index)
            start, characters = index, 0
        characters += len(text)
    if start < len(texts):
        yield slice(start, len(texts))


def _about(text: str, mention: Mention) -> str:
    """Return what stands around a mention, the mention itself replaced."""
    start, end = mention.best.start, mention.best.end
    if start == end:
        return text
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
