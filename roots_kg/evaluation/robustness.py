"""How a model stands up to noise: in its texts, in the links to its graph, and in the graph's facts."""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from roots_kg.adaptation.heads.base import Example, Head, Prediction
from roots_kg.adaptation.task import Record, Task
from roots_kg.errors import UsageError
from roots_kg.evaluation.verdict import number, points
from roots_kg.fusion.encoder import MarkedText, Text
from roots_kg.graph.linking import Mention
from roots_kg.graph.store import GraphBundle
from roots_kg.intervals import Estimate, bootstrap, percentiles
from roots_kg.model import RootsModel
from roots_kg.model_card import markdown_table

__all__ = ["DISTURBANCES", "RobustnessReport", "RobustnessRow", "disturbed", "robustness_report", "work"]

Progress = Callable[[int], None]
SHORTEST = 4
"""Words of fewer letters get no typing errors."""

TEXTS: dict[str, Callable[[str, random.Random], str]] = {
    "typing errors in 10% of the words": lambda text, draw: _words(text, draw, 0.1, _mistyped),
    "10% of the words dropped": lambda text, draw: _dropped(text, draw, 0.1),
    "lower case": lambda text, draw: text.lower(),
    "upper case": lambda text, draw: text.upper(),
    "the second half cut off": lambda text, draw: " ".join(text.split()[: (len(text.split()) + 1) // 2]),
}
LINKS = {"10% of the links wrong": 0.1, "30% of the links wrong": 0.3}
GRAPHS: dict[str, tuple[str, float]] = {
    "10% of the triples deleted": ("deleted", 0.1),
    "30% of the triples deleted": ("deleted", 0.3),
    "50% of the triples deleted": ("deleted", 0.5),
    "1% of the triples poisoned": ("poisoned", 0.01),
    "5% of the triples poisoned": ("poisoned", 0.05),
}
CLEAN = "as it is"
DISTURBANCES = (CLEAN, *TEXTS, *LINKS, *GRAPHS)
"""What is done, in the order of the report."""


@dataclass(frozen=True)
class RobustnessRow:
    """What came out under one disturbance.

    Args:
        disturbance: one of `DISTURBANCES`.
        graph: the model's metric.
        text: that of a model which learned from the same examples without the graph; it does not see what is
            done to links and triples.
        difference: the first less the second, on the same examples.
    """

    disturbance: str
    graph: Estimate
    text: Estimate
    difference: Estimate


@dataclass(frozen=True)
class RobustnessReport:
    """How a model stands up to noise.

    Args:
        task: the task's name.
        metric: what is reported, the task's first metric.
        n: how many test examples there are.
        rows: one for each disturbance.
    """

    task: str
    metric: str
    n: int
    rows: tuple[RobustnessRow, ...]

    def to_json(self) -> dict[str, Any]:
        """Return it as plain data."""
        return asdict(self)

    def to_markdown(self) -> str:
        """Return what a model's card says of it."""
        rows = [
            (row.disturbance, number(row.graph), number(row.text), points(row.difference))
            for row in self.rows
        ]
        table = markdown_table(("disturbance", self.metric, "text only", "difference"), rows)
        return f"{table}\n{self.n:,} test examples; 95% bootstrap intervals over them.\n"


def work(num_test: int) -> int:
    """Return how many texts a report reads that judges so many test examples."""
    return num_test * (len(DISTURBANCES) + 1 + len(TEXTS))


def robustness_report(
    model: RootsModel,
    task: Task,
    test: Sequence[Record],
    *,
    shots: int | None = None,
    seed: int = 0,
    progress: Progress = lambda done: None,
) -> RobustnessReport:
    """Judge a model on test examples that are disturbed, beside one that learned without the graph.

    Args:
        model: a saved model with a graph and one task.
        task: the same task, with its training examples, from which the text-only model learns.
        test: labelled examples.
        shots: how many of each class it learns from, as the model did; None for all.
        seed: of that draw, and of all disturbances.
        progress: called with the number of texts done since the last call.

    Raises:
        UsageError: if the model has no graph, or its head reads more of a line than a text.
    """
    head = model.head_of()
    if model.knowledge is None:
        raise UsageError("the model has no graph whose worth under noise could be judged")
    examples = [head.example(record) for record in test]
    if not all(isinstance(example.text, str) for example in examples):
        message = f"the head {head.task.head!r} reads more of a line than a text, which cannot be disturbed"
        raise UsageError(message, hint="this report is for heads that read a text alone")
    alone = RootsModel(model.layers.encoder)
    alone.adapt(task, shots=shots, seed=seed)
    judge = _Judge(model, alone, examples, seed, progress)
    rows = tuple(judge.row(disturbance) for disturbance in DISTURBANCES)
    return RobustnessReport(task.name, judge.metric, len(examples), rows)


def disturbed(texts: Sequence[str], disturbance: str, seed: int = 0) -> list[str]:
    """Return texts under one of the disturbances of texts; each is drawn by its own number and the seed."""
    change = TEXTS[disturbance]
    return [change(text, random.Random(f"{seed} {place}")) for place, text in enumerate(texts)]


class _Judge:
    """Asks both models under each disturbance; what the text-only one said of the plain texts is kept."""

    def __init__(
        self,
        model: RootsModel,
        alone: RootsModel,
        examples: Sequence[Example],
        seed: int,
        progress: Progress,
    ) -> None:
        self.model, self.alone, self.examples = model, alone, examples
        self.seed, self.progress = seed, progress
        self.head: Head = model.head_of()
        self.texts: list[str] = [str(example.text) for example in examples]
        self.plain = alone.predict(self.texts, progress=progress)
        self.metric = next(iter(self.head.judge(self.plain, [example.target for example in examples])))

    def row(self, disturbance: str) -> RobustnessRow:
        """Return what comes out under a disturbance."""
        model, texts, beside = self.model, list[Text](self.texts), self.plain
        if disturbance in TEXTS:
            changed = disturbed(self.texts, disturbance, self.seed)
            texts, beside = list[Text](changed), self.alone.predict(changed, progress=self.progress)
        elif disturbance in LINKS:
            texts = self._wrongly_linked(LINKS[disturbance])
        elif disturbance in GRAPHS:
            assert model.knowledge is not None
            model = model.with_graph(_changed(model.knowledge.bundle, *GRAPHS[disturbance], self.seed))
        found = model.predict(texts, progress=self.progress)
        return self._compared(disturbance, found, beside)

    def _compared(
        self, disturbance: str, found: Sequence[Prediction], beside: Sequence[Prediction]
    ) -> RobustnessRow:
        def score(predictions: Sequence[Prediction]) -> Callable[[Sequence[int]], dict[str, float]]:
            targets = [example.target for example in self.examples]
            return lambda places: self.head.judge(
                [predictions[at] for at in places], [targets[at] for at in places]
            )

        places = range(len(self.examples))
        ours, theirs = (bootstrap(score(each), places)[self.metric] for each in (found, beside))
        one, other = (score(each)(places)[self.metric] for each in (found, beside))
        return RobustnessRow(
            disturbance,
            percentiles(one, ours),
            percentiles(other, theirs),
            percentiles(one - other, ours - theirs),
        )

    def _wrongly_linked(self, share: float) -> list[Text]:
        """Return the texts with a share of their links leading to entities that are not meant."""
        assert self.model.knowledge is not None
        graph = self.model.knowledge.graph
        linked = self.model.knowledge.linker.link_all(self.texts)
        draw = random.Random(self.seed)

        def wrong(mention: Mention) -> Mention:
            if draw.random() >= share:
                return mention
            return Mention((replace(mention.best, entity_id=draw.randrange(graph.num_entities)),))

        return [
            MarkedText(text, tuple(map(wrong, mentions)))
            for text, mentions in zip(self.texts, linked, strict=True)
        ]


def _changed(bundle: GraphBundle, way: str, share: float, seed: int) -> GraphBundle:
    """Return the graph with a share of its triples deleted, or with other tails."""
    graph, generator = bundle.graph, np.random.default_rng(seed)
    chosen = generator.choice(len(graph), round(share * len(graph)), replace=False)
    if way == "deleted":
        return replace(bundle, graph=graph.without(chosen.tolist()))
    tail_id = graph.tail_id.copy()
    tail_id[chosen] = generator.integers(0, graph.num_entities, len(chosen))
    poisoned = graph.with_triples(graph.head_id, graph.relation_id, tail_id, graph.source_id)
    return replace(bundle, graph=poisoned)


def _words(text: str, draw: random.Random, share: float, change: Callable[[str, random.Random], str]) -> str:
    def one(match: re.Match[str]) -> str:
        word = match.group()
        return change(word, draw) if len(word) >= SHORTEST and draw.random() < share else word

    return re.sub(r"\w+", one, text)


def _mistyped(word: str, draw: random.Random) -> str:
    """Swap two neighbouring letters of a word, leave one out, or double one; the first letter stays."""
    place = draw.randrange(1, len(word) - 1)
    swapped = word[:place] + word[place + 1] + word[place] + word[place + 2 :]
    return draw.choice([swapped, word[:place] + word[place + 1 :], word[:place] + word[place] + word[place:]])


def _dropped(text: str, draw: random.Random, share: float) -> str:
    words = text.split()
    return " ".join([word for word in words if draw.random() >= share] or words[:1])
