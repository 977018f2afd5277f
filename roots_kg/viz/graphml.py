"""A graph as GraphML, the format that Gephi, yEd, Cytoscape and networkx read."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from roots_kg.files import replacing
from roots_kg.viz.selection import Neighbourhood

__all__ = ["write_graphml"]

# What XML 1.0 cannot hold, and the carriage return, which readers turn into a line feed.
_FORBIDDEN = re.compile("[^\t\n\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def write_graphml(neighbourhood: Neighbourhood, path: Path) -> None:
    """Write a neighbourhood, replacing `path` whole or not at all.

    A node's id is the entity's key and its `label` the entity's name; an edge has a `label`, its relation,
    and a `file`, where its triple came from. A character that XML cannot hold is written as an escape.

    Raises:
        DataError: if it cannot be written.
    """
    import networkx

    graph = neighbourhood.graph
    entities = neighbourhood.entities.tolist()
    nodes = dict(zip(entities, _distinct(graph.entities[entity] for entity in entities), strict=True))
    relations = [_escaped(relation) for relation in graph.relations]
    sources = [_escaped(source) for source in graph.sources]
    exported = networkx.MultiDiGraph()
    for entity, node in nodes.items():
        exported.add_node(node, label=_escaped(graph.name(entity)))
    for triple in neighbourhood.triples.tolist():
        exported.add_edge(
            nodes[int(graph.head_id[triple])],
            nodes[int(graph.tail_id[triple])],
            key=f"t{triple}",
            label=relations[graph.relation_id[triple]],
            file=sources[graph.source_id[triple]],
        )
    with replacing(path) as temporary:
        networkx.write_graphml(exported, temporary, encoding="utf-8")


def _escaped(text: str) -> str:
    return _FORBIDDEN.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def _distinct(keys: Iterable[str]) -> list[str]:
    """Return escaped keys, told apart where two became the same."""
    found: dict[str, None] = {}
    for key in keys:
        name = _escaped(key)
        while name in found:
            name += "\\"
        found[name] = None
    return list(found)
