"""`roots kg add`: triples and new entities into a graph, without training again."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from roots_kg.cli.kg.edits import (
    SHOWN,
    DryRunOption,
    EditedArgument,
    FromOption,
    TriplesArgument,
    facts,
    graph_folder,
    save,
    show,
    state,
)
from roots_kg.cli.kg.graphs import FormatOption, OnErrorOption, RejectsOption, load_bundle
from roots_kg.cli.output import JsonOption, figures, print_json

if TYPE_CHECKING:
    from roots_kg.graph.editing import Addition
    from roots_kg.graph.triples import KnowledgeGraph

COMPARED = 20


def add(
    bundle: EditedArgument,
    triples: TriplesArgument = None,
    files: FromOption = None,
    aliases: Annotated[
        Path | None,
        typer.Option(help="A file of entity<TAB>alias for new entities; the first is the display name."),
    ] = None,
    no_new: Annotated[
        bool, typer.Option("--no-new", help="Refuse entities and relations that the graph does not know.")
    ] = False,
    format: FormatOption = None,
    on_error: OnErrorOption = "strict",
    rejects: RejectsOption = None,
    dry_run: DryRunOption = False,
    as_json: JsonOption = False,
) -> None:
    """Add triples to a graph, in place, without training again.

    An entity is named by its key or by a name that no other has; any other name is a new entity, whose vector
    is worked out from its triples. Vectors that are there do not change.

    Example: roots kg add runs/geography "Hallstatt|located_in|Austria"
    """
    from roots_kg.graph.editing import add_triples

    folder = graph_folder(bundle)
    stated = facts(triples, files, aliases, format, on_error, rejects)
    before = state(folder)
    loaded = load_bundle(folder)
    started, cpu = time.perf_counter(), time.process_time()
    edited, report = add_triples(loaded, stated, new=not no_new)
    seconds = {"wall": time.perf_counter() - started, "cpu": time.process_time() - cpu}
    if not dry_run and edited is not loaded:
        save(edited, folder, before)
    similar = _similar(loaded.graph, report)
    for name, meant in similar.items():
        typer.echo(f"warning: {name!r} is new, but there is {meant!r} (--no-new refuses new names)", err=True)
    summary = {
        "added": len(report.triples),
        "already_there": report.known,
        **({"literals": report.values} if report.values else {}),
        "new_entities": len(report.entities),
        "new_relations": len(report.relations),
        "triples": len(edited.graph),
        "entities": edited.graph.num_entities,
        "relations": edited.graph.num_relations,
    }
    if as_json:
        result = {
            "metrics": summary,
            "new_entities": report.entities,
            "new_relations": report.relations,
            "unplaced": report.unplaced,
            "similar": similar,
            "seconds": seconds,
            "bundle": bundle,
            "dry_run": dry_run,
        }
        print_json(result)
        return
    show("+", edited.graph, report.triples)
    figures(f"{bundle}{' (dry run, nothing was changed)' if dry_run else ''}", summary)
    _list("new entities", report.entities)
    _list("new relations, their vectors the mean of tail − head", report.relations)
    _list("connected with nothing known, their vectors the mean of all", report.unplaced)


def _similar(graph: KnowledgeGraph, report: Addition) -> dict[str, str]:
    """Return which of the first new names look like misspelt ones of the graph."""
    from roots_kg.graph.editing import similar_names

    names = (name for key in graph.entities for name in (key, *graph.aliases.get(key, ())))
    return {
        **similar_names(report.entities[:COMPARED], names),
        **similar_names(report.relations[:COMPARED], graph.relations),
    }


def _list(title: str, names: Sequence[str]) -> None:
    if names:
        more = f" and {len(names) - SHOWN:,} more" if len(names) > SHOWN else ""
        typer.echo(f"{title}: {', '.join(map(repr, names[:SHOWN]))}{more}")
