"""CLINC150, 150 intents at once from 5 and 10 examples each: `roots adapt` beside logistic regression.

All learn from the published few-shot samples of frozen or, with --tuned, also tuned all-MiniLM-L6-v2, and are
judged on the 4,500 test questions that are in scope. How well the 1,000 test questions that are out of scope
are told from those is the area under the ROC curve of `Prediction.scope`; beside it stand prototypes with
names, of which the largest cosine tells the same.

    python benchmarks/clinc150.py --data DIR [--tuned]
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import torch
from common import Run, parsed, report, roots, write_task
from sklearn.linear_model import LogisticRegression
from torch.nn import functional

from roots_kg import RootsModel
from roots_kg.adaptation.calibration import scope_auroc
from roots_kg.adaptation.task import label_text

SETTINGS = {"head": "classification", "train": "train.jsonl", "test": "test.jsonl", "metrics": ["accuracy"]}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--tuned", action="store_true", help="tune the encoder, too, which takes minutes")
    options = parsed(parser, "clinc150")
    folder = options.data / "clinc150"
    full = json.loads((folder / "data_full.json").read_text(encoding="utf-8"))
    inside = [{"text": text, "label": label} for text, label in full["test"]]
    outside = [{"text": text, "label": None} for text, _ in full["oos_test"]]
    rows = []
    for shots in (5, 10):
        texts = (folder / f"train_{shots}" / "seq.in").read_text(encoding="utf-8").splitlines()
        labels = (folder / f"train_{shots}" / "label").read_text(encoding="utf-8").splitlines()
        train = [{"text": text, "label": label} for text, label in zip(texts, labels, strict=True)]
        with tempfile.TemporaryDirectory() as scratch:
            splits = {"train": train, "inside": inside, "both": [*inside, *outside]}
            task = write_task(Path(scratch) / "clinc150", SETTINGS, **splits)
            for tuned in (False, True) if options.tuned else (False,):
                model = Path(scratch) / f"model{tuned}"
                adapted = roots("adapt", task, "--out", model, *(["--tune-encoder"] if tuned else []))
                name = "roots adapt --tune-encoder" if tuned else "roots adapt"
                rows.append({"shots": str(shots), "": name, **_judged(model, task), **_seconds(adapted)})
        rows.append({"shots": str(shots), **_reference(texts, labels, inside, outside)})
    report("CLINC150, 150 intents, all-MiniLM-L6-v2", rows, options.json)


def _judged(model: Path, task: Path) -> dict[str, str]:
    judged = roots("evaluate", model, "--test", task / "inside.jsonl").result
    both = roots("evaluate", model, "--test", task / "both.jsonl").result["diagnostics"]
    low, high = judged["intervals"]["accuracy"]
    return {
        "accuracy [95%]": f"{100 * judged['metrics']['accuracy']:.2f} [{100 * low:.1f}, {100 * high:.1f}]",
        "calibration error": f"{100 * judged['diagnostics']['calibration_error']:.1f}",
        "out of scope, AUROC": f"{100 * both['out_of_scope_auroc']:.1f}",
    }


def _seconds(adapted: Run) -> dict[str, str]:
    seconds = adapted.result["seconds"]
    return {"fit, CPU s": f"{seconds['fit']:.1f}", "all of it, CPU s": f"{adapted.cpu_seconds:.0f}"}


def _reference(
    texts: Sequence[str],
    labels: Sequence[str],
    inside: Sequence[dict[str, str]],
    outside: Sequence[dict[str, str | None]],
) -> dict[str, str]:
    """Judge logistic regression, and for the scope prototypes with names, on sentence vectors."""
    encoder = RootsModel.from_pretrained("roots-base")
    vectors = encoder.encode(texts)
    test, strange = (encoder.encode([str(line["text"]) for line in lines]) for lines in (inside, outside))
    started = time.process_time()
    fitted = LogisticRegression().fit(vectors.numpy(), labels)
    seconds = time.process_time() - started
    accuracy = fitted.score(test.numpy(), [line["label"] for line in inside])
    names = sorted(set(labels))
    number = torch.tensor([names.index(label) for label in labels])
    means = torch.stack([vectors[number == index].mean(dim=0) for index in range(len(names))])
    named = functional.normalize(means, dim=1) + encoder.encode([label_text(name) for name in names])
    prototypes = functional.normalize(named, dim=1)
    scores = [(part @ prototypes.T).max(dim=1).values.tolist() for part in (test, strange)]
    return {
        "": "logistic regression; prototypes with names",
        "accuracy [95%]": f"{100 * accuracy:.2f}",
        "calibration error": "",
        "out of scope, AUROC": f"{100 * scope_auroc(*scores):.1f}",
        "fit, CPU s": f"{seconds:.1f}",
        "all of it, CPU s": "",
    }


if __name__ == "__main__":
    main()
