"""Mentions told apart by context: which of the entities that share a name a text means, if it means any.

The vectors come from whoever has an encoder; only those of the entities in question are asked for.
"""

from __future__ import annotations

import heapq
import math
import zlib
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cached_property

from torch import Tensor
from torch.nn import functional

from roots_kg.graph.linking import NO_LINK, Link, Mention
from roots_kg.graph.triples import KnowledgeGraph

__all__ = ["Disambiguator"]

PLAIN = 0.9
"""A mention that scores so much is one, whatever the context."""

NAME, NAME_EXPECTED, NEIGHBOURHOOD, DEGREE = 8.0, 0.45, 12.0, 0.1
SUREST = 0.97
NEIGHBOURS, BACKGROUND = 16, 64


class Disambiguator:
    """Chooses among the candidates of mentions by what the text is about.

    For a text x and a candidate c with match score s, name vector n(c) and at most 16 neighbours N(c), all of
    length 1, and b the mean of cos(x, n(e)) over 64 fixed entities e of the graph, the context says

        h(c) = ½ max n∈N(c) cos(x, n) + ½ cos(x, mean of N(c)) − b        (0 without neighbours)
        e(c) = 8 (cos(x, n(c)) − b − 0.45) + 12 h(c)
        l(c) = logit(min(s, 0.97)) + e(c) + 0.1 log((1 + deg c) / (1 + D))

    with D the largest degree among the mention's candidates. "No link" has l = 0, the logit of `NO_LINK`.
    The candidate's new score is

        σ(l(c)) · exp(l(c) − max l),

    and a candidate that scores no more than `NO_LINK` is dropped, a mention with it if it was the last.

    A mention is plain if its best candidate matches with 0.9 or more. The context then only chooses: e(c) is
    taken relative to the largest among the candidates. A plain mention with one candidate stays as it is, and
    costs nothing.

    Neighbours are taken from each relation and direction in turn, and within one by a hash of their keys (as
    the 64 entities are), so that they do not depend on the order of a file. In a long text, which is about
    many things, evidence is weak, and a word that may be a name is mostly taken for no link.
    `benchmarks/linking.py` measures what the weights do.

    Args:
        graph: of the entities.
    """

    def __init__(self, graph: KnowledgeGraph) -> None:
        self.graph = graph
        self._neighbours: dict[int, list[int]] = {}

    def is_needed(self, mentions: Sequence[Mention]) -> bool:
        """Whether the text's vector could change anything about its mentions."""
        return any(map(_is_open, mentions))

    def choose(
        self,
        mentions: Sequence[Sequence[Mention]],
        texts: Tensor,
        names: Callable[[list[int]], Tensor],
    ) -> list[list[Mention]]:
        """Rank the candidates of every mention anew.

        A text's mentions do not depend on the other texts.

        Args:
            mentions: those of N texts.
            texts: (N, d), the texts' vectors; rows for which `is_needed` is false are not looked at.
            names: from K different entities to the vectors of their names, (K, d); called at most once.
        """
        wanted = sorted(
            {
                entity
                for found in mentions
                for mention in filter(_is_open, found)
                for link in mention.candidates
                for entity in (link.entity_id, *self.neighbours(link.entity_id))
            }
        )
        if not wanted:
            return [list(found) for found in mentions]
        known = dict.fromkeys((*wanted, *self._background))
        row = {entity: position for position, entity in enumerate(known)}
        table = functional.normalize(names(list(known)).to(texts), dim=-1)
        background = table[[row[entity] for entity in self._background]].mean(dim=0)
        chosen: list[list[Mention]] = []
        for found, text in zip(mentions, functional.normalize(texts, dim=-1), strict=True):
            kept: list[Mention] = []
            for mention in found:
                if not _is_open(mention):
                    kept.append(mention)
                    continue
                ids = [link.entity_id for link in mention.candidates]
                around = [table[[row[entity] for entity in self.neighbours(one)]] for one in ids]
                own = table[[row[entity] for entity in ids]]
                evidence = context(text, own, around, text @ background)
                if mention.best.score >= PLAIN:
                    evidence -= evidence.max()
                if candidates := self._ranked(mention.candidates, evidence.tolist()):
                    kept.append(Mention(candidates))
            chosen.append(kept)
        return chosen

    def neighbours(self, entity_id: int) -> list[int]:
        """Return at most 16 neighbours of an entity, in a fixed order."""
        if entity_id not in self._neighbours:
            self._neighbours[entity_id] = self._find_neighbours(entity_id)
        return self._neighbours[entity_id]

    def _find_neighbours(self, entity_id: int) -> list[int]:
        adjacency, count = self.graph.adjacency, self.graph.num_relations
        begin, end = adjacency.start[entity_id : entity_id + 2].tolist()
        direction, neighbour = adjacency.direction[begin:end], adjacency.neighbour[begin:end]
        groups: dict[tuple[str, bool], list[int]] = {}
        position = 0
        while position < len(direction):
            which = int(direction[position])
            following = int(direction.searchsorted(which, "right"))
            others = neighbour[position:following].tolist()
            relation = self.graph.relations[which % count], which >= count
            groups[relation] = heapq.nsmallest(NEIGHBOURS, others, key=self._hash)
            position = following
        found: dict[int, None] = {}
        for rank in range(NEIGHBOURS):
            for relation in sorted(groups):
                if rank < len(groups[relation]) and groups[relation][rank] != entity_id:
                    found[groups[relation][rank]] = None
        return list(found)[:NEIGHBOURS]

    @cached_property
    def _background(self) -> list[int]:
        return heapq.nsmallest(BACKGROUND, range(self.graph.num_entities), key=self._hash)

    def _hash(self, entity_id: int) -> tuple[int, str]:
        key = self.graph.entities[entity_id]
        return zlib.crc32(key.encode("utf-8", "surrogatepass")), key

    def _ranked(self, candidates: Sequence[Link], evidence: Sequence[float]) -> tuple[Link, ...]:
        start = self.graph.adjacency.start
        degrees = [int(start[link.entity_id + 1] - start[link.entity_id]) for link in candidates]
        largest = max(degrees)
        logits = []
        for link, degree, said in zip(candidates, degrees, evidence, strict=True):
            score = min(max(link.score, 1 - SUREST), SUREST)
            weak = DEGREE * math.log((1 + degree) / (1 + largest))
            logits.append(math.log(score / (1 - score)) + said + weak)
        best = max(logits)
        scores = [math.exp(logit - best) / (1 + math.exp(-logit)) for logit in logits]
        links = [replace(link, score=score) for link, score in zip(candidates, scores, strict=True)]
        return tuple(sorted((link for link in links if link.score > NO_LINK), key=lambda link: -link.score))


def context(text: Tensor, names: Tensor, around: Sequence[Tensor], expected: Tensor) -> Tensor:
    """Return what a text says for each of C entities, e(c) of `Disambiguator`.

    Args:
        text: (d,), of length 1, as all vectors here.
        names: (C, d), the entities' names.
        around: for each of them the names of its neighbours, (K, d), K ≥ 0.
        expected: scalar, the cosine of the text with any name.

    Returns:
        (C,).
    """
    evidence = NAME * (names @ text - expected - NAME_EXPECTED)
    for index, vectors in enumerate(around):
        if len(vectors):
            nearest = (vectors @ text).max()
            middle = functional.normalize(vectors.mean(dim=0), dim=0) @ text
            evidence[index] += NEIGHBOURHOOD * ((nearest + middle) / 2 - expected)
    return evidence


def _is_open(mention: Mention) -> bool:
    return len(mention.candidates) > 1 or mention.best.score < PLAIN
