"""What each augmentation does: half of MetaQA's and of PathQuestion's graph, and FewRel with Wikidata.

Where a graph lacks edges, virtual questions break off at other vectors than those of entities; where
sentences are classified, virtual sentences have another knowledge vector. Columns give Hits@1 or accuracy,
and in brackets the difference to `none`, paired by seed. A seed draws the half that is kept or the
episodes, and starts TransE.

MetaQA: 1, 2 and 3 hops in one model, topics given, trained on 2,000 dev questions of each, tested on 200
test questions of each, three seeds. PathQuestion: split by subject, topics given, five seeds. FewRel: 5
ways, 5 shots, 5 queries of each way, 100 episodes a seed from 40 sentences of each of the 16 validation
relations, five seeds; of WD50K's training triples those that link the two entities of any example, in
either direction, are left out before anything is trained.

    python benchmarks/augmentation.py --data DIR [--json]
"""

from __future__ import annotations

import json
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import torch
from common import arguments, mean_and_spread, report
from questions import Question, adapted, bundle_of, half_of, metaqa, path_question
from torch import Tensor

from roots_kg import GraphBundle, KnowledgeGraph, RootsModel, Task
from roots_kg.adaptation.few_shot import FewShotConfig
from roots_kg.adaptation.heads.answer import AnswerHead
from roots_kg.adaptation.heads.base import Example
from roots_kg.adaptation.heads.classification import ClassificationHead
from roots_kg.adaptation.reasoning.completion import Completion
from roots_kg.adaptation.task import Record
from roots_kg.fusion.augmentation import AUGMENTATIONS
from roots_kg.fusion.encoder import EncodedTexts, MarkedText, Text
from roots_kg.graph.linking import Link, Mention
from roots_kg.graph.transe import TransEConfig

SEEDS = range(5)
METAQA_SEEDS = range(3)
TRAINED, TESTED = 2000, 200
WAYS, SHOTS, QUERIES, EPISODES, POOL = 5, 5, 5, 100, 40
TOGETHER = 256

Scores = dict[str, list[float]]
"""A number for each seed, by augmentation."""


def main() -> None:
    options = arguments(__doc__, data="metaqa")
    torch.set_num_threads(1)
    columns: dict[str, Scores] = {}

    def add(column: str, found: dict[str, float]) -> None:
        for name, value in found.items():
            columns.setdefault(column, {}).setdefault(name, []).append(value)

    kb = KnowledgeGraph.from_file(options.data / "metaqa" / "kb.txt")
    sets = {
        hops: [metaqa(options.data / "metaqa", hops, part) for part in ("dev", "test")] for hops in (1, 2, 3)
    }
    for seed in METAQA_SEEDS:
        drawn = np.random.default_rng(seed)
        train = [dev[index] for dev, _ in sets.values() for index in drawn.permutation(len(dev))[:TRAINED]]
        tests = {
            f"MetaQA {hops}-hop, half graph": [test[index] for index in drawn.permutation(len(test))[:TESTED]]
            for hops, (_, test) in sets.items()
        }
        config = TransEConfig(epochs=30, negatives=512, weight_decay=1e-4, seed=seed)
        for column, found in answered(bundle_of(half_of(kb, seed), config), train, tests).items():
            add(column, found)
    for hops in (2, 3):
        graph = KnowledgeGraph.from_file(options.data / "pathquestion" / f"{hops}H-kb.txt")
        train, test = path_question(options.data / "pathquestion", hops)
        for seed in SEEDS:
            config = TransEConfig(dimension=64, epochs=60, negatives=256, weight_decay=1e-3, seed=seed)
            tests = {f"PathQuestion {hops}H, half graph": test}
            for column, found in answered(bundle_of(half_of(graph, seed), config), train, tests).items():
                add(column, found)
    relations = Relations(options.data)
    for seed in SEEDS:
        found, trusted = relations.classified(bundle_of(relations.graph, TransEConfig(seed=seed)), seed)
        add(f"FewRel {WAYS}-way {SHOTS}-shot", found)
        add("FewRel, episodes that trust the graph", dict.fromkeys(AUGMENTATIONS, trusted))
    rows = [
        {"augmentation": name, **{column: _cell(scores, name) for column, scores in columns.items()}}
        for name in AUGMENTATIONS
    ]
    report(f"augmentations, {len(SEEDS)} seeds ({len(METAQA_SEEDS)} for MetaQA)", rows, options.json)


def answered(
    bundle: GraphBundle, train: Sequence[Question], tests: dict[str, list[Question]]
) -> dict[str, dict[str, float]]:
    """Return Hits@1 for each set of test questions and augmentation, all but the completion fitted once."""
    asked: list[tuple[Any, ...]] = []
    with patch.object(Completion, "fit", lambda completion, *given, **_: asked.append(given)):
        model, _ = adapted(bundle, train, topic_given=True)
    head = model.head
    assert isinstance(head, AnswerHead)
    encoded = {}
    for column, questions in tests.items():
        examples = [head.example(question.record(topic_given=True)) for question in questions]
        with torch.inference_mode():
            parts = [
                model.layers([e.text for e in part], read=False, fuse=False, ask=True)
                for part in _parts(examples)
            ]
        encoded[column] = parts, [example.target for example in examples]
    result: dict[str, dict[str, float]] = {column: {} for column in tests}
    for name in AUGMENTATIONS:
        if head.completion is not None:
            head.completion.fit(*asked[0], augmentation=name)
        for column, (parts, targets) in encoded.items():
            predictions = [prediction for part in parts for prediction in head.decode(part)]
            result[column][name] = head.judge(predictions, targets)["hits@1"]
    return result


