"""Multi30k, English to German captions: a small Transformer trained from nothing by `roots train`.

It learns from the 29,000 pairs of the training set, the weights are chosen on the validation set, and
test_2016_flickr is judged once: BLEU with the words of sacreBLEU's "13a", capitals counting, and chrF.

    python benchmarks/multi30k.py --data DIR [--config FILE] [--out FOLDER]
"""

from __future__ import annotations

import gzip
import tempfile
from collections.abc import Iterator
from pathlib import Path

from common import report, roots, training_arguments, write_task

TASK = {"head": "generation", "train": "train.jsonl", "test": "test.jsonl", "metrics": ["bleu", "chrf"]}
FILES = {"train": "train", "validation": "val", "test": "test_2016_flickr"}


def main() -> None:
    options = training_arguments(__doc__, data="multi30k", config="generation_translation.yaml")
    splits = {name: pairs(options.data / "multi30k", file) for name, file in FILES.items()}
    with tempfile.TemporaryDirectory() as scratch:
        task = write_task(Path(scratch) / "captions", TASK, **splits)
        model = options.out or Path(scratch) / "model"
        held = ("--validation", task / "validation.jsonl")
        trained = roots("train", "--config", options.config, "--data", task, *held, "--out", model)
        judged = roots("evaluate", model, "--test", task / "test.jsonl")
    metrics = judged.result["metrics"]
    row = {
        "validation BLEU, greedy, 200 sentences": f"{100 * trained.result['metrics']['held-out BLEU']:.1f}",
        "test BLEU": f"{100 * metrics['bleu']:.1f}",
        "test chrF": f"{100 * metrics['chrf']:.1f}",
        "training, CPU s": f"{trained.cpu_seconds:.0f}",
        "test, CPU s": f"{judged.cpu_seconds:.0f}",
    }
    report("Multi30k, English to German, test_2016_flickr, from nothing", [row], options.json)


def pairs(folder: Path, file: str) -> Iterator[dict[str, str]]:
    """Yield the sentences of a split."""
    with (
        gzip.open(folder / f"{file}.en.gz", "rt", encoding="utf-8") as sources,
        gzip.open(folder / f"{file}.de.gz", "rt", encoding="utf-8") as targets,
    ):
        for source, target in zip(sources, targets, strict=True):
            yield {"source": source.strip(), "target": target.strip()}


if __name__ == "__main__":
    main()
