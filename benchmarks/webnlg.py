"""WebNLG, sentences for triples: a small Transformer trained from nothing by `roots train`.

It learns from the training set, the weights are chosen on the development set, and the test entries of the
categories that were seen in training are judged once. BLEU is over all references, with the words of
sacreBLEU's "13a", capitals counting. `names` is, of the names of triples that a reference has exactly, the
share that the text has exactly; `names of all` is the share of all names.

    python benchmarks/webnlg.py --data DIR [--config FILE] [--out FOLDER]
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from common import report, roots, training_arguments, write_task

TASK = {
    "head": "generation",
    "train": "train.jsonl",
    "test": "test.jsonl",
    "metrics": ["bleu", "chrf", "names", "names_of_all"],
}


def main() -> None:
    options = training_arguments(__doc__, data="webnlg", config="generation_triples.yaml")
    read = {
        name: list(entries(options.data / "webnlg" / f"{name}.jsonl")) for name in ("train", "dev", "test")
    }
    seen = {entry["category"] for entry in read["train"]}
    splits = {
        name: [
            {"triples": entry["triples"], "target": entry["texts"]}
            for entry in found
            if entry["category"] in seen and entry["texts"]
        ]
        for name, found in read.items()
    }
    with tempfile.TemporaryDirectory() as scratch:
        task = write_task(Path(scratch) / "sentences", TASK, **splits)
        model = options.out or Path(scratch) / "model"
        held = ("--validation", task / "dev.jsonl")
        trained = roots("train", "--config", options.config, "--data", task, *held, "--out", model)
        judged = roots("evaluate", model, "--test", task / "test.jsonl")
    metrics = judged.result["metrics"]
    row = {
        "entries": judged.result["n"],
        "development BLEU, greedy, 200 entries": f"{100 * trained.result['metrics']['held-out BLEU']:.1f}",
        "test BLEU": f"{100 * metrics['bleu']:.1f}",
        "test chrF": f"{100 * metrics['chrf']:.1f}",
        "names": f"{100 * metrics['names']:.1f}",
        "names of all": f"{100 * metrics['names_of_all']:.1f}",
        "training, CPU s": f"{trained.cpu_seconds:.0f}",
        "test, CPU s": f"{judged.cpu_seconds:.0f}",
    }
    report("WebNLG, categories seen in training, from nothing", [row], options.json)


def entries(path: Path) -> Iterator[dict[str, Any]]:
    """Yield the lines of a split."""
    with path.open(encoding="utf-8") as lines:
        for line in lines:
            yield json.loads(line)


if __name__ == "__main__":
    main()
