"""`roots kg check`: count a graph and report what is wrong."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from roots_kg.cli.kg.graphs import (
    AliasesOption,
    FormatOption,
    GraphArgument,
    LanguageOption,
    LiteralsOption,
    OnErrorOption,
    RejectsOption,
    read_graphs,
)
from roots_kg.cli.output import JsonOption, figures, print_json, table

if TYPE_CHECKING:
    from roots_kg.graph.statistics import Bin, DuplicateGroup, RelationStatistics
    from roots_kg.graph.triples import KnowledgeGraph, ReadReport

SHOWN, SHOWN_RELATIONS = 10, 20
BAR = 40


def check(
    graph: GraphArgument,
    aliases: AliasesOption = None,
    format: FormatOption = None,
    on_error: OnErrorOption = "strict",
    rejects: RejectsOption = None,
    literals: LiteralsOption = "values",
    language: LanguageOption = "en",
    as_json: JsonOption = False,
) -> None:
    """Read triples, count them, and report what is wrong or looks wrong.

    A relation is 1-N when a head has several tails, N-1 when a tail has several heads: from 1.5 on the mean.

    Example: roots kg check triples.tsv --on-error quarantine
    """
    loaded, report = read_graphs(graph, aliases, format, on_error, rejects, literals, language)
    found = _findings(loaded, report)
    if as_json:
        print_json(found)
    else:
        _print(found)


def _findings(graph: KnowledgeGraph, report: ReadReport) -> dict[str, Any]:
    import numpy as np

    from roots_kg.graph import statistics
    from roots_kg.graph.card import card_problems
    from roots_kg.graph.inverses import inverse_relations

    degree = statistics.degrees(graph)
    relations = statistics.relation_statistics(graph)
    components = statistics.component_sizes(graph)
    names = [graph.name(index) for index in range(graph.num_entities)] if graph.aliases else graph.entities
    alike = statistics.likely_duplicates(graph.entities, names)
    duplicates = [group for group in alike if group.difference != statistics.SAME_NAME]
    shared = [group for group in alike if group.difference == statistics.SAME_NAME]
    relation_duplicates = statistics.likely_duplicates(graph.relations, graph.relations)
    seen_once = [item.relation for item in relations if item.triples == 1]
    cardinalities = Counter(item.cardinality for item in relations if item.cardinality)
    problems = [problem for card in graph.cards for problem in card_problems(card, graph)]
    inverses = inverse_relations(graph)
    metrics = {
        "triples": len(graph),
        "entities": graph.num_entities,
        "relations": graph.num_relations,
        "entities_with_aliases": len(graph.aliases),
        "values": sum(map(len, graph.values.values())),
        "duplicate_triples": report.duplicates,
        "bad_lines": len(report.rejects),
        "self_loops": int((graph.head_id == graph.tail_id).sum()),
        "aliases_of_unknown_entities": report.unused_aliases,
        "values_of_unknown_entities": report.unused_values,
        "ignored_literals": report.ignored_literals,
        "edges_per_entity_median": float(np.median(degree)),
        "edges_per_entity_most": int(degree.max()),
        "entity_with_most_edges": graph.label(int(degree.argmax())),
        "components": len(components),
        "entities_in_largest_component": int(components[0]),
        "likely_duplicate_entities": len(duplicates),
        "names_of_several_entities": len(shared),
        "likely_duplicate_relations": len(relation_duplicates),
        "relations_seen_once": len(seen_once),
        "inverse_relations": len(inverses),
        "card_problems": len(problems),
    }
    return {
        "metrics": metrics,
        "relations": {item.relation: item.triples for item in relations},
        "cardinalities": dict(cardinalities.most_common()),
        "relation_statistics": relations,
        "relations_seen_once": seen_once,
        "degree_quantiles": statistics.degree_quantiles(degree),
        "degree_histogram": statistics.degree_histogram(degree),
        "component_sizes": {str(size): count for size, count in Counter(components.tolist()).items()},
        "duplicates": duplicates,
        "names_of_several_entities": shared,
        "relation_duplicates": relation_duplicates,
        "inverses": [asdict(pair) | {"share": pair.share} for pair in inverses],
        "card_problems": problems,
        "files": list(graph.sources),
    }


def _print(found: dict[str, Any]) -> None:
    metrics = found["metrics"]
    most = f"{metrics['edges_per_entity_most']:,} at {_cut(metrics['entity_with_most_edges'], 40)}"
    shown = {name: metrics[name] for name in ("triples", "entities", "relations", "entities_with_aliases")}
    if metrics["values"]:
        shown["values_of_entities"] = metrics["values"]
    figures(
        ", ".join(found["files"]),
        {
            **shown,
            "edges_per_entity": f"median {metrics['edges_per_entity_median']:g}, most {most}",
            "components": _components(metrics),
        },
    )
    _print_doubts(found)
    _print_inverses(found["inverses"])
    _print_relations(found["relation_statistics"], found["cardinalities"])
    _print_degrees(found["degree_histogram"], found["degree_quantiles"])
    _print_groups("Names that several entities share", found["names_of_several_entities"])


def _components(metrics: dict[str, Any]) -> str:
    if metrics["components"] == 1:
        return "1"
    return (
        f"{metrics['components']:,}, the largest with {metrics['entities_in_largest_component']:,} entities"
    )


def _print_doubts(found: dict[str, Any]) -> None:
    """Print what is wrong or may be, and how to look further."""
    metrics = found["metrics"]
    counts = {
        "bad_lines": "bad lines, set aside",
        "duplicate_triples": "triples stated again, kept once",
        "self_loops": "triples from an entity to itself",
        "aliases_of_unknown_entities": "aliases of entities without triples",
        "values_of_unknown_entities": "values of entities without triples",
        "relations_seen_once": "relations with one triple only",
    }
    doubts = {text: f"{metrics[name]:,}" for name, text in counts.items() if metrics[name]}
    if found["relations_seen_once"]:
        doubts[counts["relations_seen_once"]] += f": {_some(found['relations_seen_once'], 55)}"
    if found["card_problems"]:
        doubts["differences from card.yaml"] = f"{len(found['card_problems']):,}: {found['card_problems'][0]}"
    print()
    if doubts:
        figures("To look at", doubts)
    else:
        print("Nothing is wrong with the lines and the triples")
    _print_groups("Likely the same entity, written differently", found["duplicates"])
    _print_groups("Likely the same relation, written differently", found["relation_duplicates"])


def _print_groups(title: str, groups: Sequence[DuplicateGroup]) -> None:
    if not groups:
        return
    print(f"\n{title}: {len(groups):,}")
    for group in groups[:SHOWN]:
        same = len(set(group.names)) == 1
        written = ascii if group.difference == "NFC/NFD" else repr  # twins that look the same
        keys = _some(list(map(written, group.keys)), 70)
        print(f"  {_cut(group.names[0], 24) if same else group.difference:<24}  {keys}")
    if len(groups) > SHOWN:
        print(f"  … and {len(groups) - SHOWN:,} more")


def _print_inverses(inverses: Sequence[dict[str, Any]]) -> None:
    """Print relations that say the same thing backwards: a test set that holds one of them is no test."""
    if not inverses:
        return
    print(f"\nInverse relations: {len(inverses):,}")
    for pair in inverses[:SHOWN]:
        relation, inverse = _cut(pair["relation"], 30), _cut(pair["inverse"], 30)
        if pair["relation"] == pair["inverse"]:
            print(f"  {relation}: {pair['share']:.0%} of its triples are stated both ways")
        else:
            print(
                f"  {relation} ↔ {inverse}: {pair['share']:.0%} of the rarer one's are stated backwards too"
            )
    if len(inverses) > SHOWN:
        print(f"  … and {len(inverses) - SHOWN:,} more")


def _print_relations(relations: Sequence[RelationStatistics], cardinalities: dict[str, int]) -> None:
    kinds = ", ".join(f"{count:,} {kind}" for kind, count in cardinalities.items())
    print(f"\nRelations: {kinds}")
    rows = [
        [
            _cut(item.relation, 24),
            item.triples,
            item.heads,
            item.tails,
            f"{item.tails_per_head:7,.2f}",
            f"{item.heads_per_tail:7,.2f}",
            item.cardinality or "",
            "" if item.example is None else _cut(" → ".join(item.example[::2]), 24),
        ]
        for item in relations[:SHOWN_RELATIONS]
    ]
    table("", ["relation", "triples", "heads", "tails", "tails/h", "heads/t", "kind", "example"], rows)
    if len(relations) > SHOWN_RELATIONS:
        print(f"… and {len(relations) - SHOWN_RELATIONS:,} more relations")


def _print_degrees(histogram: Sequence[Bin], quantiles: dict[str, float]) -> None:
    stated = ("quarter", "median", "three_quarters", "p90", "p99", "maximum")
    numbers = ", ".join(f"{name.replace('_', ' ')} {quantiles[name]:,.0f}" for name in stated)
    print(f"\nEdges per entity: {numbers}")
    largest = max(item.entities for item in histogram)
    labels = [
        f"{item.low:,}" if item.low == item.high else f"{item.low:,}-{item.high:,}" for item in histogram
    ]
    width = max(map(len, labels))
    for label, item in zip(labels, histogram, strict=True):
        bar = "█" * round(BAR * item.entities / largest) or ("▏" if item.entities else "")
        print(f"  {label:>{width}}  {item.entities:>11,}  {bar}")


def _some(names: Sequence[str], room: int) -> str:
    """Return the first of some names, as many as fit, and how many more there are."""
    shown = ""
    for index, name in enumerate(names):
        longer = f"{shown}, {_cut(name, 40)}" if shown else _cut(name, 40)
        if shown and len(longer) > room:
            return f"{shown} … and {len(names) - index:,} more"
        shown = longer
    return shown


def _cut(text: str, longest: int) -> str:
    from roots_kg.viz.drawing import shorten

    return shorten(text, longest)
