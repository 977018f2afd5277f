"""What meta-training is worth on tasks that it has never seen: CLINC150 in domains.

Seven domains, the first in alphabetical order, are learned from, and three are judged by, which have no
sentence and no intent in training. A task is 10 of their intents with 1 or 5 training sentences each, judged
on 10 test sentences each. The same tasks are learned with `roots adapt` as it is and with `--meta`; text
alone, all-MiniLM-L6-v2 frozen.

    python benchmarks/meta_gain.py --data DIR [--tasks 200]
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from common import report, write_task

from roots_kg.adaptation.few_shot import FewShotConfig
from roots_kg.adaptation.heads.classification import ClassificationHead
from roots_kg.adaptation.meta_learning.store import MetaBundle
from roots_kg.adaptation.task import Record, Task
from roots_kg.config import from_mapping, load_yaml
from roots_kg.encoding.text_encoder import TextEncoder
from roots_kg.fusion.encoder import EncodedTexts, KnowledgeEncoder, MarkedText, Text
from roots_kg.training.meta import train_meta
from roots_kg.training.meta_config import MetaTrainingConfig

ALGORITHMS = "prototypical", "anil", "protomaml"
WAY, QUERIES, SHOTS = 10, 10, (1, 5)
TRAINED_ON = 7
CONFIG = Path(__file__).resolve().parents[1] / "configs" / "meta_episodes.yaml"


class Remembered:
    """Encodes texts that have been encoded before.

    Args:
        encoder: what encodes them, once.
        texts: all of them.
    """

    def __init__(self, encoder: TextEncoder, texts: Sequence[str]) -> None:
        self.rows = {text: number for number, text in enumerate(dict.fromkeys(texts))}
        layers, texts = KnowledgeEncoder(encoder).eval(), list(self.rows)
        with torch.no_grad():
            parts = [layers(texts[begin : begin + 256]).features for begin in range(0, len(texts), 256)]
        self.features, self.size = torch.cat(parts), encoder.hidden_size

    def __call__(self, texts: Sequence[Text], *, read: bool = True) -> EncodedTexts:
        """Return them as layers 1 and 2 would."""
        words = [text.text if isinstance(text, MarkedText) else text for text in texts]
        n, features = len(words), self.features[[self.rows[word] for word in words]]
        nothing: list[list[object]] = [[] for _ in words]
        return EncodedTexts(
            words,
            features,
            torch.zeros(n, self.size),
            mentions=nothing,  # type: ignore[arg-type]
            questions=[],
            subgraphs=[None] * n,
            attention=[None] * n,
            gates=nothing,  # type: ignore[arg-type]
            without=[frozenset()] * n,
            spans=[()] * n,
            tokens=[],
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="a folder that holds clinc150")
    parser.add_argument("--tasks", type=int, default=200, help="how many held-out tasks")
    parser.add_argument("--algorithms", nargs="+", default=ALGORITHMS)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    options = parser.parse_args()
    folder = options.data / "clinc150"
    splits = json.loads((folder / "data_full.json").read_text())
    domains = json.loads((folder / "domains.json").read_text())
    names = sorted(domains)
    learned = {intent for name in names[:TRAINED_ON] for intent in domains[name]}
    held_out = sorted(intent for name in names[TRAINED_ON:] for intent in domains[name])
    encoder = TextEncoder.from_pretrained("roots-base")
    train = [{"text": text, "label": label} for text, label in splits["train"] if label in learned]
    with tempfile.TemporaryDirectory() as scratch:
        settings = {"head": "classification", "train": "train.jsonl"}
        task = Task.load(write_task(Path(scratch) / "intents", settings, train=train))
        stated = from_mapping(MetaTrainingConfig, load_yaml(CONFIG))
        bundles: dict[str, MetaBundle | None] = {"roots adapt": None}
        for algorithm in options.algorithms:
            config = replace(stated, learner=replace(stated.learner, algorithm=algorithm))
            result = train_meta(encoder, config, [task])
            assert isinstance(result.trained, MetaBundle)
            bundles[f"--meta, {algorithm}, {result.seconds:.0f} CPU s"] = result.trained
    sentences = {
        split: {label: [text for text, other in splits[split] if other == label] for label in held_out}
        for split in ("train", "test")
    }
    plain = ClassificationHead(Task("intents", "classification"), encoder.hidden_size, None)
    label_names = [str(plain.name_text(label)) for label in held_out]
    remembered = Remembered(
        encoder,
        [*label_names, *(text for part in sentences.values() for texts in part.values() for text in texts)],
    )
    rows = []
    for shots in SHOTS:
        found: dict[str, list[float]] = {name: [] for name in bundles}
        for number in range(options.tasks):
            for name, bundle in bundles.items():
                found[name].append(judged(bundle, remembered, sentences, held_out, shots, number))
        for name, values in found.items():
            gains = [value - base for value, base in zip(values, found["roots adapt"], strict=True)]
            half = 1.96 * statistics.stdev(gains) / len(gains) ** 0.5
            gain = "" if name == "roots adapt" else f"{100 * statistics.mean(gains):+.2f} ± {100 * half:.2f}"
            rows.append(
                {
                    "shots": shots,
                    "learned with": name,
                    "accuracy": f"{100 * statistics.mean(values):.2f}",
                    "gain, with its 95% interval": gain,
                }
            )
    report(f"Held-out domains of CLINC150, {options.tasks} tasks of {WAY} intents", rows, options.json)


def judged(
    bundle: MetaBundle | None,
    remembered: Remembered,
    sentences: dict[str, dict[str, list[str]]],
    labels: Sequence[str],
    shots: int,
    number: int,
) -> float:
    """Return the accuracy on one held-out task, as `RootsModel.adapt` learns it."""
    generator = np.random.default_rng([shots, number])
    chosen = generator.choice(labels, size=WAY, replace=False).tolist()
    drawn = {
        split: [
            Record({"text": text, "label": label}, Path("drawn"), 1)
            for label in chosen
            for text in generator.choice(sentences[split][label], size=count, replace=False).tolist()
        ]
        for split, count in (("train", shots), ("test", QUERIES))
    }
    head = ClassificationHead(Task("intents", "classification"), remembered.size, None)
    support = [head.example(record) for record in drawn["train"]]
    config = FewShotConfig()
    if bundle is not None:
        config, head.module, _ = bundle.prepare(head, support, remembered, config)

    def encode(texts: Sequence[Text], *, read: bool = True) -> EncodedTexts:
        encoded = remembered(texts)
        return encoded if head.module is None else replace(encoded, features=head.module(encoded.features))

    with torch.no_grad():
        head.fit(support, encode, config)
        queries = [head.example(record) for record in drawn["test"]]
        predictions = head.decode(encode([query.text for query in queries]))
    right = [p.value == query.target for p, query in zip(predictions, queries, strict=True)]
    return statistics.mean(right)


if __name__ == "__main__":
    main()
