"""What the `roots kg` verbs share: their arguments, and reading graphs and bundles."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from roots_kg.errors import DataError, UsageError
from roots_kg.workspace import Workspace

if TYPE_CHECKING:
    from roots_kg.graph.store import GraphBundle
    from roots_kg.graph.triples import KnowledgeGraph, ReadReport

__all__ = [
    "AliasesOption",
    "BundleArgument",
    "CountOption",
    "DelimiterOption",
    "GraphArgument",
    "OnErrorOption",
    "RejectsOption",
    "load_bundle",
    "read_graphs",
]

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


def load_bundle(path: Path) -> GraphBundle:
    """Read a graph bundle."""
    from roots_kg.graph.store import GraphBundle

    return GraphBundle.load(path)


def read_graphs(
    graph: list[str], aliases: Path | None, delimiter: str | None, on_error: str, rejects: Path | None
) -> tuple[KnowledgeGraph, ReadReport]:
    """Read files and named graphs into one; quarantined lines are written to a file of rejects."""
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
        _write_rejects(target, lines, triples)
        typer.echo(f"{len(report.rejects):,} bad lines were set aside in {target}", err=True)
    return loaded, report


def _write_rejects(target: Path, lines: list[str], inputs: list[Path]) -> None:
    if any(target.resolve() == path.resolve() for path in inputs):
        raise UsageError("--rejects names a file that is being read", path=target, hint="name another")
    temporary = target.with_name(f".{target.name}.new")
    try:
        temporary.write_text("".join(["file\tline\treason\tcontent\n", *lines]), encoding="utf-8")
        temporary.replace(target)
    except OSError as error:
        hint = "name another place with `--rejects`"
        raise DataError(f"the rejects cannot be written: {error.strerror}", path=target, hint=hint) from error
