"""A head that was adapted on one graph, used on another: MetaQA, whose films are split into two halves.

Each half is a graph of its own: the triples of its films, and the questions that they answer, with those of
the answers that are in it. Heads learn from 100 questions on one half and answer the test questions of the
other, beside heads that learned there. "Other ids" is the graph that a head learned on, with its triples in
another order and vectors that were trained anew.

    python benchmarks/transfer.py --data DIR [--sample N]
"""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import replace
from hashlib import sha1

from common import arguments, mean_and_spread, report
from questions import TASK, Question, bundle_of, hits, metaqa

from roots_kg import GraphBundle, RootsModel
from roots_kg.encoding.text_encoder import TextEncoder
from roots_kg.graph.transe import TransEConfig
from roots_kg.graph.triples import KnowledgeGraph

SEEDS = range(3)
QUESTIONS, HALVES = 100, (0, 1)
Triple = tuple[str, str, str]


def main() -> None:
    options = arguments(__doc__, data="metaqa", sample=True)
    folder = options.data / "metaqa"
    triples: list[list[Triple]] = [[], []]
    for line in (folder / "kb.txt").read_text(encoding="utf-8").splitlines():
        film, relation, other = line.split("|")
        triples[_half(film)].append((film, relation, other))
    graphs = [_graph(part) for part in triples]
    renumbered = [_graph(random.Random(0).sample(part, len(part))) for part in triples]
    encoder, rows = TextEncoder.from_pretrained(), []
    for hops in (1, 2):
        train, test = (
            [_answered(metaqa(folder, hops, split), part, hops) for part in triples]
            for split in ("dev", "test")
        )
        if options.sample is not None:
            test = [asked[:: max(1, len(asked) // options.sample)] for asked in test]
        scores: dict[tuple[str, int], list[float]] = defaultdict(list)
        for seed in SEEDS:
            for half in HALVES:
                other = 1 - half
                model = RootsModel(encoder, graphs[half])
                lines = [question.record(topic_given=False) for question in train[half]]
                model.adapt(TASK, lines, shots=QUESTIONS, seed=seed)
                for title, asked_of, asked in (
                    ("its own graph", model, test[half]),
                    ("other ids", model.with_graph(renumbered[half]), test[half]),
                    ("the other half", model.with_graph(graphs[other]), test[other]),
                ):
                    scores[title, half].append(hits(asked_of, asked, topic_given=False))
        for half in HALVES:
            there, here = scores["its own graph", 1 - half], scores["the other half", half]
            lost = [100 * (one - another) for one, another in zip(there, here, strict=True)]
            rows.append(
                {
                    "hops": str(hops),
                    "learned on half": str(half),
                    "test questions": f"{len(test[half]):,} and {len(test[1 - half]):,}",
                    **{
                        title: mean_and_spread(values) for (title, of), values in scores.items() if of == half
                    },
                    "learned there": mean_and_spread(there),
                    "points lost": f"{sum(lost) / len(lost):.1f}",
                }
            )
    title = f"MetaQA, two halves of the films, Hits@1, {QUESTIONS} labelled questions, {len(SEEDS)} draws"
    report(title, rows, options.json)


def _half(film: str) -> int:
    return int(sha1(film.encode()).hexdigest(), 16) % 2


def _graph(triples: Sequence[Triple]) -> GraphBundle:
    return bundle_of(KnowledgeGraph.from_triples(triples), TransEConfig(epochs=1))


def _answered(questions: Sequence[Question], triples: Sequence[Triple], hops: int) -> list[Question]:
    """Return the questions that triples answer, each with those answers that they lead to."""
    beside: dict[str, set[str]] = defaultdict(set)
    for head, _, tail in triples:
        beside[head].add(tail)
        beside[tail].add(head)
    found = []
    for question in questions:
        reached: Collection[str] = {question.topic}
        for _ in range(hops):
            reached = {other for entity in reached for other in beside.get(entity, ())}
        known = tuple(answer for answer in question.answers if answer in reached)
        if known:
            found.append(replace(question, answers=known))
    return found


if __name__ == "__main__":
    main()
