"""`roots train`, kind `generation`: a model that writes texts, trained from nothing on a task's examples."""

from __future__ import annotations

from typing import TYPE_CHECKING

from roots_kg.cli.output import shows_progress
from roots_kg.cli.train.given import Given, Trained

if TYPE_CHECKING:
    from roots_kg.training.generation_config import GenerationTrainingConfig
from roots_kg.errors import UsageError


def run(given: Given) -> Trained:
    """Train a model that writes texts, which saves itself."""
    from roots_kg.adaptation.task import Task
    from roots_kg.training.generation import train_generation
    from roots_kg.workspace import Workspace

    config, out = given.config, given.out
    stated: GenerationTrainingConfig = given.stated
    if len(given.data) > 1:
        raise UsageError("one task is learned from", hint="name one with `--data`")
    if not given.data and stated.data is None:
        raise UsageError("there is no task to learn from", hint="name one with `--data`")
    folder = Workspace.find().task_folder(given.data[0]) if given.data else config.parent / str(stated.data)
    validation = given.validation
    if validation is None and stated.validation is not None:
        validation = config.parent / stated.validation
    start = None if stated.start is None else config.parent / stated.start
    found = train_generation(
        Task.load(folder),
        stated,
        out,
        validation,
        start=start,
        resume=given.resume,
        tensorboard=given.tensorboard,
        threads=given.threads,
        progress=shows_progress(),
    )
    metrics = {
        "examples": found.examples,
        "rows left out, too long": found.left_out,
        "steps": int(found.curve[-1]["step"]),
        "best after steps": int(found.best["step"]),
        "held-out loss": found.best["held_out_loss"],
        "held-out BLEU": found.best["held_out_bleu"],
    }
    told = f"The model is in {out}; use it with `roots predict {out}`"
    return Trained("Generation", metrics, found.seconds, told)
