"""Explanations: which triples an answer used, and what each was worth, measured by taking it away."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Protocol

from roots_kg.adaptation.heads.base import Head, Prediction
from roots_kg.fusion.encoder import EncodedTexts, Text
from roots_kg.graph.triples import KnowledgeGraph

__all__ = ["Evidence", "Explanation", "Inferred", "LinkShown", "TokenGate", "explain_predictions"]

MEASURED = 12


@dataclass(frozen=True)
class LinkShown:
    """A mention and the entity it was resolved to."""

    start: int
    end: int
    text: str
    entity: str
    name: str
    score: float


@dataclass(frozen=True)
class TokenGate:
    """A token of the text and how much knowledge it let in, from 0 to 1; see `EncodedTexts.gates`."""

    start: int
    end: int
    text: str
    gate: float


@dataclass(frozen=True)
class Evidence:
    """A triple that an answer used.

    Args:
        triple: head, relation and tail, by name.
        source: the file that stated it.
        weight: how much attention, or how much of the score, went through it.
        effect: by how much the answer's probability falls when the triple is taken out of the graph.
    """

    triple: tuple[str, str, str]
    source: str
    weight: float
    effect: float


@dataclass(frozen=True)
class Inferred:
    """A triple that an answer used and that the graph does not hold.

    Args:
        triple: head, relation and tail, by name.
        weight: how much of the score went through it.
    """

    triple: tuple[str, str, str]
    weight: float


@dataclass(frozen=True)
class Explanation:
    """A prediction with what led to it.

    Args:
        text: the input.
        prediction: the answer's name or label.
        probability: of the answer.
        ranked: the best answers, best first.
        links: the mentions found in the text.
        evidence: the triples used, the one whose removal changes most first.
        gates: how much knowledge each token let in; empty without links.
        inferred: triples that were used as if the graph held them.
        in_scope: whether the text is taken for one that the task is about.
    """

    text: str
    prediction: str
    probability: float
    ranked: tuple[tuple[str, float], ...]
    links: tuple[LinkShown, ...]
    evidence: tuple[Evidence, ...]
    gates: tuple[TokenGate, ...]
    inferred: tuple[Inferred, ...] = ()
    in_scope: bool = True


class _Encode(Protocol):
    def __call__(
        self, texts: Sequence[Text], without: Sequence[Collection[int]] | None = None
    ) -> EncodedTexts: ...


def explain_predictions(
    head: Head,
    encode: _Encode,
    graph: KnowledgeGraph | None,
    encoded: EncodedTexts,
    predictions: Sequence[Prediction],
) -> list[Explanation]:
    """Explain predictions, each by up to `MEASURED` triples whose removal was measured.

    Args:
        head: the head that predicted.
        encode: texts, and triples to treat as absent for each, to layers 1 and 2.
        graph: the graph the triples belong to, or None for text alone.
        encoded: the texts.
        predictions: the head's predictions for them.
    """
    explanations = []
    for index, (text, prediction) in enumerate(zip(encoded.texts, predictions, strict=True)):
        known = encoded.marked(index)
        explanations.append(
            Explanation(
                text,
                head.display(prediction.value),
                prediction.probability,
                tuple((head.display(value), probability) for value, probability in prediction.ranked),
                _links(graph, encoded, index),
                () if graph is None else _evidence(head, encode, graph, known, prediction),
                tuple(
                    TokenGate(start, end, text[start:end], gate) for start, end, gate in encoded.gates[index]
                ),
                () if graph is None else _inferred(graph, prediction),
                prediction.in_scope,
            )
        )
    return explanations


def _evidence(
    head: Head, encode: _Encode, graph: KnowledgeGraph, text: Text, prediction: Prediction
) -> tuple[Evidence, ...]:
    measured = prediction.evidence[:MEASURED]
    if not measured:
        return ()
    absent = [frozenset[int](), *(frozenset([triple]) for triple, _ in measured)]
    whole, *parts = head.support_of(encode([text] * len(absent), absent), prediction.value)
    evidence = [
        Evidence(graph.triple(triple), graph.sources[graph.source_id[triple]], weight, whole - part)
        for (triple, weight), part in zip(measured, parts, strict=True)
    ]
    return tuple(sorted(evidence, key=lambda item: -item.effect))


def _inferred(graph: KnowledgeGraph, prediction: Prediction) -> tuple[Inferred, ...]:
    return tuple(
        Inferred((graph.label(head_id), graph.relations[relation_id], graph.label(tail_id)), weight)
        for head_id, relation_id, tail_id, weight in prediction.inferred
    )


def _links(graph: KnowledgeGraph | None, encoded: EncodedTexts, index: int) -> tuple[LinkShown, ...]:
    if graph is None:
        return ()
    best = [mention.best for mention in encoded.mentions[index]]
    return tuple(
        LinkShown(
            link.start,
            link.end,
            link.text,
            graph.entities[link.entity_id],
            graph.label(link.entity_id),
            link.score,
        )
        for link in best
    )
