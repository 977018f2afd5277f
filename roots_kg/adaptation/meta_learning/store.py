"""What was learned over many tasks, as a bundle on disk, and its use for a new task."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from roots_kg.adaptation.few_shot import FewShotConfig
from roots_kg.adaptation.heads.base import Encode, Example, Head
from roots_kg.adaptation.meta_learning.learner import Episode, LearnerConfig, MetaLearner
from roots_kg.adaptation.modules import FeatureModule
from roots_kg.adaptation.task_vector import adjusted
from roots_kg.bundle import Bundle, atomic_folder
from roots_kg.config import to_mapping
from roots_kg.encoding.interface import Encoder
from roots_kg.errors import TaskError, UsageError
from roots_kg.fusion.store import encoder_name

__all__ = ["KIND", "MetaBundle", "load_meta"]

KIND = "meta"
WEIGHTS = "meta.safetensors"


@dataclass(frozen=True)
class _Settings:
    encoder: str
    size: int
    knowledge_size: int
    learner: LearnerConfig
    training: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class MetaBundle:
    """A meta-trained learner with the encoder whose vectors it was trained on.

    Args:
        learner: the learner.
        encoder: the name of the pretrained encoder, or empty for another.
        training: how it was trained, as plain data.
    """

    learner: MetaLearner
    encoder: str
    training: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def untrained(cls, encoder: Encoder, config: LearnerConfig | None = None) -> MetaBundle:
        """Return a learner that has learned nothing, which changes nothing.

        Args:
            encoder: whose vectors it will see.
            config: how a task is learned; an algorithm with inner steps on modules changes something at once.
        """
        size = encoder.hidden_size
        learner = MetaLearner(2 * size, size, config or LearnerConfig()).eval().requires_grad_(False)
        return cls(learner, encoder_name(encoder))

    def require(self, encoder: Encoder, head: Head) -> None:
        """Refuse vectors that the learner was not trained on.

        Raises:
            UsageError: for an encoder of another name or size, or a head that compares something else.
        """
        name = encoder_name(encoder)
        if name != self.encoder or 2 * encoder.hidden_size != self.learner.size:
            raise UsageError(
                f"what was meta-trained belongs to the encoder {self.encoder or 'of another model'!r}, "
                f"not to {name or 'this one'!r}",
                hint="train it again with `roots train`, and the encoder in its config",
            )
        if not head.compares_features:
            raise UsageError(
                f"the head {head.task.head!r} has no use for modules on the vectors of texts",
                hint="the head 'classification' has",
            )

    def prepare(
        self, head: Head, support: Sequence[Example], encode: Encode, config: FewShotConfig
    ) -> tuple[FewShotConfig, FeatureModule, dict[str, Any]]:
        """Say how a head is to be fitted to a support set, and through what it sees the vectors of texts.

        Args:
            head: the head, not fitted yet.
            support: the labelled examples.
            encode: texts to layers 1 and 2, not seen through a module.
            config: how it would be fitted.

        Returns:
            How it is fitted, the module, and plain data that tells a person what was changed.

        Raises:
            TaskError: if the examples have fewer than two labels, or are pairs of texts.
        """
        present = sorted({example.target for example in support})
        labels = list(head.task.labels) or present
        if len(present) < 2:
            raise TaskError("the examples have one label only", path=support[0].record.path)
        texts = encode([example.text for example in support])
        if texts.second is not None:
            raise TaskError(
                "what was meta-trained is about single texts, and these are pairs",
                path=support[0].record.path,
            )
        names = encode([head.name_text(label) for label in labels])
        description = torch.zeros(self.learner.size)
        if head.task.description:
            description = encode([head.task.description]).features[0]
        place = {label: number for number, label in enumerate(labels)}
        numbers = torch.tensor([place[example.target] for example in support])
        wide = self.learner.knowledge_size
        knowledge, name_knowledge = (part.knowledge[:, :wide] for part in (texts, names))
        episode = Episode(
            *(tensor.clone() for tensor in (texts.features, numbers, texts.features, numbers)),
            *(tensor.clone() for tensor in (names.features, description)),
            *(tensor.clone() for tensor in (knowledge, knowledge, name_knowledge)),
        )
        changes, parameters = self.learner.module_for(episode)
        told = {
            "meta_algorithm": self.learner.config.algorithm,
            "meta_scale": float(changes.scale.exp()),
            "meta_name_weight": float(changes.name_weight.exp()),
            "meta_regularisation": float(changes.regularisation.exp()),
            "meta_knowledge_odds": float(changes.knowledge_weight.exp()),
            "meta_mixture": [round(weight, 4) for weight in changes.mixture.tolist()],
        }
        return adjusted(config, changes), FeatureModule(parameters), told

    def save(self, path: Path) -> None:
        """Write the learner to `path`, replacing an older one there, whole or not at all."""
        settings = _Settings(
            encoder=self.encoder,
            size=self.learner.size,
            knowledge_size=self.learner.knowledge_size,
            learner=self.learner.config,
            training=dict(self.training),
        )
        with atomic_folder(path, kind=KIND) as folder:
            Bundle.write(
                folder,
                KIND,
                to_mapping(settings),
                tensors={WEIGHTS: self.learner.state_dict()},
                texts={"README.md": _README},
            )


def load_meta(path: Path) -> MetaBundle:
    """Read a learner that `MetaBundle.save` wrote.

    Raises:
        BundleError: if it is missing, damaged, or of another kind or version.
    """
    bundle = Bundle.read(path, KIND)
    settings = bundle.read_settings(_Settings)
    bank, hidden, size = settings.learner.bank, settings.learner.hidden, settings.size
    bundle.require_shapes(
        WEIGHTS,
        {
            "network.vectors.weight": (hidden, 3 * size),
            "bank.scale": (bank.film, size),
            "bank.up": (bank.low_rank, size, bank.rank),
            "class_knowledge": (settings.knowledge_size,),
        },
    )
    with bundle.fitting():
        learner = MetaLearner(settings.size, settings.knowledge_size, settings.learner)
        learner.load_state_dict(bundle.tensors(WEIGHTS))
    return MetaBundle(learner.eval().requires_grad_(False), settings.encoder, settings.training)


_README = """# What was learned over many tasks

A network that looks at a task's description, label names and examples and says how it is best learned, and
modules on the vectors of texts that it mixes. Written by `roots train`; use it with
`roots adapt TASK --meta FOLDER`.
"""
