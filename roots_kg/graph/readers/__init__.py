"""Readers: one a format, all with one contract (`Format.read`), chosen by a file's name.

`read_file` is the way in. A file whose name says nothing (`.tsv`, `.csv`, `.txt`, none) is delimited text,
and its first lines say by what.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import PurePath

from roots_kg.errors import DataError, UsageError, nearest
from roots_kg.graph.readers.aliases import read_aliases
from roots_kg.graph.readers.contract import (
    LONGEST_LINE,
    Batch,
    Format,
    Literals,
    OnError,
    RawTriple,
    Reject,
    Source,
    printable,
)
from roots_kg.graph.readers.delimited import DELIMITERS, read_delimited, sniff
from roots_kg.graph.readers.jsonl import read_jsonl
from roots_kg.graph.readers.parquet import read_parquet
from roots_kg.graph.readers.rdf import read_json_ld, read_ntriples, read_rdf_xml, read_turtle

__all__ = [
    "DELIMITERS",
    "FORMATS",
    "LONGEST_LINE",
    "Batch",
    "Format",
    "Literals",
    "OnError",
    "RawTriple",
    "Reject",
    "Source",
    "format_of",
    "printable",
    "read_aliases",
    "read_file",
]

FORMATS: dict[str, Format] = {
    **{name: Format(partial(read_delimited, delimiter=mark)) for name, mark in DELIMITERS.items()},
    "jsonl": Format(read_jsonl, (".jsonl", ".ndjson")),
    "parquet": Format(read_parquet, (".parquet", ".pq")),
    "ntriples": Format(read_ntriples, (".nt",)),
    "turtle": Format(read_turtle, (".ttl",)),
    "jsonld": Format(read_json_ld, (".jsonld",)),
    "rdfxml": Format(read_rdf_xml, (".rdf", ".owl", ".xml")),
}


def read_file(source: Source, format: str | None = None) -> Iterator[Batch]:
    """Yield a file's statements in order, batch after batch.

    Args:
        source: the file; its `rejects` are complete when the last batch was taken.
        format: a key of `FORMATS`; None chooses by the file's name, or else its first lines.

    Raises:
        UsageError: for an unknown format, or one whose package is not installed.
        DataError: if the file is missing, empty or holds no statement, if its format cannot be told, or,
            unless quarantined, at the first bad line; the message is `file:line: reason`.
    """
    found = False
    for batch in FORMATS[format_of(source, format)].read(source):
        found = found or bool(len(batch.triples) or len(batch.values))
        yield batch
    if not found and not source.ignored:
        first = source.rejects[0] if source.rejects else None
        raise DataError(
            f"holds no triple: {first.reason}" if first else "holds no triple",
            path=source.path,
            line=first.line if first else None,
        )


def format_of(source: Source, format: str | None = None) -> str:
    """Return the format of a file: the one stated, the one its name says, or what its first lines look like.

    Raises:
        UsageError: for an unknown format.
        DataError: if the first lines must tell and do not.
    """
    if format is not None:
        if format not in FORMATS:
            raise UsageError(f"unknown format {format!r}", hint=nearest(format, FORMATS))
        return format
    extension = PurePath(source.path.name.casefold().removesuffix(".gz")).suffix
    by_name = (name for name, known in FORMATS.items() if extension in known.extensions)
    return next(by_name, None) or sniff(source)
