"""Texts as heads give them to layers 1 and 2, and as they get them back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from roots_kg.encoding.interface import Encoder
from roots_kg.encoding.tokenization import TokenBatch
from roots_kg.graph.linking import Mention
from roots_kg.graph.retrieval import Subgraph

__all__ = ["EncodedTexts", "MarkedText", "Span", "Text", "TokenCollector", "TokenStates", "plain_text"]

Span = tuple[int, int]
"""Where a span of a text starts, and the character after its last."""


@dataclass(frozen=True)
class MarkedText:
    """A text with what is known about it.

    Args:
        text: the text.
        mentions: what it mentions, so that the linker is not asked; a mention of no length stands for an
            entity that the text does not name. None to ask the linker.
        spans: what a head wants to find again in the encoded text, in an order that it knows.
        second: the second text of a pair, which is encoded on its own.
    """

    text: str
    mentions: tuple[Mention, ...] | None = None
    spans: tuple[Span, ...] = ()
    second: str | MarkedText | None = None


Text = str | MarkedText


def plain_text(text: Text) -> str:
    """Return a text without what is known about it."""
    return text if isinstance(text, str) else text.text


@dataclass(frozen=True)
class TokenStates:
    """The tokens of one text, without special ones.

    Args:
        starts: (T,), the first character of each token.
        ends: (T,), the character after its last.
        states: (T, 2d), its hidden states in the last block and half way up the trunk, side by side.
    """

    starts: Tensor
    ends: Tensor
    states: Tensor


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
        spans: for each text, the spans that it was given with.
        tokens: for each text, its tokens; none unless asked for.
        second: the second texts, with an empty one for a text that has none; None where no text has one.
        encoder: what read them; a head that writes texts writes with it.
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
    spans: list[tuple[Span, ...]]
    tokens: list[TokenStates]
    second: EncodedTexts | None = None
    encoder: Encoder | None = None

    def marked(self, index: int) -> Text:
        """Return a text again with all that is known about it, what was linked in it included."""
        second = None if self.second is None else self.second.marked(index)
        return MarkedText(self.texts[index], tuple(self.mentions[index]), self.spans[index], second)

    def attended(self, index: int) -> tuple[tuple[int, float], ...]:
        """Return the triples that the tokens of a text attended to, most of all first, with their weights.

        Of a pair of texts it is those of both.
        """
        weights: dict[int, float] = {} if self.second is None else dict(self.second.attended(index))
        subgraph, attention = self.subgraphs[index], self.attention[index]
        if subgraph is not None and attention is not None:
            received = attention.numpy()
            shares = received[subgraph.source] + received[subgraph.target]
            for triple, weight in zip(subgraph.triple.tolist(), shares.tolist(), strict=True):
                weights[triple] = max(weight, weights.get(triple, 0.0))
        return tuple(sorted(weights.items(), key=lambda item: (-item[1], item[0])))


class TokenCollector:
    """Gathers the token states of N texts from the batches of rows in which they are read.

    Args:
        texts: N.
        size: d.
    """

    def __init__(self, texts: int, size: int) -> None:
        self._size = size
        self._windows: list[list[tuple[Tensor, Tensor]]] = [[] for _ in range(texts)]

    def add(self, start: int, batch: TokenBatch, last: Tensor, middle: Tensor) -> None:
        """Add a batch whose texts count from `start` on."""
        states = torch.cat([last, middle], dim=-1).cpu()
        for row, own in zip(batch.rows, states, strict=True):
            offsets = torch.from_numpy(row.offsets)
            kept = offsets[:, 1] > offsets[:, 0]
            self._windows[start + row.text].append((offsets[kept], own[: len(offsets)][kept]))

    def tokens(self) -> list[TokenStates]:
        """Return what was gathered, the windows of a text in their order."""
        return [self._joined(windows) for windows in self._windows]

    def _joined(self, windows: Sequence[tuple[Tensor, Tensor]]) -> TokenStates:
        windows = sorted((part for part in windows if len(part[0])), key=lambda part: int(part[0][0, 0]))
        if not windows:
            nothing = torch.zeros(0, dtype=torch.long)
            return TokenStates(nothing, nothing, torch.zeros(0, 2 * self._size))
        offsets = torch.cat([part for part, _ in windows])
        return TokenStates(offsets[:, 0], offsets[:, 1], torch.cat([part for _, part in windows]))
