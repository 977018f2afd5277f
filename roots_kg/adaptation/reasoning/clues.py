"""What answered questions say about edges that the graph lacks.

A question that asks for the path d_1 … d_H from a topic, with its answers A, is a statement about the graph:
what lies on the way forwards from the topic, F_0 … F_{H−1}, and backwards from the answers, B_1 … B_H = A,
must meet. If an entity e of F_{i−1} has no edge in direction d_i, then where it leads is likely in B_i; if an
entity of B_i has none in the opposite direction, then it likely comes from F_{i−1}. A question about one
relation states its facts outright. Such clues are kept for entities that lack an edge, and weighed by
`completion`.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from roots_kg.graph.paths import neighbours
from roots_kg.graph.triples import Ids, KnowledgeGraph

__all__ = ["CLUE_FEATURES", "BrokenPath", "Clues", "Gathered", "ReadQuestion", "gather_clues"]

CLUE_FEATURES = 6
"""Of clues from a path's end, and then of others: how many, and the sums of 1/|F| and of 1/|B|."""

MOST_STARTS, MOST_ENDS, MOST_BEHIND = 60, 200, 1000
"""Larger sets say too little to be worth keeping."""


@dataclass(frozen=True)
class ReadQuestion:
    """An answered question whose path is known.

    Args:
        topic: the entity it is about.
        path: the directions it asks for.
        answers: its right answers.
    """

    topic: int
    path: tuple[int, ...]
    answers: frozenset[int]


@dataclass(frozen=True)
class BrokenPath:
    """A question whose path breaks off: the last edge before its answers is not in the graph.

    Args:
        entity: where it breaks off.
        direction: the direction in which there is no edge.
        answers: where the edge must lead.
        question: which question, as in `Clues.question`.
    """

    entity: int
    direction: int
    answers: frozenset[int]
    question: int


@dataclass(frozen=True)
class Clues:
    """Clues by the edge that is missing.

    Args:
        key: (n,) entity · 2R + direction, ascending, with repetitions.
        end: (n,) where the missing edge may lead.
        question: (n,) which question says so.
        feature: (n, F) what is counted of it, see `CLUE_FEATURES`.
    """

    key: Ids
    end: Ids
    question: Ids
    feature: NDArray[np.float32]

    @classmethod
    def none(cls) -> Clues:
        """Return no clues."""
        empty = np.zeros(0, dtype=np.int64)
        return cls(empty, empty, empty, np.zeros((0, CLUE_FEATURES), dtype=np.float32))

    def about(self, key: int) -> slice:
        """Return the rows about one missing edge."""
        begin, end = np.searchsorted(self.key, [key, key + 1])
        return slice(int(begin), int(end))

    def summed(self) -> Clues:
        """Return the clues added up over questions, one row for each edge and end."""
        order = np.lexsort((self.end, self.key))
        key, end = self.key[order], self.end[order]
        first = np.ones(len(key), dtype=bool)
        first[1:] = (key[1:] != key[:-1]) | (end[1:] != end[:-1])
        begins = np.nonzero(first)[0]
        feature = np.add.reduceat(self.feature[order], begins) if len(begins) else self.feature
        return Clues(key[begins], end[begins], np.full(len(begins), -1), feature.astype(np.float32))


@dataclass(frozen=True)
class Gathered:
    """What answered questions say about a graph.

    Args:
        clues: about edges that it lacks, not summed.
        broken: the questions whose path breaks off just before the answers.
        unreached: how many questions' paths lead to none of their answers.
    """

    clues: Clues
    broken: tuple[BrokenPath, ...]
    unreached: int


