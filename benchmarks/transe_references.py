"""TransE of PyKEEN and of PyG on FB15k-237: how good they are after how many CPU seconds of training.

Each library trains on one thread with its own model, negatives and loss. After every epoch its vectors are
copied into our TransE and ranked as ours are, with the clock stopped: only training counts, not the imports,
the reading of the data or the ranking.

    python benchmarks/transe_references.py --data DIR --library pykeen --target 0.28 --budget 1800
"""

from __future__ import annotations

import argparse
import json
import math
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from functools import partial
from importlib.metadata import version
from itertools import count
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from roots_kg.graph.ranking import RankingMetrics, filtered_ranks, ranking_metrics
from roots_kg.graph.transe import TransE

GRAPH = Path("kg", "FB15k-237")

# The quickest to a validation MRR of 0.28 of some forty settings (docs/experiments.md): softmax over few
# negatives, known triples left out of them, large batches, Adam, a rate that falls to a twentieth
# in five epochs.
PYKEEN = {
    "dimension": 128,
    "norm": 2,
    "initial_scale": 0.3,
    "temperature": 3.0,
    "negatives": 16,
    "batch_size": 2048,
    "learning_rate": 0.01,
    "falling_epochs": 5,
    "falls_to": 0.05,
}

# PyG's own example for this graph (examples/kge_fb15k_237.py).
PYG = {"dimension": 50, "norm": 1, "batch_size": 1000, "learning_rate": 0.01}

# Memory that torch frees stays with the process: without this, PyKEEN's large tensors cost it a tenth more.
ENVIRONMENT = {
    "OMP_NUM_THREADS": "1",
    "MALLOC_MMAP_THRESHOLD_": str(2**30),
    "MALLOC_TRIM_THRESHOLD_": str(2**32),
}

Vectors = tuple[Tensor, Tensor]
"""The entities' (E, k) and the relations' (R, k)."""


