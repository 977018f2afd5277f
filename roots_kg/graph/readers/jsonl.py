"""JSON Lines: an object or an array of three a line.

A tail that is text is an entity; a number, `true`, `false` or `{"value": …, "type": …, "lang": …}` is a
literal. Further keys of an object are left out.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from roots_kg.graph.readers.contract import COLUMN_NAMES, COLUMNS, LONGEST_LINE, Batch, Source, Statements
from roots_kg.graph.readers.files import line_blocks, too_long
from roots_kg.graph.values import XSD

__all__ = ["read_jsonl"]

_VALUE_KEYS = {"value", "type", "lang"}


class _Integer(str):
    """An integer as it is written, however long."""


class _Decimal(str):
    """A number with a fraction or an exponent as it is written."""


def read_jsonl(source: Source) -> Iterator[Batch]:
    """Yield the statements of a JSON Lines file."""
    statements = Statements(source)
    for first, block in line_blocks(source):
        for number, line in enumerate(block.split(b"\n"), start=first):
            if line and not line.isspace() and (reason := _add(statements, line)):
                source.reject(number, reason, line)
            if statements.full:
                yield statements.batch()
    yield statements.batch()


def _add(statements: Statements, line: bytes) -> str | None:
    """Add the statement of a line, or return why there is none."""
    if len(line) > LONGEST_LINE:
        return too_long(len(line))
    try:
        record = _DECODER.decode(line.decode("utf-8"))
        if b"\\u" in line:  # perhaps half of a character, which no file can hold
            json.dumps(record, ensure_ascii=False).encode("utf-8")
    except UnicodeDecodeError as error:
        return f"not UTF-8: byte 0x{line[error.start]:02x} at column {error.start + 1}"
    except UnicodeEncodeError:
        return "it holds half of a surrogate pair"
    except json.JSONDecodeError as error:
        return f"not JSON: {error.msg} at column {error.colno}"
    except RecursionError:
        return "not JSON that can be read: nested too deep"
    except ValueError as error:
        return f"not JSON: {error}"
    columns = _columns(record)
    if isinstance(columns, str):
        return columns
    for name, value in zip(COLUMNS[:2], columns, strict=False):
        if type(value) is not str:
            return f"the {name} is {_kind(value)}, not text"
    head, relation, tail = columns
    if type(tail) is str:
        return statements.triple(head, relation, tail)
    literal = _literal(tail)
    return literal if isinstance(literal, str) else statements.literal(head, relation, *literal)


def _columns(record: Any) -> list[Any] | str:
    """Return head, relation and tail of a record, or why there are none."""
    if isinstance(record, list):
        return record if len(record) == 3 else f"expected 3 columns, found {len(record)}"
    if not isinstance(record, dict):
        return f"expected an object or an array of three, found {_kind(record)}"
    for names in COLUMN_NAMES:
        if all(name in record for name in names):
            return [record[name] for name in names]
    found = ", ".join(repr(key[:40]) for key in list(record)[:5])
    return f"expected the keys 'head', 'relation' and 'tail', found {found or 'none'}"


def _literal(tail: Any) -> tuple[str, str, str] | str:
    """Return text, datatype and language of a tail that is no entity, or why it is nothing at all."""
    if isinstance(tail, dict) and "value" in tail:
        if unknown := sorted(tail.keys() - _VALUE_KEYS):
            return f"the tail has an unknown key {unknown[0][:40]!r}"
        datatype, language = tail.get("type") or "", tail.get("lang") or ""
        if type(datatype) is not str or type(language) is not str:
            return "the type and the lang of the tail must be text"
        value = tail["value"]
        if type(value) is str:
            return value, datatype, language
        inner = None if isinstance(value, dict) else _literal(value)
        if isinstance(inner, tuple):
            return inner[0], datatype or inner[1], language
        return f"the value of the tail is {_kind(value)}, not text or a number"
    if isinstance(tail, bool):
        return str(tail).lower(), XSD + "boolean", ""
    if isinstance(tail, _Integer):
        return tail, XSD + "integer", ""
    if isinstance(tail, _Decimal):
        return tail, XSD + "double", ""
    return f"the tail is {_kind(tail)}, not text, a number or a value"


def _kind(value: Any) -> str:
    """Say what a JSON value is."""
    if isinstance(value, (_Integer, _Decimal)):
        return f"the number {value[:40]}"
    return {dict: "an object", list: "an array", str: "text", bool: "a truth value"}.get(type(value), "null")


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is no JSON number")


_DECODER = json.JSONDecoder(parse_int=_Integer, parse_float=_Decimal, parse_constant=_no_constant)
