"""PathQuestion split by subject: whole graph and half, beside the nearest labelled question.

A question is test when int(sha1(subject), 16) % 5 == 0, so that no test subject is seen in training. The gold
path in the data is never read. Seeds draw the half that is kept and start TransE.

    python benchmarks/pathquestion.py --data DIR [--json]
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from common import arguments, mean_and_spread, report
from questions import Question, adapted, bundle_of, half_of, hits, path_question

from roots_kg import KnowledgeGraph, RootsModel
from roots_kg.adaptation.heads.answer import AnswerHead
from roots_kg.graph.transe import TransEConfig

SEEDS = range(5)


def main() -> None:
    options = arguments(__doc__, data="pathquestion")
    torch.set_num_threads(1)
    folder = options.data / "pathquestion"
    encoder = RootsModel.from_pretrained("roots-base")
    rows = []
    for hops in (2, 3):
        graph = KnowledgeGraph.from_file(folder / f"{hops}H-kb.txt")
        train, test = path_question(folder, hops)
        scores: dict[str, list[float]] = {}
        for seed in SEEDS:
            config = TransEConfig(dimension=64, epochs=60, negatives=256, weight_decay=1e-3, seed=seed)
            for name, kept in (("whole graph", graph), ("half of the graph", half_of(graph, seed))):
                model, _ = adapted(bundle_of(kept, config), train, topic_given=True)
                scores.setdefault(name, []).append(hits(model, test, topic_given=True))
                if kept is not graph:
                    assert isinstance(model.head, AnswerHead)
                    model.head.completion = None
                    without = hits(model, test, topic_given=True)
                    scores.setdefault("half, without completion", []).append(without)
        scores["text alone, nearest labelled question"] = [_nearest(encoder, train, test)]
        rows += [
            {
                "questions": f"{hops}H",
                "model sees": name,
                "Hits@1": mean_and_spread(found),
                "lowest": f"{100 * min(found):.1f}",
            }
            for name, found in scores.items()
        ]
    report(f"PathQuestion, split by subject, {len(SEEDS)} seeds", rows, options.json)


def _nearest(encoder: RootsModel, train: Sequence[Question], test: Sequence[Question]) -> float:
    """Return Hits@1 of answering with the answer of the labelled question that is nearest in meaning."""
    known, asked = (encoder.encode([question.text for question in part]) for part in (train, test))
    order = (asked @ known.T).argmax(dim=1).tolist()
    right = [train[index].answers[0] in question.answers for index, question in zip(order, test, strict=True)]
    return sum(right) / len(right)


if __name__ == "__main__":
    main()
