"""`roots train`, kind `fusion`: a fusion layer, on texts that are made from a graph."""

from __future__ import annotations

from typing import TYPE_CHECKING

from roots_kg.cli.output import shows_progress
from roots_kg.cli.train.given import Given, Trained

if TYPE_CHECKING:
    from roots_kg.training.fusion_config import FusionTrainingConfig


def run(given: Given) -> Trained:
    """Train a fusion layer and save it."""
    from roots_kg.bundle import ensure_replaceable
    from roots_kg.encoding.text_encoder import TextEncoder
    from roots_kg.fusion.store import KIND
    from roots_kg.training.fusion import train_fusion
    from roots_kg.training.pretraining_config import find_texts
    from roots_kg.training.runs import file_sizes

    config, out = given.config, given.out
    stated: FusionTrainingConfig = given.stated
    ensure_replaceable(out, kind=KIND)
    files = given.text or find_texts(stated.text, config.parent, config)
    encoder = TextEncoder.from_pretrained(stated.encoder)
    graph = given.needed_graph(stated.knowledge)
    told = {"graph": graph.space, "text": file_sizes(files)}
    with given.run(told) as run:
        found = train_fusion(
            encoder, graph, stated, files, threads=given.threads, progress=shows_progress(), run=run
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