def gather_clues(
    graph: KnowledgeGraph, questions: Sequence[ReadQuestion], *, returns: bool = False
) -> Gathered:
    """Collect what answered questions say about edges that the graph lacks.

    The facts that questions state outright are gathered first, and walked like edges afterwards.

    Args:
        graph: the graph.
        questions: the questions.
        returns: whether their paths may come back to their topics.
    """
    known = _KnownEdges(graph, returns)
    for question in questions:
        if len(question.path) == 1 and len(question.answers) <= MOST_ENDS:
            known.state(question.topic, question.path[0], question.answers)
    said = _Said(known)
    broken: list[BrokenPath] = []
    unreached = 0
    for number, question in enumerate(questions):
        forwards, backwards = known.between(question)
        unreached += not known.reaches(question)
        if len(forwards[-1]) == 1:
            (entity,) = forwards[-1]
            if not known.in_graph(entity, question.path[-1]):
                broken.append(BrokenPath(entity, question.path[-1], question.answers, number))
        outright = len(question.path) == 1
        for place, (starts, into) in enumerate(zip(forwards, backwards, strict=True)):
            if 0 < len(starts) <= MOST_STARTS and 0 < len(into) <= MOST_ENDS:
                direction, last = question.path[place], place == len(question.path) - 1
                said.add(number, starts, direction, into, at_end=last)
                said.add(number, into, graph.opposite(direction), starts, at_end=outright)
    return Gathered(said.clues(), tuple(broken), unreached)


class _Said:
    """Clues while they are gathered."""

    def __init__(self, known: _KnownEdges) -> None:
        self.known = known
        nothing = Clues.none()
        self._columns = [(nothing.key, nothing.end, nothing.question, nothing.feature)]

    def add(
        self, question: int, starts: Collection[int], direction: int, into: Collection[int], *, at_end: bool
    ) -> None:
        """Note that missing edges in a direction, from some entities, lead to some of others."""
        lacking = [entity for entity in sorted(starts) if not self.known.in_graph(entity, direction)]
        if not lacking:
            return
        rows = len(lacking) * len(into)
        key = np.array(lacking, dtype=np.int64) * 2 * self.known.graph.num_relations + direction
        feature = np.zeros((rows, CLUE_FEATURES), dtype=np.float32)
        offset = 0 if at_end else CLUE_FEATURES // 2
        feature[:, offset : offset + CLUE_FEATURES // 2] = 1, 1 / len(starts), 1 / len(into)
        ends = np.tile(np.array(sorted(into), dtype=np.int64), len(lacking))
        self._columns.append((np.repeat(key, len(into)), ends, np.full(rows, question), feature))

    def clues(self) -> Clues:
        """Return what was noted, by key."""
        key, end, question, feature = (np.concatenate(part) for part in zip(*self._columns, strict=True))
        order = np.argsort(key, kind="stable")
        return Clues(key[order], end[order], question[order], feature[order])


class _KnownEdges:
    """The edges of the graph and those that questions state outright, as sets."""

    def __init__(self, graph: KnowledgeGraph, returns: bool) -> None:
        self.graph, self.returns = graph, returns
        self._stated: dict[tuple[int, int], set[int]] = {}
        self._edges: dict[tuple[int, int], frozenset[int]] = {}

    def state(self, entity: int, direction: int, ends: Collection[int]) -> None:
        """Add edges."""
        opposite = self.graph.opposite(direction)
        self._stated.setdefault((entity, direction), set()).update(ends)
        for end in ends:
            self._stated.setdefault((end, opposite), set()).add(entity)

    def in_graph(self, entity: int, direction: int) -> frozenset[int]:
        """Return where the graph's own edges lead."""
        found = self._edges.get((entity, direction))
        if found is None:
            found = frozenset(neighbours(self.graph, entity, direction).tolist())
            self._edges[entity, direction] = found
        return found

    def reaches(self, question: ReadQuestion) -> bool:
        """Tell whether a question's path leads to one of its answers within the graph."""
        reached = {question.topic}
        for direction in question.path:
            reached = {end for entity in reached for end in self.in_graph(entity, direction)}
            if not self.returns:
                reached.discard(question.topic)
        return not reached.isdisjoint(question.answers)

    def between(self, question: ReadQuestion) -> tuple[list[set[int]], list[set[int]]]:
        """Return F_0 … F_{H−1} and B_1 … B_H."""
        forwards = [{question.topic}]
        for direction in question.path[:-1]:
            reached = self._step(forwards[-1], direction)
            forwards.append(reached if self.returns else reached - {question.topic})
        backwards = [set(question.answers)]
        for direction in question.path[:0:-1]:
            behind = self._step(backwards[-1], self.graph.opposite(direction))
            backwards.append(behind if len(behind) <= MOST_BEHIND else set())
        return forwards, backwards[::-1]

    def _step(self, entities: Collection[int], direction: int) -> set[int]:
        reached: set[int] = set()
        for entity in entities:
            reached |= self.in_graph(entity, direction)
            reached |= self._stated.get((entity, direction), set())
        return reached
