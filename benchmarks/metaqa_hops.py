"""MetaQA over one to three hops: with the topic given, from the raw text, and with half of the graph removed.

Trained on the dev questions only; the test questions are used once. From the raw text, one model answers all
three kinds and is not told which a question is. With half of the triples removed (fixed seed, entities kept),
one model is trained on the dev questions of all three kinds, and judged with and without completion of
missing edges. CPU seconds are those of adapting, encoding included; TransE is trained before. `--sample N`
judges N test questions a hop.

    python benchmarks/metaqa_hops.py --data DIR [--sample N] [--json]
"""

from __future__ import annotations

import time

import numpy as np
import torch
from common import arguments, report
from questions import adapted, bundle_of, half_of, hits, metaqa

from roots_kg import KnowledgeGraph
from roots_kg.adaptation.heads.answer import AnswerHead
from roots_kg.graph.transe import TransEConfig

HOPS = (1, 2, 3)
HALF_SEED = 0


def main() -> None:
    options = arguments(__doc__, data="metaqa", sample=True)
    torch.set_num_threads(1)
    folder = options.data / "metaqa"
    graph = KnowledgeGraph.from_file(folder / "kb.txt")
    dev, test = ({hops: metaqa(folder, hops, split) for hops in HOPS} for split in ("dev", "test"))
    if options.sample is not None:
        generator = np.random.default_rng(0)
        for hops in HOPS:
            order = generator.permutation(len(test[hops]))[: options.sample]
            test[hops] = [test[hops][index] for index in order.tolist()]
    everything = [question for hops in HOPS for question in dev[hops]]
    rows = []

    def row(setting: str, scores: list[float], seconds: str) -> None:
        cells = {f"{hops}-hop": f"{100 * score:.1f}" for hops, score in zip(HOPS, scores, strict=True)}
        rows.append({"setting": setting, **cells, "adapting, CPU s": seconds})

    whole = bundle_of(graph, TransEConfig(epochs=1))
    scores, spent = [], []
    for hops in HOPS:
        model, seconds = adapted(whole, dev[hops], topic_given=True)
        scores.append(hits(model, test[hops], topic_given=True))
        spent.append(seconds)
    row("topic given, a model for each", scores, " / ".join(f"{seconds:.0f}" for seconds in spent))

    model, seconds = adapted(whole, everything, topic_given=False)
    scores = [hits(model, test[hops], topic_given=False) for hops in HOPS]
    row("raw text, hops unknown, one model", scores, f"{seconds:.0f}")

    started = time.process_time()
    half = bundle_of(half_of(graph, HALF_SEED), TransEConfig(epochs=30, weight_decay=1e-4))
    transe = time.process_time() - started
    model, seconds = adapted(half, everything, topic_given=True)
    scores = [hits(model, test[hops], topic_given=True) for hops in HOPS]
    row("half of the triples, topic given, one model", scores, f"{seconds:.0f} (TransE {transe:.0f})")
    assert isinstance(model.head, AnswerHead)
    model.head.completion = None
    scores = [hits(model, test[hops], topic_given=True) for hops in HOPS]
    row("the same model without completion", scores, "")
    judged = "all" if options.sample is None else f"{options.sample:,}"
    report(f"MetaQA, Hits@1, trained on the dev questions; {judged} test questions a hop", rows, options.json)


if __name__ == "__main__":
    main()
