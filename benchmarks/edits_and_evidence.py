"""Does an answer follow the graph? 200 facts of MetaQA changed after training; cited triples taken away.

The model is adapted to the one-hop dev questions and never again. Edits: 200 facts that answer a test
question with one right answer get another tail of the same relation, through `remove_triples` and
`add_triples`. A question is about an edit if it asks for the relation, either way, of its head, its old or
its new tail; it follows the edit if it is answered by the new tail. Evidence: for answers that a single
triple cites, that triple is left out, and so is a random other triple around the topic. An answer has a
single path if no other triple joins it and the topic.

    python benchmarks/edits_and_evidence.py --data DIR [--json]
"""

from __future__ import annotations

import numpy as np
import torch
from common import arguments, report
from numpy.typing import NDArray
from questions import Question, adapted, bundle_of, metaqa

from roots_kg import KnowledgeGraph, RootsModel
from roots_kg.adaptation.heads.base import Prediction
from roots_kg.graph.editing import add_triples, remove_triples
from roots_kg.graph.transe import TransEConfig

EDITS, SEED = 200, 0


def main() -> None:
    options = arguments(__doc__, data="metaqa")
    torch.set_num_threads(1)
    folder = options.data / "metaqa"
    graph = KnowledgeGraph.from_file(folder / "kb.txt")
    test = metaqa(folder, 1, "test")
    model, _ = adapted(bundle_of(graph, TransEConfig(epochs=1)), metaqa(folder, 1, "dev"), topic_given=True)
    before = _predict(model, test)
    rows = [*_edits(model, graph, test, before), *_evidence(model, graph, test, before)]
    report(f"MetaQA 1-hop, {len(test):,} test questions", rows, options.json)


def _edits(
    model: RootsModel, graph: KnowledgeGraph, test: list[Question], before: list[Prediction]
) -> list[dict[str, str]]:
    generator = np.random.default_rng(SEED)
    old: dict[tuple[str, str, str], tuple[str, str, str]] = {}
    touched: set[tuple[str, str]] = set()
    asked: list[tuple[int, str]] = []
    for index in generator.permutation(len(test)).tolist():
        if len(old) == EDITS:
            break
        found, question = before[index], test[index]
        if len(question.answers) > 1 or found.value not in question.answers or len(found.evidence) != 1:
            continue
        head, relation, tail = graph.triple(found.evidence[0][0])
        if question.topic != head or {(head, relation), (tail, relation)} & touched:
            continue
        others = np.unique(graph.tail_id[graph.relation_id == graph.relation(relation)])
        new = graph.entities[int(generator.choice(others))]
        if new in (head, tail) or (new, relation) in touched:
            continue
        old[head, relation, tail] = (head, relation, new)
        touched |= {(head, relation), (tail, relation), (new, relation)}
        asked.append((index, new))
    assert model.knowledge is not None
    bundle = remove_triples(model.knowledge.bundle, list(old))[0]
    bundle = add_triples(bundle, list(old.values()))[0]
    after = _predict(model.with_graph(bundle), test)
    follow = sum(after[index].value == new for index, new in asked)
    others = [
        index
        for index, found in enumerate(before)
        if (test[index].topic, _relation(graph, found)) not in touched
    ]
    changed = sum(after[index].value != before[index].value for index in others)
    return [
        {"what": f"{len(old)} facts changed: questions that follow", "share": f"{follow} of {len(asked)}"},
        {"what": "answers to other questions that changed", "share": f"{changed} of {len(others):,}"},
    ]


def _evidence(
    model: RootsModel, graph: KnowledgeGraph, test: list[Question], before: list[Prediction]
) -> list[dict[str, str]]:
    generator = np.random.default_rng(SEED)
    cases: list[tuple[Question, str, int, int, bool]] = []
    for question, found in zip(test, before, strict=True):
        topic = graph.entity_id(question.topic)
        start, end = graph.adjacency.start[topic : topic + 2]
        around = graph.adjacency.triple[start:end]
        joining = int((graph.adjacency.neighbour[start:end] == graph.entity_ids.get(found.value, -1)).sum())
        if len(found.evidence) != 1 or len(others := around[around != found.evidence[0][0]]) == 0:
            continue
        cited, other = found.evidence[0][0], int(generator.choice(others))
        cases.append((question, found.value, cited, other, joining == 1))
    cited_changes = _changes(model, [(question, value, cited) for question, value, cited, _, _ in cases])
    other_changes = _changes(model, [(question, value, other) for question, value, _, other, _ in cases])
    single = np.array([alone for *_, alone in cases])
    rows = {
        "cited triple of a single-path answer left out: answers that change": cited_changes[single],
        "a random other triple left out instead": other_changes[single],
        "cited triple of any answer left out: answers that change": cited_changes,
    }
    return [
        {"what": what, "share": f"{changed.sum():,} of {len(changed):,} ({100 * changed.mean():.1f}%)"}
        for what, changed in rows.items()
    ]


def _changes(model: RootsModel, cases: list[tuple[Question, str, int]]) -> NDArray[np.bool_]:
    """Return for each question whether its answer changes when a triple is left out."""
    assert model.head is not None
    changed = []
    for begin in range(0, len(cases), 256):
        part = cases[begin : begin + 256]
        texts = [model.head.text(question.record(topic_given=True)) for question, _, _ in part]
        encoded = model.layers(texts, [[triple] for *_, triple in part], read=False, fuse=False, ask=True)
        found = model.head.decode(encoded)
        changed += [after.value != value for after, (_, value, _) in zip(found, part, strict=True)]
    return np.array(changed)


def _predict(model: RootsModel, test: list[Question]) -> list[Prediction]:
    assert model.head is not None
    return model.predict([model.head.text(question.record(topic_given=True)) for question in test])


def _relation(graph: KnowledgeGraph, found: Prediction) -> str:
    return graph.triple(found.evidence[0][0])[1] if found.evidence else ""


if __name__ == "__main__":
    main()
