"""`roots train`: what is trained from a file of settings; its `kind` says what."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Annotated

import typer

from roots_kg.cli.output import (
    JsonOption,
    OutOption,
    PrintConfigOption,
    ResumeOption,
    TensorboardOption,
    figures,
    print_json,
    required_out,
    resumable,
)
from roots_kg.cli.settings import print_settings, settings_kind
from roots_kg.cli.train.given import Given
from roots_kg.errors import UsageError

# A kind has a module of this package, whose `run` trains. Which options does it understand?
TAKES = {
    "fusion": ("knowledge", "text"),
    "generation": ("data", "validation"),
    "meta": ("data", "knowledge"),
}


def train(
    config: Annotated[
        Path, typer.Option(help="A YAML file of settings, with the key `kind`; the options below win.")
    ],
    out: OutOption = None,
    data: Annotated[
        list[str] | None,
        typer.Option(metavar="TASK", help="A task to learn from; may be given several times."),
    ] = None,
    knowledge: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="BUNDLE", help="A folder that `roots kg train` wrote; several become one graph."
        ),
    ] = None,
    text: Annotated[
        list[Path] | None,
        typer.Option(help="A file of unlabelled text, a line each; may be given several times."),
    ] = None,
    validation: Annotated[
        Path | None, typer.Option(help="A JSONL file of held-out examples, to choose the weights by.")
    ] = None,
    resume: ResumeOption = False,
    tensorboard: TensorboardOption = None,
    steps: Annotated[int | None, typer.Option(help="Steps of the optimizer.")] = None,
    seed: Annotated[int | None, typer.Option(min=0, max=2**62, help="Of the random numbers.")] = None,
    threads: Annotated[int, typer.Option(min=1, help="Threads; more help where nothing else runs.")] = 1,
    print_config: PrintConfigOption = False,
    as_json: JsonOption = False,
) -> None:
    """Train what a file of settings describes, by its `kind`.

    A fusion layer for a graph; a model that writes texts, from nothing; or, from many tasks, how to learn a
    task from a few examples.

    Example: roots train --config configs/fusion.yaml --knowledge runs/geography --out runs/fusion
    """
    from roots_kg.config import from_mapping, load_yaml

    settings = load_yaml(config)
    settings |= {name: value for name, value in (("steps", steps), ("seed", seed)) if value is not None}
    kind = settings_kind(settings, config, "roots train")
    stated = from_mapping(kind.settings(), settings, path=config)
    if print_config:
        print_settings(stated)
        return
    optional = {
        "data": data,
        "knowledge": knowledge,
        "text": text,
        "validation": validation,
    }
    for name, value in optional.items():
        if value and name not in TAKES[kind.name]:
            raise UsageError(f"the option --{name} is not for the kind {kind.name!r}", path=config)
    given = Given(
        config,
        stated,
        required_out(out),
        tuple(data or ()),
        tuple(knowledge or ()),
        tuple(text or ()),
        validation,
        resume,
        tensorboard,
        threads,
    )
    with resumable(given.out):
        trained = import_module(f"roots_kg.cli.train.{kind.name}").run(given)
    if as_json:
        print_json({"metrics": trained.metrics, "seconds": {"cpu": trained.seconds}, "out": out})
        return
    figures(trained.title, {**trained.metrics, "cpu seconds": f"{trained.seconds:.1f}"})
    print(trained.told)
