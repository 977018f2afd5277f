"""Adapted models as bundles on disk: the heads, what they were fitted on, and the graph.

Of a pretrained encoder only the name is kept, and what tuning changed in it as a low-rank adapter; any other
encoder is kept whole.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from roots_kg.adaptation.heads.base import Head
from roots_kg.adaptation.modules import FeatureModule
from roots_kg.adaptation.task import Task, TaskReading
from roots_kg.bundle import Bundle
from roots_kg.config import to_mapping
from roots_kg.encoding import encoder_store
from roots_kg.encoding.adapters import AdapterShape, LowRankAdapter
from roots_kg.encoding.text_encoder import Precision, TextEncoder
from roots_kg.errors import BundleError, ConfigError, nearest
from roots_kg.fusion.encoder import Knowledge
from roots_kg.fusion.layer import FusionConfig
from roots_kg.graph.retrieval import RetrievalConfig
from roots_kg.graph.store import GraphBundle
from roots_kg.model_card import Described, GraphFacts, ModelCard, render_card
from roots_kg.registry import get_head
from roots_kg.weights import PRETRAINED

__all__ = [
    "KIND",
    "AdaptedHead",
    "ModelSettings",
    "SavedModel",
    "adapted_head",
    "card_files",
    "write_model",
]

KIND = "model"
FUSION, TUNING = "fusion.safetensors", "tuning.safetensors"
README, CARD = "README.md", "card.json"


@dataclass(frozen=True)
class TaskSettings:
    """What is kept of a task: all but its files."""

    name: str
    head: str
    description: str = ""
    labels: dict[str, str] = field(default_factory=dict)
    metrics: tuple[str, ...] = ()
    reading: TaskReading | None = None


@dataclass(frozen=True)
class AdaptedHead:
    """A task and the settings of the head that was adapted to it."""

    task: TaskSettings
    settings: dict[str, Any]


@dataclass(frozen=True)
class ModelSettings:
    """The `config.json` of a saved model.

    Args:
        encoder: the name of its pretrained encoder; None if it has its own.
        heads: one for each task.
        retrieval: how much of the graph is looked at.
        fusion: the shape of the fusion layer.
        knowledge: whether it has a graph.
        precision: in which numbers texts are read.
        space: the training that the graph's vectors come from.
        tuning: the shape of what tuning changed in a pretrained encoder, or None.
    """

    encoder: str | None
    heads: tuple[AdaptedHead, ...]
    retrieval: RetrievalConfig
    fusion: FusionConfig
    knowledge: bool
    precision: Precision = "float32"
    space: str = ""
    tuning: AdapterShape | None = None


class SavedModel:
    """A saved model that is about to be loaded.

    Args:
        path: its folder.

    Raises:
        BundleError: if the folder is no saved model, or its files are damaged.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._bundle = Bundle.read(path, KIND)
        self.settings = self._bundle.read_settings(ModelSettings)
        self.fitting = self._bundle.fitting

    def graph(self) -> GraphBundle:
        """Return the graph that was saved with it."""
        return GraphBundle.load(self.path / "knowledge")

    def encoder(self, precision: Precision | None) -> TextEncoder:
        """Return the encoder that the heads were fitted on."""
        name = self.settings.encoder
        if name is None:
            encoder = encoder_store.load_encoder(self.path / "encoder")
        elif name not in PRETRAINED:  # nor is it ever a path
            hint = nearest(name, PRETRAINED)
            raise BundleError(f"there is no pretrained model {name!r}", path=self._config, hint=hint)
        else:
            encoder = TextEncoder.from_pretrained(name)
        shape = self.settings.tuning
        if shape is not None:
            with torch.device("meta"):
                adapter = LowRankAdapter(encoder.encoder.trunk, shape.rank, shape.embedding_rank)
            with self.fitting():
                adapter.load_state_dict(self._bundle.tensors(TUNING), assign=True)
            encoder = encoder.with_adapter(adapter.requires_grad_(False).eval())
        return encoder.to_precision(precision or self.settings.precision)

    def heads(self, size: int, knowledge: Knowledge | None) -> Iterator[Head]:
        """Yield the heads, for texts of size d and with a graph or without."""
        for number, adapted in enumerate(self.settings.heads):
            kind, file = get_head(adapted.task.head), _head_file(number)
            if kind.__module__.startswith("roots_kg."):  # others may need real tensors to be made
                with torch.device("meta"):
                    planned = self._head(kind, adapted, size, knowledge)
                shapes = {key: tuple(tensor.shape) for key, tensor in planned.state_dict().items()}
                self._bundle.require_shapes(file, shapes)
            head = self._head(kind, adapted, size, knowledge)
            known = head.settings()
            for key in adapted.settings:
                if key not in known:
                    message = f"unknown key {key!r} in the settings of the head"
                    raise BundleError(message, path=self._config, hint=nearest(key, known))
            with self.fitting():
                state = self._bundle.tensors(file)
                head.module = FeatureModule.of_state(state, "module.")
                head.load_state_dict(state)
            yield head.eval()

    def _head(self, kind: type[Head], adapted: AdaptedHead, size: int, knowledge: Knowledge | None) -> Head:
        """Return a head as its settings state it, without what it has learned."""
        task = Task(**vars(adapted.task))
        try:
            return kind(task, size, knowledge, adapted.settings)
        except (
            ValueError,
            TypeError,
            AttributeError,
            KeyError,
            RuntimeError,
            MemoryError,
            OverflowError,
        ) as error:
            message = f"the settings of the head {task.head!r} are damaged: {' '.join(str(error).split())}"
            raise BundleError(message, path=self._config) from error

    def card(self) -> ModelCard:
        """Return what is known of it; nothing where it was saved before there were cards."""
        if CARD not in self._bundle.files:
            return ModelCard()
        try:
            return ModelCard.from_json(self._bundle.text(CARD), self.path / CARD)
        except ConfigError as error:
            raise BundleError(error.message, path=self.path / CARD, hint=error.hint) from error

    def fusion(self) -> dict[str, Tensor]:
        """Return the weights of the fusion layer."""
        return self._bundle.tensors(FUSION)

    @property
    def _config(self) -> Path:
        return self.path / "config.json"


