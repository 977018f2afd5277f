"""`roots kg remove`: triples out of a graph."""

from __future__ import annotations

from roots_kg.cli.kg.edits import (
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


def remove(
    bundle: EditedArgument,
    triples: TriplesArgument = None,
    files: FromOption = None,
    format: FormatOption = None,
    on_error: OnErrorOption = "strict",
    rejects: RejectsOption = None,
    dry_run: DryRunOption = False,
    as_json: JsonOption = False,
) -> None:
    """Remove triples from a graph, in place; if one of them is not there, nothing changes.

    Entities and relations stay, also without triples, and all vectors stay what they are. A model whose graph
    it is no longer finds the triple at its next prediction.

    Example: roots kg remove runs/geography "Graz|located_in|Austria"
    """
    from roots_kg.graph.editing import remove_triples

    folder = graph_folder(bundle)
    stated = facts(triples, files, None, format, on_error, rejects)
    before = state(folder)
    loaded = load_bundle(folder)
    edited, report = remove_triples(loaded, stated)
    if not dry_run:
        save(edited, folder, before)
    summary = {
        "removed": len(report.triples),
        "triples": len(edited.graph),
        "entities_left_without_triples": len(report.left_bare),
    }
    if as_json:
        print_json({"metrics": summary, "left_bare": report.left_bare, "bundle": bundle, "dry_run": dry_run})
        return
    show("-", loaded.graph, report.triples)
    figures(f"{bundle}{' (dry run, nothing was changed)' if dry_run else ''}", summary)
