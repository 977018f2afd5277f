"""`roots kg complete`: the likeliest heads or tails of a triple."""

from __future__ import annotations

from typing import Annotated

import typer

from roots_kg.cli.kg.graphs import BundleArgument, CountOption, load_bundle
from roots_kg.cli.output import JsonOption, print_json, table
from roots_kg.errors import UsageError


def complete(
    bundle: BundleArgument,
    relation: Annotated[str, typer.Option(help="The relation.")],
    head: Annotated[str | None, typer.Option(help="The head entity, to complete the tail.")] = None,
    tail: Annotated[str | None, typer.Option(help="The tail entity, to complete the head.")] = None,
    count: CountOption = 10,
    include_known: Annotated[bool, typer.Option("--include-known", help="Show known answers too.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Complete a triple: the entities that TransE holds most likely, the known ones left out.

    Example: roots kg complete runs/geography --head Austria --relation currency -k 5
    """
    import torch

    from roots_kg.graph.index import VectorIndex

    if (head is None) == (tail is None):
        raise UsageError("name either --head or --tail")
    loaded = load_bundle(bundle)
    graph, transe = loaded.graph, loaded.transe
    relation_id = graph.relation(relation)
    anchor = graph.entity_id(head if head is not None else str(tail))
    query = transe.tail_queries if head is not None else transe.head_queries
    vector = query(transe.entity.weight[[anchor]], torch.tensor([relation_id]))
    anchors, answers = (graph.head_id, graph.tail_id) if head is not None else (graph.tail_id, graph.head_id)
    known = set(answers[(anchors == anchor) & (graph.relation_id == relation_id)].tolist())
    wanted = min(graph.num_entities, count + len(known) + 1)
    distances, rows = VectorIndex(transe.entity.weight).search(vector, wanted)
    found = [
        {"entity": graph.entities[row], "name": graph.label(row), "distance": distance, "known": row in known}
        for row, distance in zip(rows[0].tolist(), distances[0].tolist(), strict=True)
        if row != anchor and (include_known or row not in known)
    ][:count]
    if as_json:
        print_json({"head": head, "relation": relation, "tail": tail, "answers": found})
        return
    title = (
        f"({graph.label(anchor)}, {relation}, ?)"
        if head is not None
        else f"(?, {relation}, {graph.label(anchor)})"
    )
    rows_shown = [[item["name"], item["distance"], "known" if item["known"] else ""] for item in found]
    table(title, ["entity", "distance", ""], rows_shown)
