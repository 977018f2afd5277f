"""`roots kg`: check a graph, train TransE on it, evaluate, complete and compare."""

from __future__ import annotations

import time
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from roots_kg.cli.output import JsonOption, figures, print_json, progress_bar, table
from roots_kg.errors import UsageError
from roots_kg.workspace import GraphFiles, Workspace

if TYPE_CHECKING:
    from roots_kg.graph.triples import Ids, KnowledgeGraph, ReadReport

app = typer.Typer(help="Knowledge graphs.", no_args_is_help=True, rich_markup_mode=None)

GraphArgument = Annotated[
    list[str],
    typer.Argument(metavar="GRAPH...", help="Triples files, or the name of a folder under knowledge/."),
]
BundleArgument = Annotated[
    Path, typer.Argument(metavar="BUNDLE", help="A folder that `roots kg train` wrote.")
]
AliasesOption = Annotated[
    Path | None, typer.Option(help="A file of entity<TAB>alias; an entity's first alias is its display name.")
]
DelimiterOption = Annotated[str | None, typer.Option(help="tab, comma or pipe; sniffed by default.")]
OnErrorOption = Annotated[
    str, typer.Option(help="strict stops at the first bad line; quarantine sets bad lines aside.")
]
RejectsOption = Annotated[
    Path | None,
    typer.Option(help="Where quarantined lines go; by default FILE.rejects.tsv beside the first file."),
]
CountOption = Annotated[int, typer.Option("-k", min=1, help="How many.")]


@app.command()
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

    loaded, report = _read(graph, aliases, delimiter, on_error, rejects)
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


@app.command()
def train(
    graph: GraphArgument,
    out: Annotated[Path, typer.Option(metavar="BUNDLE", help="The folder to write.")],
    config: Annotated[
        Path | None, typer.Option(help="A YAML file of settings; the options below win.")
    ] = None,
    dimension: Annotated[int | None, typer.Option(help="Size of a vector.")] = None,
    epochs: Annotated[int | None, typer.Option(help="Passes over the triples.")] = None,
    negatives: Annotated[int | None, typer.Option(help="Entities drawn a step.")] = None,
    batch_size: Annotated[int | None, typer.Option(help="Triples a step.")] = None,
    learning_rate: Annotated[float | None, typer.Option(help="Of the first step; falls to 0.")] = None,
    seed: Annotated[int | None, typer.Option(help="Of the random numbers.")] = None,
    aliases: AliasesOption = None,
    delimiter: DelimiterOption = None,
    on_error: OnErrorOption = "strict",
    rejects: RejectsOption = None,
    as_json: JsonOption = False,
) -> None:
    """Learn TransE vectors for a graph and save both as a bundle.

    Example: roots kg train knowledge/geography --out runs/geography
    """
    from roots_kg.bundle import ensure_replaceable
    from roots_kg.config import from_mapping, load_yaml
    from roots_kg.graph.store import KIND
    from roots_kg.graph.transe import TransEConfig

    stated = {
        "dimension": dimension,
        "epochs": epochs,
        "negatives": negatives,
        "batch_size": batch_size,
        "learning_rate": learning_rate,
        "seed": seed,
    }
    settings = load_yaml(config) if config else {}
    settings |= {name: value for name, value in stated.items() if value is not None}
    transe = from_mapping(TransEConfig, settings, path=config)
    ensure_replaceable(out, kind=KIND)
    loaded, report = _read(graph, aliases, delimiter, on_error, rejects)
    started, cpu = time.perf_counter(), time.process_time()
    bundle = train_bundle(loaded, transe)
    bundle.save(out)
    result = {
        "triples": len(loaded),
        "entities": loaded.num_entities,
        "relations": loaded.num_relations,
        "bad_lines": len(report.rejects),
    }
    seconds = {"wall": time.perf_counter() - started, "cpu": time.process_time() - cpu}
    if as_json:
        print_json({"metrics": result, "settings": asdict(transe), "seconds": seconds, "out": out})
        return
    figures("TransE", {**result, "seconds": round(seconds["wall"], 1)})
    print(f"The graph and its vectors are in {out}")


@app.command()
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

    loaded = _load(bundle)
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


@app.command()
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
    loaded = _load(bundle)
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


@app.command()
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

    loaded = _load(bundle)
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


def train_bundle(graph: KnowledgeGraph, config: Any) -> Any:
    """Train TransE on a graph with a progress bar, and put both together as a `GraphBundle`."""
    import sys

    from roots_kg.graph.store import GraphBundle
    from roots_kg.training.transe import train_transe

    transe = train_transe(graph, config, progress=sys.stderr.isatty())
    return GraphBundle(graph, transe, config)


def read_graph(files: GraphFiles) -> KnowledgeGraph:
    """Read a workspace's graph, strictly."""
    from roots_kg.graph.triples import KnowledgeGraph

    return KnowledgeGraph.from_file(*files.triples, aliases=files.aliases)


def _load(path: Path) -> Any:
    from roots_kg.graph.store import GraphBundle

    return GraphBundle.load(path)


def _read(
    graph: list[str], aliases: Path | None, delimiter: str | None, on_error: str, rejects: Path | None
) -> tuple[KnowledgeGraph, ReadReport]:
    from roots_kg.graph.triples import KnowledgeGraph

    workspace = Workspace.find()
    files = [workspace.graph_files(name) for name in graph]
    triples = [path for part in files for path in part.triples]
    found = [part.aliases for part in files if part.aliases is not None]
    if len(found) > 1 and aliases is None:
        raise UsageError("several of these graphs have an aliases file", hint="name one with --aliases")
    loaded, report = KnowledgeGraph.read(
        triples,
        aliases=aliases or (found[0] if found else None),
        delimiter=delimiter,  # type: ignore[arg-type]
        on_error=on_error,  # type: ignore[arg-type]
    )
    if report.rejects:
        target = rejects or triples[0].with_name(triples[0].name + ".rejects.tsv")
        lines = [f"{item.path}\t{item.line}\t{item.reason}\t{item.content}\n" for item in report.rejects]
        target.write_text("".join(["file\tline\treason\tcontent\n", *lines]), encoding="utf-8")
        typer.echo(f"{len(report.rejects):,} bad lines were set aside in {target}", err=True)
    return loaded, report


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
