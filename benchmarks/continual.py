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
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from common import arguments, report, roots, write_jsonl, write_task

from roots_kg import GraphBundle, RootsModel, Task
from roots_kg.adaptation.task import read_records
from roots_kg.encoding.text_encoder import TextEncoder
from roots_kg.graph.editing import add_triples

Line = dict[str, Any]
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
        rows = _new_entities(options.data / "metaqa", scratch, options.sample)
        report(f"MetaQA 1-hop, {NEW:.0%} of the entities added", rows, options.json)


def _domains(folder: Path) -> dict[str, tuple[list[Line], list[Line]]]:
    """Return for each domain what it is learned from and judged on."""
    texts = (folder / "train_10" / "seq.in").read_text(encoding="utf-8").splitlines()
    labels = (folder / "train_10" / "label").read_text(encoding="utf-8").splitlines()
    train = [{"text": text, "label": label} for text, label in zip(texts, labels, strict=True)]
    full = json.loads((folder / "data_full.json").read_text(encoding="utf-8"))
    test = [{"text": text, "label": label} for text, label in full["test"]]
    intents = json.loads((folder / "domains.json").read_text(encoding="utf-8"))
    return {
        domain: tuple([line for line in lines if line["label"] in own] for lines in (train, test))  # type: ignore[misc]
        for domain, own in intents.items()
    }


def _one_after_another(
    domains: Mapping[str, tuple[list[Line], list[Line]]], scratch: Path
) -> list[dict[str, str]]:
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
        {"domain": "mean lost, points", "when learned": "", "after all ten": f"{_mean(lost[:-1]):.2f}"}
    )
    return rows


def _growing(domains: Mapping[str, tuple[list[Line], list[Line]]]) -> list[dict[str, str]]:
    encoder, rows = TextEncoder.from_pretrained(), []
    with tempfile.TemporaryDirectory() as name:
        file = Path(name) / "lines.jsonl"

        def records(lines: Sequence[Line]) -> Any:
            write_jsonl(file, lines)
            return read_records(file)

        (first, (train, test)), *others = domains.items()
        growing = RootsModel(encoder)
        growing.adapt(Task("intents", "classification", train=file), records(train))
        seen, asked = list(train), list(test)
        for _, (more, more_asked) in [(first, ([], [])), *others]:
            for label in sorted({line["label"] for line in more}):
                growing.add_class(label, records([line for line in more if line["label"] == label]))
            seen, asked = [*seen, *more], [*asked, *more_asked]
            if len(seen) not in (len(train), 10 * len(train)):
                continue
            together = RootsModel(encoder)
            together.adapt(Task("intents", "classification", train=file), records(seen))
            for title, lines in (("the first domain", test), ("all so far", asked)):
                judged = records(lines)
                scores = (model.evaluate(judged).metrics["accuracy"] for model in (growing, together))
                grown, joint = (f"{100 * score:.2f}" for score in scores)
                intents = f"{len({line['label'] for line in seen})} intents"
                rows.append({"known": intents, "asked": title, "grown": grown, "learned at once": joint})
    return rows


def _new_entities(folder: Path, scratch: Path, sample: int | None) -> list[dict[str, str]]:
    lines = (folder / "kb.txt").read_text(encoding="utf-8").splitlines()
    triples = [tuple(line.split("|")) for line in lines]
    entities = sorted({entity for head, _, tail in triples for entity in (head, tail)})
    new = set(random.Random(0).sample(entities, round(NEW * len(entities))))
    old = [triple for triple in triples if not new & {triple[0], triple[2]}]
    added = [triple for triple in triples if new & {triple[0], triple[2]}]
    file = scratch / "old.txt"
    file.write_text("".join("|".join(triple) + "\n" for triple in old), encoding="utf-8")
    roots("kg", "train", file, "--epochs", 1, "--out", scratch / "graph")
    graph = GraphBundle.load(scratch / "graph")
    touched = new | {entity for head, _, tail in added for entity in (head, tail)}
    asked: dict[str, list[Line]] = {}
    for split in ("dev", "test"):
        asked[split] = []
        for line in (folder / "1-hop" / f"qa_{split}.txt").read_text(encoding="utf-8").splitlines():
            text, answers = line.split("\t")
            topic = text[text.index("[") + 1 : text.index("]")]
            if topic not in touched and not new & set(answers.split("|")):
                plain = text.replace("[", "").replace("]", "")
                asked[split].append({"text": plain, "answers": answers.split("|")})
    if sample is not None:
        asked["test"] = asked["test"][:: max(1, len(asked["test"]) // sample)]
    settings = {"head": "answer", "train": "train.jsonl", "test": "test.jsonl"}
    task = Task.load(write_task(scratch / "metaqa", settings, train=asked["dev"], test=asked["test"]))
    before = RootsModel(TextEncoder.from_pretrained(), graph)
    before.adapt(task, shots=QUESTIONS)
    grown, addition = add_triples(graph, added)
    after = before.with_graph(grown)
    texts = [line["text"] for line in asked["test"]]
    first, second = ([found.value for found in model.predict(texts)] for model in (before, after))
    same = sum(one == other for one, other in zip(first, second, strict=True))
    assert task.test is not None
    scores = [model.evaluate(task.test).metrics["hits@1"] for model in (before, after)]
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


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


if __name__ == "__main__":
    main()
