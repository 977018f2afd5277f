"""`roots kg train`: TransE vectors for a graph."""

from __future__ import annotations

import time
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from roots_kg.cli.kg.graphs import (
    AliasesOption,
    FormatOption,
    GraphArgument,
    LanguageOption,
    LiteralsOption,
    OnErrorOption,
    RejectsOption,
    read_graphs,
)
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
    shows_progress,
)
from roots_kg.cli.settings import print_settings
from roots_kg.errors import UsageError

if TYPE_CHECKING:
    from roots_kg.graph.store import GraphBundle
    from roots_kg.graph.transe import TransEConfig
    from roots_kg.graph.triples import Ids, KnowledgeGraph
    from roots_kg.training.runs import Run
    from roots_kg.training.transe_module import Validation


def train(
    graph: GraphArgument,
    out: OutOption = None,
    config: Annotated[
        Path | None, typer.Option(help="A YAML file of settings; the options below win.")
    ] = None,
    dimension: Annotated[int | None, typer.Option(help="Size of a vector.")] = None,
    epochs: Annotated[int | None, typer.Option(help="Passes over the triples.")] = None,
    negatives: Annotated[int | None, typer.Option(help="Entities drawn a step.")] = None,
    batch_size: Annotated[int | None, typer.Option(help="Triples a step.")] = None,
    learning_rate: Annotated[float | None, typer.Option(help="Of the first step; falls to 0.")] = None,
    loss: Annotated[str | None, typer.Option(help="softmax or self_adversarial.")] = None,
    sampling: Annotated[str | None, typer.Option(help="uniform, bernoulli or typed negatives.")] = None,
    norm: Annotated[int | None, typer.Option(help="2 for Euclidean distances, 1 for absolute ones.")] = None,
    seed: Annotated[int | None, typer.Option(min=0, max=2**62, help="Of the random numbers.")] = None,
    valid: Annotated[
        Path | None, typer.Option(help="Triples to rank every epoch; the best vectors are kept.")
    ] = None,
    patience: Annotated[
        int | None, typer.Option(min=0, help="Stop after so many rankings of --valid without a better one.")
    ] = None,
    threads: Annotated[
        int, typer.Option(min=1, help="Threads of a process; more help where nothing else runs.")
    ] = 1,
    processes: Annotated[
        int, typer.Option(min=1, help="Processes that share the work and hold a part of the vectors each.")
    ] = 1,
    mapped: Annotated[
        Path | None,
        typer.Option(help="A folder whose files hold the vectors while they are trained, not the memory."),
    ] = None,
    resume: ResumeOption = False,
    tensorboard: TensorboardOption = None,
    aliases: AliasesOption = None,
    format: FormatOption = None,
    literals: LiteralsOption = "values",
    language: LanguageOption = "en",
    on_error: OnErrorOption = "strict",
    rejects: RejectsOption = None,
    print_config: PrintConfigOption = False,
    as_json: JsonOption = False,
) -> None:
    """Learn TransE vectors for a graph and save both as a bundle.

    Example: roots kg train knowledge/geography --out runs/geography
    """
    from roots_kg.bundle import ensure_replaceable
    from roots_kg.config import from_mapping, load_yaml, to_mapping
    from roots_kg.graph.store import KIND
    from roots_kg.graph.transe import TransEConfig
    from roots_kg.graph.triples import read_ids

    stated = {
        "dimension": dimension,
        "epochs": epochs,
        "negatives": negatives,
        "batch_size": batch_size,
        "learning_rate": learning_rate,
        "loss": loss,
        "sampling": sampling,
        "norm": norm,
        "patience": patience,
        "seed": seed,
    }
    settings = load_yaml(config) if config else {}
    settings |= {name: value for name, value in stated.items() if value is not None}
    transe = from_mapping(TransEConfig, settings, path=config)
    if print_config:
        print_settings(transe)
        return
    out = required_out(out)
    if transe.patience and valid is None:
        raise UsageError("patience needs validation triples", hint="name some with --valid")
    ensure_replaceable(out, kind=KIND)
    loaded, report = read_graphs(graph, aliases, format, on_error, rejects, literals, language)
    validation_ids = read_ids(loaded, valid, format) if valid is not None else None
    started, cpu = time.perf_counter(), time.process_time()
    if mapped is not None:
        mapped.mkdir(parents=True, exist_ok=True)
        if any(mapped.iterdir()):
            raise UsageError("the folder for the vectors must be empty", path=mapped)
    from roots_kg.training.runs import run_folder  # not above: a wrong option need not wait for Lightning

    told = {"config": to_mapping(transe), "graph": loaded.fingerprint, "valid": str(valid)}
    with resumable(out), run_folder(out, told, resume=resume, tensorboard=tensorboard) as run:
        bundle, validation = train_bundle(
            loaded, transe, validation_ids, threads=threads, processes=processes, mapped=mapped, run=run
        )
        bundle.save(out)
        run.record(out, KIND)
    result: dict[str, float] = {
        "triples": len(loaded),
        "entities": loaded.num_entities,
        "relations": loaded.num_relations,
        "bad_lines": len(report.rejects),
    }
    if validation is not None:
        result |= {"best_epoch": validation.best_epoch, "validation_mrr": validation.best_mrr}
    seconds = {"wall": time.perf_counter() - started, "cpu": time.process_time() - cpu}
    if as_json:
        print_json({"metrics": result, "settings": asdict(transe), "seconds": seconds, "out": out})
        return
    figures("TransE", {**result, "seconds": f"{seconds['wall']:.1f}"})
    print(f"The graph and its vectors are in {out}")


def train_bundle(
    graph: KnowledgeGraph,
    config: TransEConfig,
    validation_ids: tuple[Ids, Ids, Ids] | None = None,
    *,
    threads: int = 1,
    processes: int = 1,
    mapped: Path | None = None,
    run: Run | None = None,
) -> tuple[GraphBundle, Validation | None]:
    """Train TransE on a graph with a progress bar; return both together, and what validation found."""
    from roots_kg.graph.store import GraphBundle
    from roots_kg.training.transe import train_transe
    from roots_kg.training.transe_module import Validation

    validation = None if validation_ids is None else Validation(graph, validation_ids, config)
    transe = train_transe(
        graph,
        config,
        threads=threads,
        processes=processes,
        mapped=mapped,
        validation=validation,
        progress=shows_progress(),
        run=run,
    )
    return GraphBundle(graph, transe, config), validation
