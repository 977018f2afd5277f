"""Noise in texts, links and triples, beside a model that learned from the same examples without the graph.

region_routing at 5 examples a team, whose labels only the graph can tell; TREC and SST-2 at 10 examples a
class, with the geography graph attached, which can tell nothing there: what is linked wrongly must not hurt.
Of SST-2, every third test sentence.

    python benchmarks/robustness.py --data DIR
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from common import arguments, report, roots
from fusion import ROOT, read_sst2, read_trec

from roots_kg import GraphBundle, RootsModel, Task
from roots_kg.adaptation.task import Record, read_records
from roots_kg.encoding.text_encoder import TextEncoder
from roots_kg.evaluation.robustness import robustness_report
from roots_kg.evaluation.verdict import number, points


def main() -> None:
    options = arguments(__doc__, data="trec")
    encoder = TextEncoder.from_pretrained()
    routing = Task.load(ROOT / "tasks" / "region_routing")
    assert routing.test is not None
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        roots("kg", "train", ROOT / "knowledge" / "geography", "--out", folder / "graph")
        graph = GraphBundle.load(folder / "graph")
        judged: list[tuple[Task, int, Sequence[Record]]] = [(routing, 5, read_records(routing.test))]
        for name, read, step in (("TREC", read_trec, 1), ("SST-2", read_sst2, 3)):
            train, test = read(options.data)
            path = folder / f"{name}.jsonl"
            path.write_text("".join(json.dumps(record.fields) + "\n" for record in train), encoding="utf-8")
            judged.append((Task(name, "classification", train=path), 10, test[::step]))
        rows: dict[str, dict[str, Any]] = {}
        for task, shots, test in judged:
            model = RootsModel(encoder, graph)
            model.adapt(replace(task, knowledge=None), shots=shots)
            for row in robustness_report(model, task, test, shots=shots).rows:
                cells = rows.setdefault(row.disturbance, {"disturbance": row.disturbance})
                cells[task.name] = number(row.graph)
                cells[f"{task.name}, against text only"] = points(row.difference)
    report("accuracy under noise, 95% bootstrap intervals over examples", list(rows.values()), options.json)


if __name__ == "__main__":
    main()
