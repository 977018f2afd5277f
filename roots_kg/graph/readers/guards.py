"""What must not reach the RDF parser, because it would end the process or eat its memory instead of an error.

pyoxigraph 0.5 overflows its stack on quoted triples some 10,000 levels deep and on JSON-LD some 2,500 levels
deep, and it expands XML entities that refer to one another without a limit.
"""

from __future__ import annotations

import re
from typing import Any
from xml.parsers import expat

import numpy as np

from roots_kg.errors import DataError
from roots_kg.graph.readers.contract import LONGEST_LINE, Source
from roots_kg.graph.readers.files import BLOCK, Input

__all__ = ["MOST_QUOTED", "BracketDepth", "Guard", "QuotedTriples", "check_xml"]

MOST_QUOTED = 1000
DEEPEST = 500
LONGEST_ENTITY = 1000
_STRING = re.compile(rb'"(?:[^"\\]|\\.)*"', re.DOTALL)
_NO_BRACKETS = bytes(byte for byte in range(256) if byte not in b"[]{}")


class Guard:
    """Takes a file in pieces and knows the line at which it is."""

    def __init__(self) -> None:
        self.line = 1

    def __call__(self, piece: bytes) -> str | None:
        """Take the next piece; return what is wrong, if anything is."""
        self.line += piece.count(b"\n")
        return self._check(piece)

    def _check(self, piece: bytes) -> str | None:
        return None


class QuotedTriples(Guard):
    """Counts `<<` that no `>>` has closed yet, in Turtle."""

    def __init__(self) -> None:
        super().__init__()
        self._open = 0

    def _check(self, piece: bytes) -> str | None:
        self._open = max(0, self._open + piece.count(b"<<") - piece.count(b">>"))
        return f"more than {MOST_QUOTED:,} quoted triples are open" if self._open > MOST_QUOTED else None


class BracketDepth(Guard):
    """Counts open brackets outside of strings, in JSON."""

    def __init__(self) -> None:
        super().__init__()
        self._depth = 0
        self._rest = b""

    def _check(self, piece: bytes) -> str | None:
        text = _STRING.sub(b"", self._rest + piece)
        text, quote, rest = text.partition(b'"')
        self._rest = quote + rest
        if len(self._rest) > LONGEST_LINE:
            return f"it holds a text of more than {LONGEST_LINE:,} bytes"
        brackets = np.frombuffer(text.translate(None, _NO_BRACKETS), dtype=np.uint8)
        steps = np.where((brackets == ord("[")) | (brackets == ord("{")), 1, -1)
        depth = self._depth + np.cumsum(steps)
        self._depth = int(depth[-1]) if len(depth) else self._depth
        return f"nested more than {DEEPEST} levels deep" if depth.max(initial=0) > DEEPEST else None


def check_xml(source: Source) -> tuple[int | None, str] | None:
    """Return the line and nature of an XML file's first error, if there is one.

    Raises:
        DataError: if the file cannot be opened, is nested too deep, or declares entities beyond short,
            plain text.
    """
    parser = expat.ParserCreate()
    guard = _XmlGuard(source)
    parser.StartElementHandler, parser.EndElementHandler = guard.start, guard.end
    parser.StartDoctypeDeclHandler, parser.EndDoctypeDeclHandler = guard.doctype, guard.doctype_end
    parser.EntityDeclHandler = guard.entity
    parser.CommentHandler = guard.comment
    parser.ProcessingInstructionHandler = guard.instruction
    place = Guard()
    with Input(source, place) as stream:
        try:
            while piece := stream.read(BLOCK):
                parser.Parse(piece)
            if stream.failure is None:
                parser.Parse(b"", True)
        except expat.ExpatError as error:
            return error.lineno, f"not valid XML: {expat.ErrorString(error.code)}"
        return (place.line, stream.failure) if stream.failure is not None else None


class _XmlGuard:
    """Looks at the parts of an XML file that can do harm."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._depth = 0
        self._in_doctype = False

    def start(self, name: str, attributes: dict[str, str]) -> None:
        self._depth += 1
        if self._depth > DEEPEST:
            raise DataError(f"nested more than {DEEPEST} levels deep", path=self._source.path)

    def end(self, name: str) -> None:
        self._depth -= 1

    def doctype(self, *declaration: Any) -> None:
        self._in_doctype = True

    def doctype_end(self) -> None:
        self._in_doctype = False

    def entity(self, name: str, is_parameter: bool, value: str | None, *place: str | None) -> None:
        if value is None or "&" in value or len(value) > LONGEST_ENTITY:
            raise DataError(
                f"the entity {name[:40]!r} is more than a short text",
                path=self._source.path,
                hint="write its content where it is used",
            )

    def comment(self, text: str) -> None:
        if self._in_doctype and "<!ENTITY" in text:  # not every parser skips it there
            raise DataError("a comment in the DOCTYPE holds an entity", path=self._source.path)

    def instruction(self, target: str, text: str) -> None:
        self.comment(text)
