"""`roots train`, kind `fusion`: a fusion layer, on texts that are made from a graph."""

from __future__ import annotations

import sys

from roots_kg.cli.train.given import Given, Trained


def run(given: Given) -> Trained:
    """Train a fusion layer and save it."""
    from roots_kg.bundle import ensure_replaceable
    from roots_kg.config import from_mapping, to_mapping
    from roots_kg.encoding.text_encoder import TextEncoder
    from roots_kg.fusion.store import KIND
    from roots_kg.training.fusion import train_fusion
    from roots_kg.training.fusion_config import FusionTrainingConfig
    from roots_kg.training.pretraining_config import find_texts
    from roots_kg.training.runs import file_sizes

    config, out = given.config, given.out
    stated = from_mapping(FusionTrainingConfig, given.settings, path=config)
    ensure_replaceable(out, kind=KIND)
    files = given.text or find_texts(stated.text, config.parent, config)
    encoder = TextEncoder.from_pretrained(stated.encoder)
    graph = given.needed_graph(stated.knowledge)
    told = {"config": to_mapping(stated), "graph": graph.space, "text": file_sizes(files)}
    with given.run(told) as run:
        found = train_fusion(
            encoder, graph, stated, files, threads=given.threads, progress=sys.stderr.isatty(), run=run
        )
        found.fusion.save(out)
        run.record(out, KIND)
    metrics = {
        "triples": len(graph.graph),
        "lines": found.lines,
        "steps": stated.steps,
        "loss": found.loss,
        "gate": found.openness[0],
        "gate where a link is wrong": found.openness[1],
    }
    use = f"The fusion layer is in {out}; use it with `roots adapt TASK --knowledge … --fusion {out}`"
    return Trained("Fusion", metrics, found.seconds, use)
