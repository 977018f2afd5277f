"""`roots adapt`: a model for a task from a few examples."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from roots_kg.cli.code import TrustTaskCodeOption, head_of_task, trust_code_of
from roots_kg.cli.output import (
    JsonOption,
    PrecisionOption,
    figures,
    note,
    passes_bar,
    print_json,
    required_out,
)
from roots_kg.errors import UsageError
from roots_kg.workspace import Workspace

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

    from roots_kg.adaptation.few_shot import ClassWeight
    from roots_kg.adaptation.heads.base import Example, Head
    from roots_kg.adaptation.task import Task
    from roots_kg.encoding.text_encoder import Precision
    from roots_kg.graph.store import GraphBundle
    from roots_kg.model import RootsModel


def adapt(
    task: Annotated[
        str, typer.Argument(metavar="TASK", help="A task folder, or the name of one under tasks/.")
    ],
    out: Annotated[
        Path | None,
        typer.Option(metavar="MODEL", help="The folder to write.  [default: that of --add-to]"),
    ] = None,
    add_to: Annotated[
        Path | None,
        typer.Option(
            metavar="MODEL",
            help="A folder that `roots adapt` wrote: what is in it stays, and this task comes in.",
        ),
    ] = None,
    knowledge: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="BUNDLE",
            help="A folder that `roots kg train` wrote; several graphs become one, with their sources kept.",
        ),
    ] = None,
    fusion: Annotated[
        Path | None,
        typer.Option(metavar="FUSION", help="A folder that `roots train` wrote, for the graph it names."),
    ] = None,
    no_knowledge: Annotated[bool, typer.Option("--no-knowledge", help="Use text alone.")] = False,
    encoder: Annotated[
        str | None,
        typer.Option(
            metavar="ENCODER",
            help="A pretrained encoder's name, or a folder with an encoder.  [default: roots-base]",
        ),
    ] = None,
    tune_encoder: Annotated[
        bool,
        typer.Option(
            "--tune-encoder",
            help="Tune the encoder for the task as well, which takes minutes; it is kept only if that helps.",
        ),
    ] = False,
    meta: Annotated[
        Path | None,
        typer.Option(
            metavar="META",
            help="A folder that `roots train` wrote: what it learned from many tasks about learning one.",
        ),
    ] = None,
    shots: Annotated[
        int | None,
        typer.Option(help="Examples of each class (in all, for heads without classes); default: all."),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, max=2**63 - 1, help="Of the draw of examples.")] = 0,
    augmentation: Annotated[
        str,
        typer.Option(
            metavar="NAME",
            help="Virtual knowledge to train with: none, noise, mix, fgm, generator or counterfactual.",
        ),
    ] = "none",
    class_weight: Annotated[
        list[str] | None,
        typer.Option(
            metavar="LABEL=NUMBER",
            help="How much a label counts in the fit, 1 where nothing is said; or `balanced`.",
        ),
    ] = None,
    reject: Annotated[
        float,
        typer.Option(
            metavar="SHARE",
            min=0.0,
            max=0.99,
            help="Reject texts that are out of scope; of those in scope, about this share is lost.",
        ),
    ] = 0.0,
    misspelt: Annotated[
        bool, typer.Option("--misspelt", help="Look for misspelt names where a text mentions nothing.")
    ] = False,
    precision: PrecisionOption = None,
    trust_task_code: TrustTaskCodeOption = False,
    as_json: JsonOption = False,
) -> None:
    """Adapt a model to a task from a few labelled examples, with your graph if the task has one.

    Example: roots adapt region_routing --knowledge runs/geography --shots 5 --out runs/routing
    """
    from roots_kg.adaptation.few_shot import FewShotConfig
    from roots_kg.adaptation.meta_learning.store import load_meta
    from roots_kg.adaptation.task import Task
    from roots_kg.adaptation.tuning import TuneConfig
    from roots_kg.bundle import ensure_replaceable
    from roots_kg.model_store import KIND

    out = required_out(out or add_to)
    weights = _class_weight(class_weight or ())
    config = FewShotConfig(augmentation=augmentation, class_weight=weights, reject=reject)
    ensure_replaceable(out, kind=KIND)
    learned = load_meta(meta) if meta is not None else None
    folder = Workspace.find().task_folder(task)
    chosen = Task.load(folder)
    head_of_task(folder, chosen.head, trust=trust_task_code)
    if add_to is not None:
        own = {"encoder": encoder, "knowledge": knowledge, "fusion": fusion, "no-knowledge": no_knowledge}
        own |= {"misspelt": misspelt, "precision": precision}
        model = _saved(add_to, [name for name, value in own.items() if value])
    else:
        model = _new(chosen, encoder or "roots-base", knowledge, fusion, precision, no_knowledge, misspelt)
    tune = TuneConfig(seed=seed) if tune_encoder else None
    with passes_bar("adapting") as advance:
        report = model.adapt(
            chosen, shots=shots, seed=seed, config=config, tune=tune, meta=learned, progress=advance
        )
    _warn_of_test_texts(chosen, model.head_of(chosen.name), report.support)
    _warn_of_labels(report.fit, report.support)
    model.save_pretrained(out)
    if as_json:
        print_json({"metrics": report.fit, "seconds": report.seconds, "out": out, "seed": seed})
        return
    figures(
        f"{chosen.name} ({chosen.head})",
        {**report.fit, **{f"{k} cpu seconds": v for k, v in report.seconds.items()}},
    )
    print(f"The model is in {out}")


def _class_weight(given: Sequence[str]) -> ClassWeight:
    """Read `balanced`, or LABEL=NUMBER any number of times."""
    if not given:
        return None
    if list(given) == ["balanced"]:
        return "balanced"
    weights: dict[str, float] = {}
    for item in given:
        label, equals, number = item.rpartition("=")
        try:
            weights[label] = float(number)
        except ValueError:
            equals = ""
        if not equals or not 0 < weights[label] < float("inf"):
            raise typer.BadParameter(
                f"{item!r} is not LABEL=NUMBER with a number above 0, nor `balanced` alone",
                param_hint="--class-weight",
            )
    return weights


def _saved(path: Path, refused: Sequence[str]) -> RootsModel:
    """Return a model to add a task to, which settles what these options would say."""
    from roots_kg.model import RootsModel

    if refused:
        raise UsageError(f"--add-to and --{refused[0]} exclude each other", hint="the model has its own")
    trust_code_of(None, path)
    return RootsModel.from_pretrained(path)


def _new(
    task: Task,
    encoder: str,
    knowledge: list[Path] | None,
    fusion: Path | None,
    precision: Precision | None,
    no_knowledge: bool,
    misspelt: bool,
) -> RootsModel:
    """Return a model without a task."""
    from roots_kg.encoding.text_encoder import TextEncoder
    from roots_kg.fusion.store import load_fusion
    from roots_kg.graph.retrieval import RetrievalConfig
    from roots_kg.model import RootsModel

    if knowledge and no_knowledge:
        raise UsageError("--knowledge and --no-knowledge exclude each other")
    if fusion is not None and no_knowledge:
        raise UsageError("--fusion needs a graph, and --no-knowledge excludes one")
    text_encoder = TextEncoder.from_pretrained(encoder, precision=precision or "float32")
    trained = load_fusion(fusion) if fusion is not None else None
    graph = None if no_knowledge else _graph(task, knowledge)
    if trained is not None and graph is None:
        raise UsageError("--fusion needs a graph", hint="name one with `--knowledge`")
    retrieval = replace(
        trained.retrieval if trained is not None else RetrievalConfig(),
        misspelt=misspelt,
    )
    return RootsModel(text_encoder, graph, retrieval, fusion=trained)


def _warn_of_test_texts(task: Task, head: Head, support: Sequence[Example]) -> None:
    """Say how many of the texts that were learned from are also in the task's test file."""
    from roots_kg.adaptation.task_check import shared_texts

    shared = shared_texts(support, task.test, head) if task.test is not None else 0
    if shared:
        print(
            f"warning: {shared:,} of the {len(support):,} examples to learn from have a text that is also in "
            f"{task.test}; judged by that file, the model will look better than it is",
            file=sys.stderr,
        )


