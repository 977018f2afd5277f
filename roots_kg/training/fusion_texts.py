"""Texts made from a graph, in which one name is missing that the graph knows.

A text mentions an entity and asks for another one that a triple connects with it: in a sentence that states
the triple, in a description of a few triples, or, where a text of the user or a bare name asks for nothing,
for any neighbour. The entity that is asked for is replaced by `STAND_IN`; the other stays linked and brings
its surroundings. Nothing here is written for a relation: its name is put into a few general patterns.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from roots_kg.fusion.encoder import MarkedText
from roots_kg.fusion.names import relation_text
from roots_kg.graph.linking import Link, Mention
from roots_kg.graph.triples import Ids, KnowledgeGraph
from roots_kg.training.fusion_config import Mixture

__all__ = ["STAND_IN", "FusionText", "FusionTexts", "sentence"]

STAND_IN = "this"

PREPOSITIONS = frozenset("at by for from in into of on to with as near".split())
AFTER_PREPOSITION = ("{head} is {relation} {tail}", "{head}, {relation} {tail}")
OTHERWISE = (
    "the {relation} of {head} is {tail}",
    "{head} has the {relation} {tail}",
    "{tail} is the {relation} of {head}",
    "{head}: {relation} {tail}",
)
MOST_TOLD = 3
"""How many triples a description states."""


@dataclass(frozen=True)
class FusionText:
    """A text, what it is linked to, and which entity is to be recovered.

    Args:
        text: with its mentions.
        masked: where the stand-in starts and ends; None where nothing of the text is masked.
        answer: the entity to recover.
        kept: the entity whose surroundings should tell.
        direction: the direction in which an edge leads from `kept` to `answer`; −1 where none is asked for.
        without: triples to treat as absent.
        wrong: whether a mention is linked to what it does not mean.
    """

    text: MarkedText
    masked: tuple[int, int] | None
    answer: int
    kept: int
    direction: int
    without: frozenset[int]
    wrong: bool


class FusionTexts:
    """Draws texts from a graph.

    Relations are drawn by the root of how often they occur, so that rare ones are learned too, and by how
    many of their triples have an end that others have too: what only one entity has, such as a code, says
    nothing about another. Of a triple, that end is asked for which the other one tells more about (by the
    counts of Wang et al. 2014, TransH).

    Args:
        graph: with at least one triple.
        mixture: how often each kind of text is drawn.
        removed, wrong, dropped: see `FusionTrainingConfig`.
        lines: texts of the user with their mentions, at least one each.
    """

    def __init__(
        self,
        graph: KnowledgeGraph,
        mixture: Mixture,
        *,
        removed: float,
        wrong: float,
        dropped: float,
        lines: Sequence[MarkedText] = (),
    ) -> None:
        self.graph, self.lines = graph, lines
        self.removed, self.wrong, self.dropped = removed, wrong, dropped
        weights = np.array([mixture.triples, mixture.descriptions, mixture.names, mixture.lines])
        weights[3] *= bool(lines)
        self._kinds = weights / weights.sum()
        counts = np.bincount(graph.relation_id, minlength=graph.num_relations)
        self._by_relation = np.split(np.argsort(graph.relation_id, kind="stable"), np.cumsum(counts)[:-1])
        weight = np.sqrt(counts) * np.array([_shared(graph, members) for members in self._by_relation])
        weight = weight if weight.any() else np.sqrt(counts)
        self._relation_weight = weight / weight.sum()
        self._ends = [
            (np.unique(graph.tail_id[part]), np.unique(graph.head_id[part])) for part in self._by_relation
        ]
        edges = graph.adjacency
        owners = np.repeat(np.arange(graph.num_entities), np.diff(edges.start))
        self._codes = owners * (2 * graph.num_relations) + edges.direction

    def batch(self, size: int, generator: np.random.Generator) -> list[FusionText]:
        """Draw texts."""
        return [self._draw(generator) for _ in range(size)]

    def negatives(self, direction: int, count: int, generator: np.random.Generator) -> Ids:
        """Draw entities to which a direction leads somewhere, (count,); any, where none is asked for."""
        relations = self.graph.num_relations
        if direction < 0:
            return generator.integers(self.graph.num_entities, size=count)
        return generator.choice(self._ends[direction % relations][direction // relations], size=count)

    def answers(self, entity: int, direction: int) -> Ids:
        """Return the entities to which an edge in this direction leads from an entity."""
        edges = self.graph.adjacency
        code = entity * 2 * self.graph.num_relations + direction
        first, last = np.searchsorted(self._codes, [code, code + 1])
        return edges.neighbour[first:last]

    def _draw(self, generator: np.random.Generator) -> FusionText:
        kind = int(generator.choice(4, p=self._kinds))
        if kind == 3:
            return self._from_line(self.lines[int(generator.integers(len(self.lines)))], generator)
        triple = self._triple(generator)
        kept, direction, answer = self._asked(triple, generator)
        told = [triple] if kind < 2 else []
        if kind == 1:
            told = self._more(kept, triple, generator)
        return self._told(kept, direction, answer, triple, told, generator)

    def _triple(self, generator: np.random.Generator) -> int:
        members = self._by_relation[int(generator.choice(self.graph.num_relations, p=self._relation_weight))]
        return int(generator.choice(members))

    def _asked(self, triple: int, generator: np.random.Generator) -> tuple[int, int, int]:
        """Return which entity of a triple is kept, the direction that leads to the other, and the other."""
        graph = self.graph
        head, relation, tail = (int(ids[triple]) for ids in (graph.head_id, graph.relation_id, graph.tail_id))
        back = relation + graph.num_relations
        tails, heads = len(self.answers(head, relation)), len(self.answers(tail, back))
        if generator.random() < heads / (heads + tails):
            return head, relation, tail
        return tail, back, head

    def _more(self, kept: int, triple: int, generator: np.random.Generator) -> list[int]:
        """Return a few triples of an entity, this one among them."""
        edges = self.graph.adjacency
        around = np.unique(edges.triple[edges.start[kept] : edges.start[kept + 1]])
        others = around[around != triple]
        count = min(MOST_TOLD - 1, len(others))
        chosen = [triple, *generator.choice(others, size=count, replace=False).tolist()]
        return [chosen[index] for index in generator.permutation(len(chosen))]

    def _told(
        self,
        kept: int,
        direction: int,
        answer: int,
        triple: int,
        told: Sequence[int],
        generator: np.random.Generator,
    ) -> FusionText:
        """State triples one after the other; without any, the text is the name of the kept entity."""
        text, links, masked = "", [], None
        if not told:
            text = self.graph.name(kept)
            links.append(Link(0, len(text), text, kept, 1.0))
        for number in told:
            hidden = {answer} if number == triple else set()
            stated, places = sentence(self.graph, number, hidden, generator)
            text += " " if text else ""
            for entity, start, end in places:
                if entity < 0:
                    masked = (start + len(text), end + len(text))
                else:
                    surface = stated[start:end]
                    links.append(Link(start + len(text), end + len(text), surface, entity, 1.0))
            text += stated
        absent = self._connecting(kept, answer) if generator.random() < self.removed else frozenset[int]()
        return self._linked(text, links, masked, answer, kept, direction, absent, generator)

    def _from_line(self, line: MarkedText, generator: np.random.Generator) -> FusionText:
        """Mask one of a text's mentions, or ask for a neighbour of the only one."""
        links = [mention.best for mention in line.mentions or ()]
        order = generator.permutation(len(links)).tolist()
        kept = links[order[0]]
        others = [links[index] for index in order[1:] if links[index].entity_id != kept.entity_id]
        hidden = others[0] if others and generator.random() < 0.5 else None
        if hidden is None:
            edges = self.graph.adjacency
            first, last = (int(place) for place in edges.start[[kept.entity_id, kept.entity_id + 1]])
            answer, direction = kept.entity_id, -1
            if last > first:
                directions = np.unique(edges.direction[first:last])
                direction = int(generator.choice(directions))
                answer = int(generator.choice(self.answers(kept.entity_id, direction)))
            absent = self._connecting(kept.entity_id, answer)
            absent = absent if generator.random() < self.removed else frozenset()
            return self._linked(line.text, links, None, answer, kept.entity_id, direction, absent, generator)
        shift = len(STAND_IN) - (hidden.end - hidden.start)
        moved = [
            Link(link.start + shift, link.end + shift, link.text, link.entity_id, link.score)
            if link.start >= hidden.end
            else link
            for link in links
            if link.entity_id != hidden.entity_id
        ]
        text = line.text[: hidden.start] + STAND_IN + line.text[hidden.end :]
        masked = hidden.start, hidden.start + len(STAND_IN)
        return self._linked(text, moved, masked, hidden.entity_id, kept.entity_id, -1, frozenset(), generator)

    def _linked(
        self,
        text: str,
        links: Sequence[Link],
        masked: tuple[int, int] | None,
        answer: int,
        kept: int,
        direction: int,
        without: frozenset[int],
        generator: np.random.Generator,
    ) -> FusionText:
        """Link a text, now and then falsely or not everywhere."""
        wrong = bool(generator.random() < self.wrong)
        if len(links) > 1 and generator.random() < self.dropped:
            others = [index for index, link in enumerate(links) if link.entity_id != kept]
            if others:
                lost = int(generator.choice(others))
                links = [link for index, link in enumerate(links) if index != lost]
        if wrong:
            strangers = generator.integers(self.graph.num_entities, size=len(links)).tolist()
            links = [
                Link(link.start, link.end, link.text, stranger, link.score)
                for link, stranger in zip(links, strangers, strict=True)
            ]
        mentions = tuple(Mention((link,)) for link in links)
        return FusionText(MarkedText(text, mentions), masked, answer, kept, direction, without, wrong)

    def _connecting(self, first: int, second: int) -> frozenset[int]:
        """Return the triples that connect two entities."""
        edges = self.graph.adjacency
        around: NDArray[np.int64] = np.arange(edges.start[first], edges.start[first + 1])
        return frozenset(edges.triple[around[edges.neighbour[around] == second]].tolist())


