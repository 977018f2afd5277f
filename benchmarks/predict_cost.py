"""What the graph costs: `predict` with the geography graph beside text alone, on the same texts, one thread.

Both models are adapted to the same examples; each round times both, one after the other, and the ratio of CPU
seconds is taken within a round.

    python benchmarks/predict_cost.py --data DIR
"""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import torch
from common import arguments, report, roots
from fusion import _trec

from roots_kg import GraphBundle, RootsModel, Task
from roots_kg.adaptation.task import Record, read_records
from roots_kg.encoding.text_encoder import TextEncoder

ROOT = Path(__file__).resolve().parent.parent
ROUNDS, TEXTS = 5, 1000


def main() -> None:
    options = arguments(__doc__, data="trec")
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as scratch:
        roots("kg", "train", ROOT / "knowledge" / "geography", "--out", Path(scratch) / "graph")
        graph = GraphBundle.load(Path(scratch) / "graph")
    encoder = TextEncoder.from_pretrained()
    routing = Task.load(ROOT / "tasks" / "region_routing")
    assert routing.train is not None
    assert routing.test is not None
    tickets, asked = read_records(routing.train), read_records(routing.test)
    questions, others = _trec(options.data)
    cases = {
        "region_routing": (routing, tickets, [record.text("text") for record in (asked * 3)[:TEXTS]]),
        "TREC": (
            Task("TREC", "classification"),
            questions[:500],
            [record.text("text") for record in (others + questions[500:])[:TEXTS]],
        ),
    }
    rows = []
    for name, (task, examples, texts) in cases.items():
        models = [_adapted(RootsModel(encoder, with_graph), task, examples) for with_graph in (None, graph)]
        linked = sum(map(bool, models[1].layers(texts, fuse=False).mentions))
        times = [[_seconds(model, texts) for model in models] for _ in range(ROUNDS)]
        text_only, with_graph = (statistics.median(column) for column in zip(*times, strict=True))
        rows.append(
            {
                "texts": f"{name}, {len(texts):,}",
                "linked": f"{linked:,}",
                "text only, s": f"{text_only:.2f}",
                "with graph, s": f"{with_graph:.2f}",
                "ratio": f"{statistics.median(graph / text for text, graph in times):.3f}",
            }
        )
    report(f"CPU seconds of predict, median of {ROUNDS} rounds, one thread", rows, options.json)


def _adapted(model: RootsModel, task: Task, examples: Sequence[Record]) -> RootsModel:
    model.adapt(task, examples, shots=5)
    return model


def _seconds(model: RootsModel, texts: Sequence[str]) -> float:
    started = time.process_time()
    model.predict(texts)
    return time.process_time() - started


if __name__ == "__main__":
    main()
