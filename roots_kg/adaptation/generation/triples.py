"""Triples as lines of text that a person can type and a program can read back: `head | relation | tail`.

A bar or a backslash inside a name is written with a backslash in front.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

__all__ = ["Triple", "read_triples", "relation_words", "surface", "write_triple", "write_triples"]

Triple = tuple[str, str, str]
"""Head entity, relation and tail entity, by name."""

_PART = r"((?:\\.|[^\\|])+?)"
_LINE = re.compile(rf"\s*{_PART} \| {_PART} \| {_PART}\s*")
_ESCAPED = re.compile(r"\\([\\|])")
_LITERAL = re.compile(r'"(.*)"(?:@[A-Za-z0-9-]+|\^\^\S+)?', re.DOTALL)
_WITHIN_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")


def write_triple(triple: Triple) -> str:
    """Return a triple as one line; runs of white space in its names become one space."""
    return " | ".join(_escaped(" ".join(name.split())) for name in triple)


def write_triples(text: str, triples: Iterable[Triple]) -> str:
    """Return a text followed by triples, a line each."""
    return "\n".join([*([text] if text else []), *map(write_triple, triples)])


def read_triples(text: str) -> tuple[str, list[Triple]]:
    """Take the triples out of a text.

    Returns:
        What is left of the text, and the triples in their order.
    """
    rest: list[str] = []
    triples: list[Triple] = []
    for line in text.split("\n"):
        found = _LINE.fullmatch(line)
        names = [] if found is None else [_ESCAPED.sub(r"\1", name).strip() for name in found.groups()]
        if len(names) == 3 and all(names):
            triples.append((names[0], names[1], names[2]))
        else:
            rest.append(line)
    return "\n".join(rest), triples


def surface(name: str) -> str:
    """Return the name of an entity, or a literal, as it stands in a sentence.

    Underscores become spaces; the quotes of a literal go, and so do its language and its type.
    """
    literal = _LITERAL.fullmatch(name.strip())
    written = " ".join((literal.group(1) if literal else name).replace("_", " ").split())
    return written or name


def relation_words(relation: str) -> str:
    """Return the name of a relation as words: `cityServed` and `city_served` are "city served"."""
    return _WITHIN_CAMEL.sub(" ", surface(relation)).lower()


def _escaped(name: str) -> str:
    return name.replace("\\", "\\\\").replace("|", "\\|")
