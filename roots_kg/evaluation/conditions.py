"""The conditions of the knowledge report: one task learned with the graph, without it, and with false ones.

Under each condition the head is adapted anew on the same support set, as what a head has learned from one
kind of knowledge says nothing about another. A head that can do nothing without a graph is stood in for by
the answer of the most similar labelled text.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from typing import Any

from roots_kg.adaptation.heads.base import Example, Head, Prediction
from roots_kg.adaptation.task import Record, Task, label_text
from roots_kg.errors import TaskError, UsageError
from roots_kg.evaluation.controls import RandomKnowledge, random_vectors, shuffled_graph
from roots_kg.evaluation.remembering import RememberingEncoder
from roots_kg.evaluation.trials import Trial
from roots_kg.fusion.encoder import EncodedTexts, KnowledgeEncoder, Text
from roots_kg.graph.retrieval import Subgraph
from roots_kg.graph.triples import KnowledgeGraph
from roots_kg.model import RootsModel

__all__ = ["AS_TEXT", "GRAPH", "NO_GRAPH", "SHUFFLED", "STANDS_IN", "TITLES", "Condition", "Conditions"]

GRAPH, NO_GRAPH, SHUFFLED, RANDOM, AS_TEXT = (
    "graph",
    "no_graph",
    "shuffled_graph",
    "random_vectors",
    "triples_as_text",
)
TITLES = {
    GRAPH: "graph",
    NO_GRAPH: "no graph",
    SHUFFLED: "shuffled graph",
    RANDOM: "random vectors",
    AS_TEXT: "triples as text",
}
WRITTEN_TRIPLES = 8
"""How many of a text's triples are written in front of it, those nearest to what it mentions first."""

STANDS_IN = (
    "this head answers nothing without a graph; the answer of the most similar labelled text stands in for it"
)

Advance = Callable[[int], None]
Write = Callable[[Sequence[Record]], list[Record]]


@dataclass(frozen=True)
class Condition:
    """One kind of knowledge to learn a task with.

    Args:
        name: one of `TITLES`.
        model: what is adapted; None where the head cannot work under this condition.
        write: what records become before they are read; None leaves them as they are.
        stands_in: whether the nearest labelled text answers in place of a head.
        note: what a person should know about it; empty for nothing.
    """

    name: str
    model: RootsModel | None
    write: Write | None = None
    stands_in: bool = False
    note: str = ""


class Conditions:
    """A saved model, and what else its task can be learned with; every text is encoded once a condition.

    Args:
        model: an adapted model with a graph; it stays as it is.
        task: its task, with training examples.
        records: examples of the task, which tell whether triples can be written in front of them.
        seed: of the shuffled graph and of the random vectors.

    Raises:
        UsageError: if the model has not been adapted or has no graph.
    """

    def __init__(self, model: RootsModel, task: Task, records: Sequence[Record], seed: int = 0) -> None:
        if model.knowledge is None:
            raise UsageError(
                "the model has no graph, so there is no knowledge to report on",
                hint="adapt it again with `--knowledge BUNDLE`, or name a graph for it here in the same way",
            )
        self.task, self.knowledge = task, model.knowledge
        self._head = model.head_of(task.name if len(model.heads) > 1 else None)
        self.head: Head = type(self._head)(task, self._head.size, model.knowledge)
        self.saved = _beside(model, model.layers)
        self.switched_off = _beside(model, KnowledgeEncoder(model.layers.encoder))
        for asked in (self.saved, self.switched_off):
            asked.heads = {self._head.task.name: self._head}
        graph = _beside(model, model.layers)
        graph.layers = copy.copy(self.saved.layers)  # what it remembers is shared
        text, needs = KnowledgeEncoder(model.layers.encoder), self.head.needs_knowledge
        bundle = model.knowledge.bundle
        self.all = [
            Condition(GRAPH, graph),
            Condition(
                NO_GRAPH,
                _beside(model, text),
                stands_in=needs,
                note=STANDS_IN if needs else "",
            ),
            Condition(SHUFFLED, _beside(model, model.with_graph(shuffled_graph(bundle, seed)).layers)),
            Condition(RANDOM, _beside(model, _random_layers(model, seed))),
            self._as_text(_beside(model, text), records),
        ]

    def trial(
        self, condition: Condition, support: Sequence[Record], test: Sequence[Record], advance: Advance
    ) -> Trial | None:
        """Adapt the head on a support set under a condition, and judge it on the test examples.

        Args:
            condition: one of `all`.
            support: the labelled examples.
            test: what to judge it on.
            advance: called with the number of texts done since the last call.

        Returns:
            The outcome, or None where the condition is impossible for this head.

        Raises:
            TaskError: if the task cannot be learned with the true graph, or an example does not fit.
        """
        if condition.model is None:
            advance(len(test))
            return None
        if condition.stands_in:
            found = self._nearest_labelled(condition.model, support, test)
            advance(len(test))
            return found
        write = condition.write or list
        try:
            condition.model.adapt(self.task, write(support))
        except TaskError:
            if condition.name == GRAPH:
                raise
            advance(len(test))
            return Trial(self.head, None)
        head = condition.model.head_of(self.task.name)
        examples = [head.example(record) for record in write(test)]
        predictions = condition.model.predict([example.text for example in examples], progress=advance)
        return Trial(head, predictions, [example.target for example in examples])

    def judge(self, model: RootsModel, test: Sequence[Record], advance: Advance) -> Trial:
        """Judge the saved model, or what it is with its graph switched off, as it stands."""
        examples = [self._head.example(record) for record in test]
        predictions = model.predict([example.text for example in examples], progress=advance)
        return Trial(self._head, predictions, [example.target for example in examples])

    def encode(self, texts: Sequence[Text], without: Sequence[Collection[int]] | None = None) -> EncodedTexts:
        """Encode texts as the saved model's head wants them; see `KnowledgeEncoder.forward`."""
        return self.saved.encode_for(self._head, texts, without)

    def retrieved(self, texts: Sequence[Text]) -> list[Subgraph | None]:
        """Return what is retrieved from the graph for each text, whether the head reads it or not."""
        found: EncodedTexts = self.saved.layers(texts) if not self._head.reads_fusion else self.encode(texts)
        return found.subgraphs

    def _nearest_labelled(
        self, model: RootsModel, support: Sequence[Record], test: Sequence[Record]
    ) -> Trial:
        """Answer each test example as the support example whose features are most like its own."""
        known, asked = ([self.head.example(record) for record in part] for part in (support, test))
        values = [self.head.value_of(example.target) for example in known]
        model.layers.reading = self.task.reading
        asked_features, known_features = (
            model.layers([example.text for example in part]).features for part in (asked, known)
        )
        nearest = (asked_features @ known_features.T).argmax(dim=1).tolist()
        found = [values[position] for position in nearest]
        targets = [example.target for example in asked]
        answers = [Prediction(value, 1.0, ((value, 1.0),)) for value in found if value is not None]
        return Trial(self.head, answers if len(answers) == len(found) else None, targets)

    def _as_text(self, model: RootsModel, records: Sequence[Record]) -> Condition:
        if self.head.needs_knowledge:
            return Condition(AS_TEXT, None, note="not possible: this head answers with entities of the graph")
        if any(_text_field(self.head.example(record)) is None for record in records):
            return Condition(AS_TEXT, None, note="not possible: the examples point into their text")
        return Condition(AS_TEXT, model, write=self._with_triples)

    def _with_triples(self, records: Sequence[Record]) -> list[Record]:
        """Write the triples retrieved for each record's text in front of it."""
        examples = [self.head.example(record) for record in records]
        subgraphs = self.retrieved([example.text for example in examples])
        written = []
        for example, subgraph in zip(examples, subgraphs, strict=True):
            field = _text_field(example)
            assert field is not None
            text = f"{_verbalised(self.knowledge.graph, subgraph)}{_plain(example.text)}"
            written.append(replace(example.record, fields={**example.record.fields, field: text}))
        return written


