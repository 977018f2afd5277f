"""The answer head: a question is answered with entities of the graph, and the path taken is the evidence.

The question chooses, hop by hop, a distribution over relations and directions, and how many hops to go. A
score moves from the entity that the question is about along the graph's edges, split evenly among the
edges of a relation; an answer's score is what arrives there. Only answers are needed for training, no
paths: the loss is the negative log of what arrives at the right answers, summed over every path and every
entity that the question may be about.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from roots_kg.adaptation import few_shot
from roots_kg.adaptation.few_shot import FewShotConfig
from roots_kg.adaptation.heads.base import Encode, Example, Head, Prediction
from roots_kg.adaptation.question_paths import QuestionPaths, Topic, path_scores
from roots_kg.adaptation.task import Record, Task, label_text
from roots_kg.errors import GraphError, TaskError
from roots_kg.fusion.encoder import EncodedTexts, Knowledge
from roots_kg.graph.paths import Paths, find_chain, walk
from roots_kg.graph.triples import Ids, KnowledgeGraph
from roots_kg.threads import one_thread

__all__ = ["AnswerHead"]

MAX_HOPS = 2
RANKED = 10
DIRECTIONS_TRIED = 8
LINK_SHARPNESS = 4.0
NOTHING = "(no answer)"


class AnswerHead(Head):
    """Entities that a question's relations lead to.

    log P(path | q) = log P(hops | q) + Σ_t log P_t(direction_t | q), each a softmax of scale · (z Wᵀ + b),
    with z the centred features of the question with the mention of the entity it is about replaced. W starts
    at the encoded relation names.
    """

    needs_knowledge = True
    reads_fusion = False
    reads_questions = True
    default_metrics = ("hits@1",)
    metric_names = ("hits@1", "answered", "with_evidence")

    direction_weight: Tensor
    direction_bias: Tensor
    hops_weight: Tensor
    hops_bias: Tensor
    centre: Tensor

    def __init__(
        self, task: Task, size: int, knowledge: Knowledge | None, settings: Mapping[str, Any] | None = None
    ) -> None:
        super().__init__(task, size, knowledge, settings)
        settings = settings or {}
        self.hops = int(settings.get("hops", MAX_HOPS))
        self.scale = float(settings.get("scale", 1.0))
        self.relations: list[str] = list(settings.get("relations", self.graph.relations))
        if self.relations != list(self.graph.relations):
            missing = sorted(set(self.relations) - set(self.graph.relations))
            raise GraphError(
                f"the graph's relations are not those the head was adapted to (missing: {missing[:5]})",
                hint="adapt the task again with this graph",
            )
        directions = 2 * len(self.relations)
        self.register_buffer("direction_weight", torch.zeros(self.hops, directions, 2 * size))
        self.register_buffer("direction_bias", torch.zeros(self.hops, directions))
        self.register_buffer("hops_weight", torch.zeros(self.hops, 2 * size))
        self.register_buffer("hops_bias", torch.zeros(self.hops))
        self.register_buffer("centre", torch.zeros(2 * size))

    def settings(self) -> dict[str, Any]:
        """Return the number of hops, the scale and the relations in their order."""
        return {"hops": self.hops, "scale": self.scale, "relations": self.relations}

    @property
    def graph(self) -> KnowledgeGraph:
        """The graph that is walked."""
        assert self.knowledge is not None
        return self.knowledge.graph

    def example(self, record: Record) -> Example:
        """Read {"text", "answers"}; answers are names or keys of entities of the graph."""
        record.refuse("topic", "the linker finds it in the text")
        answers = []
        for name in record.texts("answers"):
            try:
                answers.append(self.graph.entity_id(name))
            except GraphError as error:
                raise record.error(error.message, hint=error.hint) from error
        return Example(record.text("text"), frozenset(answers), record)

    def sample(self, examples: Sequence[Example], shots: int, seed: int) -> list[Example]:
        """Draw `shots` questions in all."""
        generator = torch.Generator().manual_seed(seed)
        chosen = torch.randperm(len(examples), generator=generator)[:shots]
        return [examples[index] for index in sorted(chosen.tolist())]

    def fit(self, support: Sequence[Example], encode: Encode, config: FewShotConfig) -> dict[str, Any]:
        """Find the paths that lead to the right answers, then learn which of them a question asks for."""
        encoded = encode([example.text for example in support])
        targets = [example.target for example in support]
        asked = torch.cat(encoded.questions)
        if len(asked):
            self.centre = asked.mean(dim=0)
        candidates = self._paths(encoded, targets, MAX_HOPS)
        if not candidates.reached:
            raise TaskError(
                "no answer can be reached from an entity that its question mentions",
                path=support[0].record.path,
                hint=f"answers must lie within {MAX_HOPS} edges of a linked entity",
            )
        self.hops = candidates.longest_needed()
        candidates = self._paths(encoded, targets, self.hops)
        names = [label_text(name) for name in self.relations]
        directions = encode([*names, *(f"{name} of" for name in names)]).features
        self.scale = config.scale
        start = few_shot.centred(directions, directions.mean(dim=0)).expand(self.hops, -1, -1)
        with one_thread():
            self._fit(candidates, start.clone(), config)
        return {
            "examples": len(support),
            "examples_reached": candidates.reached,
            "hops": self.hops,
        }

    def forward(self, encoded: EncodedTexts) -> Tensor:
        """Return, for every text, the score that arrives at each entity of the graph, (B, E)."""
        scores = torch.zeros(len(encoded.texts), self.graph.num_entities)
        for index in range(len(encoded.texts)):
            for walked in self._walks(encoded, index):
                ends = torch.from_numpy(walked.paths.entity)
                scores[index].index_add_(0, ends, torch.from_numpy(walked.arriving()).float())
        return scores

    def loss(self, encoded: EncodedTexts, targets: Sequence[Any]) -> Tensor:
        """Return the mean of −log of the score that arrives at the right answers; targets are sets of ids."""
        candidates = self._paths(encoded, targets, self.hops)
        return candidates.loss(
            self.direction_weight, self.direction_bias, self.hops_weight, self.hops_bias, self.scale
        )

    def decode(self, encoded: EncodedTexts) -> list[Prediction]:
        """Return the entity at which most arrives, with the triples of the path that brought most of it."""
        return [self._decode(encoded, index) for index in range(len(encoded.texts))]

    def support_of(self, encoded: EncodedTexts, value: str) -> list[float]:
        """Return the share of the score that arrives at the entity `value`, for each text."""
        if value == NOTHING:
            return [float(not self._walks(encoded, index)) for index in range(len(encoded.texts))]
        scores = self(encoded)
        share = scores[:, self.graph.entity_ids[value]] / scores.sum(dim=1).clamp_min(1e-30)
        return [float(value) for value in share]

    def display(self, value: str) -> str:
        """Return the name of the entity whose key is `value`."""
        ids = self.graph.entity_ids
        return self.graph.label(ids[value]) if value in ids else value

    def metrics(self, predictions: Sequence[Prediction], targets: Sequence[Any]) -> dict[str, float]:
        """Return Hits@1, the share of questions whose first answer is right, and how many had a path."""
        ids = self.graph.entity_ids
        right = [
            ids.get(found.value, -1) in target for found, target in zip(predictions, targets, strict=True)
        ]
        return {
            "hits@1": float(np.mean(right)),
            "answered": float(np.mean([found.value != NOTHING for found in predictions])),
            "with_evidence": float(np.mean([bool(found.evidence) for found in predictions])),
        }

    def _decode(self, encoded: EncodedTexts, index: int) -> Prediction:
        totals: dict[int, float] = {}
        best: dict[int, tuple[float, _Walked, int]] = {}
        for walked in self._walks(encoded, index):
            arriving = walked.arriving()
            for position, (entity, score) in enumerate(
                zip(walked.paths.entity.tolist(), arriving.tolist(), strict=True)
            ):
                totals[entity] = totals.get(entity, 0.0) + score
                if entity not in best or score > best[entity][0]:
                    best[entity] = (score, walked, position)
        if not totals:
            return Prediction(NOTHING, 1.0, ((NOTHING, 1.0),))
        total = sum(totals.values())
        ranked = sorted(totals, key=lambda entity: (-totals[entity], entity))[:RANKED]
        shares = tuple((self.graph.entities[entity], totals[entity] / total) for entity in ranked)
        score, walked, position = best[ranked[0]]
        directions = walked.paths.directions[walked.paths.path[position]]
        chain = find_chain(
            self.graph, walked.topic, directions[directions >= 0].tolist(), ranked[0], encoded.without[index]
        )
        return Prediction(*shares[0], shares, tuple((triple, score / total) for triple in chain))

    def _walks(self, encoded: EncodedTexts, index: int) -> list[_Walked]:
        walks = []
        for topic in self._topics(encoded, index):
            logits = self.scale * (self.direction_weight @ topic.question + self.direction_bias)
            log_direction = functional.log_softmax(logits, dim=1)
            log_hops = functional.log_softmax(
                self.scale * (self.hops_weight @ topic.question + self.hops_bias), dim=0
            )
            tried = min(DIRECTIONS_TRIED, log_direction.shape[1])
            likely = log_direction.topk(tried, dim=1).indices.numpy()
            allowed: list[Ids | None] = [
                None,
                *likely[1:],
            ]  # the first hop is cheap, and trying all of it always finds a path
            paths = walk(
                self.graph, topic.entity_id, self.hops, allowed=allowed, without=encoded.without[index]
            )
            probability = np.exp(path_scores(paths.directions, log_direction.numpy(), log_hops.numpy()))
            if len(paths.entity):
                walks.append(_Walked(topic.entity_id, paths, topic.prior * probability))
        return walks

    def _topics(self, encoded: EncodedTexts, index: int) -> list[Topic]:
        topics = []
        questions = few_shot.centred(encoded.questions[index], self.centre)
        for mention, question in zip(encoded.mentions[index], questions, strict=False):
            share = 1 / len(mention.candidates)
            for link in mention.candidates:
                topics.append(Topic(link.entity_id, share * link.score**LINK_SHARPNESS, question))
        return topics

    def _paths(self, encoded: EncodedTexts, targets: Sequence[Any], hops: int) -> QuestionPaths:
        topics = [self._topics(encoded, index) for index in range(len(encoded.texts))]
        return QuestionPaths.collect(self.graph, topics, targets, hops, encoded.without)

    def _fit(self, candidates: QuestionPaths, start: Tensor, config: FewShotConfig) -> None:
        weight = start.clone().requires_grad_()
        bias = start.new_zeros(start.shape[:2]).requires_grad_()
        hops_weight = start.new_zeros(self.hops, start.shape[2]).requires_grad_()
        hops_bias = start.new_zeros(self.hops).requires_grad_()
        parameters = [weight, bias, hops_weight, hops_bias]
        optimizer = torch.optim.LBFGS(parameters, max_iter=5 * config.steps, line_search_fn="strong_wolfe")
        strength = config.regularisation / start.shape[1]

        def loss() -> Tensor:
            optimizer.zero_grad()
            held = (weight - start).square().sum() + hops_weight.square().sum()
            total = candidates.loss(weight, bias, hops_weight, hops_bias, self.scale) + strength * held
            total.backward()  # type: ignore[no-untyped-call]
            return total

        with torch.enable_grad():
            optimizer.step(loss)  # type: ignore[no-untyped-call]
        self.direction_weight, self.direction_bias = weight.detach(), bias.detach()
        self.hops_weight, self.hops_bias = hops_weight.detach(), hops_bias.detach()


@dataclass(frozen=True)
class _Walked:
    """The walks from one topic, and how probable each of their paths is."""

    topic: int
    paths: Paths
    probability: NDArray[np.float64]

    def arriving(self) -> NDArray[np.float64]:
        """Return the score that arrives at each end, (n,)."""
        result: NDArray[np.float64] = self.paths.mass * self.probability[self.paths.path]
        return result
