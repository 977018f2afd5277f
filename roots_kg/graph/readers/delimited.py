"""Delimited text: tab, comma or `|`, one triple a line.

Only comma-separated files may quote (RFC 4180, save that a name cannot span lines); in the others a quote is
a character like any other. Whole blocks are cut with numpy; only lines that are not plainly right are looked
at one by one, and it is there that a bad line gets its reason.
"""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from roots_kg.errors import DataError
from roots_kg.graph.cells import Cells, merged, trim
from roots_kg.graph.readers.contract import COLUMN_NAMES, LONGEST_LINE, Batch, RawTriple, Source, fault
from roots_kg.graph.readers.files import line_blocks, too_long

__all__ = ["DELIMITERS", "read_delimited", "sniff"]

DELIMITERS = {"tab": "\t", "pipe": "|", "comma": ","}
SNIFFED_LINES = 100
_NEW_LINE, _HIGHEST_ASCII = 10, 0x7F


def read_delimited(source: Source, delimiter: str) -> Iterator[Batch]:
    """Yield the triples of a delimited text file."""
    for first, block in line_blocks(source):
        if b"\r" in block:
            block = block.replace(b"\r\n", b"\n")
        yield Batch(_triples(source, delimiter, first, block))


def sniff(source: Source) -> str:
    """Return which delimiter cuts most of the file's first lines into exactly three columns.

    Raises:
        DataError: if the file cannot be read or is empty, or no delimiter cuts any line into three.
    """
    votes: Counter[str] = Counter()
    glance = Source(source.path, on_error="quarantine")
    lines: list[bytes] = []
    for _, block in line_blocks(glance):
        lines += [line for line in block.split(b"\n") if line.strip()]
        if len(lines) >= SNIFFED_LINES:
            break
    for line in lines[:SNIFFED_LINES]:
        text = line[:LONGEST_LINE].decode("utf-8", errors="replace")
        for name, delimiter in DELIMITERS.items():
            votes[name] += _column_count(text, delimiter) == 3
    if not lines:
        noticed = glance.rejects[0] if glance.rejects else None
        raise DataError(
            noticed.reason if noticed else "the file is empty",
            path=source.path,
            line=noticed.line if noticed else None,
        )
    best = max(DELIMITERS, key=lambda name: votes[name])
    if not votes[best]:
        old_mac = b"\r" in lines[0].rstrip(b"\r")
        raise DataError(
            "its lines end in a carriage return alone, as on old Macs"
            if old_mac
            else "no line has three columns separated by tab, comma or |",
            path=source.path,
            hint="give each line a line feed as its end"
            if old_mac
            else "name the format with `--format`, or `tab` to see what is wrong with each line",
        )
    return best


def _triples(source: Source, delimiter: str, first: int, block: bytes) -> Cells:
    """Return the triples of a block of whole lines, the first of which has the number `first`."""
    text, mark = block, ord(delimiter)
    if delimiter == "," and b'"' in block:
        text, mark = _unquoted(block)
    characters = np.frombuffer(text, dtype=np.uint8)
    cut = np.flatnonzero((characters == mark) | (characters == _NEW_LINE))
    line_end = np.flatnonzero(characters[cut] == _NEW_LINE)
    three = np.diff(line_end, prepend=-1) == 3
    columns = line_end[three, None] + np.arange(-2, 1)
    begin, end = np.concatenate([[0], cut[:-1] + 1])[columns], cut[columns]
    doubtful = ~three
    doubtful[three] = trim(characters, begin, end)
    doubtful[0] |= first == 1  # perhaps a header
    line_end = cut[line_end]
    suspects = {b"\0", b"\r", b'"'} if delimiter == "," else {b"\0", b"\r"}
    for position in _places(text, suspects - {bytes([mark])}):
        doubtful[np.searchsorted(line_end, position)] = True
    doubtful |= np.diff(line_end, prepend=-1) > LONGEST_LINE
    if not doubtful.any():
        return Cells(characters, begin, end - begin)
    rows = np.flatnonzero(doubtful)
    looked_at: dict[int, RawTriple] = {}
    for row, line in zip(rows.tolist(), _lines(block, rows), strict=True):
        found = _examine(source, delimiter, first + row, line)
        if found is not None:
            looked_at[row] = found
    plain = np.flatnonzero(~doubtful[three])
    cells = Cells(characters, begin[plain], (end - begin)[plain])
    return merged(cells, np.flatnonzero(three)[plain], looked_at)


def _unquoted(block: bytes) -> tuple[bytes, int]:
    """Take the quotes away if every column of every line is quoted and no name holds a quote.

    Returns the text and the byte that separates its columns.
    """
    if block.startswith(b'"') and block.endswith(b'"\n') and b"\0" not in block:
        bare = block[1:-2].replace(b'"\n"', b"\n").replace(b'","', b"\0") + b"\n"
        if b'"' not in bare:
            return bare, 0
    return block, ord(",")


def _places(text: bytes, suspects: set[bytes]) -> Iterator[NDArray[np.intp]]:
    """Yield the positions of bytes whose lines must be looked at one by one."""
    characters = np.frombuffer(text, dtype=np.uint8)
    for suspect in suspects:
        if suspect in text:
            yield np.flatnonzero(characters == ord(suspect))
    if not text.isascii():
        try:
            text.decode()
        except UnicodeDecodeError:
            yield np.flatnonzero(characters > _HIGHEST_ASCII)


def _lines(block: bytes, rows: NDArray[np.intp]) -> Iterator[bytes]:
    """Yield these lines of a block."""
    line_end = np.flatnonzero(np.frombuffer(block, dtype=np.uint8) == _NEW_LINE)
    start = np.concatenate([[0], line_end + 1])
    for begin, end in zip(start[rows].tolist(), line_end[rows].tolist(), strict=True):
        yield block[begin:end]


def _examine(source: Source, delimiter: str, number: int, line: bytes) -> RawTriple | None:
    """Return the triple of a line, or reject the line unless it is blank or a header."""
    line = line.rstrip(b"\r")
    if not line.strip():
        return None
    if len(line) > LONGEST_LINE:
        reason = too_long(len(line))
    elif b"\0" in line:
        reason = "the line holds a NUL byte"
    elif b"\r" in line:
        reason = "the line holds a carriage return that does not end it"
    else:
        try:
            columns = _split(line.decode("utf-8"), delimiter)
        except UnicodeDecodeError as error:
            reason = f"not UTF-8: byte 0x{line[error.start]:02x} at column {error.start + 1}"
        except csv.Error as error:
            unclosed = "unexpected end" in str(error)
            reason = "not valid CSV: " + ("a quote is not closed on its line" if unclosed else str(error))
        else:
            if number == 1 and tuple(map(str.casefold, columns)) in COLUMN_NAMES:
                return None
            found = fault(columns) if len(columns) == 3 else f"expected 3 columns, found {len(columns)}"
            if found is None:
                return columns[0], columns[1], columns[2]
            reason = found
    source.reject(number, reason, line)
    return None


def _split(text: str, delimiter: str) -> list[str]:
    if delimiter == "," and '"' in text:
        return [column.strip() for column in next(csv.reader([text], strict=True))]
    return [column.strip() for column in text.split(delimiter)]


def _column_count(text: str, delimiter: str) -> int:
    try:
        return len(_split(text, delimiter))
    except csv.Error:
        return 0
