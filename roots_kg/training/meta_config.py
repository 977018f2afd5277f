"""What `roots train` is told in YAML for meta-training."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from roots_kg.adaptation.episodes import EpisodeConfig
from roots_kg.adaptation.meta_learning.inner_loop import Backend
from roots_kg.adaptation.meta_learning.learner import LearnerConfig
from roots_kg.training.trainer_config import TrainerConfig

__all__ = ["GraphEpisodes", "MetaTrainingConfig", "TrunkConfig"]


@dataclass(frozen=True)
class TrunkConfig:
    """What of the text encoder is trained.

    Args:
        train: nothing, so that modules on its vectors are learned; or a low-rank adapter of its trunk, or all
            weights of its trunk, so that another encoder is learned.
        rank: of the adapter.
        embeddings: train the tables of token and position embeddings too.
    """

    train: Literal["nothing", "adapter", "all"] = "nothing"
    rank: int = 32
    embeddings: bool = False

    def __post_init__(self) -> None:
        if self.rank < 1:
            raise ValueError(f"rank must be at least 1, found {self.rank}")


@dataclass(frozen=True)
class GraphEpisodes:
    """Episodes made from the graph: classes are tails of a relation, examples are texts that mention heads.

    Args:
        share: how often an episode is made from the graph, where there is one beside tasks.
        tails: relations with fewer tails that have enough heads are left out.
        told: the most other triples about the head that a text states.
    """

    share: float = 0.5
    tails: int = 4
    told: int = 2

    def __post_init__(self) -> None:
        if not 0 <= self.share <= 1:
            raise ValueError(f"share must be from 0 to 1, found {self.share}")
        if self.tails < 2 or self.told < 0:
            raise ValueError("tails must be at least 2, and told at least 0")


@dataclass(frozen=True)
class MetaTrainingConfig:
    """How it is learned from many tasks how to learn one.

    Args:
        kind: "meta".
        data: task folders, from the folder of the config file on; `--data` wins.
        knowledge: a graph bundle to make episodes from and to read texts with, likewise; `--knowledge` wins.
        encoder: the text encoder, by name or folder.
        learner: how a task is learned; with a trained trunk the algorithm is prototypical.
        trunk: what of the encoder is trained.
        episodes: how episodes are made.
        graph: how episodes are made from the graph.
        tasks: episodes in a step.
        steps: of the outer optimizer.
        learning_rate: the highest of the outer optimizer, reached after `warmup`, then falling linearly to 0.
        warmup: the share of the steps after which it is reached.
        weight_decay: of the outer optimizer, AdamW.
        clip: the largest norm of a gradient.
        held_out: the share of labels that nothing is learned from, to judge by.
        validate_every: steps between judgements; 0 for the start and the end alone.
        validation: episodes of each judgement.
        precision: of the trunk, where it is trained.
        backend: how tasks are run; all give the same.
        trainer: where it runs, and in how many processes, which share the episodes of a step.
        seed: of everything that is drawn.
    """

    kind: Literal["meta"] = "meta"
    data: tuple[str, ...] = ()
    knowledge: str | None = None
    encoder: str = "roots-base"
    learner: LearnerConfig = field(default_factory=LearnerConfig)
    trunk: TrunkConfig = field(default_factory=TrunkConfig)
    episodes: EpisodeConfig = field(default_factory=EpisodeConfig)
    graph: GraphEpisodes = field(default_factory=GraphEpisodes)
    tasks: int = 16
    steps: int = 300
    learning_rate: float = 1e-3
    warmup: float = 0.1
    weight_decay: float = 0.01
    clip: float = 1.0
    held_out: float = 0.15
    validate_every: int = 0
    validation: int = 200
    precision: Literal["32-true", "bf16-mixed"] = "32-true"
    backend: Backend = "vmap"
    trainer: TrainerConfig = field(default_factory=TrainerConfig)
    seed: int = 0

    def __post_init__(self) -> None:
        self.trainer.require_whole_weights("is for pretraining")
        for name in ("learning_rate", "clip"):
            if not 0 < getattr(self, name) < float("inf"):
                raise ValueError(f"{name} must be above 0, found {getattr(self, name)}")
        for name in ("warmup", "held_out"):
            if not 0 <= getattr(self, name) < 1:
                raise ValueError(f"{name} must be from 0 to below 1, found {getattr(self, name)}")
        if not 0 <= self.weight_decay < float("inf"):
            raise ValueError(f"weight_decay must be at least 0, found {self.weight_decay}")
        if min(self.tasks, self.steps, self.validation) < 1 or self.validate_every < 0:
            raise ValueError("tasks, steps and validation must be at least 1, and validate_every at least 0")
        self.trainer.require_equal_shares("tasks", self.tasks)
        if self.trunk.train != "nothing" and self.learner.algorithm != "prototypical":
            raise ValueError(
                f"with a trained trunk the algorithm is prototypical, found {self.learner.algorithm}"
            )
        if self.trunk.train == "nothing" and self.precision != "32-true":
            raise ValueError("the precision is that of a trained trunk, and none is trained")