def adapted_head(head: Head) -> AdaptedHead:
    """Return what is kept of a head besides its tensors."""
    task = TaskSettings(**{key: getattr(head.task, key) for key in TaskSettings.__dataclass_fields__})
    return AdaptedHead(task, head.settings())


def write_model(
    folder: Path,
    settings: ModelSettings,
    encoder: TextEncoder,
    heads: Sequence[Head],
    fusion: Mapping[str, Tensor] | None,
    graph: GraphBundle | None,
    card: ModelCard,
) -> None:
    """Write the files of a model into an existing private folder.

    Args:
        folder: the folder.
        settings: what goes into its `config.json`.
        encoder: what its heads were fitted on.
        heads: in the order of the settings.
        fusion: the weights of its fusion layer, if it has one.
        graph: its graph, if it has one.
        card: what is known of it.
    """
    tensors = {_head_file(number): head.state_dict() for number, head in enumerate(heads)}
    if settings.encoder is None:
        (folder / "encoder").mkdir()
        encoder_store.write_encoder(encoder, folder / "encoder")
    elif encoder.tuning is not None:
        tensors[TUNING] = encoder.tuning.state_dict()
    if graph is not None and fusion is not None:
        tensors[FUSION] = dict(fusion)
        (folder / "knowledge").mkdir()
        graph.write(folder / "knowledge")
    texts = card_files(settings, encoder, graph, card)
    Bundle.write(folder, KIND, to_mapping(settings), tensors=tensors, texts=texts)


def card_files(
    settings: ModelSettings, encoder: TextEncoder, graph: GraphBundle | None, card: ModelCard
) -> dict[str, str]:
    """Return the files that hold the card of a model, for people and for itself; see `write_model`."""
    tasks = [
        Described(head.task.name, head.task.head, head.task.description, head.task.labels)
        for head in settings.heads
    ]
    named = f"{settings.encoder} (not copied here)" if settings.encoder else "Its own, in `encoder/`"
    if settings.tuning is not None:
        named += f", tuned by what is in `{TUNING}`"
    facts = None
    if graph is not None:
        known = graph.graph
        facts = GraphFacts(len(known), known.num_entities, known.num_relations, known.cards)
    text = render_card(card, tasks, f"{named}.", facts, encoder.encoder.trunk.config.max_positions)
    return {README: text, CARD: card.to_json()}


def _head_file(number: int) -> str:
    return f"head-{number}.safetensors"
