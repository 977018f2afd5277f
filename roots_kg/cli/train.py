"""`roots train`: what is trained on top of an encoder and a graph."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from roots_kg.cli.output import JsonOption, figures, print_json
from roots_kg.errors import ConfigError, UsageError, nearest

if TYPE_CHECKING:
    from roots_kg.graph.store import GraphBundle

KINDS = ("fusion",)


def train(
    config: Annotated[
        Path, typer.Option(help="A YAML file of settings, with the key `kind`; the options below win.")
    ],
    out: Annotated[Path, typer.Option(metavar="FOLDER", help="The folder to write.")],
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
    steps: Annotated[int | None, typer.Option(help="Steps of the optimizer.")] = None,
    seed: Annotated[int | None, typer.Option(min=0, max=2**62, help="Of the random numbers.")] = None,
    threads: Annotated[int, typer.Option(min=1, help="Threads; more help where nothing else runs.")] = 1,
    as_json: JsonOption = False,
) -> None:
    """Train a fusion layer on texts that are made from a graph.

    Example: roots train --config configs/fusion.yaml --knowledge runs/geography --out runs/fusion
    """
    from roots_kg.config import load_yaml

    settings = load_yaml(config)
    kind = settings.get("kind")
    if kind not in KINDS:
        message = "the key 'kind' is missing" if kind is None else f"unknown kind {kind!r}"
        raise ConfigError(message, path=config, hint=nearest(str(kind), KINDS) or "it is fusion")
    settings |= {name: value for name, value in (("steps", steps), ("seed", seed)) if value is not None}
    result = _train_fusion(config, settings, out, knowledge, text, threads)
    if as_json:
        print_json({**result, "out": out})
        return
    figures("Fusion", {**result["metrics"], "cpu seconds": f"{result['seconds']['cpu']:.1f}"})
    print(f"The fusion layer is in {out}; use it with `roots adapt TASK --knowledge … --fusion {out}`")


def _train_fusion(
    config: Path,
    settings: dict[str, Any],
    out: Path,
    knowledge: list[Path] | None,
    text: list[Path] | None,
    threads: int,
) -> dict[str, Any]:
    from roots_kg.bundle import ensure_replaceable
    from roots_kg.config import from_mapping
    from roots_kg.encoding.text_encoder import TextEncoder
    from roots_kg.fusion.store import KIND
    from roots_kg.training.fusion import train_fusion
    from roots_kg.training.fusion_config import FusionTrainingConfig
    from roots_kg.training.pretraining_config import find_texts

    stated = from_mapping(FusionTrainingConfig, settings, path=config)
    ensure_replaceable(out, kind=KIND)
    files = text or find_texts(stated.text, config.parent, config)
    encoder = TextEncoder.from_pretrained(stated.encoder)
    graph = _graph(stated.knowledge, config, knowledge)
    found = train_fusion(encoder, graph, stated, files, threads=threads, progress=sys.stderr.isatty())
    found.fusion.save(out)
    metrics = {
        "triples": len(graph.graph),
        "lines": found.lines,
        "steps": stated.steps,
        "loss": found.loss,
        "gate": found.openness[0],
        "gate where a link is wrong": found.openness[1],
    }
    return {"metrics": metrics, "seconds": {"cpu": found.seconds}}


def _graph(stated: str | None, config: Path, knowledge: list[Path] | None) -> GraphBundle:
    """Return the graph to learn from: the given bundles as one, or else the one that the config names."""
    from roots_kg.graph.alignment import merge
    from roots_kg.graph.store import GraphBundle

    if not knowledge and stated is None:
        raise UsageError("there is no graph to learn from", hint="name a bundle with `--knowledge`")
    paths = knowledge or [config.parent / str(stated)]
    return merge([GraphBundle.load(path) for path in paths])
