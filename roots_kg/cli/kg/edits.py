"""What `roots kg add` and `roots kg remove` share: the triples they are given and the graph they change."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from roots_kg.cli.kg.graphs import read_graphs
from roots_kg.errors import BundleError, UsageError, nearest
from roots_kg.files import is_text, read_small

if TYPE_CHECKING:
    from roots_kg.graph.readers import RawTriple
    from roots_kg.graph.store import GraphBundle
    from roots_kg.graph.triples import Ids, KnowledgeGraph

__all__ = [
    "SHOWN",
    "DryRunOption",
    "EditedArgument",
    "FromOption",
    "TriplesArgument",
    "facts",
    "graph_folder",
    "save",
    "show",
    "state",
]

EditedArgument = Annotated[
    Path,
    typer.Argument(
        metavar="BUNDLE",
        help="A folder that `roots kg train` wrote, or one of `roots adapt`, whose own copy is changed.",
    ),
]
TriplesArgument = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[TRIPLE...]",
        help="Each one argument, 'head|relation|tail'; a tab or a comma may separate the columns too.",
    ),
]
FromOption = Annotated[
    list[str] | None, typer.Option("--from", metavar="FILE", help="Read the triples from a file.")
]
DryRunOption = Annotated[bool, typer.Option("--dry-run", help="Show what would change, and change nothing.")]

SHOWN = 10


def facts(
    triples: Sequence[str] | None,
    files: list[str] | None,
    aliases: Path | None,
    format: str | None,
    on_error: str,
    rejects: Path | None,
) -> KnowledgeGraph:
    """Return the triples that are named on the command line, or that files hold, as a graph of their own.

    Raises:
        UsageError: if there are both or neither, or if an argument is not a triple.
        DataError: for a file that cannot be read.
    """
    from roots_kg.graph.readers import read_aliases
    from roots_kg.graph.triples import KnowledgeGraph

    if bool(triples) == bool(files):
        raise UsageError("give either triples or --from", hint="a triple is 'head|relation|tail'")
    if files:
        return read_graphs(files, aliases, format, on_error, rejects)[0]
    names: dict[str, list[str]] = {}
    for _, entity, alias in read_aliases(aliases) if aliases is not None else ():
        names.setdefault(entity, []).append(alias)
    stated = _triples(triples or (), format)
    return KnowledgeGraph.from_triples(stated, aliases=names, source="added on the command line")


def graph_folder(path: Path) -> Path:
    """Return the folder of a graph bundle: `path`, or the graph that a model saved there keeps."""
    from roots_kg.bundle import is_bundle
    from roots_kg.graph.store import KIND

    own = path / "knowledge"
    return own if not is_bundle(path, KIND) and is_bundle(own, KIND) else path


def state(folder: Path) -> bytes:
    """Return what tells one state of a graph bundle from another: its `config.json`, with all its hashes."""
    from roots_kg.bundle import CONFIG, MAX_CONFIG_BYTES

    try:
        return read_small(folder / CONFIG, MAX_CONFIG_BYTES, BundleError)
    except BundleError:
        return b""


def save(edited: GraphBundle, folder: Path, before: bytes) -> None:
    """Put an edited graph in place of the one that had this state when it was read.

    Raises:
        BundleError: if it has another state by now, or cannot be written; nothing is lost then.
    """
    from roots_kg.bundle import writing

    with writing(folder):
        if state(folder) != before:
            message = "another command has changed this graph in the meantime"
            raise BundleError(message, path=folder, hint="run this one again")
        edited.save(folder)


def show(sign: str, graph: KnowledgeGraph, triples: Ids) -> None:
    """Print the triples at some positions of a graph, the first of them if they are many."""
    for index in triples[:SHOWN].tolist():
        typer.echo(f"{sign} {' · '.join(graph.triple(index))}")
    if len(triples) > SHOWN:
        typer.echo(f"{sign} … and {len(triples) - SHOWN:,} more")


def _triples(texts: Sequence[str], delimiter: str | None) -> list[RawTriple]:
    from roots_kg.graph.readers import DELIMITERS

    if delimiter is not None and delimiter not in DELIMITERS:
        raise UsageError(f"unknown delimiter {delimiter!r}", hint=nearest(delimiter, DELIMITERS))
    separators = [mark for name, mark in DELIMITERS.items() if delimiter in (None, name)]
    apart = len(texts) == 3 and not any(mark in text for mark in separators for text in texts)
    found = []
    for text in texts:
        if not is_text(text):
            raise UsageError("a triple is not UTF-8")
        cut = [_columns(text, mark) for mark in separators]
        columns = next((columns for columns in cut if len(columns) == 3 and all(columns)), None)
        if columns is None or "\n" in text.strip():
            hint = f"as one argument: {'|'.join(texts)!r}" if apart else "such as 'Graz|located_in|Austria'"
            raise UsageError(f"not a triple of head, relation and tail: {text!r}", hint=hint)
        found.append((columns[0], columns[1], columns[2]))
    return found


def _columns(text: str, mark: str) -> list[str]:
    """Cut one triple at a mark; only between commas are quotes more than characters."""
    if mark != "," or '"' not in text:
        return [column.strip() for column in text.split(mark)]
    try:
        return [column.strip() for column in next(csv.reader([text], strict=True))]
    except csv.Error:
        return []