def sentence(
    graph: KnowledgeGraph, triple: int, hidden: set[int], generator: np.random.Generator
) -> tuple[str, list[tuple[int, int, int]]]:
    """Return a triple as a sentence, and for both ends the entity (−1 for a hidden one) and its place."""
    head, tail = int(graph.head_id[triple]), int(graph.tail_id[triple])
    relation = relation_text(graph.relations[int(graph.relation_id[triple])])
    patterns = AFTER_PREPOSITION if relation.split()[-1] in PREPOSITIONS else OTHERWISE
    pattern = patterns[int(generator.integers(len(patterns)))].replace("{relation}", relation)
    text, places = "", []
    for piece in pattern.replace("{head}", "\0h\0").replace("{tail}", "\0t\0").split("\0"):
        if piece in ("h", "t"):
            entity = head if piece == "h" else tail
            name = STAND_IN if entity in hidden else graph.name(entity)
            places.append((-1 if entity in hidden else entity, len(text), len(text) + len(name)))
            text += name
        else:
            text += piece
    return f"{text}.", places


def _shared(graph: KnowledgeGraph, members: Ids) -> float:
    """Return which share of some triples of one relation has an end that another of them has too."""
    if not len(members):
        return 0.0
    ends = [ids[members] for ids in (graph.head_id, graph.tail_id)]
    counts = [np.bincount(ids)[ids] for ids in ends]
    return float((np.maximum(*counts) > 1).mean())
