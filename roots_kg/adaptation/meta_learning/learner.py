"""What is learned over many tasks, and how one task is learned with it.

A task's vector mixes a module from the bank and sets the scalars. Class weights start at prototypes or at a
learned vector; inner steps move them, the module, or both, on the support set; the loss is that of the query
set. Everything here is written for one task and runs under `torch.func.vmap` for many.

Logits are those of the fast tier (`roots_kg.adaptation.few_shot`), so that what is learned here is of use
there: s · (x · w + b), x being centred by the support set and of length 1, the graph having a share p.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from roots_kg.adaptation.few_shot import centred, class_means
from roots_kg.adaptation.meta_learning.algorithms import ALGORITHMS, Algorithm, AlgorithmName
from roots_kg.adaptation.meta_learning.inner_loop import Loss, Parameters, descend
from roots_kg.adaptation.modules import BankShape, ModuleBank, apply_module
from roots_kg.adaptation.task_vector import Changes, TaskVectorNetwork, TaskVectors, task_vector

__all__ = ["Episode", "LearnerConfig", "MetaLearner", "Outcome"]

Descend = Callable[..., Parameters]
"""`inner_loop.descend`, or another way to do the same."""

HEAD = ("weight", "knowledge", "bias")


class Episode(NamedTuple):
    """A task with what it is judged on; with one more dimension in front, T of them.

    Vectors are (…, f), those of knowledge (…, k); without a graph k is 0.

    Args:
        support: (S, f) vectors of the support set.
        support_labels: (S,) classes, from 0 to N − 1.
        query: (Q, f) vectors of the query set.
        query_labels: (Q,) classes.
        names: (N, f) vectors of the label names.
        description: (f,) of the task's description; zero without one.
        support_knowledge: (S, k), zero where nothing is linked.
        query_knowledge: (Q, k).
        name_knowledge: (N, k).
    """

    support: Tensor
    support_labels: Tensor
    query: Tensor
    query_labels: Tensor
    names: Tensor
    description: Tensor
    support_knowledge: Tensor
    query_knowledge: Tensor
    name_knowledge: Tensor

    @property
    def vectors(self) -> TaskVectors:
        """What the task vector is computed from."""
        return TaskVectors(
            self.support, self.support_labels, self.names, self.description, self.support_knowledge
        )


class Outcome(NamedTuple):
    """What came of a task, or of T of them: the loss and the accuracy on the query set."""

    loss: Tensor
    accuracy: Tensor


@dataclass(frozen=True)
class LearnerConfig:
    """How a task is learned.

    Args:
        algorithm: see `algorithms.ALGORITHMS`.
        steps: inner steps, for algorithms that take any.
        rate: the size of an inner step, at first.
        learned_rate: whether the outer steps learn it too (Li et al. 2017, arXiv:1707.09835, with one rate).
        first_order: leave out second derivatives.
        scale: what cosines are multiplied by, before the task vector changes it.
        name_weight: how much label names count beside prototypes, likewise.
        regularisation: the weight of the squared distance from where class weights started, likewise.
        knowledge_weight: the graph's share in a cosine, where there is a graph, likewise.
        bank: how many modules there are.
        hidden: the size of the hidden layer of the task vector's network.
    """

    algorithm: AlgorithmName = "prototypical"
    steps: int = 5
    rate: float = 0.1
    learned_rate: bool = True
    first_order: bool = False
    scale: float = 16.0
    name_weight: float = 0.5
    regularisation: float = 0.5
    knowledge_weight: float = 0.35
    bank: BankShape = field(default_factory=BankShape)
    hidden: int = 32

    def __post_init__(self) -> None:
        for name in ("rate", "scale"):
            if not 0 < getattr(self, name) < float("inf"):
                raise ValueError(f"{name} must be above 0, found {getattr(self, name)}")
        for name in ("name_weight", "regularisation"):
            if not 0 <= getattr(self, name) < float("inf"):
                raise ValueError(f"{name} must be at least 0, found {getattr(self, name)}")
        if not 0 <= self.knowledge_weight < 1:
            raise ValueError(f"knowledge_weight must be from 0 to below 1, found {self.knowledge_weight}")
        if self.steps < 1 or self.hidden < 1:
            raise ValueError("steps and hidden must be at least 1")

    @property
    def plan(self) -> Algorithm:
        """What the algorithm does."""
        return ALGORITHMS[self.algorithm]


class MetaLearner(nn.Module):
    """What is learned over many tasks: the task vector's network, the modules, a start and a step size.

    Args:
        size: f, the size of a feature vector.
        knowledge_size: k, the size of a knowledge vector.
        config: how a task is learned.
    """

    def __init__(self, size: int, knowledge_size: int, config: LearnerConfig) -> None:
        super().__init__()
        self.size, self.knowledge_size, self.config = size, knowledge_size, config
        self.network = TaskVectorNetwork(size, config.bank.modules, config.hidden)
        self.bank = ModuleBank(size, config.bank)
        self.class_weight = nn.Parameter(torch.zeros(size))
        self.class_knowledge = nn.Parameter(torch.zeros(knowledge_size))
        self.log_rate = nn.Parameter(torch.tensor(config.rate).log(), requires_grad=config.learned_rate)

    def changes(self, task: TaskVectors) -> Changes:
        """Return what the vector of a task changes."""
        changes: Changes = self.network(task_vector(task))
        return changes

    def outcome(self, episode: Episode, descend: Descend = descend) -> Outcome:
        """Learn a task from its support set and judge it on its query set.

        The loss is what the outer step goes down; of an algorithm that follows what inner steps moved, half
        the squared distance to there.

        Args:
            episode: one task.
            descend: how inner steps are taken.
        """
        changes = self.changes(episode.vectors)
        start, fixed = self._start(episode, changes)
        if self.config.plan.follows:
            return self._followed(episode, changes, start, fixed)
        learned = self._learn(episode, changes, start, fixed, descend, self.config.first_order)
        logits = self._logits(episode, {**fixed, **learned}, changes, query=True)
        return Outcome(
            functional.cross_entropy(logits, episode.query_labels), _accuracy(logits, episode.query_labels)
        )

    def module_for(self, episode: Episode) -> tuple[Changes, Parameters]:
        """Return what a task changes, and the module that its support set is best seen through.

        Class weights that inner steps moved along with it are left behind: the head is fitted anew.

        Args:
            episode: one task, whose query set is not looked at.
        """
        with torch.enable_grad():
            changes = self.changes(episode.vectors)
            start, fixed = self._start(episode, changes)
            found = {**fixed, **start}
            if "module" in self.config.plan.moves:
                found |= self._learn(episode, changes, start, fixed, descend, first_order=True)
        return changes, {name: value.detach() for name, value in found.items() if name not in HEAD}

    def _start(self, episode: Episode, changes: Changes) -> tuple[Parameters, Parameters]:
        """Return the parameters that inner steps move, as they start, and those that they do not."""
        plan, module = self.config.plan, self.bank.mixed(changes.mixture)
        num_classes = len(episode.names)
        if plan.start == "prototypes":
            name_weight = self.config.name_weight * changes.name_weight.exp()
            head = _prototypes(episode, module, name_weight)
        else:
            head = {
                "weight": self.class_weight.expand(num_classes, -1),
                "knowledge": self.class_knowledge.expand(num_classes, -1),
            }
        head["bias"] = episode.names.new_zeros(num_classes)
        moved: Parameters = {}
        fixed: Parameters = {}
        for name, part in (("head", head), ("module", module)):
            (moved if name in plan.moves else fixed).update(part)
        return moved, fixed

    def _learn(
        self,
        episode: Episode,
        changes: Changes,
        start: Parameters,
        fixed: Parameters,
        descend: Descend,
        first_order: bool,
    ) -> Parameters:
        """Take the inner steps on the support set."""
        if not start:
            return {}
        rate = self.log_rate.exp() * changes.rate.exp()
        loss = self._support_loss(episode, changes, start, fixed)
        return descend(loss, start, rate, self.config.steps, first_order=first_order)

    def _support_loss(self, episode: Episode, changes: Changes, start: Parameters, fixed: Parameters) -> Loss:
        held = self.config.regularisation * changes.regularisation.exp() / len(episode.names)

        def loss(parameters: Parameters) -> Tensor:
            logits = self._logits(episode, {**fixed, **parameters}, changes)
            total = functional.cross_entropy(logits, episode.support_labels)
            for name in HEAD[:2]:
                if name in parameters:
                    total = total + held * (parameters[name] - start[name]).square().sum()
            return total

        return loss

    def _followed(self, episode: Episode, changes: Changes, start: Parameters, fixed: Parameters) -> Outcome:
        """Learn from all examples of the task, and ask the start to come half way."""
        everything = episode._replace(
            support=torch.cat([episode.support, episode.query]),
            support_labels=torch.cat([episode.support_labels, episode.query_labels]),
            support_knowledge=torch.cat([episode.support_knowledge, episode.query_knowledge]),
        )
        here, changes = {name: value.detach() for name, value in start.items()}, _detached(changes)
        judged = self._learn(episode, changes, here, fixed, descend, first_order=True)
        end = self._learn(everything, changes, here, fixed, descend, first_order=True)
        distance = torch.stack([(start[name] - end[name].detach()).square().sum() for name in start])
        logits = self._logits(episode, {**fixed, **judged}, changes, query=True).detach()
        return Outcome(distance.sum() / 2, _accuracy(logits, episode.query_labels))

    def _logits(
        self, episode: Episode, parameters: Parameters, changes: Changes, *, query: bool = False
    ) -> Tensor:
        """Return the logits of the support set or of the query set, (…, N)."""
        support = apply_module(parameters, episode.support)
        centre = support.mean(dim=0)
        vectors = apply_module(parameters, episode.query) if query else support
        cosines = centred(vectors, centre) @ parameters["weight"].T
        knowledge = episode.query_knowledge if query else episode.support_knowledge
        if self.knowledge_size:
            odds = changes.knowledge_weight.exp()
            share = self.config.knowledge_weight * odds / (1 + self.config.knowledge_weight * (odds - 1))
            share = share * (knowledge != 0).any(dim=1, keepdim=True)
            cosines = (1 - share) * cosines + share * (knowledge @ parameters["knowledge"].T)
        return self.config.scale * changes.scale.exp() * (cosines + parameters["bias"])


def _prototypes(episode: Episode, module: Parameters, name_weight: Tensor) -> Parameters:
    """Return class weights of length 1 that start at class means and label names."""
    support = apply_module(module, episode.support)
    centre = support.mean(dim=0)
    sides = (
        ("weight", centred(support, centre), centred(apply_module(module, episode.names), centre)),
        ("knowledge", episode.support_knowledge, episode.name_knowledge),
    )
    weights = {}
    for side, vectors, names in sides:
        means = class_means(vectors, episode.support_labels, len(episode.names))
        prototypes = functional.normalize(means, dim=1)
        weights[side] = functional.normalize(prototypes + name_weight * names, dim=1)
    return weights


def _accuracy(logits: Tensor, labels: Tensor) -> Tensor:
    return (logits.argmax(dim=1) == labels).to(logits).mean()


def _detached(changes: Changes) -> Changes:
    return Changes(**{name: value.detach() for name, value in vars(changes).items()})
