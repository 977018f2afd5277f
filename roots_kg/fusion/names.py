"""Names of relations as a person would write them."""

from __future__ import annotations

import re
from collections.abc import Sequence

__all__ = ["direction_names", "relation_text"]

_JOINT = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")
_SEPARATORS = re.compile(r"[\W_]+")


def relation_text(relation: str) -> str:
    """Return the name of a relation as words.

    Of an IRI what follows the last `#` or `/` counts, of a path such as `/location/country/capital` its last
    two parts; `_`, `.` and a change from small to capital letters separate words. A name in which nothing is
    left over stays as it is.
    """
    name = relation
    if "://" in name:
        name = re.split(r"[#/]", name.rstrip("#/"))[-1]
    elif name.startswith("/"):
        name = " ".join(name.strip("/").split("/")[-2:])
    words = _SEPARATORS.sub(" ", _JOINT.sub(" ", name)).split()
    kept = [word if word.isupper() and len(word) > 1 else word.lower() for word in words]
    return " ".join(kept) or relation


def direction_names(relations: Sequence[str]) -> list[str]:
    """Return what the 2R directions of a graph are called: "name" from head to tail, "name of" back."""
    names = [relation_text(relation) for relation in relations]
    return [*names, *(f"{name} of" for name in names)]
