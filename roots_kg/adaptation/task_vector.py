"""The task vector: what a task is like, and what that changes about how it is learned.

τ is computed from the vectors of the description, of the label names and of the support set, and from
statistics of the support set. It does not depend on the order of examples or labels. A small network maps τ
to changes of the scalars of the fit and to the mixture weights of a bank of modules. Its last layer starts
at zero: an untrained network changes nothing, bit for bit.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn
from torch.nn import functional

from roots_kg.adaptation.few_shot import FewShotConfig

__all__ = ["Changes", "TaskVectorNetwork", "TaskVectors", "adjusted", "task_vector"]

STATISTICS = 11
"""How many statistics of the support set end a task vector."""

SCALARS = ("scale", "name_weight", "regularisation", "rate", "knowledge_weight")

MOST = 2.0
"""No scalar is changed by more than a factor of e to this power."""

EPS = 1e-6


@dataclass(frozen=True)
class TaskVectors:
    """The vectors that a task vector is computed from.

    Args:
        support: (S, f) of the examples.
        labels: (S,) their classes, from 0 on.
        names: (N, f) of the label names.
        description: (f,), of the task's description; zero without one.
        knowledge: (S, k) of the examples' knowledge, zero where nothing is linked; k may be 0.
    """

    support: Tensor
    labels: Tensor
    names: Tensor
    description: Tensor
    knowledge: Tensor


@dataclass(frozen=True)
class Changes:
    """What a task vector changes.

    Args:
        scale: by e to which power the scale of the logits is multiplied.
        name_weight: likewise the weight of label names.
        regularisation: likewise the weight of staying where the fit started.
        rate: likewise the step size of inner steps.
        knowledge_weight: likewise the odds p / (1 − p) of the graph's share in a cosine.
        mixture: (modules,), the weights of the modules.
    """

    scale: Tensor
    name_weight: Tensor
    regularisation: Tensor
    rate: Tensor
    knowledge_weight: Tensor
    mixture: Tensor


class TaskVectorNetwork(nn.Module):
    """From a task vector to changes.

    Args:
        size: f, the size of a feature vector.
        modules: how many modules the bank has.
        hidden: the size of the hidden layer.
    """

    def __init__(self, size: int, modules: int, hidden: int = 32) -> None:
        super().__init__()
        self.vectors = nn.Linear(3 * size, hidden)
        self.statistics = nn.Linear(STATISTICS, hidden)
        self.last = nn.Linear(hidden, len(SCALARS) + modules)
        nn.init.zeros_(self.last.weight)
        nn.init.zeros_(self.last.bias)

    def forward(self, vector: Tensor) -> Changes:
        """Return what a task vector, (3f + STATISTICS,), changes."""
        vectors, statistics = vector[..., :-STATISTICS], vector[..., -STATISTICS:]
        found = self.last(functional.gelu(self.vectors(vectors) + self.statistics(statistics)))
        scalars = MOST * torch.tanh(found[..., : len(SCALARS)] / MOST)
        scale, name_weight, regularisation, rate, knowledge_weight = scalars.unbind(-1)
        mixture = torch.tanh(found[..., len(SCALARS) :])
        return Changes(scale, name_weight, regularisation, rate, knowledge_weight, mixture)


def task_vector(task: TaskVectors) -> Tensor:
    """Return τ, (3f + STATISTICS,): the description, the mean name, the mean class, then statistics.

    The statistics are those of the centred and normalised vectors: how many classes and examples there are,
    how evenly they are spread over classes, how close examples are to their own and to other classes, how
    close classes and names are to each other, and how much of that the graph knows. Nothing in it is counted
    in examples or classes beyond those logarithms, so that sets of any size compare.
    """
    num_classes = len(task.names)
    member = (task.labels[:, None] == torch.arange(num_classes)).to(task.support)  # (S, N)
    counts = member.sum(dim=0)
    seen = (counts > 0).to(member)
    centre = task.support.mean(dim=0)
    support = functional.normalize(task.support - centre, dim=1)
    names = functional.normalize(task.names - centre, dim=1)
    prototypes = functional.normalize(member.T @ support / counts.clamp_min(1)[:, None], dim=1, eps=EPS)
    own, other = _closeness(support, prototypes, member, seen)
    name_own, name_other = _closeness(names, prototypes, torch.eye(num_classes).to(names), seen)
    between = (prototypes @ prototypes.T - 2 * torch.eye(num_classes).to(names)).amax(dim=1)
    log_counts = counts.clamp_min(1).log()
    statistics = [
        torch.as_tensor(num_classes).to(support).log() / 2,
        log_counts.mean(),
        log_counts.std(correction=0),
        own.mean(),
        other.mean(),
        (own - other).clamp(-1, 1).std(correction=0),
        name_own.mean(),
        name_other.mean(),
        between.mean(),
        *_of_knowledge(task.knowledge, member, seen),
    ]
    class_means = member.T @ task.support / counts.clamp_min(1)[:, None]
    mean_class = class_means.sum(dim=0) / seen.sum()
    return torch.cat([task.description, task.names.mean(dim=0), mean_class, torch.stack(statistics)])


def adjusted(config: FewShotConfig, changes: Changes) -> FewShotConfig:
    """Return how a task with these changes is fitted; equal to `config` if they are zero."""
    factor = {name: float(getattr(changes, name).detach().double().exp()) for name in SCALARS}
    odds = factor["knowledge_weight"]
    return replace(
        config,
        scale=config.scale * factor["scale"],
        regularisation=config.regularisation * factor["regularisation"],
        name_weights=tuple(weight * factor["name_weight"] for weight in config.name_weights),
        knowledge_weights=tuple(moved_share(weight, odds) for weight in config.knowledge_weights),
    )


def moved_share(share: float, factor: float) -> float:
    """Return the share p whose odds p / (1 − p) are `factor` times as large; p itself for a factor of 1."""
    return share * factor / (1 + share * (factor - 1))


def _closeness(vectors: Tensor, prototypes: Tensor, member: Tensor, seen: Tensor) -> tuple[Tensor, Tensor]:
    """Return the cosine of each vector with its own class and with the closest other one, (S,) each."""
    cosines = vectors @ prototypes.T
    own = (cosines * member).sum(dim=1)
    return own, (cosines - 2 * member - 2 * (1 - seen)).amax(dim=1).clamp(-1, 1)


def _of_knowledge(knowledge: Tensor, member: Tensor, seen: Tensor) -> tuple[Tensor, Tensor]:
    """Return the share of examples with knowledge, and how much closer it is to its own class than others."""
    if knowledge.shape[-1] == 0:
        nothing = torch.zeros(()).to(member)
        return nothing, nothing
    linked = (knowledge != 0).any(dim=1).to(member)
    means = functional.normalize(member.T @ knowledge, dim=1, eps=EPS)
    own, other = _closeness(knowledge, means, member, seen)
    return linked.mean(), ((own - other) * linked).sum() / linked.sum().clamp_min(1)
