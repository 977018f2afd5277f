"""Literals: what a graph says about an entity that is no other entity, such as a number, a date or a name."""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["XSD", "Value", "is_name", "name_order"]

XSD = "http://www.w3.org/2001/XMLSchema#"
_RDFS, _SKOS = "http://www.w3.org/2000/01/rdf-schema#", "http://www.w3.org/2004/02/skos/core#"
_NAMES = {  # how soon each is chosen as the name to display
    _SKOS + "prefLabel": 0,
    _RDFS + "label": 0,
    "http://schema.org/name": 1,
    "https://schema.org/name": 1,
    "http://xmlns.com/foaf/0.1/name": 1,
    _SKOS + "altLabel": 2,
}


class Value(NamedTuple):
    """A literal that a graph states of an entity.

    Args:
        relation: the name of the relation between them.
        text: the literal as it was written.
        datatype: the IRI of its datatype; None for plain text.
        language: the tag of its language, such as "en"; None if there is none.
    """

    relation: str
    text: str
    datatype: str | None = None
    language: str | None = None


def is_name(relation: str) -> bool:
    """Tell whether literals of this relation say what an entity is called."""
    return relation in _NAMES


def name_order(relation: str, language: str, wanted: str) -> tuple[int, int]:
    """Return the place of a name among an entity's names.

    Labels come before names and those before alternative labels; within each, the wanted language comes
    first (`en` also stands for `en-GB`), then names without a language, then the others.
    """
    said = language.casefold()
    if said == wanted.casefold() or said.startswith(f"{wanted.casefold()}-"):
        return _NAMES[relation], 0
    return _NAMES[relation], 2 if said else 1
