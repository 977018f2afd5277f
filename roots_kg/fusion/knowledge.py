"""A graph made ready for use with text: vectors, encoded names, linker and retriever."""

from __future__ import annotations

from collections.abc import Callable, Collection
from functools import cached_property
from threading import Lock

import torch
from torch import Tensor

from roots_kg.encoding.hybrid import Reading
from roots_kg.encoding.interface import Encoder
from roots_kg.fusion.names import direction_names
from roots_kg.graph.dense_linking import DenseLinker
from roots_kg.graph.disambiguation import Disambiguator
from roots_kg.graph.linking import Linker
from roots_kg.graph.retrieval import RetrievalConfig, Retriever
from roots_kg.graph.store import GraphBundle
from roots_kg.graph.triples import KnowledgeGraph

__all__ = ["Knowledge"]


class Knowledge:
    """A graph made ready for use: its vectors, its linker and its retriever.

    Args:
        bundle: the graph and its TransE vectors.
        retrieval: how far and how wide to look.
    """

    def __init__(self, bundle: GraphBundle, retrieval: RetrievalConfig | None = None) -> None:
        self.bundle = bundle
        self.retriever = Retriever(bundle.graph, retrieval)
        transe = bundle.transe
        scale = transe.entity.weight.norm(dim=1).mean().clamp_min(1e-6)
        self.entities = transe.entity.weight / scale
        self.translations = transe.translations() / scale
        self._entity_names = _Names(bundle.graph.name)
        directions = direction_names(bundle.graph.relations)
        self._direction_names = _Names(directions.__getitem__)

    @property
    def graph(self) -> KnowledgeGraph:
        """The graph."""
        return self.bundle.graph

    @cached_property
    def linker(self) -> Linker:
        """The linker, built when it is first needed."""
        return Linker(self.graph)

    @cached_property
    def dense_linker(self) -> DenseLinker:
        """What finds misspelt names; reading all names takes a while when it is first needed."""
        return DenseLinker(self.graph)

    @cached_property
    def disambiguator(self) -> Disambiguator:
        """What chooses among the candidates of mentions."""
        return Disambiguator(self.graph)

    def names(self, entity_ids: Collection[int], encoder: Encoder, reading: Reading | None = None) -> Tensor:
        """Return the encoded names of entities by id, (E, d); rows never asked for are zero.

        They are kept until another encoder or another reading is asked for.
        """
        return self._entity_names.encoded(entity_ids, self.graph.num_entities, encoder, reading)

    def remembered(self) -> dict[str, dict[str, Tensor]]:
        """Return the encoded names that are kept, for `remember`.

        A name's vector depends in its last bits on the names that were encoded beside it, so that a training
        that is resumed needs those that it had.
        """
        return {"entities": self._entity_names.state(), "directions": self._direction_names.state()}

    def remember(
        self, state: dict[str, dict[str, Tensor]], encoder: Encoder, reading: Reading | None
    ) -> None:
        """Take up encoded names that an equal graph remembered, for the same encoder and reading."""
        counts = {"entities": self.graph.num_entities, "directions": 2 * self.graph.num_relations}
        for name, names in (("entities", self._entity_names), ("directions", self._direction_names)):
            names.load(state[name], counts[name], encoder, reading)

    def directions(self, encoder: Encoder, reading: Reading | None = None) -> Tensor:
        """Return the encoded names of the directions, (2R, d), which are kept likewise."""
        count = 2 * self.graph.num_relations
        return self._direction_names.encoded(range(count), count, encoder, reading)


class _Names:
    """Encoded names by number, for one encoder and reading at a time.

    Args:
        name: the name that belongs to a number.
    """

    def __init__(self, name: Callable[[int], str]) -> None:
        self.name = name
        self._vectors = torch.zeros(0, 0)
        self._known = torch.zeros(0, dtype=torch.bool)
        self._by: tuple[Encoder, Reading | None] | None = None
        self._lock = Lock()

    def encoded(
        self, wanted: Collection[int], count: int, encoder: Encoder, reading: Reading | None
    ) -> Tensor:
        """Return a table of `count` rows in which those that are wanted are filled."""
        with self._lock:  # several threads may ask one model
            self._begin(count, encoder, reading)
            numbers = torch.tensor(sorted(set(wanted)), dtype=torch.long)
            missing = numbers[~self._known[numbers]]
            if len(missing):
                vectors = encoder.encode([self.name(number) for number in missing.tolist()], reading)
                with torch.inference_mode(False), torch.no_grad():
                    self._vectors[missing] = vectors.clone() if vectors.is_inference() else vectors
                    self._known[missing] = True
            return self._vectors

    def state(self) -> dict[str, Tensor]:
        """Return what is kept."""
        numbers = self._known.nonzero()[:, 0]
        return {"numbers": numbers, "vectors": self._vectors[numbers]}

    def load(self, state: dict[str, Tensor], count: int, encoder: Encoder, reading: Reading | None) -> None:
        """Keep what `state` returned."""
        with self._lock, torch.inference_mode(False):
            self._begin(count, encoder, reading)
            self._vectors[state["numbers"]] = state["vectors"]
            self._known[state["numbers"]] = True

    def _begin(self, count: int, encoder: Encoder, reading: Reading | None) -> None:
        """Make an empty table, unless there is one for this encoder and this reading."""
        if self._by != (encoder, reading):
            self._by = encoder, reading
            with torch.inference_mode(False):  # so that training may read what predicting filled in
                self._vectors = torch.zeros(count, encoder.hidden_size)
                self._known = torch.zeros(count, dtype=torch.bool)
