"""`roots kg check`: count a graph and report what is wrong."""

from __future__ import annotations

from roots_kg.cli.kg.graphs import (
    AliasesOption,
    DelimiterOption,
    GraphArgument,
    OnErrorOption,
    RejectsOption,
    read_graphs,
)
from roots_kg.cli.output import JsonOption, figures, print_json, table


def check(
    graph: GraphArgument,
    aliases: AliasesOption = None,
    delimiter: DelimiterOption = None,
    on_error: OnErrorOption = "strict",
    rejects: RejectsOption = None,
    as_json: JsonOption = False,
) -> None:
    """Read triples, count them, and report what is wrong.

    Example: roots kg check triples.tsv --on-error quarantine
    """
    import numpy as np

    loaded, report = read_graphs(graph, aliases, delimiter, on_error, rejects)
    degree = np.diff(loaded.adjacency.start)
    counts = np.bincount(loaded.relation_id, minlength=loaded.num_relations)
    by_count = sorted(
        zip(loaded.relations, counts.tolist(), strict=True), key=lambda item: (-item[1], item[0])
    )
    summary = {
        "triples": len(loaded),
        "entities": loaded.num_entities,
        "relations": loaded.num_relations,
        "entities_with_aliases": len(loaded.aliases),
        "duplicate_triples": report.duplicates,
        "bad_lines": len(report.rejects),
        "self_loops": int((loaded.head_id == loaded.tail_id).sum()),
        "aliases_of_unknown_entities": report.unused_aliases,
        "edges_per_entity_median": float(np.median(degree)),
        "edges_per_entity_most": int(degree.max()),
        "entity_with_most_edges": loaded.label(int(degree.argmax())),
    }
    if as_json:
        print_json({"metrics": summary, "relations": dict(by_count), "files": list(loaded.sources)})
        return
    figures(", ".join(loaded.sources), summary)
    print()
    table("", ["relation", "triples"], by_count[:20])
    if len(by_count) > 20:
        print(f"… and {len(by_count) - 20:,} more relations")
