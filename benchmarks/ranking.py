"""The full filtered evaluation of FB15k-237's test triples: ours, and PyKEEN's evaluator on the same vectors.

The vectors are random: how long a ranking takes does not depend on what they say. Each side has a process
of its own; the memory is the most that the process holds during the ranking beyond what it held before it.

    python benchmarks/ranking.py --data DIR [--triples N] [--norm 1] [--json]
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import time
import warnings
from collections.abc import Callable
from dataclasses import asdict
from functools import partial
from pathlib import Path

import numpy as np
import torch
from common import report

from roots_kg.graph.ranking import count_candidates, filtered_ranks, ranking_metrics
from roots_kg.graph.transe import TransE
from roots_kg.graph.triples import Ids, KnowledgeGraph, read_ids

DIMENSION = 128
PYKEEN_NAMES = {
    "mrr": "inverse_harmonic_mean_rank",
    "hits_at_10": "hits_at_10",
    "mean_rank": "arithmetic_mean_rank",
    "amri": "adjusted_arithmetic_mean_rank_index",
}
Triples = tuple[Ids, Ids, Ids]
Metrics = dict[str, float]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="a folder that holds kg/FB15k-237")
    parser.add_argument("--triples", type=int, help="only the first of the test triples")
    parser.add_argument("--norm", type=int, choices=(1, 2), default=2, help="of the distance")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--only", choices=RANKINGS, help=argparse.SUPPRESS)  # for the process of one of them
    options = parser.parse_args()
    if not (options.data / "kg" / "FB15k-237").is_dir():
        parser.error(
            f"{options.data} does not hold a folder kg/FB15k-237; docs/benchmarks.md says how to get it"
        )
    if options.only:
        torch.set_num_threads(options.threads)
        print(json.dumps(_measured(RANKINGS[options.only], options)))
        return
    words = [word for word in sys.argv if word != "--json"]
    done = {
        name: json.loads(
            subprocess.run(
                [sys.executable, *words, "--only", name], stdout=subprocess.PIPE, check=True, text=True
            ).stdout
        )
        for name in RANKINGS
    }
    rows = [
        {
            "evaluator": name,
            "wall s": f"{item['wall']:.1f}",
            "CPU s": f"{item['cpu']:.1f}",
            "extra memory, MB": f"{item['megabytes']:.0f}",
            **{column: f"{item['metrics'][column]:.6f}" for column in PYKEEN_NAMES},
        }
        for name, item in done.items()
    ]
    count = done["roots"]["triples"]
    title = (
        f"FB15k-237, {count:,} test triples, both sides, filtered, L{options.norm}, {DIMENSION} dimensions"
    )
    report(f"{title}, random vectors, threads: {options.threads}", rows, options.json)


def ours(entity: torch.Tensor, relation: torch.Tensor, norm: int) -> Callable[..., Metrics]:
    model = TransE(len(entity), len(relation), DIMENSION, norm=norm)
    with torch.no_grad():
        model.entity.weight.copy_(entity)
        model.relation.weight.copy_(relation)

    def evaluate(test: Triples, known: list[Triples]) -> Metrics:
        ranks = filtered_ranks(model, test, known)
        return asdict(ranking_metrics(ranks, count_candidates(test, known, len(entity))))

    return evaluate


def pykeen(entity: torch.Tensor, relation: torch.Tensor, norm: int, *, batch: int) -> Callable[..., Metrics]:
    warnings.simplefilter("ignore")
    from pykeen.evaluation import RankBasedEvaluator
    from pykeen.models import TransE as PykeenTransE
    from pykeen.nn.init import PretrainedInitializer
    from pykeen.triples import CoreTriplesFactory

    some = torch.tensor([[0, 0, 0]])  # the factory only tells the model its numbers of rows
    model = PykeenTransE(
        triples_factory=CoreTriplesFactory(some, num_entities=len(entity), num_relations=len(relation)),
        embedding_dim=DIMENSION,
        scoring_fct_norm=norm,
        entity_initializer=PretrainedInitializer(entity),
        entity_constrainer=None,
        relation_initializer=PretrainedInitializer(relation),
        random_seed=0,
    )

    def evaluate(test: Triples, known: list[Triples]) -> Metrics:
        mapped, *others = (torch.from_numpy(np.stack(part, axis=1)) for part in (test, *known))
        evaluator = RankBasedEvaluator(filtered=True)
        found = evaluator.evaluate(
            model, mapped, additional_filter_triples=others, batch_size=batch, use_tqdm=False
        )
        return {name: found.get_metric(f"both.realistic.{theirs}") for name, theirs in PYKEEN_NAMES.items()}

    return evaluate


RANKINGS = {
    "roots": ours,
    "PyKEEN, 4 triples at a time (fastest of 1 to 1024)": partial(pykeen, batch=4),
    "PyKEEN, 32 at a time (its default)": partial(pykeen, batch=32),
}


def _measured(
    ranking: Callable[..., Callable[..., Metrics]], options: argparse.Namespace
) -> dict[str, object]:
    folder = options.data / "kg" / "FB15k-237"
    paths = [folder / f"{split}.txt" for split in ("train", "valid", "test")]
    graph = KnowledgeGraph.from_file(*paths)
    *known, test = (read_ids(graph, path) for path in paths)
    tested = tuple(ids[: options.triples] for ids in test)
    generator = torch.Generator().manual_seed(0)
    tables = [
        torch.randn(n, DIMENSION, generator=generator) for n in (graph.num_entities, graph.num_relations)
    ]
    evaluate = ranking(*tables, options.norm)
    Path("/proc/self/clear_refs").write_text("5")  # the peak counts from here
    before, wall, cpu = _kilobytes("VmRSS"), time.perf_counter(), time.process_time()
    metrics = evaluate(tested, [*known, test] if options.triples else known)
    return {
        "triples": len(tested[0]),
        "wall": time.perf_counter() - wall,
        "cpu": time.process_time() - cpu,
        "megabytes": (_kilobytes("VmHWM") - before) / 1024,
        "metrics": metrics,
    }


def _kilobytes(name: str) -> int:
    found = re.search(rf"{name}:\s+(\d+)", Path("/proc/self/status").read_text())
    assert found is not None
    return int(found.group(1))


if __name__ == "__main__":
    main()
