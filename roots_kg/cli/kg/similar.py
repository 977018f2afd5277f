"""`roots kg similar`: the entities nearest to one."""

from __future__ import annotations

from typing import Annotated

import typer

from roots_kg.cli.kg.graphs import BundleArgument, CountOption, load_bundle
from roots_kg.cli.output import JsonOption, print_json, table


def similar(
    bundle: BundleArgument,
    entity: Annotated[str, typer.Argument(help="The entity, by key or by name.")],
    count: CountOption = 10,
    as_json: JsonOption = False,
) -> None:
    """List the entities whose vectors are nearest to an entity's.

    Example: roots kg similar runs/geography Austria -k 5
    """
    from roots_kg.graph.index import VectorIndex

    loaded = load_bundle(bundle)
    graph, vectors = loaded.graph, loaded.transe.entity.weight
    anchor = graph.entity_id(entity)
    distances, rows = VectorIndex(vectors).search(vectors[[anchor]], min(count + 1, graph.num_entities))
    found = [
        {"entity": graph.entities[row], "name": graph.label(row), "distance": distance}
        for row, distance in zip(rows[0].tolist(), distances[0].tolist(), strict=True)
        if row != anchor
    ][:count]
    if as_json:
        print_json({"entity": graph.entities[anchor], "similar": found})
        return
    table(
        f"nearest to {graph.label(anchor)}",
        ["entity", "distance"],
        [[i["name"], i["distance"]] for i in found],
    )
