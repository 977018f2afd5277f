"""A trained fusion layer as a bundle on disk."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from roots_kg.bundle import Bundle, atomic_folder
from roots_kg.config import to_mapping
from roots_kg.encoding.interface import Encoder
from roots_kg.errors import UsageError
from roots_kg.fusion.layer import FusionConfig, FusionLayer
from roots_kg.graph.retrieval import RetrievalConfig
from roots_kg.graph.store import GraphBundle

__all__ = ["KIND", "FusionBundle", "load_fusion"]

KIND = "fusion"
WEIGHTS = "fusion.safetensors"


@dataclass(frozen=True)
class _Settings:
    encoder: str
    hidden_size: int
    dimension: int
    space: str
    fusion: FusionConfig
    retrieval: RetrievalConfig = field(default_factory=RetrievalConfig)
    training: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class FusionBundle:
    """A fusion layer that was trained with an encoder and the vectors of a graph.

    Args:
        layer: the layer.
        encoder: the name of the pretrained encoder, or empty for another.
        space: of the graph's vectors; see `GraphBundle.space`.
        retrieval: how much of the graph was looked at.
        training: how it was trained, as plain data.
    """

    layer: FusionLayer
    encoder: str
    space: str
    retrieval: RetrievalConfig
    training: Mapping[str, Any] = field(default_factory=dict)

    def require(self, encoder: Encoder, graph: GraphBundle) -> None:
        """Refuse another encoder, or other vectors, than those that the layer was trained with.

        Raises:
            UsageError: for an encoder of another name or size, or a graph from another training.
        """
        name, size = encoder_name(encoder), encoder.hidden_size
        if name != self.encoder or size != self.layer.gate.value.in_features:
            raise UsageError(
                f"the fusion layer was trained with the encoder {self.encoder or 'of another model'!r}, "
                f"not with {name or 'this one'!r}",
                hint="train it again with `roots train`, and the encoder in its config",
            )
        try:
            graph.require_space(self.layer.entity_size, self.space)
        except UsageError as error:
            raise UsageError(error.message, hint="train the fusion layer again with this graph") from error

    def save(self, path: Path) -> None:
        """Write the layer to `path`, replacing an older one there, whole or not at all."""
        settings = _Settings(
            encoder=self.encoder,
            hidden_size=self.layer.gate.value.in_features,
            dimension=self.layer.entity_size,
            space=self.space,
            fusion=self.layer.config,
            retrieval=self.retrieval,
            training=dict(self.training),
        )
        with atomic_folder(path, kind=KIND) as folder:
            Bundle.write(
                folder,
                KIND,
                to_mapping(settings),
                tensors={WEIGHTS: self.layer.state_dict()},
                texts={"README.md": _README},
            )


def load_fusion(path: Path) -> FusionBundle:
    """Read a layer that `FusionBundle.save` wrote.

    Raises:
        BundleError: if it is missing, damaged, or of another kind or version.
    """
    bundle = Bundle.read(path, KIND)
    settings = bundle.read_settings(_Settings)
    wide, narrow = settings.hidden_size, settings.dimension
    mixing = {f"propagation.{step}.mixing": () for step in range(settings.fusion.steps)}
    bundle.require_shapes(
        WEIGHTS, {"name_map.weight": (wide, wide), "entity_map.weight": (wide, narrow), **mixing}
    )
    with bundle.fitting():
        layer = FusionLayer(settings.hidden_size, settings.dimension, settings.fusion)
        layer.load_state_dict(bundle.tensors(WEIGHTS))
    layer.eval().requires_grad_(False)
    return FusionBundle(layer, settings.encoder, settings.space, settings.retrieval, settings.training)


def encoder_name(encoder: Encoder) -> str:
    """Return the name of a pretrained encoder, or nothing where it has none."""
    return getattr(encoder, "pretrained_name", None) or ""


_README = (
    "# A fusion layer\n\n"
    "Trained on texts made from a graph, for one encoder and one training of the graph's vectors.\n\n"
    "Written by `roots train`. Use it with `roots adapt TASK --knowledge BUNDLE --fusion FOLDER`.\n"
)