def _beside(model: RootsModel, layers: KnowledgeEncoder) -> RootsModel:
    """Return a model without a task that reads through these layers, and remembers what it has read."""
    other = RootsModel(model.layers.encoder, None, model.retrieval, model.fusion)
    other.knowledge, other.layers = layers.knowledge, RememberingEncoder(layers).eval()
    return other


def _random_layers(model: RootsModel, seed: int) -> KnowledgeEncoder:
    assert model.knowledge is not None
    other = model.with_graph(random_vectors(model.knowledge.bundle, seed))
    assert other.layers.fusion is not None
    layers = RandomKnowledge(model.layers.encoder, other.knowledge, model.fusion)
    assert layers.fusion is not None
    layers.fusion.load_state_dict(other.layers.fusion.state_dict())
    return layers.eval()


def _text_field(example: Example) -> str | None:
    """Return which field of an example's record is its text; None where other fields hold places in it."""
    fields, text = example.record.fields, _plain(example.text)
    found = [name for name, value in fields.items() if value == text]
    others = (value for name, value in fields.items() if name not in found)
    return None if len(found) != 1 or any(map(_holds_places, others)) else found[0]


def _plain(text: Text) -> str:
    return text if isinstance(text, str) else text.text


def _holds_places(value: Any) -> bool:
    """Tell whether a value of a record holds a whole number, such as where a span begins."""
    if isinstance(value, dict):
        return any(map(_holds_places, value.values()))
    return any(map(_holds_places, value)) if isinstance(value, list) else isinstance(value, int)


def _verbalised(graph: KnowledgeGraph, subgraph: Subgraph | None) -> str:
    """Return the triples nearest to what a text mentions as sentences; nothing where there are none."""
    if subgraph is None:
        return ""
    near: dict[int, float] = {}
    weights = subgraph.mass[subgraph.source] * subgraph.mass[subgraph.target]
    for triple, weight in zip(subgraph.triple.tolist(), weights.tolist(), strict=True):
        near[triple] = max(weight, near.get(triple, 0.0))
    chosen = sorted(near, key=lambda triple: (-near[triple], triple))[:WRITTEN_TRIPLES]
    sentences = []
    for triple in chosen:
        head, tail = (graph.name(int(ids[triple])) for ids in (graph.head_id, graph.tail_id))
        sentences.append(f"{head} {label_text(graph.relations[graph.relation_id[triple]])} {tail}. ")
    return "".join(sentences)