class Relations:
    """FewRel's validation relations, and the part of WD50K that does not link the entities of an example."""

    def __init__(self, data: Path) -> None:
        folder = data / "fewrel"
        self.examples: dict[str, list[dict[str, Any]]] = _json(folder / "val_wiki.json")
        self.names = {key: _json(folder / "pid2name.json")[key][0] for key in self.examples}
        aliases: dict[str, str] = {}
        for examples in _json(folder / "train_wiki_64.json").values():
            for example in examples:
                for side in (example["head"], example["tail"]):
                    aliases.setdefault(side["id"], example["text"][slice(*side["span"])])
        linked = set()
        for examples in self.examples.values():
            for example in examples:
                (head_name, head, _), (tail_name, tail, _) = example["h"], example["t"]
                aliases |= {head: head_name, tail: tail_name}
                linked |= {(head, tail), (tail, head)}
        lines = (data / "kg" / "WD50K" / "train.txt").read_text(encoding="utf-8").splitlines()
        triples = [tuple(line.split(",")[:3]) for line in lines]
        kept = [(head, relation, tail) for head, relation, tail in triples if (head, tail) not in linked]
        known = {entity for head, _, tail in kept for entity in (head, tail)}
        self.graph = KnowledgeGraph.from_triples(
            kept, aliases={key: (name,) for key, name in aliases.items() if key in known}
        )

    def classified(self, bundle: GraphBundle, seed: int) -> tuple[dict[str, float], float]:
        """Return the accuracy for each augmentation, and how many of the episodes trust the graph."""
        encode = _EncodeOnce(RootsModel.from_pretrained("roots-base", knowledge=bundle))
        generator = np.random.default_rng(seed)
        pool = {key: generator.permutation(len(self.examples[key]))[:POOL] for key in sorted(self.examples)}
        right = dict.fromkeys(AUGMENTATIONS, 0.0)
        trusting = 0
        for _ in range(EPISODES):
            ways = sorted(generator.choice(sorted(pool), WAYS, replace=False).tolist())
            support: list[Example] = []
            query: list[Example] = []
            for way in ways:
                drawn = generator.choice(pool[way], SHOTS + QUERIES, replace=False).tolist()
                sentences = [self._example(way, index) for index in drawn]
                support += sentences[:SHOTS]
                query += sentences[SHOTS:]
            task = Task("fewrel", "classification", labels={way: self.names[way] for way in ways})
            texts = encode([example.text for example in query])
            trusted = True
            accuracy = 0.0
            for name in AUGMENTATIONS:
                if trusted:  # else every fit is one without the graph, and all are the same
                    head = ClassificationHead(task, encode.size, encode.model.knowledge)
                    told = head.fit(support, encode, FewShotConfig(augmentation=name))
                    trusted = told["knowledge_weight"] > 0
                    found = head(texts).argmax(dim=1).tolist()
                    accuracy = statistics.mean(
                        head.labels[label] == example.target
                        for label, example in zip(found, query, strict=True)
                    )
                right[name] += accuracy / EPISODES
            trusting += trusted
        return right, trusting / EPISODES

    def _example(self, relation: str, index: int) -> Example:
        example = self.examples[relation][index]
        tokens: list[str] = example["tokens"]
        text = " ".join(tokens)
        starts = np.cumsum([0, *(len(token) + 1 for token in tokens)]).tolist()
        mentions = []
        for _, entity, spans in (example["h"], example["t"]):
            if entity in self.graph.entity_ids:
                start, end = starts[spans[0][0]], starts[spans[0][-1] + 1] - 1
                link = Link(start, end, text[start:end], self.graph.entity_ids[entity], 1.0)
                mentions.append(Mention((link,)))
        mentions.sort(key=lambda mention: mention.best.start)
        record = Record({"text": text, "label": relation}, Path("val_wiki.json"), index + 1)
        return Example(MarkedText(text, tuple(mentions)), relation, record)


class _EncodeOnce:
    """Encodes each text when it is first seen."""

    def __init__(self, model: RootsModel) -> None:
        self.model, self.size = model, model.layers.encoder.hidden_size
        self._known: dict[Text, tuple[Tensor, Tensor]] = {}

    def __call__(self, texts: Sequence[Text], *, read: bool = True) -> EncodedTexts:
        new = list(dict.fromkeys(text for text in texts if text not in self._known))
        for part in _parts(new):
            with torch.inference_mode():
                encoded = self.model.layers(part, read=read)
            for text, features, knowledge in zip(part, encoded.features, encoded.knowledge, strict=True):
                self._known[text] = features, knowledge
        features, knowledge = (
            torch.stack(side) for side in zip(*(self._known[t] for t in texts), strict=True)
        )
        nothing: list[Any] = [None] * len(texts)
        return EncodedTexts(
            texts=[text if isinstance(text, str) else text.text for text in texts],
            features=features,
            knowledge=knowledge,
            mentions=[[] for _ in texts],
            questions=[torch.zeros(0, 2 * self.size)] * len(texts),
            subgraphs=nothing,
            attention=nothing,
            gates=[[] for _ in texts],
            without=[frozenset()] * len(texts),
        )


def _parts(items: Sequence[Any]) -> list[Sequence[Any]]:
    return [items[start : start + TOGETHER] for start in range(0, len(items), TOGETHER)]


def _json(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


def _cell(scores: Scores, name: str) -> str:
    """Return the mean over seeds, and the mean difference to `none`."""
    differences = [value - base for value, base in zip(scores[name], scores["none"], strict=True)]
    changed = f" ({_signed(differences)})" if name != "none" else ""
    return mean_and_spread(scores[name]) + changed


def _signed(values: Sequence[float]) -> str:
    sign = "+" if statistics.mean(values) >= 0 else ""
    return sign + mean_and_spread(values)


if __name__ == "__main__":
    main()
