"""A graph and its TransE vectors as a bundle on disk."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from roots_kg.bundle import Bundle, atomic_folder
from roots_kg.config import to_mapping
from roots_kg.errors import BundleError, UsageError
from roots_kg.graph.card import Card
from roots_kg.graph.transe import TransE, TransEConfig
from roots_kg.graph.triples import KnowledgeGraph
from roots_kg.graph.values import Value

__all__ = ["GraphBundle"]

KIND = "graph"
VECTORS = "transe.safetensors"

_HALF_A_PAIR = re.compile(r"\\ud[89a-f]", re.IGNORECASE)
_WAY_OUT = "adapt again with this graph, or use it as it is with `--project-knowledge`"


@dataclass(frozen=True)
class _Settings:
    entities: int
    relations: int
    triples: int
    fingerprint: str
    transe: TransEConfig
    values: int = 0
    cards: tuple[Card, ...] = ()
    space: str = ""


@dataclass(frozen=True)
class GraphBundle:
    """A graph with a vector for each of its entities and relations.

    Args:
        graph: the graph.
        transe: its vectors.
        config: how they were trained.
        space: which training the vectors come from: a SHA-256 over the relations' as they came out of it. An
            edit of the graph leaves it as it is; empty stands for that of `transe`.
    """

    graph: KnowledgeGraph
    transe: TransE
    config: TransEConfig
    space: str = ""

    def __post_init__(self) -> None:
        if not self.space:
            object.__setattr__(self, "space", _space(self.transe))

    def require_space(self, dimension: int, space: str = "") -> None:
        """Refuse vectors that are not those which something was learned on top of.

        Args:
            dimension: of the vectors that it was learned with.
            space: theirs; empty where it was not written down, and is not compared.

        Raises:
            UsageError: if this graph's vectors have another dimension, or come from another training.
        """
        if self.config.dimension != dimension:
            raise UsageError(
                f"the graph's vectors have {self.config.dimension} dimensions, the model's had {dimension}",
                hint=f"train the graph with `--dimension {dimension}` and {_WAY_OUT}",
            )
        if space not in ("", self.space):
            raise UsageError(
                "the graph's vectors come from another training than those that the model was trained with, "
                "and mean something else",
                hint=_WAY_OUT,
            )

    def save(self, path: Path) -> None:
        """Write the bundle to `path`, replacing an older graph bundle there, whole or not at all."""
        with atomic_folder(path, kind=KIND) as folder:
            self.write(folder)

    def write(self, folder: Path) -> None:
        """Write the bundle's files into an existing private folder."""
        graph = self.graph
        settings = _Settings(
            entities=graph.num_entities,
            relations=graph.num_relations,
            triples=len(graph),
            fingerprint=graph.fingerprint,
            transe=self.config,
            values=sum(map(len, graph.values.values())),
            cards=graph.cards,
            space=self.space,
        )
        ids = {
            "head_id": graph.head_id,
            "relation_id": graph.relation_id,
            "tail_id": graph.tail_id,
            "source_id": graph.source_id,
        }
        Bundle.write(
            folder,
            KIND,
            to_mapping(settings),
            tensors={
                "triples.safetensors": {name: torch.from_numpy(values) for name, values in ids.items()},
                VECTORS: self.transe.state_dict(),
            },
            texts={
                "vocabulary.json": _json(
                    {"entities": graph.entities, "relations": graph.relations, "sources": graph.sources}
                ),
                "aliases.json": _json(dict(graph.aliases)),
                **({"values.json": _json(dict(graph.values))} if graph.values else {}),
                "README.md": _readme(settings),
            },
        )

    @classmethod
    def load(cls, path: Path) -> GraphBundle:
        """Read a bundle that `save` wrote.

        Raises:
            BundleError: if it is missing, damaged, or of another kind or version.
        """
        bundle = Bundle.read(path, KIND)
        settings = bundle.read_settings(_Settings)
        try:
            vocabulary = _from_json(bundle.text("vocabulary.json"))
            aliases = {key: tuple(names) for key, names in _from_json(bundle.text("aliases.json")).items()}
            stated = _from_json(bundle.text("values.json")) if settings.values else {}
            values = {key: tuple(map(_value, rows)) for key, rows in stated.items()}
            ids = {name: ids.numpy() for name, ids in bundle.tensors("triples.safetensors").items()}
            graph = KnowledgeGraph(
                entities=tuple(vocabulary["entities"]),
                relations=tuple(vocabulary["relations"]),
                aliases=aliases,
                sources=tuple(vocabulary["sources"]),
                values=values,
                cards=settings.cards,
                **{name: ids[name] for name in ("head_id", "relation_id", "tail_id", "source_id")},
            )
            config = settings.transe
            relations = graph.num_relations, config.dimension
            expected = {"entity.weight": (graph.num_entities, config.dimension), "relation.weight": relations}
            if config.reciprocal:
                expected["inverse.weight"] = relations
            bundle.require_shapes(VECTORS, expected)
            vectors = bundle.tensors(VECTORS)
            transe = TransE(
                graph.num_entities,
                graph.num_relations,
                config.dimension,
                reciprocal=config.reciprocal,
                norm=config.norm,
            )
            transe.load_state_dict(vectors)
            fingerprint = graph.fingerprint
        except (KeyError, TypeError, ValueError, AttributeError, RuntimeError) as error:
            raise BundleError(
                f"its files do not fit together: {error}", path=path, hint="make it again"
            ) from error
        if fingerprint != settings.fingerprint:
            raise BundleError(
                "its triples are not those its config.json describes", path=path, hint="make it again"
            )
        return cls(graph, transe.eval().requires_grad_(False), settings.transe, settings.space)


def _space(transe: TransE) -> str:
    digest = hashlib.sha256(str(transe.norm).encode())
    for table in (transe.relation, transe.inverse):
        if table is not None:
            digest.update(table.weight.detach().cpu().numpy().astype("<f4").tobytes())
    return digest.hexdigest()


def _value(row: Any) -> Value:
    relation, text, datatype, language = row
    if not all(isinstance(item, str) for item in (relation, text, datatype or "", language or "")):
        raise TypeError(f"{row!r} is no literal")
    return Value(relation, text, datatype, language)


def _json(data: Any) -> str:
    return json.dumps(data, ensure_ascii=False, indent=0) + "\n"


def _from_json(text: str) -> Any:
    """Read JSON; half a surrogate pair in it, which can stand there only by its number, is a ValueError."""
    data = json.loads(text)
    if _HALF_A_PAIR.search(text):  # perhaps, if it is not a backslash before a word
        json.dumps(data, ensure_ascii=False).encode()
    return data


def _readme(settings: _Settings) -> str:
    origin = "".join(
        f"{card.name or 'A graph'}: {card.source}. Licence: {card.licence}.\n\n" for card in settings.cards
    )
    return (
        "# A knowledge graph with TransE vectors\n\n"
        f"{settings.triples:,} triples, {settings.entities:,} entities, {settings.relations:,} relations; "
        f"vectors of {settings.transe.dimension} dimensions.\n\n"
        f"{origin}"
        "Written by `roots kg train`. Read it with `roots_kg.graph.store.GraphBundle.load`.\n"
    )
