"""What every reader is given and what it gives: a file in, batches of text cells out, bad lines set aside."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, get_args

from roots_kg.errors import DataError, UsageError, nearest
from roots_kg.graph.cells import Cells
from roots_kg.graph.values import is_name

__all__ = [
    "COLUMN_NAMES",
    "LONGEST_LINE",
    "Batch",
    "Format",
    "Literals",
    "OnError",
    "RawTriple",
    "Reject",
    "Source",
    "Statements",
    "printable",
]

OnError = Literal["strict", "quarantine"]
Literals = Literal["values", "entities", "ignore"]
RawTriple = tuple[str, str, str]

LONGEST_LINE = 1_000_000
MOST_REJECTS = 1_000_000
SHOWN = 1000
LONGEST_REASON = 300
COLUMNS = ("head", "relation", "tail")
COLUMN_NAMES = (COLUMNS, ("subject", "predicate", "object"), ("h", "r", "t"))
QUARANTINE = "`--on-error quarantine` sets bad lines aside and goes on"


@dataclass(frozen=True)
class Reject:
    """A line that is not a triple.

    Args:
        path: the file.
        line: the line, counted from 1; in Parquet the row; None where the format cannot tell.
        reason: why it was refused.
        content: the line itself, unprintable characters shown as escapes, cut when very long.
    """

    path: Path
    line: int | None
    reason: str
    content: str


@dataclass(frozen=True)
class Batch:
    """Some of a file's statements, in order.

    Args:
        triples: (n, 3): head, relation, tail; none is empty, none begins or ends with white space.
        values: (m, 5): entity, relation, value, datatype, language of literals; the last two may be empty.
    """

    triples: Cells
    values: Cells = field(default_factory=lambda: Cells.of([], 5))


@dataclass(frozen=True)
class Format:
    """A kind of file.

    Args:
        read: yields a file's statements, batch after batch.
        extensions: how names of such files end, before a `.gz`; none where the content decides.
    """

    read: Callable[[Source], Iterator[Batch]]
    extensions: tuple[str, ...] = ()


@dataclass
class Source:
    """One file to read, and what was noticed on the way.

    Args:
        path: the file; a name that ends in `.gz` is decompressed on the way.
        on_error: "strict" raises at the first bad line; "quarantine" puts it into `rejects` and goes on.
        literals: whether numbers, dates and texts become "values" of the entity, "entities" in their own
            right, or are left out ("ignore"). What an entity is called is kept in any case.
        scope: marks this file's blank nodes, so that those of two files are never the same.
    """

    path: Path
    on_error: OnError = "strict"
    literals: Literals = "values"
    scope: str = "0"
    rejects: list[Reject] = field(default_factory=list, init=False)
    ignored: int = field(default=0, init=False)

    def __post_init__(self) -> None:
        stated = (("errors", self.on_error, OnError), ("literals", self.literals, Literals))
        for what, value, known in stated:
            if value not in get_args(known):
                message = f"unknown way to treat {what}: {value!r}"
                raise UsageError(message, hint=nearest(str(value), get_args(known)))

    def reject(
        self, line: int | None, reason: str, content: bytes | str = b"", hint: str = QUARANTINE
    ) -> None:
        """Set a line aside; the first `SHOWN` bytes of its content are enough.

        Raises:
            DataError: in strict mode, or when more lines than anyone will look at were set aside.
        """
        reason = printable(reason[:LONGEST_REASON])
        if self.on_error == "strict":
            raise DataError(reason, path=self.path, line=line, hint=hint)
        if len(self.rejects) == MOST_REJECTS:
            raise DataError(
                f"more than {MOST_REJECTS:,} bad lines; the last: {reason}",
                path=self.path,
                line=line,
                hint="is this the right format? name it with `--format`",
            )
        if isinstance(content, bytes):
            content = content[:SHOWN].decode("utf-8", errors="backslashreplace")
        self.rejects.append(Reject(self.path, line, reason, printable(content[:SHOWN])[:SHOWN]))


class Statements:
    """Collects statements one at a time, for readers that get them as Python strings.

    Args:
        source: the file they come from.
    """

    FULL = 100_000

    def __init__(self, source: Source) -> None:
        self._source = source
        self._triples: list[str] = []
        self._values: list[str] = []

    @property
    def full(self) -> bool:
        """Whether it is time to take the `batch`."""
        return len(self._triples) + len(self._values) > self.FULL

    def triple(self, head: str, relation: str, tail: str) -> str | None:
        """Add a triple, or return why it is none."""
        columns = (head.strip(), relation.strip(), tail.strip())
        reason = fault(columns)
        if reason is None:
            self._triples += columns
        return reason

    def literal(
        self, head: str, relation: str, value: str, datatype: str = "", language: str = ""
    ) -> str | None:
        """Add a literal in the way that the source asks for, or return why it is none."""
        if self._source.literals == "entities" and not is_name(relation):
            return self.triple(head, relation, value)
        head, relation = head.strip(), relation.strip()
        reason = fault((head, relation))
        for name, text in (("value", value), ("datatype", datatype), ("language", language)):
            reason = reason or too_long_or_nul(text, name)
        if reason is None:
            if self._source.literals == "ignore" and not is_name(relation):
                self._source.ignored += 1
            else:
                self._values += (head, relation, value, datatype, language)
        return reason

    def batch(self) -> Batch:
        """Return what was collected, and begin anew."""
        batch = Batch(Cells.of(self._triples, 3), Cells.of(self._values, 5))
        self._triples, self._values = [], []
        return batch


def fault(columns: Sequence[str]) -> str | None:
    """Return why stripped columns cannot be a head, a relation and a tail, if they cannot."""
    for name, text in zip(COLUMNS, columns, strict=False):
        if not text:
            return f"the {name} column is empty"
        if reason := too_long_or_nul(text, name):
            return reason
    return None


def too_long_or_nul(text: str, name: str) -> str | None:
    """Return why this text is refused wherever it stands, if it is."""
    if "\0" in text:
        return f"the {name} holds a NUL character"
    if len(text) > LONGEST_LINE:
        return f"the {name} is {len(text):,} characters long, the limit is {LONGEST_LINE:,}"
    return None


def printable(text: str) -> str:
    """Return the text on one line, with escapes for what a terminal or a table would not show as it is."""
    if text.isprintable():
        return text
    return "".join(map(_escaped, text))


def _escaped(character: str) -> str:
    if character in " \t" or unicodedata.category(character)[0] not in "CZ":
        return character
    return character.encode("unicode_escape", errors="surrogatepass").decode()
