"""A model that goes on learning: ten tasks one after another, classes of one task, and new entities.

CLINC150's ten domains, each a task of 15 intents with 10 examples each (`roots adapt --add-to`): the accuracy
of each right after it was learned, and when all ten are there. Then one task that grows by the intents of one
domain after another (`add_class`), beside one that learned all 150 at once. Then MetaQA (one hop) without 5%
of the entities: what is answered before and after they come in, where no new triple touches the topic.

    python benchmarks/continual.py --data DIR [--sample N]
"""

from __future__ import annotations

import json
import random
import statistics
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from common import arguments, report, roots, write_task
from questions import TASK, bundle_of, hits, metaqa

from roots_kg import RootsModel, Task
from roots_kg.adaptation.task import Record
from roots_kg.encoding.text_encoder import TextEncoder
from roots_kg.graph.editing import add_triples
from roots_kg.graph.transe import TransEConfig
from roots_kg.graph.triples import KnowledgeGraph

Line = dict[str, Any]
Domain = tuple[list[Line], list[Line]]
"""What a domain is learned from, and judged on."""

SETTINGS = {"head": "classification", "train": "train.jsonl", "test": "test.jsonl", "metrics": ["accuracy"]}
NEW, QUESTIONS = 0.05, 100


def main() -> None:
    options = arguments(__doc__, data="clinc150", sample=True)
    with tempfile.TemporaryDirectory() as name:
        scratch = Path(name)
        domains = _domains(options.data / "clinc150")
        rows = _one_after_another(domains, scratch)
        report("CLINC150, ten domains one after another, 10 examples an intent", rows, options.json)
        report("CLINC150, one task that grows, 10 examples an intent", _growing(domains), options.json)
        rows = _new_entities(options.data / "metaqa", options.sample)
        report(f"MetaQA 1-hop, {NEW:.0%} of the entities added", rows, options.json)


def _domains(folder: Path) -> dict[str, Domain]:
    texts = (folder / "train_10" / "seq.in").read_text(encoding="utf-8").splitlines()
    labels = (folder / "train_10" / "label").read_text(encoding="utf-8").splitlines()
    train = [{"text": text, "label": label} for text, label in zip(texts, labels, strict=True)]
    full = json.loads((folder / "data_full.json").read_text(encoding="utf-8"))
    test = [{"text": text, "label": label} for text, label in full["test"]]
    intents = json.loads((folder / "domains.json").read_text(encoding="utf-8"))
    return {
        domain: (
            [line for line in train if line["label"] in own],
            [line for line in test if line["label"] in own],
        )
        for domain, own in intents.items()
    }


def _one_after_another(domains: Mapping[str, Domain], scratch: Path) -> list[dict[str, str]]:
    folder, learned = scratch / "model", {}
    for number, (domain, (train, test)) in enumerate(domains.items()):
        task = write_task(scratch / domain, {"name": domain, **SETTINGS}, train=train, test=test)
        roots("adapt", task, *(("--add-to", folder) if number else ("--no-knowledge", "--out", folder)))
        learned[domain] = RootsModel.from_pretrained(folder).evaluate(task / "test.jsonl", domain)
    model, rows, lost = RootsModel.from_pretrained(folder), [], []
    for domain, first in learned.items():
        last = model.evaluate(scratch / domain / "test.jsonl", domain)
        before, after = (100 * each.metrics["accuracy"] for each in (first, last))
        lost.append(before - after)
        rows.append({"domain": domain, "when learned": f"{before:.2f}", "after all ten": f"{after:.2f}"})
    rows.append(
        {
            "domain": "mean lost, points",
            "when learned": "",
            "after all ten": f"{statistics.mean(lost[:-1]):.2f}",
        }
    )
    return rows


def _growing(domains: Mapping[str, Domain]) -> list[dict[str, str]]:
    encoder, rows = TextEncoder.from_pretrained(), []
    task = Task("intents", "classification")
    (first, asked_first), *later = domains.values()
    growing = RootsModel(encoder)
    growing.adapt(task, _records(first))

    def compare(known: Sequence[Domain]) -> None:
        seen = [line for train, _ in known for line in train]
        together = RootsModel(encoder)
        together.adapt(task, _records(seen))
        every = [line for _, test in known for line in test]
        for title, lines in (("the first domain", asked_first), ("all so far", every)):
            scores = (model.evaluate(_records(lines)).metrics["accuracy"] for model in (growing, together))
            grown, joint = (f"{100 * score:.2f}" for score in scores)
            intents = f"{len({line['label'] for line in seen})} intents"
            rows.append({"known": intents, "asked": title, "grown": grown, "learned at once": joint})

    compare([(first, asked_first)])
    for train, _ in later:
        for label in sorted({line["label"] for line in train}):
            growing.add_class(label, _records([line for line in train if line["label"] == label]))
    compare(list(domains.values()))
    return rows


def _records(lines: Sequence[Line]) -> list[Record]:
    return [Record(line, Path("intents"), number) for number, line in enumerate(lines, start=1)]


def _new_entities(folder: Path, sample: int | None) -> list[dict[str, str]]:
    lines = (folder / "kb.txt").read_text(encoding="utf-8").splitlines()
    triples = [(head, relation, tail) for head, relation, tail in (line.split("|") for line in lines)]
    entities = sorted({entity for head, _, tail in triples for entity in (head, tail)})
    new = set(random.Random(0).sample(entities, round(NEW * len(entities))))
    old, added = (
        [one for one in triples if bool(new & {one[0], one[2]}) == is_new] for is_new in (False, True)
    )
    graph = bundle_of(KnowledgeGraph.from_triples(old), TransEConfig(epochs=1))
    touched = new | {entity for head, _, tail in added for entity in (head, tail)}
    train, test = (
        [one for one in metaqa(folder, 1, split) if one.topic not in touched and not new & set(one.answers)]
        for split in ("dev", "test")
    )
    if sample is not None:
        test = test[:: max(1, len(test) // sample)]
    before = RootsModel(TextEncoder.from_pretrained(), graph)
    before.adapt(TASK, [question.record(topic_given=False) for question in train], shots=QUESTIONS)
    grown, addition = add_triples(graph, added)
    after = before.with_graph(grown)
    texts = [question.text for question in test]
    first, second = ([found.value for found in model.predict(texts)] for model in (before, after))
    same = sum(one == other for one, other in zip(first, second, strict=True))
    scores = [hits(model, test, topic_given=False) for model in (before, after)]
    return [
        {
            "entities added": f"{len(addition.entities):,}",
            "triples added": f"{len(addition.triples):,}",
            "questions": f"{len(texts):,}",
            "answers that stay": f"{100 * same / len(texts):.2f}",
            "Hits@1 before": f"{100 * scores[0]:.2f}",
            "Hits@1 after": f"{100 * scores[1]:.2f}",
        }
    ]


if __name__ == "__main__":
    main()
