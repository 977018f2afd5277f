"""RDF: N-Triples, Turtle, JSON-LD and RDF/XML, parsed by pyoxigraph (extra `rdf`).

An IRI is an entity under its full name. Blank nodes are entities too, named after their file and their place
in it. Literals are values, and labels become names. The graphs that JSON-LD may name are left out, their
triples are not. Nothing is ever fetched.
"""

from __future__ import annotations

from collections.abc import Iterator
from types import ModuleType
from typing import TYPE_CHECKING, Any, cast

from roots_kg.errors import UsageError
from roots_kg.graph.readers.contract import LONGEST_LINE, Batch, Source, Statements
from roots_kg.graph.readers.files import KEEPS, Input, line_blocks, too_long
from roots_kg.graph.readers.guards import MOST_QUOTED, BracketDepth, Guard, QuotedTriples, check_xml
from roots_kg.graph.values import XSD

if TYPE_CHECKING:
    import pyoxigraph

__all__ = ["read_json_ld", "read_ntriples", "read_rdf_xml", "read_turtle"]

_PLAIN = {XSD + "string", "http://www.w3.org/1999/02/22-rdf-syntax-ns#langString"}
_NAMES = {"N_TRIPLES": "N-Triples", "TURTLE": "Turtle", "JSON_LD": "JSON-LD", "RDF_XML": "RDF/XML"}
_HINTS = {
    "No scheme found": "say what relative names are relative to: `@base <http://…/> .`",
    "LoadDocumentCallback": "contexts are not fetched from the network: put its content into the file",
    "Only UTF-8": "save it as UTF-8",
}


def read_ntriples(source: Source) -> Iterator[Batch]:
    """Yield the statements of an N-Triples file; a bad line costs that line only."""
    statements = _Quads(source, _library())
    for first, block in line_blocks(source):
        for number, line in enumerate(block.split(b"\n"), start=first):
            if line and (reason := statements.line(line)):
                source.reject(number, reason, line)
            if statements.full:
                yield statements.batch()
    yield statements.batch()


def read_turtle(source: Source) -> Iterator[Batch]:
    """Yield the statements of a Turtle file, up to its first error."""
    return _read(source, "TURTLE", QuotedTriples())


def read_json_ld(source: Source) -> Iterator[Batch]:
    """Yield the statements of a JSON-LD file, up to its first error; a remote context is an error."""
    return _read(source, "JSON_LD", BracketDepth())


def read_rdf_xml(source: Source) -> Iterator[Batch]:
    """Yield the statements of an RDF/XML file, up to its first error."""
    _library()
    return _read(source, "RDF_XML", Guard(), check_xml(source))


class _Quads(Statements):
    """Collects statements that pyoxigraph read."""

    def __init__(self, source: Source, library: ModuleType) -> None:
        super().__init__(source)
        self.library = library
        self._blank: dict[str, str] = {}
        self._scope = source.scope

    def quad(self, quad: pyoxigraph.Quad) -> str | None:
        """Add a statement, or return why it is none."""
        tail, library = quad.object, self.library
        if isinstance(quad.subject, library.Triple) or isinstance(tail, library.Triple):
            return "a quoted triple is not read"
        head, relation = self._name(quad.subject), quad.predicate.value
        if isinstance(tail, library.Literal):
            datatype = tail.datatype.value
            language = tail.language or ""
            return self.literal(head, relation, tail.value, "" if datatype in _PLAIN else datatype, language)
        return self.triple(head, relation, self._name(tail))

    def _name(self, node: Any) -> str:
        if isinstance(node, self.library.BlankNode):
            return self._blank.setdefault(node.value, f"_:{self._scope}.{len(self._blank)}")
        return cast(str, node.value)

    def line(self, line: bytes) -> str | None:
        """Add the statements of a line of N-Triples, or return why it is none."""
        if len(line) > LONGEST_LINE:
            return too_long(len(line))
        if line.count(b"<<") > MOST_QUOTED:
            return "its quoted triples are nested too deep"
        try:
            for quad in self.library.parse(line, format=self.library.RdfFormat.N_TRIPLES):
                if reason := self.quad(quad):
                    return reason
        except SyntaxError as error:
            return _reason("N_TRIPLES", error)
        return None


def _read(
    source: Source, syntax: str, guard: Guard, problem: tuple[int | None, str] | None = None
) -> Iterator[Batch]:
    """Yield statements up to the first error; `problem` is where and what that is, if it is known already."""
    library = _library()
    statements = _Quads(source, library)
    with Input(source, guard) as stream:
        try:
            for quad in library.parse(stream, format=getattr(library.RdfFormat, syntax)):
                if reason := statements.quad(quad):
                    source.reject(None, reason, str(quad))
                if statements.full:
                    yield statements.batch()
        except SyntaxError as error:
            problem = problem or (error.lineno, _reason(syntax, error))
        except MemoryError:
            problem = problem or (guard.line, f"not {_NAMES[syntax]} that can be read: too long a statement")
    if stream.failure is not None:
        problem = guard.line, stream.failure
    if problem is not None:
        line, reason = problem
        hint = next((hint for words, hint in _HINTS.items() if words in reason), KEEPS)
        source.reject(line, f"{reason}; nothing from here on was read", hint=hint)
    yield statements.batch()


def _reason(syntax: str, error: SyntaxError) -> str:
    """Return what the parser says, without the place, which the message states already."""
    said = str(error.msg)
    place, _, rest = said.partition(": ")
    return f"not valid {_NAMES[syntax]}: {rest if place.startswith('Parser error') else said}"


def _library() -> ModuleType:
    try:
        import pyoxigraph
    except ImportError as error:
        message = "reading RDF needs the package pyoxigraph"
        raise UsageError(message, hint="pip install 'roots-kg[rdf]'") from error
    return pyoxigraph
