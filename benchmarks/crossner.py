"""CrossNER, names in three domains from 100 sentences each: `roots adapt`, also with a tuned encoder.

Spans are judged by micro-F1 on the test sentences; one is right if both its ends and its label are. The fits
to 5 sentences are the means of five draws from the 100.

    python benchmarks/crossner.py --data DIR
"""

from __future__ import annotations

import random
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from common import arguments, mean_and_spread, report, roots, write_task

DOMAINS = ("ai", "literature", "music")
FEW, DRAWS = 5, 5


def main() -> None:
    options = arguments(__doc__, data="crossner")
    rows = [row for domain in DOMAINS for row in rows_of(options.data / "crossner" / domain)]
    report("CrossNER, span micro-F1 on test", rows, options.json)


def rows_of(folder: Path) -> Iterator[dict[str, str]]:
    """Yield the rows of one domain."""
    train, test = read_columns(folder / "train.txt"), read_columns(folder / "test.txt")
    draws = [random.Random(seed).sample(train, FEW) for seed in range(DRAWS)]
    for name, supports, tuned in (
        (f"{FEW} sentences", draws, False),
        (f"{len(train)} sentences", [train], False),
        (f"{len(train)} sentences, tuned", [train], True),
    ):
        found = [judge(support, test, tuned) for support in supports]
        yield {
            "domain": folder.name,
            "from": name,
            "F1": mean_and_spread([f1 for f1, _ in found]),
            "adapt, CPU s": f"{sum(seconds for _, seconds in found) / len(found):.0f}",
        }


def judge(
    train: Sequence[dict[str, Any]], test: Sequence[dict[str, Any]], tuned: bool
) -> tuple[float, float]:
    """Return micro-F1 on test, and the CPU seconds of the whole `roots adapt`."""
    settings = {"head": "tagging", "train": "train.jsonl", "test": "test.jsonl"}
    with tempfile.TemporaryDirectory() as scratch:
        known = {tag[2:] for record in train for tag in record["tags"] if tag != "O"}
        known |= {tag[2:] for record in test for tag in record["tags"] if tag != "O"}
        labels = {label: label for label in sorted(known)}
        task = write_task(Path(scratch) / "task", {**settings, "labels": labels}, train=train, test=test)
        model = Path(scratch) / "model"
        adapted = roots("adapt", task, "--out", model, *(["--tune-encoder"] if tuned else []))
        judged = roots("evaluate", model, "--test", task / "test.jsonl")
    return judged.result["metrics"]["f1_micro"], adapted.cpu_seconds


def read_columns(path: Path) -> list[dict[str, Any]]:
    """Read sentences in two columns, a token and its tag, with an empty line behind each sentence."""
    blocks = path.read_text(encoding="utf-8").split("\n\n")
    pairs = [[line.split("\t") for line in block.splitlines() if line.strip()] for block in blocks]
    return [
        {"tokens": [token for token, _ in block], "tags": [tag for _, tag in block]}
        for block in pairs
        if block
    ]


if __name__ == "__main__":
    main()
