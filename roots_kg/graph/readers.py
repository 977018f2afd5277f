"""Triples from delimited text: tab, comma or `|`, one triple a line, strict by default.

Only comma-separated files may quote (RFC 4180); in the others a quote is a character like any other.
"""

from __future__ import annotations

import csv
import gzip
import zlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from roots_kg.errors import DataError, UsageError, nearest

__all__ = ["Delimiter", "OnError", "RawTriple", "Reject", "TripleReader", "read_aliases"]

Delimiter = Literal["tab", "comma", "pipe"]
OnError = Literal["strict", "quarantine"]
DELIMITERS: dict[Delimiter, str] = {"tab": "\t", "pipe": "|", "comma": ","}
SNIFFED_LINES = 100
LONGEST_LINE = 1_000_000
_HEADERS = {("head", "relation", "tail"), ("subject", "predicate", "object"), ("h", "r", "t")}

RawTriple = tuple[str, str, str]


@dataclass(frozen=True)
class Reject:
    """A line that is not a triple.

    Args:
        path: the file.
        line: the line, counted from 1.
        reason: why it was refused.
        content: the line itself, undecodable bytes shown as escapes, cut when very long.
    """

    path: Path
    line: int
    reason: str
    content: str


@dataclass
class TripleReader:
    """Reads triples from one file.

    Args:
        path: the file; a name that ends in `.gz` is decompressed on the way.
        delimiter: what separates the columns; None sniffs it from the first lines.
        on_error: "strict" raises at the first bad line; "quarantine" puts it into `rejects` and goes on.

    After `read` has been exhausted, `rejects` holds the bad lines in order.
    """

    path: Path
    delimiter: Delimiter | None = None
    on_error: OnError = "strict"
    rejects: list[Reject] = field(default_factory=list, init=False)

    def __post_init__(self) -> None:
        if self.delimiter is not None and self.delimiter not in DELIMITERS:
            raise UsageError(
                f"unknown delimiter {self.delimiter!r}", hint=nearest(self.delimiter, DELIMITERS)
            )
        if self.on_error not in ("strict", "quarantine"):
            raise UsageError(f"unknown way to treat errors {self.on_error!r}", hint="strict or quarantine")

    def read(self) -> Iterator[RawTriple]:
        """Yield the file's triples in order.

        Raises:
            DataError: if the file is missing, empty or holds no triple, if its delimiter cannot be told,
                or, unless quarantined, at the first bad line; the message is `file:line: reason`.
        """
        delimiter = DELIMITERS[self.delimiter or sniff(self.path)]
        found = False
        for number, line in _lines(self.path):
            columns = self._columns(number, line, delimiter)
            if columns is None or (number == 1 and tuple(map(str.casefold, columns)) in _HEADERS):
                continue
            found = True
            yield columns
        if not found:
            raise DataError("holds no triple", path=self.path)

    def _columns(self, number: int, line: bytes, delimiter: str) -> RawTriple | None:
        if not line.strip():
            return None
        reason = None
        if len(line) > LONGEST_LINE:
            reason = f"the line is {len(line):,} bytes long, the limit is {LONGEST_LINE:,}"
        elif b"\0" in line:
            reason = "the line holds a NUL byte"
        else:
            try:
                columns = _split(line.decode("utf-8"), delimiter)
            except UnicodeDecodeError as error:
                reason = f"not UTF-8: byte 0x{line[error.start]:02x} at column {error.start + 1}"
            except csv.Error as error:
                reason = f"not valid CSV: {error}"
            else:
                if len(columns) == 3 and all(columns):
                    return columns[0], columns[1], columns[2]
                names = ("head", "relation", "tail")
                reason = (
                    f"expected 3 columns, found {len(columns)}"
                    if len(columns) != 3
                    else f"the {names[columns.index('')]} column is empty"
                )
        if self.on_error == "strict":
            hint = "`--on-error quarantine` sets bad lines aside and goes on"
            raise DataError(reason, path=self.path, line=number, hint=hint)
        content = line[:1000].decode("utf-8", errors="backslashreplace").replace("\0", "\\x00")
        self.rejects.append(Reject(self.path, number, reason, content))
        return None


def sniff(path: Path) -> Delimiter:
    """Return the delimiter that cuts most of the file's first lines into exactly three columns.

    Raises:
        DataError: if the file is missing or empty, or no delimiter cuts any line into three.
    """
    votes: Counter[Delimiter] = Counter()
    sampled = 0
    for _, line in _lines(path):
        if line.strip():
            sampled += 1
            text = line[:LONGEST_LINE].decode("utf-8", errors="replace")
            for name, delimiter in DELIMITERS.items():
                votes[name] += _column_count(text, delimiter) == 3
        if sampled == SNIFFED_LINES:
            break
    if not sampled:
        raise DataError("the file is empty", path=path)
    best = max(DELIMITERS, key=lambda name: votes[name])
    if not votes[best]:
        raise DataError(
            "no line has three columns separated by tab, comma or |",
            path=path,
            hint="name the delimiter with `--delimiter`, or `tab` to see what is wrong with each line",
        )
    return best


def read_aliases(path: Path) -> Iterator[tuple[int, str, str]]:
    """Yield (line, entity, alias) from a tab-separated file of two columns.

    Raises:
        DataError: if the file is missing or a line does not have two filled columns.
    """
    for number, line in _lines(path):
        if not line.strip():
            continue
        try:
            columns = line.decode("utf-8").split("\t")
        except UnicodeDecodeError as error:
            reason = f"not UTF-8: byte 0x{line[error.start]:02x}"
            raise DataError(reason, path=path, line=number) from error
        if len(columns) != 2 or not all(column.strip() for column in columns):
            reason = f"found {len(columns)} columns" if len(columns) != 2 else "found an empty column"
            raise DataError(f"expected entity<TAB>alias, {reason}", path=path, line=number)
        yield number, columns[0].strip(), columns[1].strip()


def _lines(path: Path) -> Iterator[tuple[int, bytes]]:
    """Yield the numbered lines of a file, without line ends and without a byte-order mark."""
    try:
        with gzip.open(path, "rb") if path.suffix == ".gz" else path.open("rb") as stream:
            for number, line in enumerate(stream, start=1):
                line = line.rstrip(b"\r\n")
                yield number, line.removeprefix(b"\xef\xbb\xbf") if number == 1 else line
    except (OSError, EOFError, zlib.error) as error:
        reason = (
            "there is no such file" if isinstance(error, FileNotFoundError) else f"cannot be read: {error}"
        )
        raise DataError(reason, path=path) from error


def _split(text: str, delimiter: str) -> list[str]:
    if delimiter == "," and '"' in text:
        return [column.strip() for column in next(csv.reader([text], strict=True))]
    return [column.strip() for column in text.split(delimiter)]


def _column_count(text: str, delimiter: str) -> int:
    try:
        return len(_split(text, delimiter))
    except csv.Error:
        return 0
