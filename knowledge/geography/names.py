"""Say which names of the graph a text can use plainly; the build scripts of the tasks share these rules.

A name is plain when it points at exactly one entity of the graph, in any of its spellings, and is neither
short nor an ordinary word that a text could hold by chance.
"""

from __future__ import annotations

import re
import unicodedata
from collections import defaultdict
from collections.abc import Container
from pathlib import Path
from typing import NamedTuple

SHORTEST = 4
"""Names with fewer characters are not used in texts."""

ORDINARY_WORDS = frozenset(
    re.findall(
        r"\S+",
        """
    acre angus antique area ascension atlantic aurora batman bank bay bender black bled bono brent
    bury capital cascade cat central centre cesar charlotte cher chin christ church city clare coast
    colon como constantine cork cove cross dan darwin delta district dudley east eastern english
    falcon far federal flores fontana free fur grand greater gulf hanover harbour harrow highland
    highlands hope isabel island islands isla kerry lakes lara lola long lori lot lower luce
    magdalena male mara maritime mary mascara mayo meta metropolitan midlands miranda mon mono most
    mount mountain national nelson new nome noon nord norte north northern northland of oral orange
    para paul pest phoenix plateau plunge point pool port portland province range reading red regina
    region resolute river rivera rivers rocha rouge ruse saga sale santa savannah sea serra slave
    slough son source south southern southland stanley state store sud sur tata territory tori town
    union unity upper valle vale victoria virginia volta walk west western zeta
        """,
    )
)
"""Ordinary words and first names: a name made of these alone is not used in texts."""


class Graph(NamedTuple):
    """The triples, and every name of every entity: its plain name first, then aliases, then its key."""

    triples: list[tuple[str, str, str]]
    names: dict[str, list[str]]


def read_graph(folder: Path) -> Graph:
    """Read `triples.tsv` and `aliases.tsv` of a folder."""
    triples = [(head, relation, tail) for head, relation, tail in read_rows(folder / "triples.tsv")]
    names: dict[str, list[str]] = {}
    for entity, alias in read_rows(folder / "aliases.tsv"):
        names.setdefault(entity, []).append(alias)
    for entity in sorted({entity for head, _, tail in triples for entity in (head, tail)}):
        names.setdefault(entity, []).append(entity)
    return Graph(triples, names)


def read_rows(path: Path) -> list[list[str]]:
    """Return the columns of every line of a TSV file."""
    return [line.split("\t") for line in path.read_text(encoding="utf-8").splitlines()]


def plain_names(graph: Graph) -> dict[str, str]:
    """Return entity -> plain name, for the entities whose plain name is unambiguous in a text."""
    owners = name_owners(graph)
    return {
        entity: names[0]
        for entity, names in graph.names.items()
        if len(owners[words(names[0])]) == 1
        and len(names[0]) >= SHORTEST
        and not set(words(names[0]).split()) <= ORDINARY_WORDS
    }


def name_owners(graph: Graph) -> dict[str, set[str]]:
    """Return the words of a name -> the entities that bear it."""
    owners = defaultdict(set)
    for entity, names in graph.names.items():
        for name in names:
            owners[words(name)].add(entity)
    return dict(owners)


def names_in(text: str, owners: Container[str]) -> set[str]:
    """Return the names of the graph that occur in the text as whole words."""
    parts = words(text).split()
    spans = (
        " ".join(parts[start:stop])
        for start in range(len(parts))
        for stop in range(start + 1, len(parts) + 1)
    )
    return {span for span in spans if span in owners}


def words(text: str) -> str:
    """Return the folded words of a text, with single spaces between them."""
    return " ".join(re.findall(r"[^\W_]+", fold(text)))


def fold(text: str) -> str:
    """Return the text without accents and case, for comparing names."""
    decomposed = unicodedata.normalize("NFKD", text)
    return "".join(char for char in decomposed if not unicodedata.combining(char)).casefold()
