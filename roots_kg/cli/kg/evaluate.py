"""`roots kg evaluate`: filtered ranking of test triples."""

from __future__ import annotations

import time
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from roots_kg.cli.kg.graphs import BundleArgument, DelimiterOption, load_bundle
from roots_kg.cli.output import JsonOption, figures, print_json, progress_bar

if TYPE_CHECKING:
    from roots_kg.graph.triples import Ids, KnowledgeGraph


def evaluate(
    bundle: BundleArgument,
    test: Annotated[Path, typer.Option(help="Triples to rank.")],
    filter_files: Annotated[
        list[Path] | None,
        typer.Option(
            "--filter", help="Further true triples, such as the validation set, to leave out of the ranking."
        ),
    ] = None,
    delimiter: DelimiterOption = None,
    as_json: JsonOption = False,
) -> None:
    """Rank the true tail and head of each test triple: filtered MRR and Hits@1/3/10.

    Equal scores share their mean rank. A test triple with an entity or relation that the graph does not know
    counts with the rank that a random guess expects.

    Example: roots kg evaluate runs/fb --test test.txt --filter valid.txt
    """
    from roots_kg.graph.ranking import filtered_ranks, ranking_metrics

    loaded = load_bundle(bundle)
    test_ids = _test_ids(loaded.graph, test, delimiter)
    known = [(loaded.graph.head_id, loaded.graph.relation_id, loaded.graph.tail_id)]
    known += [_test_ids(loaded.graph, path, delimiter) for path in filter_files or []]
    started = time.process_time()
    with progress_bar("ranking", 2 * len(test_ids[0])) as advance:
        ranks = filtered_ranks(loaded.transe, test_ids, known, progress=advance)
    metrics = asdict(ranking_metrics(ranks))
    unknown = int(sum((test_ids[0] < 0) | (test_ids[1] < 0) | (test_ids[2] < 0)))
    if as_json:
        seconds = {"cpu": time.process_time() - started}
        print_json({"metrics": metrics, "n": len(test_ids[0]), "unknown": unknown, "seconds": seconds})
        return
    figures(f"{test}: {len(test_ids[0]):,} triples, {unknown:,} with something unknown", metrics)


def _test_ids(graph: KnowledgeGraph, path: Path, delimiter: str | None) -> tuple[Ids, Ids, Ids]:
    """Read triples as ids of `graph`, −1 for what it does not know."""
    import numpy as np

    from roots_kg.graph.readers import TripleReader

    entities, relations = graph.entity_ids, graph.relation_ids
    rows = [
        (entities.get(head, -1), relations.get(relation, -1), entities.get(tail, -1))
        for head, relation, tail in TripleReader(path, delimiter).read()  # type: ignore[arg-type]
    ]
    head, relation, tail = np.array(rows, dtype=np.int64).T
    return head, relation, tail
