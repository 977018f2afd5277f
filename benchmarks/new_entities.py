"""Entities that training never saw, on FB15k-237: `roots kg add` in place of training again.

5% of the entities are held out with all their triples; vectors are trained without them. Then they are added
with their training triples, and the test triples are ranked. Means over three draws.

python benchmarks/new_entities.py --data DIR
"""

from __future__ import annotations

import copy
import statistics
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from common import arguments, report, roots

from roots_kg.graph.editing import add_triples
from roots_kg.graph.ranking import filtered_ranks
from roots_kg.graph.store import GraphBundle
from roots_kg.graph.transe import TransE
from roots_kg.graph.triples import KnowledgeGraph, read_ids

HELD_OUT, SEEDS = 0.05, (0, 1, 2)
CONFIG = Path(__file__).resolve().parent.parent / "configs" / "transe_fb15k237.yaml"
RETRAINED, CLOSED = "trained again with all triples", "roots kg add, closed form"
TARGETS, MEAN = "mean of the targets alone", "mean of all entities"
BEFORE = "before they are added"


@dataclass(frozen=True)
class Scores:
    """Filtered MRR of the test triples with a held-out entity, by what is asked, and of the others."""

    both: float
    as_answer: float
    as_anchor: float
    others: float
    seconds: float | None = None


def main() -> None:
    options = arguments(__doc__, data="kg/FB15k-237")
    folder = options.data / "kg" / "FB15k-237"
    found = []
    for seed in SEEDS:
        with tempfile.TemporaryDirectory() as scratch:
            found.append(measure(folder, Path(scratch), seed))
    reference = mean([draw[RETRAINED].both for draw in found])
    rows = []
    for name in (RETRAINED, CLOSED, TARGETS, MEAN, BEFORE):
        draws = [draw[name] for draw in found]
        both = mean([scores.both for scores in draws])
        seconds = [scores.seconds for scores in draws if scores.seconds is not None]
        rows.append(
            {
                "vectors": name,
                "MRR": f"{both:.3f}",
                "of training again": f"{both / reference:.0%}",
                "new entity is the answer": f"{mean([scores.as_answer for scores in draws]):.3f}",
                "new entity is asked about": f"{mean([scores.as_anchor for scores in draws]):.3f}",
                "MRR of the other test triples": f"{mean([scores.others for scores in draws]):.3f}",
                "CPU s": f"{mean(seconds):.2f}" if seconds else "",
            }
        )
    report(
        f"FB15k-237, {HELD_OUT:.0%} of the entities held out of training, filtered test MRR",
        rows,
        options.json,
    )


def measure(folder: Path, scratch: Path, seed: int) -> dict[str, Scores]:
    """Train with and without the entities of one draw, and score every way of giving them vectors."""
    full = KnowledgeGraph.from_file(folder / "train.txt")
    drawn = np.random.default_rng(seed).choice(
        full.num_entities, round(HELD_OUT * full.num_entities), replace=False
    )
    touched = np.isin(full.head_id, drawn) | np.isin(full.tail_id, drawn)
    held = {full.entities[index] for index in drawn.tolist()}
    for name, rows in (("seen", ~touched), ("added", touched)):
        write(full, np.flatnonzero(rows), scratch / f"{name}.tsv")
    train = ("kg", "train", "--config", CONFIG, "--seed", seed)
    roots(*train, scratch / "seen.tsv", "--out", scratch / "seen")
    cost = roots(*train, folder / "train.txt", "--out", scratch / "full").cpu_seconds
    retrained, seen = GraphBundle.load(scratch / "full"), GraphBundle.load(scratch / "seen")
    facts = KnowledgeGraph.from_file(scratch / "added.tsv")
    started = time.process_time()
    added, _ = add_triples(seen, facts)
    seconds = time.process_time() - started
    graph, first = added.graph, seen.graph.num_entities
    mean_of_all = seen.transe.entity.weight.mean(dim=0)
    return {
        RETRAINED: score(retrained.graph, retrained.transe, folder, held, cost),
        CLOSED: score(graph, added.transe, folder, held, seconds),
        TARGETS: score(graph, with_rows(added.transe, first, targets(added, first)), folder, held),
        MEAN: score(graph, with_rows(added.transe, first, mean_of_all), folder, held),
        BEFORE: score(seen.graph, seen.transe, folder, held),
    }


def score(
    graph: KnowledgeGraph, transe: TransE, folder: Path, held: set[str], seconds: float | None = None
) -> Scores:
    """Rank the test triples whose entities occur in the training file."""
    train, valid, test = (read_ids(graph, folder / f"{name}.txt") for name in ("train", "valid", "test"))
    full = KnowledgeGraph.from_file(folder / "train.txt")
    everywhere = read_ids(full, folder / "test.txt")
    usable = (everywhere[0] >= 0) & (everywhere[2] >= 0)
    new = np.array([key in held for key in full.entities])
    as_head, as_tail = new[everywhere[0]] & usable, new[everywhere[2]] & usable
    ranks = filtered_ranks(transe, test, [train, valid]).double().reciprocal()
    of_tail, of_head = (part.numpy() for part in ranks.chunk(2))
    answer = np.concatenate([of_tail[as_tail], of_head[as_head]])
    anchor = np.concatenate([of_tail[as_head], of_head[as_tail]])
    either, neither = as_head | as_tail, usable & ~as_head & ~as_tail
    both, others = (np.concatenate([of_tail[rows], of_head[rows]]) for rows in (either, neither))
    return Scores(*(float(part.mean()) for part in (both, answer, anchor, others)), seconds)


def targets(added: GraphBundle, first: int) -> torch.Tensor:
    """Return for each new entity the mean of h + r and t + r′ over its triples with known entities."""
    graph, vectors = added.graph, added.transe.entity.weight
    back, forth = added.transe.translations().chunk(2)
    total, count = torch.zeros(graph.num_entities, vectors.shape[1]), torch.zeros(graph.num_entities)
    for owner, other, moves in ((graph.head_id, graph.tail_id, back), (graph.tail_id, graph.head_id, forth)):
        rows = np.flatnonzero((owner >= first) & (other < first))
        ids, near, relation = (torch.from_numpy(part[rows]) for part in (owner, other, graph.relation_id))
        total.index_add_(0, ids, vectors[near] + moves[relation])
        count += torch.bincount(ids, minlength=len(count))
    return torch.where(count[:, None] > 0, total / count[:, None], vectors)[first:]


def with_rows(transe: TransE, first: int, rows: torch.Tensor) -> TransE:
    """Return a copy with other vectors from the entity `first` on."""
    changed = copy.deepcopy(transe)
    changed.entity.weight[first:] = rows
    return changed


def write(graph: KnowledgeGraph, rows: np.ndarray, path: Path) -> None:
    """Write some of a graph's triples, tab-separated."""
    columns = (graph.head_id[rows], graph.relation_id[rows], graph.tail_id[rows])
    lines = (
        f"{graph.entities[head]}\t{graph.relations[relation]}\t{graph.entities[tail]}\n"
        for head, relation, tail in zip(*(column.tolist() for column in columns), strict=True)
    )
    path.write_text("".join(lines), encoding="utf-8")


def mean(values: list[float]) -> float:
    return statistics.mean(values)


if __name__ == "__main__":
    main()
