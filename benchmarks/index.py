"""The nearest of a million vectors: exactly, by faiss's flat index, and by the approximate indexes.

The vectors are random, in clusters, and so are the questions, which come in batches of several sizes. CPU
seconds on one thread; recall@10 is the share of the ten nearest that an index finds.

    python benchmarks/index.py [--rows N] [--kinds exact flat ivf hnsw] [--json]
"""

from __future__ import annotations

import argparse
import time

import faiss
import torch
from common import report
from torch import Tensor

from roots_kg.graph.index import VectorIndex

DIMENSION, NEAREST, CLUSTER = 128, 10, 100
BATCHES = (1, 20, 100, 500, 1000)
KINDS = ("exact", "flat", "ivf", "hnsw")
NAMES = {
    "exact": "VectorIndex, exact",
    "flat": "faiss, flat (exact)",
    "ivf": "VectorIndex, ivf",
    "hnsw": "VectorIndex, hnsw",
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=KINDS)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    options = parser.parse_args()
    torch.set_num_threads(1)
    faiss.omp_set_num_threads(1)
    vectors, questions = _clustered(options.rows)
    truth = VectorIndex(vectors).search(questions, NEAREST)[1]
    rows = []
    for kind in options.kinds:
        started = time.process_time()
        index = _Flat(vectors) if kind == "flat" else VectorIndex(vectors, kind)
        built = time.process_time() - started
        found, seconds = torch.empty(0), {}
        for size in BATCHES:
            started = time.process_time()
            found = index.search(questions[:size], NEAREST)[1]
            seconds[f"{size:,} questions, CPU s"] = f"{time.process_time() - started:.3f}"
        hits = (found[:, :, None] == truth[:, None, :]).any(dim=2)
        recall = f"{float(hits.double().mean()):.4f}"
        rows.append(
            {"index": NAMES[kind], "build, CPU s": f"{built:.2f}", **seconds, f"recall@{NEAREST}": recall}
        )
    report(f"{options.rows:,} vectors of {DIMENSION}, the {NEAREST} nearest, one thread", rows, options.json)


class _Flat:
    def __init__(self, vectors: Tensor) -> None:
        self.index = faiss.IndexFlatL2(vectors.shape[1])
        self.index.add(vectors.numpy())

    def search(self, questions: Tensor, k: int) -> tuple[Tensor, Tensor]:
        distances, rows = self.index.search(questions.numpy(), k)
        return torch.from_numpy(distances).sqrt(), torch.from_numpy(rows)


def _clustered(rows: int) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    centres = torch.randn(-(-rows // CLUSTER), DIMENSION, generator=generator)

    def draw(count: int) -> Tensor:
        vectors = torch.randn(count, DIMENSION, generator=generator)
        return vectors.add_(centres[torch.randint(len(centres), (count,), generator=generator)])

    return draw(rows), draw(BATCHES[-1])


if __name__ == "__main__":
    main()
