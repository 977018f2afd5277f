"""CLINC150, 150 intents at once from 5 and 10 examples each: `roots adapt` beside logistic regression.

Both sides see the same frozen all-MiniLM-L6-v2 vectors of the published few-shot samples, and are judged on
the 4,500 test questions that are in scope.

    python benchmarks/clinc150.py --data DIR
"""

from __future__ import annotations

import json
import tempfile
import time
from pathlib import Path

from common import arguments, report, roots, write_task
from sklearn.linear_model import LogisticRegression

from roots_kg import RootsModel


def main() -> None:
    options = arguments(__doc__, data="clinc150")
    folder = options.data / "clinc150"
    test = [
        {"text": text, "label": label}
        for text, label in json.loads((folder / "data_full.json").read_text())["test"]
    ]
    encoder = RootsModel.from_pretrained("roots-base")
    test_vectors = encoder.encode([record["text"] for record in test]).numpy()
    rows = []
    for shots in (5, 10):
        texts = (folder / f"train_{shots}" / "seq.in").read_text(encoding="utf-8").splitlines()
        labels = (folder / f"train_{shots}" / "label").read_text(encoding="utf-8").splitlines()
        train = [{"text": text, "label": label} for text, label in zip(texts, labels, strict=True)]
        with tempfile.TemporaryDirectory() as scratch:
            settings = {
                "head": "classification",
                "train": "train.jsonl",
                "test": "test.jsonl",
                "metrics": ["accuracy"],
            }
            task = write_task(Path(scratch) / "clinc150", settings, train=train, test=test)
            adapted = roots("adapt", task, "--out", Path(scratch) / "model")
            judged = roots("evaluate", Path(scratch) / "model", "--test", task / "test.jsonl")
        vectors = encoder.encode(texts).numpy()
        started = time.process_time()
        reference = LogisticRegression().fit(vectors, labels)
        reference_seconds = time.process_time() - started
        reference_accuracy = reference.score(test_vectors, [record["label"] for record in test])
        rows.append(
            {
                "shots": shots,
                "roots adapt, accuracy": f"{100 * judged.result['metrics']['accuracy']:.2f}",
                "fit, CPU s": f"{adapted.result['seconds']['fit']:.2f}",
                "logistic regression, accuracy": f"{100 * reference_accuracy:.2f}",
                "its fit, CPU s": f"{reference_seconds:.2f}",
            }
        )
    report("CLINC150, 150 intents, frozen all-MiniLM-L6-v2", rows, options.json)


if __name__ == "__main__":
    main()
