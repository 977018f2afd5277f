"""The subgraph around what a text mentions: ours, and the retrieval that it replaced, on one large graph.

Ten million triples over a million entities and 100 relations, both drawn with Zipf's frequencies from a
fixed seed, and one relation with which a million entities point at one hub. Two hops, 32 nodes, one thread;
a text is the entities that it mentions, drawn by degree. Both sides see the same texts, but what was replaced
sees the first hundred only, knows no relevance, leaves no triple out and does not look up the edges between
what it keeps. Times are CPU time, on both sides the least of three passes over the texts, as other programs
disturb a single one.

    OMP_NUM_THREADS=1 python benchmarks/retrieval.py [--triples N] [--entities N] [--texts N] [--json]
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from common import report
from numpy.typing import NDArray

from roots_kg.graph.retrieval import Retriever
from roots_kg.graph.triples import Ids, KnowledgeGraph

RELATIONS, SEED, PASSES, BEFORE_AT_MOST = 100, 0, 3, 100
Seeds = Mapping[int, float]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--triples", type=int, default=10_000_000)
    parser.add_argument("--entities", type=int, default=1_000_000)
    parser.add_argument("--texts", type=int, default=1_000)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    options = parser.parse_args()
    random = np.random.default_rng(SEED)
    graph = synthetic(random, options.triples, options.entities)
    begin = time.process_time()
    degree = np.diff(graph.adjacency.start)
    adjacency_seconds = time.process_time() - begin
    retriever, hub = Retriever(graph), int(degree.argmax())
    begin = time.process_time()
    retriever.retrieve({hub: 1.0})
    index_seconds = time.process_time() - begin

    def drawn(count: int, *others: int) -> Seeds:
        chosen = np.searchsorted(np.cumsum(degree), random.integers(0, degree.sum(), count), "right")
        return dict.fromkeys([*others, *chosen.tolist()], 1.0)

    relevance = random.lognormal(size=2 * RELATIONS)
    texts = {
        "one to three entities": [drawn(1 + at % 3) for at in range(options.texts)],
        "the hub, and up to two more": [drawn(at % 3, hub) for at in range(options.texts)],
        "500 entities": [drawn(500) for _ in range(options.texts)],
    }
    left_out = retriever.retrieve({hub: 1.0}).triple[:10].tolist()
    ways: dict[str, Callable[[Seeds], Any]] = {
        "": retriever.retrieve,
        ", with relevance and ten triples left out": lambda seeds: retriever.retrieve(
            seeds, left_out, relevance
        ),
    }
    rows = [row(f"{name}{way}", texts[name], ways[way], graph) for name in texts for way in ways]
    megabytes = sum(part.nbytes for part in vars(retriever._index).values()) / 1e6
    title = (
        f"{len(graph):,} triples, {graph.num_entities:,} entities, a hub of {degree[hub]:,} edges: ms a text "
        f"(once: adjacency {adjacency_seconds:.1f} s, index {index_seconds:.1f} s and {megabytes:.0f} MB)"
    )
    report(title, rows, options.json)


def synthetic(random: np.random.Generator, triples: int, entities: int) -> KnowledgeGraph:
    """Return a graph whose entities and relations are as unequal as words; entity 0 is the hub."""
    popular = np.cumsum(1 / (np.arange(entities) + 10.0) ** 0.8)
    often = np.cumsum(1 / (np.arange(RELATIONS) + 2.0))
    scattered = random.permutation(entities)

    def draw(cumulated: NDArray[np.float64], count: int) -> Ids:
        return np.searchsorted(cumulated, random.random(count) * cumulated[-1])

    codes = np.zeros(0, dtype=np.int64)
    wanted = max(triples - entities, 1)
    while len(codes) < wanted:
        head, tail = (scattered[draw(popular, wanted // 2)] for _ in range(2))
        code = (head * RELATIONS + draw(often, wanted // 2)) * entities + tail
        codes = np.unique(np.concatenate([codes, code]))
    head_and_relation, tail = np.divmod(random.permutation(codes)[:wanted], entities)
    head, relation = np.divmod(head_and_relation, RELATIONS)
    others = np.arange(1, entities)
    return KnowledgeGraph(
        tuple(f"entity {number}" for number in range(entities)),
        tuple(f"relation {number}" for number in range(RELATIONS)),
        np.concatenate([head, others]),
        np.concatenate([relation, np.full(len(others), RELATIONS // 2)]),
        np.concatenate([tail, np.zeros(len(others), dtype=np.int64)]),
    )


def row(
    name: str, texts: list[Seeds], retrieve: Callable[[Seeds], Any], graph: KnowledgeGraph
) -> dict[str, str]:
    """Time both sides on some texts, the one that was replaced on the first of them only."""
    ours = times(retrieve, texts)
    theirs = times(lambda seeds: before(graph, seeds), texts[:BEFORE_AT_MOST])
    edges = np.percentile([len(retrieve(seeds).source) for seeds in texts], [50, 95, 100])
    median = statistics.median(theirs)
    ratio = median / statistics.median(ours[: len(theirs)])
    return {
        "mentioned": name,
        "median": f"{statistics.median(ours):.2f}",
        "p95": f"{np.percentile(ours, 95):.2f}",
        "max": f"{max(ours):.2f}",
        "edges: median, p95, max": ", ".join(f"{found:.0f}" for found in edges),
        "before: median": f"{median:.1f} ({ratio:.1f} times ours)",
        "before: max": f"{max(theirs):.1f}",
    }


def times(retrieve: Callable[[Seeds], Any], texts: list[Seeds]) -> list[float]:
    """Return the milliseconds of each text, the least of several passes over all of them."""
    passes = [[milliseconds(retrieve, seeds) for seeds in texts] for _ in range(PASSES)]
    return [min(found) for found in zip(*passes, strict=True)]


def milliseconds(retrieve: Callable[[Seeds], Any], seeds: Seeds) -> float:
    begin = time.process_time()
    retrieve(seeds)
    return 1e3 * (time.process_time() - begin)


def before(graph: KnowledgeGraph, seeds: Seeds) -> list[int]:
    """Return the nodes that retrieval chose before (its revision: 6dfbd28), edge by edge."""
    hops, max_nodes, max_fanout, decay = 2, 32, 256, 0.7
    adjacency = graph.adjacency
    first = sorted(seeds, key=lambda entity: (-seeds[entity], entity))[:max_nodes]
    total = sum(seeds[entity] for entity in first)
    frontier = {entity: seeds[entity] / total for entity in first}
    mass = dict(frontier)
    for _ in range(hops):
        reached: dict[int, float] = {}
        for entity, amount in frontier.items():
            position, end = int(adjacency.start[entity]), int(adjacency.start[entity + 1])
            groups = []
            while position < end:
                direction = adjacency.direction[position]
                size = int(np.searchsorted(adjacency.direction[position:end], direction, "right"))
                if size <= max_fanout:
                    groups.append(adjacency.neighbour[position : position + size])
                position += size
            for group in groups:
                share = decay * amount / (len(group) * len(groups))
                for neighbour in group.tolist():
                    reached[neighbour] = reached.get(neighbour, 0.0) + share
        for entity, amount in reached.items():
            mass[entity] = mass.get(entity, 0.0) + amount
        kept = sorted(reached, key=lambda entity: (-reached[entity], entity))
        frontier = {entity: reached[entity] for entity in kept[:max_nodes]}
    return sorted(mass, key=lambda entity: (-mass[entity], entity))[:max_nodes]


if __name__ == "__main__":
    main()
