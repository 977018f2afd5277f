"""Names of entities from a tab-separated file of two columns."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from roots_kg.graph.readers.contract import LONGEST_LINE, Source, too_long_or_nul
from roots_kg.graph.readers.files import line_blocks, too_long

__all__ = ["read_aliases"]


def read_aliases(file: Path | Source) -> Iterator[tuple[int, str, str]]:
    """Yield (line, entity, alias) from a file of entity<TAB>alias.

    Args:
        file: the file; as a `Source`, what to do with a bad line too.

    Raises:
        DataError: if the file cannot be read or, in strict mode, at a line without two filled columns.
    """
    source = file if isinstance(file, Source) else Source(file)
    for first, block in line_blocks(source):
        for number, line in enumerate(block.split(b"\n"), start=first):
            if not line or line.isspace():
                continue
            columns = _columns(line)
            if isinstance(columns, str):
                source.reject(number, columns, line)
            else:
                yield number, *columns


def _columns(line: bytes) -> tuple[str, str] | str:
    """Return the two columns of a line, or why there are none."""
    if len(line) > LONGEST_LINE:
        return too_long(len(line))
    try:
        columns = [column.strip() for column in line.decode("utf-8").split("\t")]
    except UnicodeDecodeError as error:
        return f"not UTF-8: byte 0x{line[error.start]:02x} at column {error.start + 1}"
    if len(columns) != 2 or not all(columns):
        found = f"found {len(columns)} columns" if len(columns) != 2 else "found an empty column"
        return f"expected entity<TAB>alias, {found}"
    reason = too_long_or_nul(columns[0], "entity") or too_long_or_nul(columns[1], "alias")
    return reason or (columns[0], columns[1])
