"""Training a fusion layer as a whole: a graph and unlabelled text in, a layer out."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from roots_kg.config import to_mapping
from roots_kg.encoding.interface import Encoder
from roots_kg.encoding.text_files import read_documents
from roots_kg.errors import GraphError
from roots_kg.fusion.augmentation import make_augmentation
from roots_kg.fusion.augmentation.vectors import augment_vectors
from roots_kg.fusion.encoder import Knowledge, KnowledgeEncoder, MarkedText
from roots_kg.fusion.store import FusionBundle, encoder_name
from roots_kg.graph.store import GraphBundle
from roots_kg.threads import some_threads
from roots_kg.training.fit import fit, trainer_options
from roots_kg.training.fusion_config import FusionTrainingConfig
from roots_kg.training.fusion_module import Augment, FusionModule
from roots_kg.training.fusion_texts import FusionTexts
from roots_kg.training.language_model_training import precision_name
from roots_kg.training.progress import RichProgress
from roots_kg.training.runs import Run

__all__ = ["FusionResult", "train_fusion"]

LONGEST_LINE, MOST_LINES = 600, 50_000
"""Lines of more characters, and lines after so many, are not read."""


@dataclass(frozen=True)
class FusionResult:
    """What a training brought forth.

    Args:
        fusion: the layer, ready to be saved or used.
        lines: how many lines of the user's text mention something.
        loss: the mean over the last tenth of the steps.
        openness: likewise, how much of the graph texts let in whose links are right, and those whose links
            are wrong: the mean over tokens of the gate times the attention to nodes.
        seconds: CPU seconds.
    """

    fusion: FusionBundle
    lines: int
    loss: float
    openness: tuple[float, float]
    seconds: float


def train_fusion(
    encoder: Encoder,
    graph: GraphBundle,
    config: FusionTrainingConfig,
    text: Sequence[Path] = (),
    *,
    augment: Augment | None = None,
    threads: int = 1,
    progress: bool = False,
    run: Run | None = None,
    **trainer: Any,
) -> FusionResult:
    """Train a fusion layer on texts made from a graph.

    Args:
        encoder: the text encoder, which stays as it is.
        graph: the graph with its vectors, which stay as they are.
        config: how.
        text: files of unlabelled text; of those lines that mention an entity, names are masked too.
        augment: see `FusionModule`; by default what `config.augmentation` names.
        threads: that torch uses.
        progress: show a bar.
        run: where it keeps its checkpoint and its log.
        trainer: further arguments of `pytorch_lightning.Trainer`.

    Raises:
        GraphError: if the graph has no triple to learn from.
        ConfigError: if the augmentation is none that moves vectors alone.
        DataError: if a text cannot be read.
    """
    if not len(graph.graph):
        raise GraphError("a graph without triples has nothing to learn from")
    started = time.process_time()
    knowledge = Knowledge(graph, config.retrieval)
    layers = KnowledgeEncoder(encoder, knowledge, config.fusion)
    assert layers.fusion is not None
    layers.fusion.requires_grad_(True)
    lines = _lines(knowledge, text)
    texts = FusionTexts(
        graph.graph,
        config.texts,
        removed=config.removed,
        wrong=config.wrong,
        dropped=config.dropped,
        lines=lines,
    )
    virtual = None
    if augment is None and config.augmentation != "none":
        virtual = make_augmentation(config.augmentation, knowledge.entities, config.seed)
        augment = augment_vectors(virtual)
    module = FusionModule(layers, texts, config, augment, virtual)
    run = run or Run()
    options = trainer_options(
        run,
        config.steps,
        RichProgress("fusion", unit="texts", size=lambda _: config.batch_size) if progress else None,
        on=config.trainer,
        precision=precision_name(config.precision),
        small_steps=True,
        max_epochs=1,
        gradient_clip_val=1.0,
        **trainer,
    )
    with some_threads(threads):
        fit(module.train(), run, options)
    layer = layers.fusion.eval().requires_grad_(False)
    bundle = FusionBundle(layer, encoder_name(encoder), graph.space, config.retrieval, to_mapping(config))
    loss, right, wrong = np.mean(module.curve[-max(1, len(module.curve) // 10) :], axis=0).tolist()
    return FusionResult(bundle, len(lines), loss, (right, wrong), time.process_time() - started)


def _lines(knowledge: Knowledge, text: Sequence[Path]) -> list[MarkedText]:
    """Return the lines of files that mention an entity."""
    lines = []
    for piece in read_documents(text, "line") if text else ():
        if 0 < len(piece.text) <= LONGEST_LINE:
            lines.append(piece.text)
        if len(lines) == MOST_LINES:
            break
    found = knowledge.linker.link_all(lines)
    return [
        MarkedText(line, tuple(mentions)) for line, mentions in zip(lines, found, strict=True) if mentions
    ]
