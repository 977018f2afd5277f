"""What the `roots kg` verbs share: their arguments, and reading graphs and bundles."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from roots_kg.cli.output import working
from roots_kg.errors import DataError, UsageError
from roots_kg.workspace import Workspace

if TYPE_CHECKING:
    from collections.abc import Iterable

    from roots_kg.graph.readers import Reject
    from roots_kg.graph.store import GraphBundle
    from roots_kg.graph.triples import KnowledgeGraph, ReadReport

__all__ = [
    "AliasesOption",
    "BundleArgument",
    "CountOption",
    "FormatOption",
    "GraphArgument",
    "LanguageOption",
    "LiteralsOption",
    "OnErrorOption",
    "RejectsOption",
    "load_bundle",
    "read_graphs",
]

REJECTS_HEADER = "file\tline\treason\tcontent\n"

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
FormatOption = Annotated[
    str | None,
    typer.Option(
        "--format",
        "--delimiter",
        help="tab, comma, pipe, jsonl, parquet, ntriples, turtle, jsonld or rdfxml; by default what a file's "
        "name or its first lines say.",
    ),
]
LiteralsOption = Annotated[
    str,
    typer.Option(
        help="What becomes of numbers, dates and texts: values of their entity, entities, or ignore."
    ),
]
LanguageOption = Annotated[
    str, typer.Option(help="The language of the name to display, where a graph has names in several.")
]
OnErrorOption = Annotated[
    str, typer.Option(help="strict stops at the first bad line; quarantine sets bad lines aside.")
]
RejectsOption = Annotated[
    Path | None,
    typer.Option(help="Where quarantined lines go; by default FILE.rejects.tsv beside the first file."),
]
CountOption = Annotated[int, typer.Option("-k", min=1, help="How many.")]


def load_bundle(path: Path) -> GraphBundle:
    """Read a graph bundle."""
    from roots_kg.graph.store import GraphBundle

    with working("loading the graph"):
        return GraphBundle.load(path)


def read_graphs(
    graph: list[str],
    aliases: Path | None,
    format: str | None,
    on_error: str,
    rejects: Path | None,
    literals: str = "values",
    language: str = "en",
) -> tuple[KnowledgeGraph, ReadReport]:
    """Read files and named graphs into one; quarantined lines are written to a file of rejects."""
    from roots_kg.graph.triples import KnowledgeGraph

    workspace = Workspace.find()
    files = [workspace.graph_files(name) for name in graph]
    triples = [path for part in files for path in part.triples]
    named = [aliases] if aliases is not None else [part.aliases for part in files if part.aliases is not None]
    target = rejects or triples[0].with_name(triples[0].name + ".rejects.tsv")
    if on_error == "quarantine":
        _ensure_rejects(target, triples)
    with working("reading the graph"):
        loaded, report = KnowledgeGraph.read(
            triples,
            aliases=named,
            cards=[part.card for part in files if part.card is not None],
            format=format,
            on_error=on_error,  # type: ignore[arg-type]
            literals=literals,  # type: ignore[arg-type]
            language=language,
        )
    if report.rejects:
        _write_rejects(target, report.rejects)
        count = len(report.rejects)
        lines = "1 bad line was" if count == 1 else f"{count:,} bad lines were"
        typer.echo(f"{lines} set aside in {target}", err=True)
    return loaded, report


def _ensure_rejects(target: Path, inputs: list[Path]) -> None:
    """Raise if a file stands there that is being read, or that is not an earlier file of rejects."""
    if any(target.resolve() == path.resolve() for path in inputs):
        raise UsageError("--rejects names a file that is being read", path=target, hint="name another")
    if not target.exists():
        return
    try:
        with target.open("rb") as stream:
            is_ours = stream.read(len(REJECTS_HEADER)) == REJECTS_HEADER.encode()
    except OSError:
        is_ours = False
    if not is_ours:
        message = "the rejects would replace this file, which holds something else"
        raise UsageError(message, path=target, hint="name another place with `--rejects`")


def _write_rejects(target: Path, rejects: Iterable[Reject]) -> None:
    from roots_kg.graph.readers import printable

    temporary = target.with_name(f".{target.name}.new")
    try:
        with temporary.open("w", encoding="utf-8", newline="\n") as stream:
            stream.write(REJECTS_HEADER)
            for item in rejects:
                where, reason = (
                    printable(text).replace("\t", "\\t") for text in (str(item.path), item.reason)
                )
                stream.write(f"{where}\t{'' if item.line is None else item.line}\t{reason}\t{item.content}\n")
        temporary.replace(target)
    except OSError as error:
        hint = "name another place with `--rejects`"
        raise DataError(f"the rejects cannot be written: {error.strerror}", path=target, hint=hint) from error
