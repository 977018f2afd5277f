"""`roots kg similar`: the entities nearest to one."""

from __future__ import annotations

from typing import Annotated

import typer

from roots_kg.cli.kg.graphs import BundleArgument, CountOption, load_bundle
from roots_kg.cli.kg.nearest import IndexOption, nearest_entities
from roots_kg.cli.output import JsonOption, print_json, table


def similar(
    bundle: BundleArgument,
    entity: Annotated[str, typer.Argument(help="The entity, by key or by name.")],
    count: CountOption = 10,
    index: IndexOption = "exact",
    as_json: JsonOption = False,
) -> None:
    """List the entities whose vectors are nearest to an entity's.

    Example: roots kg similar runs/geography Austria -k 5
    """
    loaded = load_bundle(bundle)
    graph = loaded.graph
    anchor = graph.entity_id(entity)
    point = loaded.transe.entity.weight[[anchor]]
    found = [item for _, item in nearest_entities(loaded, point, count, index, left_out={anchor})]
    if as_json:
        print_json({"entity": graph.entities[anchor], "similar": found})
        return
    table(
        f"nearest to {graph.label(anchor)}",
        ["entity", "distance"],
        [[i["name"], i["distance"]] for i in found],
    )