def reference(library: str, data: Path, target: float, budget: float) -> dict[str, Any]:
    """Train a library's TransE in a process of its own, on one thread.

    Args:
        library: "pykeen" or "pyg".
        data: a folder that holds kg/FB15k-237.
        target: stop at this validation MRR.
        budget: stop after the epoch in which this many CPU seconds have been spent.

    Returns:
        The settings; `seconds_to_target`, in proportion between two epochs, or None; `curve`, for every
        epoch the CPU seconds so far and the validation metrics; and the `test` metrics at its end.
    """
    words = ["--data", data, "--library", library, "--target", target, "--budget", budget, "--here"]
    with tempfile.TemporaryDirectory() as home:
        done = subprocess.run(
            [sys.executable, __file__, *map(str, words)],
            stdout=subprocess.PIPE,
            check=True,
            text=True,
            env={**os.environ, **ENVIRONMENT, "PYSTOW_HOME": home},
        )
    result: dict[str, Any] = json.loads(done.stdout)
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="a folder that holds kg/FB15k-237")
    parser.add_argument("--library", choices=LIBRARIES, required=True)
    parser.add_argument("--target", type=float, default=0.28, help="stop at this validation MRR")
    parser.add_argument("--budget", type=float, default=1800, help="stop after these CPU seconds")
    parser.add_argument("--here", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if not (options.data / GRAPH).is_dir():
        parser.error(
            f"{options.data} does not hold a folder {GRAPH}; docs/benchmarks.md says where to get it"
        )
    measure = _measure if options.here else reference
    print(json.dumps(measure(options.library, options.data, options.target, options.budget)))


def read_ids(folder: Path) -> dict[str, Tensor]:
    """Read the splits train, valid and test as ids, (T, 3) each; a name that train does not have is -1."""
    names = {
        split: [line.split("\t") for line in (folder / f"{split}.txt").read_text("utf-8").splitlines()]
        for split in ("train", "valid", "test")
    }
    entities = sorted({name for head, _, tail in names["train"] for name in (head, tail)})
    relations = sorted({relation for _, relation, _ in names["train"]})
    entity_ids = {name: number for number, name in enumerate(entities)}
    relation_ids = {name: number for number, name in enumerate(relations)}
    return {
        split: torch.tensor(
            [[entity_ids.get(h, -1), relation_ids.get(r, -1), entity_ids.get(t, -1)] for h, r, t in triples]
        )
        for split, triples in names.items()
    }


def rank(vectors: Vectors, norm: int, judged: Tensor, known: Sequence[Tensor]) -> RankingMetrics:
    """Rank triples (T, 3) by a library's vectors as ours are ranked, with all known triples left out."""
    entity, relation = vectors
    model = TransE(len(entity), len(relation), entity.shape[1], norm=norm)
    with torch.no_grad():
        model.entity.weight.copy_(entity)
        model.relation.weight.copy_(relation)
    columns, *others = (tuple(part.T.contiguous().numpy()) for part in (judged, *known))
    return ranking_metrics(filtered_ranks(model, columns, others))


def pykeen_epochs(train: Tensor) -> Iterator[Vectors]:
    """Train PyKEEN's TransE on triples (T, 3) and yield its vectors after every epoch."""
    from pykeen.models import TransE as PykeenTransE
    from pykeen.training import SLCWATrainingLoop
    from pykeen.triples import CoreTriplesFactory

    bound = PYKEEN["initial_scale"] / PYKEEN["dimension"] ** 0.5
    initial = partial(nn.init.uniform_, a=-bound, b=bound)
    triples = CoreTriplesFactory.create(train)
    model = PykeenTransE(
        triples_factory=triples,
        embedding_dim=PYKEEN["dimension"],
        scoring_fct_norm=PYKEEN["norm"],
        entity_initializer=initial,
        entity_constrainer=None,
        relation_initializer=initial,
        loss="infonce",
        loss_kwargs={"margin": 0.0, "log_adversarial_temperature": -math.log(PYKEEN["temperature"])},
        random_seed=0,
    )
    loop = SLCWATrainingLoop(
        model=model,
        triples_factory=triples,
        negative_sampler="basic",
        negative_sampler_kwargs={"num_negs_per_pos": PYKEEN["negatives"], "filtered": True},
        optimizer="adam",
        optimizer_kwargs={"lr": PYKEEN["learning_rate"]},
        lr_scheduler="linear",
        lr_scheduler_kwargs={
            "start_factor": 1.0,
            "end_factor": PYKEEN["falls_to"],
            "total_iters": PYKEEN["falling_epochs"],
        },
        automatic_memory_optimization=False,
    )
    for epoch in count(1):
        loop.train(
            triples,
            num_epochs=epoch,
            batch_size=PYKEEN["batch_size"],
            continue_training=epoch > 1,
            use_tqdm=False,
            pin_memory=False,
        )
        representations = (model.entity_representations[0], model.relation_representations[0])
        yield tuple(representation().detach() for representation in representations)


def pyg_epochs(train: Tensor) -> Iterator[Vectors]:
    """Train PyG's TransE on triples (T, 3) and yield its vectors after every epoch."""
    from torch_geometric.nn import TransE as PygTransE

    torch.manual_seed(0)
    head, relation, tail = train.T.contiguous()
    model = PygTransE(
        num_nodes=int(train[:, [0, 2]].max()) + 1,
        num_relations=int(relation.max()) + 1,
        hidden_channels=PYG["dimension"],
        p_norm=float(PYG["norm"]),
    )
    loader = model.loader(head, relation, tail, batch_size=PYG["batch_size"], shuffle=True)
    optimizer = torch.optim.Adam(model.parameters(), lr=PYG["learning_rate"])
    while True:
        for batch in loader:
            optimizer.zero_grad()
            model.loss(*batch).backward()
            optimizer.step()
        # The model normalises entities, and not relations, where it uses them.
        entity = functional.normalize(model.node_emb.weight.detach(), p=float(PYG["norm"]), dim=-1)
        yield entity, model.rel_emb.weight.detach()


LIBRARIES = {
    "pykeen": (pykeen_epochs, PYKEEN, "pykeen"),
    "pyg": (pyg_epochs, PYG, "torch-geometric"),
}


def _measure(library: str, data: Path, target: float, budget: float) -> dict[str, Any]:
    torch.set_num_threads(1)
    epochs, settings, package = LIBRARIES[library]
    splits = read_ids(data / GRAPH)
    training = epochs(splits["train"])
    curve: list[dict[str, Any]] = []
    seconds = 0.0
    while seconds < budget and not (curve and curve[-1]["mrr"] >= target):
        started = time.process_time()
        vectors = next(training)
        seconds += time.process_time() - started
        metrics = rank(vectors, settings["norm"], splits["valid"], [splits["train"], splits["test"]])
        curve.append({"seconds": seconds, "mrr": metrics.mrr, "hits_at_10": metrics.hits_at_10})
        print(f"{library}: epoch {len(curve)}, {seconds:.1f} s, MRR {metrics.mrr:.4f}", file=sys.stderr)
    test = rank(vectors, settings["norm"], splits["test"], [splits["train"], splits["valid"]])
    return {
        "library": library,
        "version": version(package),
        "settings": settings,
        "target": target,
        "seconds_to_target": _seconds_to(target, curve),
        "curve": curve,
        "test": asdict(test),
    }


def _seconds_to(target: float, curve: Sequence[Mapping[str, float]]) -> float | None:
    """Return when the curve first reaches the target, in proportion between two points, or None."""
    before: Mapping[str, float] = {"seconds": 0.0, "mrr": 0.0}
    for point in curve:
        if point["mrr"] >= target:
            share = (target - before["mrr"]) / (point["mrr"] - before["mrr"])
            return before["seconds"] + share * (point["seconds"] - before["seconds"])
        before = point
    return None


if __name__ == "__main__":
    main()
