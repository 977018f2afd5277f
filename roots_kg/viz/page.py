"""One HTML page that needs nothing else: the picture, a panel of triples, a search box, and a table."""

from __future__ import annotations

import base64
import hashlib
import html
import json
import re
from collections.abc import Iterable
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np

from roots_kg.files import replacing
from roots_kg.graph.triples import KnowledgeGraph
from roots_kg.graph.values import Value
from roots_kg.viz.drawing import Drawing, draw, shorten, showable
from roots_kg.viz.selection import Neighbourhood

__all__ = ["policy", "write_html"]

SHOWN_ALIASES, SHOWN_VALUES = 10, 20


def write_html(neighbourhood: Neighbourhood, path: Path) -> None:
    """Write a page that shows a neighbourhood, replacing `path` whole or not at all.

    The page fetches nothing, and its content security policy allows it nothing: only the script and the style
    it was written with run, by their hashes. Names are data in it, never markup.

    Raises:
        DataError: if it cannot be written.
    """
    page = _page(draw(neighbourhood))
    with replacing(path) as temporary:
        temporary.write_bytes(page.encode())


def _page(drawing: Drawing) -> str:
    template = files("roots_kg").joinpath("templates/graph.html").read_text(encoding="utf-8")
    graph = drawing.neighbourhood.graph
    triples = (graph.triple(index) for index in drawing.neighbourhood.triples.tolist())
    parts = {
        "policy": policy(template),
        "title": html.escape(showable(drawing.neighbourhood.title)),
        "summary": html.escape(showable(drawing.neighbourhood.summary)),
        "rows": "\n".join(map(_row, triples)),
        "data": _data(drawing),
    }
    return re.sub(r"@@(\w+)@@", lambda found: parts[found[1]], template)


def policy(template: str, *more: str) -> str:
    """Return a policy that allows the template's own script and style, and nothing else but `more`."""
    allowed = []
    for name in ("script", "style"):
        content = re.search(rf"<{name}>(.*?)</{name}>", template, re.DOTALL)
        assert content is not None
        digest = base64.b64encode(hashlib.sha256(content[1].encode()).digest()).decode()
        allowed.append(f"{name}-src 'sha256-{digest}'")
    return "; ".join(["default-src 'none'", *allowed, *more, "base-uri 'none'", "form-action 'none'"])


def _row(triple: Iterable[str]) -> str:
    cells = (f"<td><bdi>{html.escape(showable(name))}</bdi></td>" for name in triple)
    return f"<tr>{''.join(cells)}</tr>"


def _data(drawing: Drawing) -> str:
    """Return what the page's script draws, as JSON that nothing in it can end early."""
    graph, centres = drawing.neighbourhood.graph, set(drawing.neighbourhood.centres)
    degree = _triples_of_each(graph)
    relations = [
        {
            "name": showable(graph.relations[relation]),
            "label": shorten(graph.relations[relation]),
            "count": count,
        }
        for relation, count in zip(drawing.relations, drawing.counts, strict=True)
    ]
    nodes: list[dict[str, Any]] = []
    for entity, label, (x, y) in zip(
        drawing.neighbourhood.entities.tolist(), drawing.labels, drawing.positions.tolist(), strict=True
    ):
        key, name = graph.entities[entity], graph.label(entity)
        aliases = [showable(alias) for alias in graph.aliases.get(key, ()) if alias not in (key, name)]
        values = graph.values.get(key, ())
        nodes.append(
            {
                "key": showable(key),
                "name": showable(name),
                "label": label,
                "aliases": aliases[:SHOWN_ALIASES],
                "values": [[showable(part) for part in _value(value)] for value in values[:SHOWN_VALUES]],
                "more_values": max(0, len(values) - SHOWN_VALUES),
                "degree": int(degree[entity]),
                "centre": entity in centres,
                "x": round(x, 1),
                "y": round(y, 1),
            }
        )
    text = json.dumps({"nodes": nodes, "relations": relations, "edges": drawing.edges.tolist()})
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _value(value: Value) -> tuple[str, str]:
    """Return what a literal states and the literal, with its language."""
    return value.relation, f"{value.text} ({value.language})" if value.language else value.text


def _triples_of_each(graph: KnowledgeGraph) -> Any:
    """Return in how many triples each entity is, (E,); a self-loop is one."""
    once = graph.head_id != graph.tail_id
    size = graph.num_entities
    return np.bincount(graph.head_id, minlength=size) + np.bincount(graph.tail_id[once], minlength=size)
