"""A neighbourhood made ready to draw: short labels, ranked relations, and a place for every entity."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass

import numpy as np

from roots_kg.graph.triples import Ids
from roots_kg.viz.layout import Points, place
from roots_kg.viz.selection import Neighbourhood

__all__ = ["BOX_HEIGHT", "Drawing", "draw", "shorten", "showable", "text_width"]

LONGEST_LABEL = 28
LABELLED_PAIRS = 40
"""Where more pairs of entities are joined, edges are told apart by colour alone."""

BOX_HEIGHT = 26.0
CHARACTER, PADDING = 7.4, 22.0
"""The width of a character and of what surrounds a label, in pixels, at the size that labels are drawn in."""

_JOINER = "\u200d"
# Control characters, halves of characters, and marks that turn the direction of the text after them.
_UNPRINTABLE = re.compile(
    r"[\0-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff\u202a-\u202e\u2066-\u2069\ufffe\uffff]"
)


@dataclass(frozen=True)
class Drawing:
    """What a picture holds, whatever draws it.

    Args:
        neighbourhood: what is shown.
        labels: the entities' labels, cut where they are long, in the order of `neighbourhood.entities`.
        sizes: (M, 2) the width and height of their boxes, in pixels.
        positions: (M, 2) the middle of each box, x to the right and y downwards, in pixels.
        relations: the ids of the relations that are shown, the most frequent first.
        counts: how many edges each has.
        edges: (F, 3) head and tail as positions in `labels`, and the position in `relations`.
        names_edges: whether there are few enough edges to write their relations beside them.
    """

    neighbourhood: Neighbourhood
    labels: tuple[str, ...]
    sizes: Points
    positions: Points
    relations: tuple[int, ...]
    counts: tuple[int, ...]
    edges: Ids
    names_edges: bool


def draw(neighbourhood: Neighbourhood) -> Drawing:
    """Shorten the labels, rank the relations and place the entities."""
    graph, entities, triples = neighbourhood.graph, neighbourhood.entities, neighbourhood.triples
    labels = tuple(shorten(graph.label(entity)) for entity in entities.tolist())
    sizes = np.array([[CHARACTER * max(2, text_width(label)) + PADDING, BOX_HEIGHT] for label in labels])
    used, rank, count = np.unique(graph.relation_id[triples], return_inverse=True, return_counts=True)
    order = np.argsort(-count, kind="stable")
    sorter = np.argsort(entities)
    head, tail = (
        sorter[np.searchsorted(entities, ids[triples], sorter=sorter)]
        for ids in (graph.head_id, graph.tail_id)
    )
    edges = np.stack([head, tail, np.argsort(order)[rank]], axis=1)
    edges = edges[np.argsort(edges[:, 2], kind="stable")]
    sizes = sizes.reshape(-1, 2)
    pairs = len(np.unique(np.sort(edges[:, :2], axis=1), axis=0))
    room = (110.0, 40.0) if pairs <= LABELLED_PAIRS else (36.0, 22.0)
    positions = place(sizes, edges[:, :2], room)
    relations, counts = tuple(used[order].tolist()), tuple(count[order].tolist())
    return Drawing(neighbourhood, labels, sizes, positions, relations, counts, edges, pairs <= LABELLED_PAIRS)


def shorten(text: str, longest: int = LONGEST_LABEL) -> str:
    """Return a text on one line, cut with an ellipsis where it is too long, between whole characters."""
    text = " ".join(showable(text).split()) or "␣"
    if text_width(text) <= longest:
        return text
    end, width = 0, 0
    while width + text_width(text[end]) < longest:
        width += text_width(text[end])
        end += 1
    while end > 1 and (_joins(text[end]) or text[end - 1] == _JOINER):
        end -= 1
    return text[:end].rstrip() + "…"


def showable(text: str) -> str:
    """Return a text with an escape for each character that no page or picture can hold."""
    if text.isprintable():
        return text
    return _UNPRINTABLE.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def text_width(text: str) -> int:
    """Return about how many Latin letters are as wide as a text."""
    seen = [char for char in text if unicodedata.category(char) not in ("Mn", "Me", "Cf")]
    return len(seen) + sum(unicodedata.east_asian_width(char) in "WF" for char in seen)


def _joins(char: str) -> bool:
    """Tell whether a character belongs together with the one before it."""
    return unicodedata.category(char)[0] == "M" or char == _JOINER or 0x1F3FB <= ord(char) <= 0x1F3FF