def _warn_of_labels(fit: Mapping[str, Any], support: Sequence[Example]) -> None:
    """Say how many examples contradict each other, where one does, and how many labels have none."""
    if fit.get("contradictory_examples"):
        seen: dict[Any, Example] = {}
        for example in support:
            other = seen.setdefault(example.text, example)
            if other.target != example.target:
                break
        print(
            f"warning: {fit['contradictory_examples']:,} examples have the text of another and another "
            f"label, first {example.record.path}:{example.record.line} ({example.target!r}) and line "
            f"{other.record.line} ({other.target!r})",
            file=sys.stderr,
        )
    if fit.get("labels_without_examples"):
        print(
            f"warning: {fit['labels_without_examples']:,} of the {fit['labels']:,} labels have no example; "
            "they are known by their names alone",
            file=sys.stderr,
        )


def _graph(task: Task, knowledge: list[Path] | None) -> GraphBundle | None:
    """Return the graph to use: the given bundles, or else the task's own, trained here and now."""
    from roots_kg.cli.kg.train import train_bundle
    from roots_kg.graph.alignment import merge
    from roots_kg.graph.store import GraphBundle
    from roots_kg.graph.transe import TransEConfig
    from roots_kg.graph.triples import KnowledgeGraph

    if knowledge:
        return merge([GraphBundle.load(path) for path in knowledge])
    if task.knowledge is None:
        return None
    files = Workspace.find().graph_files(str(task.knowledge))
    note(f"training vectors for {files.triples[0]} first; `roots kg train` and `--knowledge` save that")
    cards = [files.card] if files.card else []
    graph = KnowledgeGraph.from_file(*files.triples, aliases=files.aliases, cards=cards)
    return train_bundle(graph, TransEConfig())[0]
