"""Mentions that are spelt like no name: the entity whose name's vector is nearest to that of a span of text.

A fallback for texts in which nothing was linked, and not a cheap one: every name has a vector, and so has
every span of a text. By default they are vectors of spelling, which find a name with a slip in it or its
words in another order; a text encoder's find names by meaning instead, and slips hardly ever
(`benchmarks/linking.py` measures both).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.nn import functional

from roots_kg.errors import UsageError
from roots_kg.graph.index import IndexKind, VectorIndex
from roots_kg.graph.linking import NO_LINK, Link, Mention, names_of
from roots_kg.graph.spelling import spelling_vectors
from roots_kg.graph.triples import KnowledgeGraph
from roots_kg.graph.words import FUNCTION_WORDS, MARK, cut, has_case

__all__ = ["DenseLinker"]

THRESHOLD = 0.85
FEWEST_CONTENT_WORDS, MOST_WORDS, MOST_SPANS, NEAREST = 2, 5, 64, 4

SPANS_AT_ONCE = 1024

_Place = tuple[int, int]
"""Where a span starts and ends in its text."""


class DenseLinker:
    """Finds mentions of entities by the cosine of spans with names.

    A span is up to 5 words, at least two of which are no function words, and neither begins nor ends with a
    function word or a sign; where case says something in a text, it begins with no small letter. The first
    64 of a text are looked at. A span whose nearest name has a cosine above the threshold is a mention, which
    scores that cosine; of mentions that overlap, the nearest to its name is kept. Everything else is "no
    link": single words too, since any text has some that resemble a name.

    Args:
        graph: whose names and aliases are looked for.
        encode: from N texts to their vectors, (N, d); zeros are like nothing. It is called once with all
            names: for 40,000 of them, spelling takes about 4 seconds of one core, a small encoder a minute.
            The vectors take 4 · d bytes a name.
        kind: the index; "exact" compares a span with every name.
        threshold: the cosine; the default was chosen for vectors of spelling.

    Raises:
        UsageError: for a threshold not between `NO_LINK` and 1, or an index that is not there.
    """

    def __init__(
        self,
        graph: KnowledgeGraph,
        encode: Callable[[Sequence[str]], Tensor] = spelling_vectors,
        kind: IndexKind = "exact",
        *,
        threshold: float = THRESHOLD,
    ) -> None:
        if not NO_LINK <= threshold <= 1:
            raise UsageError(f"a threshold of dense linking lies between {NO_LINK} and 1, not at {threshold}")
        self.graph, self.encode, self.threshold = graph, encode, threshold
        names = names_of(graph)
        self._entities = [name.entity_id for name in names]
        self._index: VectorIndex | None = None
        if names:
            self._index = VectorIndex(self._vectors([name.written for name in names]), kind)

    def link(self, text: str) -> list[Mention]:
        """Return the mentions in `text`, from left to right, none overlapping another."""
        return self.link_all([text])[0]

    def link_all(self, texts: Sequence[str]) -> list[list[Mention]]:
        """Return the mentions in each of N texts; their spans are encoded together."""
        places = [_spans(text) for text in texts]
        spans = list(
            dict.fromkeys(
                text[start:end] for text, found in zip(texts, places, strict=True) for start, end in found
            )
        )
        nearest = dict(zip(spans, self._nearest(spans), strict=True))
        return [
            self._choose(text, [(place, nearest[text[place[0] : place[1]]]) for place in found])
            for text, found in zip(texts, places, strict=True)
        ]

    def _nearest(self, spans: Sequence[str]) -> list[dict[int, float]]:
        """Return the entities near enough to each span, with their cosines, nearest first."""
        near: list[dict[int, float]] = [{} for _ in spans]
        if self._index is None:
            return near
        for begin in range(0, len(spans), SPANS_AT_ONCE):
            vectors = self._vectors(spans[begin : begin + SPANS_AT_ONCE])
            rows = self._index.search(vectors, NEAREST)[1]
            cosines = (vectors[:, None] * self._index.vectors[rows]).sum(dim=-1)
            for number, (found, values) in enumerate(
                zip(rows.tolist(), cosines.tolist(), strict=True), begin
            ):
                for row, cosine in zip(found, values, strict=True):
                    if row >= 0 and cosine > self.threshold:
                        near[number].setdefault(self._entities[row], min(cosine, 1.0))
        return near

    def _choose(self, text: str, spans: Sequence[tuple[_Place, dict[int, float]]]) -> list[Mention]:
        linked = [(place, near) for place, near in spans if near]
        linked.sort(key=lambda pair: (-max(pair[1].values()), pair[0][0] - pair[0][1], pair[0]))
        chosen: list[Mention] = []
        for (start, end), near in linked:
            if all(end <= other.best.start or other.best.end <= start for other in chosen):
                links = [Link(start, end, text[start:end], entity, score) for entity, score in near.items()]
                chosen.append(Mention(tuple(links)))
        return sorted(chosen, key=lambda mention: mention.best.start)

    def _vectors(self, texts: Sequence[str]) -> Tensor:
        with torch.inference_mode():
            return functional.normalize(self.encode(texts).float(), dim=-1).cpu()


def _spans(text: str) -> list[_Place]:
    """Return the places of the spans of a text that could be mentions, the first of them."""
    words = cut([text])
    normal = [word.decode("utf-8", "surrogatepass") for word in words.haystack.split(MARK)[1:-1]]
    starts, ends = words.start.tolist(), words.end.tolist()
    is_word = [any(map(str.isalnum, word)) for word in normal]
    is_content = [found and word not in FUNCTION_WORDS for found, word in zip(is_word, normal, strict=True)]
    cased = has_case(text)
    spans: list[_Place] = []
    for first, start in enumerate(starts):
        if not is_content[first] or (cased and text[start].islower()):
            continue
        length = content = 0
        for last in range(first, len(starts)):
            length += is_word[last]
            content += is_content[last]
            apart = last > first and not is_word[last - 1] and ends[last - 1] < starts[last]
            if apart or length > MOST_WORDS:  # a sign with a space behind it ends what belongs together
                break
            if is_content[last] and content >= FEWEST_CONTENT_WORDS:
                spans.append((start, ends[last]))
        if len(spans) >= MOST_SPANS:
            break
    return spans[:MOST_SPANS]
