"""MetaQA, one hop, from 100 labelled questions: the answer head beside a model that sees the text alone.

The brackets around the topic are removed from every question, so the linker has to find it. The 100
questions are drawn from the dev set; the test set is used once, at the end. The text-only reference answers
with the answers of the labelled question that is nearest in meaning.

    python benchmarks/metaqa.py --data DIR [--json]
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import torch
from common import arguments, mean_and_spread, report, roots, write_task
from questions import metaqa

from roots_kg import RootsModel

SEEDS = range(5)
QUESTIONS = 100


def main() -> None:
    options = arguments(__doc__, data="metaqa")
    folder = options.data / "metaqa"
    dev, test = (
        [question.record(topic_given=False).fields for question in metaqa(folder, 1, split)]
        for split in ("dev", "test")
    )
    ours, answered, evidence, nearest = [], [], [], []
    encoder = RootsModel.from_pretrained("roots-base")
    test_vectors = encoder.encode([record["text"] for record in test])
    with tempfile.TemporaryDirectory() as name:
        scratch = Path(name)
        graph = scratch / "graph"
        trained = roots("kg", "train", folder / "kb.txt", "--out", graph, "--epochs", 1)
        settings = {
            "head": "answer",
            "train": "train.jsonl",
            "test": "test.jsonl",
            "metrics": ["hits@1", "answered", "with_evidence"],
        }
        task = write_task(scratch / "metaqa", settings, train=dev, test=test)
        for seed in SEEDS:
            model = scratch / f"model{seed}"
            adapt = (
                "adapt",
                task,
                "--knowledge",
                graph,
                "--shots",
                QUESTIONS,
                "--seed",
                seed,
                "--out",
                model,
            )
            fitted = roots(*adapt).result["seconds"]
            metrics = roots("evaluate", model, "--test", task / "test.jsonl").result["metrics"]
            ours.append(metrics["hits@1"])
            answered.append(metrics["answered"])
            evidence.append(metrics["with_evidence"])
            drawn = torch.randperm(len(dev), generator=torch.Generator().manual_seed(seed))[:QUESTIONS]
            support = [dev[index] for index in sorted(drawn.tolist())]  # as `--shots --seed` draws them
            order = (test_vectors @ encoder.encode([record["text"] for record in support]).T).argmax(dim=1)
            found = [support[index]["answers"][0] for index in order.tolist()]
            right = [answer in record["answers"] for answer, record in zip(found, test, strict=True)]
            nearest.append(sum(right) / len(right))
    rows = [
        {
            "model": "roots adapt, answer head",
            "Hits@1": mean_and_spread(ours),
            "lowest seed": f"{100 * min(ours):.1f}",
            "answered": mean_and_spread(answered),
            "answers with their evidence": mean_and_spread(evidence),
            "fit, CPU s": f"{fitted['fit']:.2f}",
        },
        {
            "model": "text alone, nearest labelled question",
            "Hits@1": mean_and_spread(nearest),
            "lowest seed": f"{100 * min(nearest):.1f}",
            "answered": "100.0",
            "answers with their evidence": "0.0",
            "fit, CPU s": "0",
        },
    ]
    title = f"MetaQA 1-hop, {QUESTIONS} labelled questions, {len(SEEDS)} draws, {len(test):,} test questions"
    report(f"{title}; graph of {trained.result['metrics']['triples']:,} triples", rows, options.json)


if __name__ == "__main__":
    main()
