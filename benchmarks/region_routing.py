"""The bundled routing task, 5 examples a team: with the graph, without, and with two that know nothing.

The places in the test tickets appear in no training ticket. "Shuffled" permutes the tails of every
relation and the entities' vectors; "random vectors" exchanges each text's knowledge vector for a random one
of the same length.

    python benchmarks/region_routing.py
"""

from __future__ import annotations

import tempfile
from pathlib import Path

from common import arguments, mean_and_spread, report, roots

from roots_kg import GraphBundle, RootsModel, Task
from roots_kg.adaptation.task import read_records
from roots_kg.encoding.text_encoder import TextEncoder
from roots_kg.evaluation.controls import RandomKnowledge, shuffled_graph

ROOT = Path(__file__).resolve().parent.parent
SEEDS = range(10)


def main() -> None:
    options = arguments(__doc__)
    with tempfile.TemporaryDirectory() as scratch:
        roots("kg", "train", ROOT / "knowledge" / "geography", "--out", Path(scratch) / "graph")
        graph = GraphBundle.load(Path(scratch) / "graph")
    encoder = TextEncoder.from_pretrained()
    random = RootsModel(encoder, graph=graph)
    random.layers = RandomKnowledge(encoder, random.knowledge, random.fusion).eval()
    models = {
        "the graph": RootsModel(encoder, graph=graph),
        "no graph": RootsModel(encoder),
        "shuffled graph": RootsModel(encoder, graph=shuffled_graph(graph, seed=0)),
        "random vectors": random,
    }
    rows = []
    for name, model in models.items():
        accuracies = _accuracies(model)
        rows.append(
            {
                "model sees": name,
                "accuracy": mean_and_spread(accuracies),
                "worst seed": f"{100 * min(accuracies):.1f}",
            }
        )
    report(f"region_routing, 5 examples a team, {len(SEEDS)} draws, places never seen", rows, options.json)


def _accuracies(model: RootsModel) -> list[float]:
    task = Task.load(ROOT / "tasks" / "region_routing")
    assert task.test is not None
    test = read_records(task.test)
    accuracies = []
    for seed in SEEDS:
        model.adapt(task, shots=5, seed=seed)
        accuracies.append(model.evaluate(test).metrics["accuracy"])
    return accuracies


if __name__ == "__main__":
    main()
