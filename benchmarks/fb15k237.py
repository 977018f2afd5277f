"""How soon TransE reaches a validation MRR of 0.28 on FB15k-237: ours, PyKEEN's and PyG's.

Ours has a short schedule; the others have the settings of transe_references.py. All run on one thread, and
CPU seconds are those of training alone, without imports, reading and ranking. The last rows are the triples
a second that ours takes with 256 negatives at 128 dimensions, by the clock.

python benchmarks/fb15k237.py --data DIR [--budget SECONDS]
"""

from __future__ import annotations

import argparse
import time
from dataclasses import replace
from pathlib import Path

from common import report
from transe_references import reference

from roots_kg.graph.ranking import filtered_ranks, ranking_metrics
from roots_kg.graph.transe import TransEConfig
from roots_kg.graph.triples import KnowledgeGraph, read_ids
from roots_kg.training.transe import train_transe

TARGET = 0.28
# The shortest schedule that was seen to reach the target on validation.
SHORT = TransEConfig(epochs=2, negatives=160)
SOON = f"CPU s until {TARGET}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="a folder that holds kg/FB15k-237")
    parser.add_argument("--budget", type=float, default=900, help="CPU seconds that PyKEEN and PyG may take")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    options = parser.parse_args()
    folder = options.data / "kg" / "FB15k-237"
    if not folder.is_dir():
        parser.error(f"{options.data} does not hold kg/FB15k-237; docs/benchmarks.md says where to get it")
    graph = KnowledgeGraph.from_file(folder / "train.txt")
    ours = _ours(graph, folder)
    references = [_reference(library, options) for library in ("pykeen", "pyg")]
    rows = [ours, *references, _throughput(graph, 1), _throughput(graph, 2)]
    report("FB15k-237, time to a validation MRR", rows, options.json)


def _ours(graph: KnowledgeGraph, folder: Path) -> dict[str, str]:
    started = time.process_time()
    model = train_transe(graph, SHORT)
    seconds = time.process_time() - started
    known = [(graph.head_id, graph.relation_id, graph.tail_id), read_ids(graph, folder / "test.txt")]
    mrr = ranking_metrics(filtered_ranks(model, read_ids(graph, folder / "valid.txt"), known)).mrr
    return _row("roots kg train, short schedule", mrr, seconds if mrr >= TARGET else None, seconds)


def _reference(library: str, options: argparse.Namespace) -> dict[str, str]:
    found = reference(library, options.data, TARGET, options.budget)
    last = found["curve"][-1]
    return _row(f"{library} {found['version']}", last["mrr"], found["seconds_to_target"], last["seconds"])


def _throughput(graph: KnowledgeGraph, threads: int) -> dict[str, str]:
    config, seconds = TransEConfig(epochs=1, negatives=256, batch_size=1024), []
    for seed in range(3):
        started = time.perf_counter()
        train_transe(graph, replace(config, seed=seed), threads=threads)
        seconds.append(time.perf_counter() - started)
    speed = f"{len(graph) / sorted(seconds)[1]:,.0f} triples/s"
    model = f"roots kg train --threads {threads}, 256 negatives, batch 1,024"
    return {"model": model, "validation MRR": "", SOON: speed}


def _row(model: str, mrr: float, reached: float | None, spent: float) -> dict[str, str]:
    soon = f"{reached:.1f}" if reached is not None else f"not in {spent:.0f}"
    return {"model": model, "validation MRR": f"{mrr:.4f}", SOON: soon}


if __name__ == "__main__":
    main()
