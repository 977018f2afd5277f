"""What the benchmark scripts share: running `roots` as a person would, and printing both sides."""

from __future__ import annotations

import argparse
import json
import lzma
import os
import resource
import statistics
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml


@dataclass(frozen=True)
class Run:
    """What a command printed, and the CPU seconds that it took as a whole process."""

    result: dict[str, Any]
    cpu_seconds: float


def arguments(
    description: str | None, *, data: str | None = None, sample: bool = False
) -> argparse.Namespace:
    """Read `--json`, `--data DIR` for public data, whose place in DIR is `data`, and perhaps `--sample N`."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawTextHelpFormatter)
    if sample:
        parser.add_argument("--sample", type=int, help="judge so many test questions")
    return parsed(parser, data)


def training_arguments(description: str | None, *, data: str, config: str) -> argparse.Namespace:
    """Read `--json`, `--data DIR` for public data, `--config` of a training, and `--out` to keep its model.

    Args:
        description: of the script.
        data: the place of the data in DIR.
        config: the name of a file in configs/, used unless another is named.
    """
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawTextHelpFormatter)
    file = Path(__file__).resolve().parents[1] / "configs" / config
    parser.add_argument("--config", type=Path, default=file, help=f"of the training, in place of {config}")
    parser.add_argument("--out", type=Path, help="keep the model in this folder")
    return parsed(parser, data)


def parsed(parser: argparse.ArgumentParser, data: str | None) -> argparse.Namespace:
    """Read the options of a parser, and `--json` and `--data DIR`, for data whose place in DIR is `data`."""
    if data is not None:
        parser.add_argument("--data", type=Path, required=True, help=f"a folder that holds {data}")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parsed = parser.parse_args()
    if data is not None and not (parsed.data / data).is_dir():
        parser.error(f"{parsed.data} does not hold a folder {data}; docs/benchmarks.md says where to get it")
    return parsed


def roots(*command: object) -> Run:
    """Run `roots COMMAND --json` in a process of its own; a failure ends the benchmark."""
    before = _children_seconds()
    words = [sys.executable, "-m", "roots_kg", *map(str, command), "--json"]
    done = subprocess.run(
        words, stdout=subprocess.PIPE, check=True, text=True, env={**os.environ, "ROOTS_DEBUG": "1"}
    )
    return Run(json.loads(done.stdout), _children_seconds() - before)


def write_jsonl(path: Path, records: Iterable[Mapping[str, Any]]) -> None:
    """Write one JSON object a line."""
    lines = [json.dumps(record, ensure_ascii=False) + "\n" for record in records]
    path.write_text("".join(lines), encoding="utf-8")


def write_task(folder: Path, settings: Mapping[str, Any], **splits: Iterable[Mapping[str, Any]]) -> Path:
    """Write a task folder: `task.yaml` and one JSONL file a split."""
    folder.mkdir(parents=True)
    (folder / "task.yaml").write_text(yaml.safe_dump(dict(settings), sort_keys=False), encoding="utf-8")
    for name, records in splits.items():
        write_jsonl(folder / f"{name}.jsonl", records)
    return folder


def split_novels(path: Path, folder: Path) -> list[Path]:
    """Write each novel of the collection, which begin with a byte-order mark, into a file of its own."""
    with lzma.open(path, "rt", encoding="utf-8") as file:
        novels = [novel for novel in file.read().split("\ufeff") if novel.strip()]
    paths = [folder / f"{number:03d}.txt" for number in range(len(novels))]
    for target, novel in zip(paths, novels, strict=True):
        target.write_text(novel, encoding="utf-8")
    return paths


def mean_and_spread(values: Sequence[float]) -> str:
    """Return the mean of percentages with their standard deviation over seeds, as text."""
    spread = f" ± {100 * statistics.stdev(values):.1f}" if len(values) > 1 else ""
    return f"{100 * statistics.mean(values):.1f}{spread}"


def report(title: str, rows: Sequence[Mapping[str, Any]], as_json: bool) -> None:
    """Print rows of results as one Markdown table, or as one JSON object."""
    if as_json:
        print(json.dumps({"benchmark": title, "rows": list(rows)}, ensure_ascii=False))
        return
    columns = list(rows[0])
    print(f"{title}\n")
    print(f"| {' | '.join(columns)} |")
    print(f"|{'---|' * len(columns)}")
    for row in rows:
        print(f"| {' | '.join(str(row[column]) for column in columns)} |")


def _children_seconds() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime
