"""The speed of `encode`, in float32 and int8, beside sentence-transformers on the same weights and texts.

The texts are CLINC150's 4,500 test questions in scope. All sides run in turns, five times; a ratio is the
median of the ratios of the turns. The limit is the time that the products of the tokens would take, without
padding, at the speed of the quickest float32 matrix product measured on as many threads. Accuracy is that of
`roots adapt` from 10 examples of each intent. Peak memory is what a process needs beyond the loaded model.

It runs on as many threads as the variable says. On a busy machine leave it at 1: more of them wait for each
other, which costs CPU seconds that are no work. Each turn is told on standard error when it is done.

    OMP_NUM_THREADS=1 python benchmarks/encoding.py --data DIR
"""

from __future__ import annotations

import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import torch
from common import arguments, report, roots, write_task

from roots_kg.encoding.text_encoder import TextEncoder
from roots_kg.weights import find_pretrained

TURNS = 5
BATCH_SIZES = (16, 32, 64, 128)
PRECISIONS = ("float32", "int8")

Encode = Callable[[Sequence[str]], Any]


def main() -> None:
    options = arguments(__doc__, data="clinc150")
    folder = options.data / "clinc150"
    test = json.loads((folder / "data_full.json").read_text())["test"]
    texts = [text for text, _ in test]
    names = {f"roots, {precision}": (precision, None) for precision in PRECISIONS}
    best = min(BATCH_SIZES, key=lambda size: _seconds(_load(None, size), texts[::4])[0])
    names |= {f"sentence-transformers, {size} at once": (None, size) for size in {32, best}}
    accuracies = {f"roots, {precision}": _accuracy(folder, test, precision) for precision in PRECISIONS}
    memory = {name: _in_a_process(_peak_memory, side, texts) for name, side in names.items()}
    sides = {name: _load(*side) for name, side in names.items()}
    references = [name for name, (precision, _) in names.items() if precision is None]
    turns = []
    for number in range(TURNS):
        turns.append({name: _seconds(side, texts) for name, side in sides.items()})
        print(f"turn {number + 1} of {TURNS}: {turns[-1]}", file=sys.stderr)
    limit = _flops(texts) / _matmul_speed()
    rows = []
    for name in sides:
        row: dict[str, Any] = {"threads": torch.get_num_threads(), "encoder": name}
        for index, kind in enumerate(("CPU", "wall")):
            own = [turn[name][index] for turn in turns]
            others = [min(turn[other][index] for other in references) for turn in turns]
            row[f"{kind} s"] = f"{statistics.median(own):.2f}"
            row[f"of sentence-transformers' best, {kind}"] = f"{_ratio(own, others):.2f}"
        float32 = [turn["roots, float32"][0] for turn in turns]
        row["of float32, CPU"] = f"{_ratio([turn[name][0] for turn in turns], float32):.2f}"
        row["limit of float32, wall s"] = f"{limit:.2f}"
        row["10 shots, accuracy"] = accuracies.get(name, "")
        row["peak memory, MB"] = f"{memory[name]:.0f}"
        rows.append(row)
    report("Encoding CLINC150's 4,500 test questions, all-MiniLM-L6-v2", rows, options.json)


def _load(precision: Any, batch_size: int | None) -> Encode:
    """Return the function of one side that encodes texts."""
    if precision is not None:
        encoder = TextEncoder.from_pretrained(precision=precision)
        encoder.encode(["warm"])
        return encoder.encode
    from sentence_transformers import SentenceTransformer

    reference = SentenceTransformer(str(find_pretrained().model.parent), device="cpu")
    return partial(reference.encode, batch_size=batch_size, show_progress_bar=False)


def _seconds(encode: Encode, texts: Sequence[str]) -> tuple[float, float]:
    """Return CPU and wall-clock seconds."""
    wall, cpu = time.perf_counter(), time.process_time()
    encode(texts)
    return time.process_time() - cpu, time.perf_counter() - wall


def _ratio(own: Sequence[float], others: Sequence[float]) -> float:
    return statistics.median(mine / other for mine, other in zip(own, others, strict=True))


def _flops(texts: Sequence[str]) -> float:
    """Return the floating-point operations of all matrix products of the texts, padding left out."""
    encoder = TextEncoder.from_pretrained()
    shape = encoder.encoder.trunk.config
    size, inner = shape.hidden_size, shape.intermediate_size
    lengths = torch.tensor([len(row.input_ids) for row in encoder.tokenizer.rows(texts)], dtype=torch.float64)
    linear = 2 * (4 * size * size + 2 * size * inner) * lengths
    attention = 4 * size * lengths**2
    return float(shape.num_layers * (linear + attention).sum())


def _matmul_speed() -> float:
    """Return the floating-point operations a second of the quickest float32 matrix product found."""
    speeds = []
    for rows in (256, 512, 1024, 2048):
        left, right = torch.rand(rows, 384), torch.rand(384, 1536)
        for _ in range(20):
            started = time.perf_counter()
            left @ right
            speeds.append(2 * rows * 384 * 1536 / (time.perf_counter() - started))
    return max(speeds)


def _accuracy(folder: Path, test: Sequence[tuple[str, str]], precision: str) -> str:
    texts = (folder / "train_10" / "seq.in").read_text(encoding="utf-8").splitlines()
    labels = (folder / "train_10" / "label").read_text(encoding="utf-8").splitlines()
    train = [{"text": text, "label": label} for text, label in zip(texts, labels, strict=True)]
    records = [{"text": text, "label": label} for text, label in test]
    with tempfile.TemporaryDirectory() as scratch:
        settings = {"head": "classification", "train": "train.jsonl", "metrics": ["accuracy"]}
        task = write_task(Path(scratch) / "clinc150", settings, train=train, test=records)
        model = Path(scratch) / "model"
        roots("adapt", task, "--precision", precision, "--out", model)
        judged = roots("evaluate", model, "--test", task / "test.jsonl")
    return f"{100 * judged.result['metrics']['accuracy']:.2f}"


def _in_a_process(function: Callable[..., float], *values: Any) -> float:
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(function, *values).result()


def _peak_memory(side: tuple[Any, int | None], texts: Sequence[str]) -> float:
    """Return the megabytes that encoding needs at its peak, the loaded model left out."""
    encode = _load(*side)
    encode(texts[:1])
    Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
    before = _status("VmRSS")
    encode(texts)
    return _status("VmHWM") - before


def _status(field: str) -> float:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(field)) / 1024


if __name__ == "__main__":
    main()
