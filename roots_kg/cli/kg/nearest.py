"""What `roots kg complete` and `roots kg similar` share: the entities nearest to a point."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from torch import Tensor

    from roots_kg.graph.store import GraphBundle

__all__ = ["IndexOption", "nearest_entities"]

IndexOption = Annotated[
    str,
    typer.Option(
        "--index",
        help="exact compares with every entity; ivf and hnsw are approximate (extra faiss), and built first.",
    ),
]


def nearest_entities(
    bundle: GraphBundle, point: Tensor, count: int, index: str, *, left_out: Collection[int] = ()
) -> list[tuple[int, dict[str, Any]]]:
    """Return the `count` entities nearest to a point (1, k), each with its id and how it is shown.

    Raises:
        UsageError: for an unknown index, one that the vectors cannot have, or when faiss is missing.
    """
    from roots_kg.graph.index import VectorIndex

    graph, transe = bundle.graph, bundle.transe
    searched = VectorIndex(transe.entity.weight, index, norm=transe.norm)  # type: ignore[arg-type]
    distances, rows = searched.search(point, count + len(left_out))
    found = [
        (row, {"entity": graph.entities[row], "name": graph.label(row), "distance": distance})
        for row, distance in zip(rows[0].tolist(), distances[0].tolist(), strict=True)
        if row >= 0 and row not in left_out
    ]
    return found[:count]
