"""`roots kg evaluate`: filtered ranking of test triples."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from roots_kg.cli.kg.graphs import BundleArgument, FormatOption, load_bundle
from roots_kg.cli.output import JsonOption, print_json, progress_bar, table

if TYPE_CHECKING:
    from torch import Tensor

    from roots_kg.graph.triples import Ids

COLUMNS = {"mrr": "MRR", "hits_at_1": "Hits@1", "hits_at_3": "Hits@3", "hits_at_10": "Hits@10"}
OVERALL = COLUMNS | {"mean_rank": "mean rank", "amri": "AMRI"}
SIDES = ("tail", "head")


def evaluate(
    bundle: BundleArgument,
    test: Annotated[Path, typer.Option(help="Triples to rank.")],
    filter_files: Annotated[
        list[Path] | None,
        typer.Option(
            "--filter", help="Further true triples, such as the validation set, to leave out of the ranking."
        ),
    ] = None,
    by_relation: Annotated[
        bool, typer.Option("--by-relation", help="Also tell the relations apart.")
    ] = False,
    format: FormatOption = None,
    as_json: JsonOption = False,
) -> None:
    """Rank the true tail and head of each test triple: filtered MRR and Hits@1/3/10.

    Equal scores share their mean rank. A test triple with an entity or relation that the graph does not know
    counts with the rank that a random guess expects. AMRI, the adjusted mean rank index, is 1 for a perfect
    model and 0 for a random one, whatever the number of entities.

    Example: roots kg evaluate runs/fb --test test.txt --filter valid.txt --by-relation
    """
    from roots_kg.graph.ranking import count_candidates, filtered_ranks, ranking_metrics
    from roots_kg.graph.triples import read_ids

    loaded = load_bundle(bundle)
    graph = loaded.graph
    ids = read_ids(graph, test, format)
    known = [(graph.head_id, graph.relation_id, graph.tail_id)]
    known += [read_ids(graph, path, format) for path in filter_files or []]
    wall, cpu = time.perf_counter(), time.process_time()
    with progress_bar("ranking", 2 * len(ids[0])) as advance:
        ranks = filtered_ranks(loaded.transe, ids, known, progress=advance)
    candidates = count_candidates(ids, known, graph.num_entities)
    seconds = {"wall": time.perf_counter() - wall, "cpu": time.process_time() - cpu}
    unknown = int(((ids[0] < 0) | (ids[1] < 0) | (ids[2] < 0)).sum())
    result: dict[str, Any] = {
        "metrics": asdict(ranking_metrics(ranks, candidates)),
        "sides": _sides(ranks, candidates),
        "n": len(ids[0]),
        "unknown": unknown,
        "seconds": seconds,
    }
    if by_relation:
        result["relations"] = _relations(graph.relations, ids[1], ranks, candidates)
    if as_json:
        print_json(result)
        return
    print(f"{test}: {len(ids[0]):,} triples ranked among {graph.num_entities:,} entities")
    if unknown:
        print(f"{unknown:,} of them name something that the graph does not know: they count as a guess")
    print()
    rows = {"both sides": result["metrics"]} | {f"{side}s": result["sides"][side] for side in SIDES}
    table("", ["", *OVERALL.values()], [[name, *_cells(row, OVERALL)] for name, row in rows.items()])
    if by_relation:
        print()
        _relation_table(result["relations"])


def _sides(ranks: Tensor, candidates: Tensor) -> dict[str, dict[str, Any]]:
    """Summarise each side: (2, …) or (2T,) ranks, tails first, and their numbers of candidates."""
    from roots_kg.graph.ranking import ranking_metrics

    parts = zip(SIDES, ranks.view(2, -1), candidates.view(2, -1), strict=True)
    return {side: asdict(ranking_metrics(own, among)) for side, own, among in parts}


def _relations(
    names: Sequence[str], relation_id: Ids, ranks: Tensor, candidates: Tensor
) -> dict[str, dict[str, Any]]:
    """Summarise each relation of the test triples, the most frequent first."""
    import numpy as np

    from roots_kg.graph.ranking import ranking_metrics

    order = np.argsort(relation_id, kind="stable")
    found, start = np.unique(relation_id[order], return_index=True)
    groups = list(zip(found.tolist(), np.split(order, start[1:]), strict=True))
    summaries = {}
    for relation, rows in sorted(groups, key=lambda group: -len(group[1])):
        if relation < 0:
            continue
        own, among = ranks.view(2, -1)[:, rows], candidates.view(2, -1)[:, rows]
        summaries[names[relation]] = {
            "triples": len(rows),
            "metrics": asdict(ranking_metrics(own.reshape(-1), among.reshape(-1))),
            "sides": _sides(own, among),
        }
    return summaries


def _relation_table(relations: dict[str, dict[str, Any]]) -> None:
    columns = ["relation", "triples", *COLUMNS.values(), *(f"{side} MRR" for side in SIDES)]
    rows = [
        [
            name,
            item["triples"],
            *_cells(item["metrics"], COLUMNS),
            *(item["sides"][side]["mrr"] for side in SIDES),
        ]
        for name, item in relations.items()
    ]
    table("", columns, rows)


def _cells(metrics: dict[str, Any], columns: dict[str, str]) -> list[Any]:
    return ["" if metrics[name] is None else metrics[name] for name in columns]
