"""`roots kg complete`: the likeliest heads or tails of a triple."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from roots_kg.cli.kg.graphs import BundleArgument, CountOption, load_bundle
from roots_kg.cli.kg.nearest import IndexOption, nearest_entities
from roots_kg.cli.output import JsonOption, print_json, table
from roots_kg.errors import UsageError

if TYPE_CHECKING:
    from torch import Tensor

    from roots_kg.graph.transe import TransE


def complete(
    bundle: BundleArgument,
    relation: Annotated[str, typer.Option(help="The relation.")],
    head: Annotated[str | None, typer.Option(help="The head entity, to complete the tail.")] = None,
    tail: Annotated[str | None, typer.Option(help="The tail entity, to complete the head.")] = None,
    count: CountOption = 10,
    include_known: Annotated[bool, typer.Option("--include-known", help="Show known answers too.")] = False,
    index: IndexOption = "exact",
    as_json: JsonOption = False,
) -> None:
    """Complete a triple with what TransE holds most likely, what is known left out.

    The nearer, the likelier; how near the known answers are shows what is near for this question. The last
    column counts the triples in which the graph has an entity in that place of the relation already.

    Example: roots kg complete runs/geography --head Austria --relation currency -k 5
    """
    import numpy as np
    import torch

    if (head is None) == (tail is None):
        raise UsageError("name either --head or --tail")
    loaded = load_bundle(bundle)
    graph, transe = loaded.graph, loaded.transe
    relation_id = graph.relation(relation)
    anchor = graph.entity_id(head if head is not None else str(tail))
    ask = transe.tail_queries if head is not None else transe.head_queries
    point = ask(transe.entity.weight[[anchor]], torch.tensor([relation_id]))
    anchors, answers = (graph.head_id, graph.tail_id) if head is not None else (graph.tail_id, graph.head_id)
    same_relation = graph.relation_id == relation_id
    known = sorted(set(answers[(anchors == anchor) & same_relation].tolist()))
    in_place = np.bincount(answers[same_relation], minlength=graph.num_entities)
    side = "tail" if head is not None else "head"
    left_out = {anchor}.difference(known) if include_known else {anchor, *known}
    found = [
        item | {"known": row in known, f"triples_as_{side}": int(in_place[row])}
        for row, item in nearest_entities(loaded, point, count, index, left_out=left_out)
    ]
    if as_json:
        asked = {"head": head, "relation": relation, "tail": tail}
        print_json({**asked, "answers": found, "known": _known(transe, point, known)})
        return
    label = graph.label(anchor)
    rows = [[item["name"], item["distance"], item[f"triples_as_{side}"]] for item in found]
    columns = ["entity", "distance", f"as {side}"]
    if include_known:
        columns.append("")
        rows = [[*row, "known" if item["known"] else ""] for row, item in zip(rows, found, strict=True)]
    table(f"({label}, {relation}, ?)" if side == "tail" else f"(?, {relation}, {label})", columns, rows)
    if known and not include_known:
        near = _known(transe, point, known)
        place = f"at distance {near['nearest']:.4f}"
        if near["count"] > 1:
            place = f"at distances from {near['nearest']:.4f} to {near['farthest']:.4f}"
        print(f"left out: {near['count']:,} known, {place}; --include-known shows them")


def _known(transe: TransE, point: Tensor, known: Sequence[int]) -> dict[str, Any]:
    """Return how many known answers there are, and how near and far the nearest and the farthest are."""
    from roots_kg.graph.index import VectorIndex

    if not known:
        return {"count": 0, "nearest": None, "farthest": None}
    distances = VectorIndex(transe.entity.weight[known], norm=transe.norm).search(point, len(known))[0][0]
    return {"count": len(known), "nearest": float(distances[0]), "farthest": float(distances[-1])}
