"""`roots train`, kind `meta`: from many tasks, how to learn a task, or an encoder that makes it easy."""

from __future__ import annotations

from typing import TYPE_CHECKING

from roots_kg.cli.output import shows_progress
from roots_kg.cli.train.given import Given, Trained

if TYPE_CHECKING:
    from roots_kg.training.meta_config import MetaTrainingConfig


def run(given: Given) -> Trained:
    """Meta-train, and save a learner of tasks, or an encoder where the trunk was trained."""
    from roots_kg.adaptation.meta_learning.store import KIND
    from roots_kg.adaptation.task import Task
    from roots_kg.bundle import ensure_replaceable
    from roots_kg.encoding import encoder_store
    from roots_kg.encoding.text_encoder import TextEncoder
    from roots_kg.training.meta import train_meta
    from roots_kg.training.runs import file_sizes
    from roots_kg.workspace import Workspace

    config, out = given.config, given.out
    stated: MetaTrainingConfig = given.stated
    trains_trunk = stated.trunk.train != "nothing"
    kind = encoder_store.KIND if trains_trunk else KIND
    ensure_replaceable(out, kind=kind)
    workspace = Workspace.find()
    folders = [workspace.task_folder(name) for name in given.data]
    folders = folders or [config.parent / name for name in stated.data]
    tasks = [Task.load(folder) for folder in folders]
    encoder = TextEncoder.from_pretrained(stated.encoder)
    graph = given.graph(stated.knowledge)
    told = {
        "data": file_sizes([task.train for task in tasks if task.train is not None]),
        "graph": None if graph is None else graph.space,
    }
    with given.run(told) as run:
        found = train_meta(
            encoder, stated, tasks, graph, threads=given.threads, progress=shows_progress(), run=run
        )
        if isinstance(found.trained, TextEncoder):
            encoder_store.save_encoder(found.trained, out)
            use = f"The encoder is in {out}; use it with `roots adapt TASK --encoder {out}`"
        else:
            found.trained.save(out)
            use = f"What was learned is in {out}; use it with `roots adapt TASK --meta {out}`"
        run.record(out, kind)
    metrics = {
        "labels": found.labels[0],
        "labels left out, with too few examples": found.skipped,
        "labels held out": found.labels[1],
        "steps": stated.steps,
        "loss": found.loss,
    }
    if found.judgements:
        first, best = found.judgements[0], max(found.judgements, key=lambda judgement: judgement[1])
        metrics |= {
            "held-out accuracy before": first[1],
            "held-out accuracy": best[1],
            "half of its 95% interval": best[2],
            "best after steps": best[0],
        }
    return Trained("Meta-training", metrics, found.seconds, use)
