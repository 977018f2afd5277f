"""Parquet: the columns head, relation and tail, or the first three.

Text columns hold names. A tail column of numbers, truth values, dates or times holds literals.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, BinaryIO, cast

import numpy as np

from roots_kg.errors import DataError
from roots_kg.graph.cells import Cells, merged, trim
from roots_kg.graph.readers.contract import (
    COLUMN_NAMES,
    COLUMNS,
    LONGEST_LINE,
    Batch,
    RawTriple,
    Source,
    Statements,
    fault,
    printable,
)
from roots_kg.graph.readers.files import Input
from roots_kg.graph.values import XSD

if TYPE_CHECKING:
    import pyarrow

__all__ = ["read_parquet"]

ROWS = 1 << 16
_HIGHEST_ASCII = 0x7F


def read_parquet(source: Source) -> Iterator[Batch]:
    """Yield the statements of a Parquet file; a bad row is named by its number, counted from 1."""
    import pyarrow
    from pyarrow.parquet import ParquetFile

    with _seekable(source) as stream:
        try:
            file = ParquetFile(stream)
            names = _columns(source, file.schema_arrow)
            first = 1
            for rows in file.iter_batches(ROWS, columns=names, use_threads=False):
                columns = [_plain(rows.column(name)) for name in names]
                yield _statements(source, first, columns)
                first += len(rows)
        except (pyarrow.ArrowException, OSError, MemoryError, ValueError, KeyError) as error:
            reason = printable(str(error).partition("\n")[0]) or "it is too large"
            raise DataError(f"cannot be read as Parquet: {reason}", path=source.path) from error


@contextmanager
def _seekable(source: Source) -> Iterator[BinaryIO]:
    """Open the file so that any part of it can be read; a compressed one goes through a temporary file."""
    with Input(source, binary=True) as stream:
        if source.path.suffix != ".gz":
            with source.path.open("rb") as file:
                yield file
            return
        with tempfile.TemporaryFile() as unpacked:
            shutil.copyfileobj(cast(BinaryIO, stream), unpacked)
            if stream.failure is not None:
                raise DataError(stream.failure, path=source.path)
            unpacked.seek(0)
            yield cast(BinaryIO, unpacked)


def _columns(source: Source, schema: pyarrow.Schema) -> list[str]:
    """Return the names of the columns that hold head, relation and tail.

    Raises:
        DataError: if there are none, or their types hold neither names nor literals.
    """
    by_name = {name.casefold(): name for name in schema.names}
    stated = [names for names in COLUMN_NAMES if all(name in by_name for name in names)]
    chosen = [by_name[name] for name in stated[0]] if stated else schema.names[:3]
    if len(chosen) < 3 or any(schema.names.count(name) > 1 for name in chosen):
        found = ", ".join(map(repr, schema.names[:10])) or "none"
        raise DataError(f"expected the columns head, relation and tail, found {found}", path=source.path)
    for role, name in zip(COLUMNS, chosen, strict=True):
        kind = schema.field(name).type
        if not (_is_text(kind) or (role == "tail" and _datatype(kind) is not None)):
            message = f"the column {printable(repr(name))} holds {printable(str(kind))}, which is no {role}"
            raise DataError(message, path=source.path, hint="write names as text")
    return chosen


def _statements(source: Source, first: int, columns: list[pyarrow.Array]) -> Batch:
    """Return the statements of some rows, the first of which has the number `first`."""
    datatype = _datatype(columns[2].type)
    if datatype is None:
        return Batch(_triples(source, first, columns))
    statements = Statements(source)
    values = columns[2].cast("string").to_pylist()
    for row, (head, relation, value) in enumerate(
        zip(columns[0].to_pylist(), columns[1].to_pylist(), values, strict=True)
    ):
        try:
            names = [(name or b"").decode("utf-8") for name in (head, relation)]
        except UnicodeDecodeError as error:
            source.reject(first + row, f"not UTF-8: {error.reason}", _shown([head, relation, value]))
            continue
        reason = fault(names) if value is not None else "the tail column is empty"
        if datatype == XSD + "dateTime" and value is not None:
            value = value.replace(" ", "T")
        reason = reason or statements.literal(names[0], names[1], value, datatype)
        if reason:
            source.reject(first + row, reason, _shown([head, relation, value]))
    return statements.batch()


def _triples(source: Source, first: int, columns: list[pyarrow.Array]) -> Cells:
    """Return the triples of rows whose three columns are all text, as bytes."""
    rows = len(columns[0])
    begin, end = np.empty((2, rows, 3), dtype=np.int64)
    pieces, size, doubt = [], 0, np.zeros(rows, dtype=bool)
    for index, column in enumerate(columns):
        offsets = np.frombuffer(column.buffers()[1], dtype=np.int64)[column.offset :][: rows + 1]
        text = np.frombuffer(column.buffers()[2] or b"", dtype=np.uint8)[: offsets[-1]]
        begin[:, index], end[:, index] = offsets[:-1] + size, offsets[1:] + size
        doubt |= column.is_null().to_numpy(zero_copy_only=False)
        for suspects in (text == 0, *([] if _is_utf8(column) else [text > _HIGHEST_ASCII])):
            before = np.concatenate([[0], np.cumsum(suspects)])
            doubt |= before[offsets[1:]] > before[offsets[:-1]]
        pieces.append(text)
        size += len(text)
    text = np.concatenate([*pieces, np.zeros(1, dtype=np.uint8)])
    doubt |= (end - begin > LONGEST_LINE).any(axis=1) | trim(text, begin, end)
    looked_at: dict[int, RawTriple] = {}
    for row in np.flatnonzero(doubt).tolist():
        triple = _examine(source, first + row, [column[row].as_py() for column in columns])
        if triple is not None:
            looked_at[row] = triple
    plain = np.flatnonzero(~doubt)
    return merged(Cells(text, begin[plain], (end - begin)[plain]), plain, looked_at)


def _examine(source: Source, number: int, row: list[bytes | None]) -> RawTriple | None:
    """Return the triple of a row, or reject the row."""
    try:
        head, relation, tail = ((name or b"").decode("utf-8").strip() for name in row)
    except UnicodeDecodeError as error:
        reason: str | None = f"not UTF-8: byte 0x{error.object[error.start]:02x}"
    else:
        reason = fault((head, relation, tail))
        if reason is None:
            return head, relation, tail
    source.reject(number, reason or "", _shown(row))
    return None


def _plain(column: pyarrow.Array) -> pyarrow.Array:
    """Return a column without dictionary or extension type, text as bytes."""
    import pyarrow

    if isinstance(column, pyarrow.ExtensionArray):
        column = column.storage
    if pyarrow.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    return column.cast(pyarrow.large_binary()) if _is_text(column.type) else column


def _is_text(kind: pyarrow.DataType) -> bool:
    """Tell whether a type can hold names; whether the bytes are UTF-8 is seen later."""
    from pyarrow import types

    if types.is_dictionary(kind):
        kind = kind.value_type
    tests = (types.is_string, types.is_large_string, types.is_binary, types.is_large_binary, types.is_null)
    return any(test(kind) for test in tests)


def _datatype(kind: pyarrow.DataType) -> str | None:
    """Return the datatype of the literals that a column of this type holds, if it holds any."""
    from pyarrow import types

    if types.is_dictionary(kind):
        kind = kind.value_type
    tests = {
        "boolean": types.is_boolean,
        "integer": types.is_integer,
        "double": types.is_floating,
        "decimal": types.is_decimal,
        "date": types.is_date,
        "dateTime": types.is_timestamp,
        "time": types.is_time,
    }
    return next((XSD + name for name, test in tests.items() if test(kind)), None)


def _is_utf8(column: pyarrow.Array) -> bool:
    import pyarrow

    try:
        column.cast(pyarrow.large_string())
    except pyarrow.ArrowInvalid:
        return False
    return True


def _shown(row: list[Any]) -> bytes:
    """Return a row as a line for the rejects."""
    cells = ("" if cell is None else cell for cell in row)
    return b"\t".join(cell if isinstance(cell, bytes) else str(cell).encode() for cell in cells)
