"""What the question-answering benchmarks share: MetaQA, PathQuestion, graphs with half their triples."""

from __future__ import annotations

import hashlib
import re
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from roots_kg import GraphBundle, KnowledgeGraph, RootsModel, Task
from roots_kg.adaptation.task import Record
from roots_kg.cli.kg.train import train_bundle
from roots_kg.graph.transe import TransEConfig

TASK = Task("questions", "answer")


@dataclass(frozen=True)
class Question:
    """A question, its topic, and its right answers."""

    text: str
    topic: str
    answers: tuple[str, ...]

    def record(self, *, topic_given: bool) -> Record:
        """Return it as a line of an examples file."""
        fields: dict[str, object] = {"text": self.text, "answers": list(self.answers)}
        if topic_given:
            fields["topic"] = self.topic
        return Record(fields, Path("questions"), 1)


def metaqa(folder: Path, hops: int, split: str) -> list[Question]:
    """Read MetaQA's questions, the brackets around their topics removed."""
    questions = []
    for line in (folder / f"{hops}-hop" / f"qa_{split}.txt").read_text(encoding="utf-8").splitlines():
        text, answers = line.split("\t")
        topic = re.search(r"\[(.*)\]", text)
        assert topic is not None
        questions.append(Question(re.sub(r"[\[\]]", "", text), topic[1], tuple(answers.split("|"))))
    return questions


def path_question(folder: Path, hops: int) -> tuple[list[Question], list[Question]]:
    """Read PathQuestion, split by subject into training and test; the gold path is left where it is."""
    train, test = [], []
    for line in (folder / f"PQ-{hops}H.txt").read_text(encoding="utf-8").splitlines():
        text, answer, path = line.split("\t")[:3]
        subject = path.split("#", 1)[0]
        listed = re.sub(r"^.*?\(|\)$", "", answer)
        question = Question(text.strip(), subject, tuple(name for name in listed.split("/") if name))
        held_out = int(hashlib.sha1(subject.encode()).hexdigest(), 16) % 5 == 0
        (test if held_out else train).append(question)
    return train, test


def half_of(graph: KnowledgeGraph, seed: int) -> KnowledgeGraph:
    """Return the graph without a random half of its triples; its entities stay."""
    order = np.random.default_rng(seed).permutation(len(graph))
    return graph.without(order[: len(graph) // 2].tolist())


def bundle_of(graph: KnowledgeGraph, config: TransEConfig) -> GraphBundle:
    """Train vectors for a graph."""
    return train_bundle(graph, config)[0]


def adapted(bundle: GraphBundle, train: Sequence[Question], *, topic_given: bool) -> tuple[RootsModel, float]:
    """Return a model fitted to questions, and the CPU seconds that it took, encoding included."""
    started = time.process_time()
    model = RootsModel.from_pretrained("roots-base", knowledge=bundle)
    model.adapt(TASK, [question.record(topic_given=topic_given) for question in train])
    return model, time.process_time() - started


def hits(model: RootsModel, test: Sequence[Question], *, topic_given: bool) -> float:
    """Return Hits@1."""
    records = [question.record(topic_given=topic_given) for question in test]
    return model.evaluate(records).metrics["hits@1"]
