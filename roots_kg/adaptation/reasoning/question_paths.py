"""Which paths of the graph lead from questions to their right answers, and the loss of choosing among them.

A path is a row of directions: `relation_id` walked from head to tail, `relation_id + R` from tail to head.
Its probability is P(path | q) = P(hops | q) · Π_t P_t(direction_t | q).
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from roots_kg.adaptation.few_shot import FewShotConfig
from roots_kg.adaptation.reasoning.policy import TOPIC_FEATURES, QuestionPolicy
from roots_kg.graph.paths import walk
from roots_kg.graph.triples import KnowledgeGraph

__all__ = ["UNANSWERABLE", "QuestionPaths", "Topic"]

PATHS_KEPT = 64
"""Of the paths from a topic to right answers, those by which most arrives."""


UNANSWERABLE = (1e-4, 0.05)
"""How likely an answer beyond the graph is while paths are found, and while far-fetched ones are given up."""

REGULARISED_BELOW, REGULARISED_TO = 100, 4000
"""Between so many questions the regularisation falls with their number."""


@dataclass(frozen=True)
class Topic:
    """An entity that a question may be about.

    Args:
        entity_id: the entity.
        question: (d,), what is asked about it.
        features: (F,), see `roots_kg.adaptation.reasoning.policy.TOPIC_FEATURES`.
    """

    entity_id: int
    question: Tensor
    features: Tensor


@dataclass(frozen=True)
class QuestionPaths:
    """The paths that reach right answers, of those questions that have any.

    Args:
        questions: (U, d), what is asked, each once.
        topic_example: (T,) which example a topic belongs to, counting those reached.
        topic_question: (T,) which of `questions` is asked about it.
        topic_features: (T, F).
        topic: (P,) which topic a path starts from.
        log_mass: (P,) log of the share of the walkers on the path that arrive at right answers.
        directions: (P, H), filled up with −1.
        reached: how many examples have such a path.
    """

    questions: Tensor
    topic_example: Tensor
    topic_question: Tensor
    topic_features: Tensor
    topic: Tensor
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
        *,
        returns: bool = False,
    ) -> QuestionPaths:
        """Follow every path from the entities that each question may be about.

        Args:
            graph: the graph.
            topics: for each example, the entities it may be about.
            targets: for each example, its right answers.
            hops: H, the longest path.
            without: for each example, triples to treat as absent.
            returns: whether paths may come back to where they start.
        """
        asked: dict[bytes, int] = {}
        questions: list[Tensor] = []
        topic_example: list[int] = []
        topic_question: list[int] = []
        topic_features: list[Tensor] = []
        topic: list[int] = []
        log_mass, directions = [np.zeros(0)], [np.zeros((0, hops), dtype=np.int64)]
        reached = 0
        for candidates, target, absent in zip(topics, targets, without, strict=True):
            paths = []
            for candidate in candidates:
                walked = walk(graph, candidate.entity_id, hops, returns=returns, without=absent)
                right = np.isin(walked.entity, list(target))
                mass = np.bincount(walked.path[right], walked.mass[right], minlength=len(walked.directions))
                useful = np.argsort(-mass, kind="stable")[: min(PATHS_KEPT, int((mass > 0).sum()))]
                paths.append((walked.directions[useful], np.log(mass[useful])))
            if not any(len(found) for found, _ in paths):
                continue
            for candidate, (found, masses) in zip(candidates, paths, strict=True):
                key = candidate.question.numpy().tobytes()
                if key not in asked:
                    asked[key] = len(questions)
                    questions.append(candidate.question)
                topic += [len(topic_example)] * len(found)
                topic_example.append(reached)
                topic_question.append(asked[key])
                topic_features.append(candidate.features)
                directions.append(found)
                log_mass.append(masses)
            reached += 1
        return cls(
            torch.stack(questions) if questions else torch.zeros(0, 0),
            torch.tensor(topic_example, dtype=torch.long),
            torch.tensor(topic_question, dtype=torch.long),
            torch.stack(topic_features) if topic_features else torch.zeros(0, TOPIC_FEATURES),
            torch.tensor(topic, dtype=torch.long),
            torch.from_numpy(np.concatenate(log_mass)).float(),
            torch.from_numpy(np.concatenate(directions)),
            reached,
        )

    def loss(self, policy: QuestionPolicy, unanswerable: float) -> Tensor:
        """Return the mean over the examples reached of −log(ε + Σ P(topic) · P(path | q) · mass).

        The sum goes over the topics of an example and the paths from each to right answers.

        Args:
            policy: gives the probabilities.
            unanswerable: ε, the likelihood of an answer that the graph does not hold; it keeps far-fetched
                paths from being learned.
        """
        if not self.reached:
            return policy.direction_weight.sum() * 0
        log_direction = policy.log_directions(self.questions)
        log_hops = policy.log_hops(self.questions)
        logits = policy.topic_logits(self.questions[self.topic_question], self.topic_features)
        log_topic = logits - _log_sum_exp(logits, self.topic_example, self.reached)[self.topic_example]
        question = self.topic_question[self.topic]
        _, hops, width = log_direction.shape
        walked = self.directions >= 0
        place = (question[:, None] * hops + torch.arange(hops)) * width + self.directions.clamp_min(0)
        steps = log_direction.reshape(-1)[place] * walked
        length = walked.sum(dim=1) - 1
        score = steps.sum(dim=1) + log_hops[question, length] + self.log_mass + log_topic[self.topic]
        likelihood = _log_sum_exp(score, self.topic_example[self.topic], self.reached)
        return -torch.logaddexp(likelihood, likelihood.new_tensor(unanswerable).log()).mean()

    def fit(self, policy: QuestionPolicy, start: Tensor, examples: int, config: FewShotConfig) -> None:
        """Fit a policy by L-BFGS, held to the names of the directions.

        Args:
            policy: is fitted in place.
            start: (2R, d), where the weights of the directions start at every hop.
            examples: how many questions there are, reached or not.
            config: the regularisation and the number of steps.
        """
        policy.direction_weight.data = start.expand_as(policy.direction_weight).clone()
        policy.requires_grad_(True)
        counted = min(max(examples, REGULARISED_BELOW), REGULARISED_TO)
        strength = config.regularisation / len(start) * REGULARISED_BELOW / counted
        for unanswerable in UNANSWERABLE:
            optimizer = torch.optim.LBFGS(
                list(policy.parameters()), max_iter=10 * config.steps, line_search_fn="strong_wolfe"
            )

            def loss(
                optimizer: torch.optim.Optimizer = optimizer, unanswerable: float = unanswerable
            ) -> Tensor:
                optimizer.zero_grad()
                total = self.loss(policy, unanswerable) + strength * policy.distance(start)
                total.backward()  # type: ignore[no-untyped-call]
                return total

            with torch.enable_grad():
                optimizer.step(loss)  # type: ignore[no-untyped-call]
        policy.requires_grad_(False)


def _log_sum_exp(values: Tensor, group: Tensor, groups: int) -> Tensor:
    """Return log Σ exp of the values of each group, (groups,)."""
    top = values.new_full((groups,), -torch.inf).scatter_reduce(0, group, values.detach(), "amax")
    summed = values.new_zeros(groups).index_add(0, group, (values - top[group]).exp())
    return summed.log() + top
