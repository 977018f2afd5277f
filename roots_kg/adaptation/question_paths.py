"""Which paths of the graph lead from a question to its right answers, and the loss of choosing among them.

A path is a row of directions: `relation_id` walked from head to tail, `relation_id + R` from tail to head.
Its probability is P(path | q) = P(hops | q) · Π_t P_t(direction_t | q).
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from roots_kg.graph.paths import walk
from roots_kg.graph.triples import Ids, KnowledgeGraph

__all__ = ["QuestionPaths", "Topic", "path_scores"]


@dataclass(frozen=True)
class Topic:
    """An entity that a question may be about.

    Args:
        entity_id: the entity.
        prior: how good its link is, in (0, 1].
        question: (d,), what is asked about it.
    """

    entity_id: int
    prior: float
    question: Tensor


@dataclass(frozen=True)
class QuestionPaths:
    """The paths that reach right answers, of those questions that have any.

    Args:
        example: (P,) which question a path belongs to, counting those reached.
        questions: (P, d), what is asked about the entity that the path starts from.
        log_mass: (P,) log of what arrives at right answers, the topic's prior included.
        directions: (P, H), filled up with −1.
        reached: how many questions have such a path.
    """

    example: Tensor
    questions: Tensor
    log_mass: Tensor
    directions: Tensor
    reached: int

    @classmethod
    def collect(
        cls,
        graph: KnowledgeGraph,
        topics: Sequence[Sequence[Topic]],
        targets: Sequence[Collection[int]],
        hops: int,
        without: Sequence[Collection[int]],
    ) -> QuestionPaths:
        """Follow every path from the entities that each question may be about.

        Args:
            graph: the graph.
            topics: for each question, the entities it may be about.
            targets: for each question, its right answers.
            hops: H, the longest path.
            without: for each question, triples to treat as absent.
        """
        example: list[int] = []
        questions: list[Tensor] = []
        log_mass, directions = [np.zeros(0)], [np.zeros((0, hops), dtype=np.int64)]
        reached = 0
        for candidates, target, absent in zip(topics, targets, without, strict=True):
            before = len(example)
            for topic in candidates:
                paths = walk(graph, topic.entity_id, hops, without=absent)
                right = np.isin(paths.entity, list(target))
                mass = np.bincount(paths.path[right], paths.mass[right], minlength=len(paths.directions))
                (useful,) = np.nonzero(mass)
                example += [reached] * len(useful)
                questions += [topic.question] * len(useful)
                log_mass.append(np.log(mass[useful] * topic.prior))
                directions.append(paths.directions[useful])
            reached += len(example) > before
        return cls(
            torch.tensor(example, dtype=torch.long),
            torch.stack(questions) if questions else torch.zeros(0, 0),
            torch.from_numpy(np.concatenate(log_mass)).float(),
            torch.from_numpy(np.concatenate(directions)),
            reached,
        )

    def longest_needed(self) -> int:
        """Return the fewest hops with which every question that is reached at all is reached."""
        length = (self.directions >= 0).sum(dim=1)
        longest = torch.full((self.reached,), self.directions.shape[1])
        return int(longest.scatter_reduce(0, self.example, length, "amin").max())

    def loss(
        self, weight: Tensor, bias: Tensor, hops_weight: Tensor, hops_bias: Tensor, scale: float
    ) -> Tensor:
        """Return the mean over the questions reached of −log Σ_paths P(path | q) · mass.

        Args:
            weight: (H, 2R, d), for each hop a softmax over the directions.
            bias: (H, 2R).
            hops_weight: (H, d), a softmax over the number of hops.
            hops_bias: (H,).
            scale: what the products are multiplied by to become logits.
        """
        if not self.reached:
            return weight.sum() * 0
        logits = scale * (torch.einsum("pd,trd->ptr", self.questions, weight) + bias)
        log_direction = functional.log_softmax(logits, dim=2)
        log_hops = functional.log_softmax(scale * (self.questions @ hops_weight.T + hops_bias), dim=1)
        walked = self.directions >= 0
        steps = log_direction.gather(2, self.directions.clamp_min(0)[:, :, None]).squeeze(2)
        length = walked.sum(dim=1, keepdim=True) - 1
        score = (steps * walked).sum(dim=1) + log_hops.gather(1, length).squeeze(1) + self.log_mass
        top = torch.full((self.reached,), -torch.inf).scatter_reduce(0, self.example, score.detach(), "amax")
        summed = torch.zeros(self.reached).index_add(0, self.example, (score - top[self.example]).exp())
        return -(summed.log() + top).mean()


def path_scores(
    directions: Ids, log_direction: NDArray[np.float32], log_hops: NDArray[np.float32]
) -> NDArray[np.float64]:
    """Return log P(path | q) for each path, (P,).

    Args:
        directions: (P, H), filled up with −1.
        log_direction: (H, 2R), log P_t(direction | q).
        log_hops: (H,), log P(hops | q).
    """
    walked = directions >= 0
    steps = log_direction[np.arange(directions.shape[1]), np.maximum(directions, 0)]
    scores: NDArray[np.float64] = ((steps * walked).sum(axis=1) + log_hops[walked.sum(axis=1) - 1]).astype(
        float
    )
    return scores
