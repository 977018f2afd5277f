"""What `roots train` is told in YAML to train a fusion layer."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from roots_kg.fusion.layer import FusionConfig
from roots_kg.graph.retrieval import RetrievalConfig
from roots_kg.training.trainer_config import TrainerConfig

__all__ = ["FusionTrainingConfig", "Mixture"]

Augmentation = Literal["none", "noise", "mix", "fgm", "generator", "counterfactual"]


@dataclass(frozen=True)
class Mixture:
    """How often each kind of text is drawn, as weights that need not add up to 1.

    Args:
        triples: one triple as a sentence.
        descriptions: a few triples of one entity.
        names: the name of an entity alone.
        lines: lines of the user's own text in which an entity is linked, where there are any.
    """

    triples: float = 0.4
    descriptions: float = 0.2
    names: float = 0.2
    lines: float = 0.2

    def __post_init__(self) -> None:
        weights = (self.triples, self.descriptions, self.names, self.lines)
        if min(weights) < 0 or max(weights[:3]) == 0:
            raise ValueError("the weights of the texts must be at least 0, and one beside lines above")


@dataclass(frozen=True)
class FusionTrainingConfig:
    """How a fusion layer is trained on texts made from a graph.

    Args:
        kind: "fusion".
        knowledge: the graph bundle, from the folder of the config file on; `--knowledge` wins.
        text: files of unlabelled text, a line each, with wildcards, likewise.
        encoder: the text encoder, by name or folder.
        fusion: the shape of the layer.
        retrieval: how much of the graph is looked at.
        texts: how often each kind of text is drawn.
        removed: how often the very triple that tells the answer is taken out of the graph.
        wrong: how often a mention is linked to an entity that it does not mean.
        dropped: how often one of several mentions is not linked.
        negatives: entities beside the answers of the batch, drawn for each text from those of the same kind.
        temperature: that cosines are divided by.
        masked: the weight of recovering the masked name where it stood.
        pooled: the weight of recovering it from what all tokens took from the graph.
        closing: the weight of closing the gate where a link is wrong.
        opening: the weight of the gate's opening anywhere.
        held: the weight of the squared distance from where the layer started.
        learning_rate: the first step's, falling linearly to 0.
        batch_size: texts in a step.
        steps: of the optimizer.
        augmentation: what is done to the vectors of entities while training.
        precision: "32", or "bf16" for multiplying in bfloat16.
        trainer: where it runs, and in how many processes, which share the texts of a batch.
        seed: of everything that is drawn.
    """

    kind: Literal["fusion"] = "fusion"
    knowledge: str | None = None
    text: tuple[str, ...] = ()
    encoder: str = "roots-base"
    fusion: FusionConfig = field(default_factory=FusionConfig)
    retrieval: RetrievalConfig = field(default_factory=RetrievalConfig)
    texts: Mixture = field(default_factory=Mixture)
    removed: float = 0.5
    wrong: float = 0.15
    dropped: float = 0.15
    negatives: int = 8
    temperature: float = 0.1
    masked: float = 0.3
    pooled: float = 1.0
    closing: float = 0.5
    opening: float = 0.01
    held: float = 0.01
    learning_rate: float = 5e-4
    batch_size: int = 64
    steps: int = 300
    augmentation: Augmentation = "none"
    precision: Literal["32", "bf16"] = "32"
    trainer: TrainerConfig = field(default_factory=TrainerConfig)
    seed: int = 0

    def __post_init__(self) -> None:
        self.trainer.require_whole_weights("is for pretraining")
        for name in ("removed", "wrong", "dropped"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} must be from 0 to 1, found {getattr(self, name)}")
        for name in ("masked", "pooled", "closing", "opening", "held"):
            if not 0 <= getattr(self, name) < float("inf"):
                raise ValueError(f"{name} must be at least 0, found {getattr(self, name)}")
        for name in ("temperature", "learning_rate"):
            if not 0 < getattr(self, name) < float("inf"):
                raise ValueError(f"{name} must be above 0, found {getattr(self, name)}")
        if not self.masked and not self.pooled:
            raise ValueError("masked and pooled are both 0, so there is nothing to learn")
        if self.steps < 1 or self.negatives < 1:
            raise ValueError("steps and negatives must be at least 1")
        self.trainer.require_equal_shares("batch_size", self.batch_size)
        if not 2 <= self.batch_size <= 256:
            raise ValueError(f"batch_size must be from 2 to 256, found {self.batch_size}")
