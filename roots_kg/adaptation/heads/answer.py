"""The answer head: a question is answered with entities of the graph, and the path taken is the evidence.

The question chooses, hop by hop, a distribution over relations and directions, how many hops to go, and which
of the entities that it mentions it is about. A score moves from there along the graph's edges; an answer's
score is what arrives there. Only answers are needed for training, no paths: the loss is the negative log of
what arrives at the right answers, summed over every path and every entity that the question may be about.
Where the answers show that the graph lacks edges, it is learned where those would lead, and the score moves
on along them.
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

from roots_kg.adaptation import few_shot, sample_tasks
from roots_kg.adaptation.few_shot import FewShotConfig
from roots_kg.adaptation.heads.base import Encode, Example, Head, Prediction
from roots_kg.adaptation.reasoning.clues import ReadQuestion, gather_clues
from roots_kg.adaptation.reasoning.completion import Completion
from roots_kg.adaptation.reasoning.flow import Flow, flow
from roots_kg.adaptation.reasoning.policy import LINK_SHARPNESS, QuestionPolicy
from roots_kg.adaptation.reasoning.question_paths import UNANSWERABLE, QuestionPaths, Topic
from roots_kg.adaptation.task import Record, Task, label_text
from roots_kg.errors import GraphError, TaskError
from roots_kg.fusion.encoder import EncodedTexts, Knowledge, MarkedText, Text
from roots_kg.graph.linking import Link, Mention
from roots_kg.graph.paths import direction_numbers
from roots_kg.graph.triples import Ids, KnowledgeGraph
from roots_kg.threads import one_thread

__all__ = ["AnswerHead"]

MAX_HOPS = 3
RANKED = 10
NOTHING = "(no answer)"

PATHS_LEARNED_FROM, LENGTH_CHOSEN_FROM = 8000, 300
"""How many questions paths are looked for, and how many to see how long they need to be."""

REACHED = 0.995
"""Paths are long enough once so many questions are reached."""

RETURNING = 0.005
"""Paths may come back to their topic if so many of the questions are answered by their own topic."""

SURE = 0.5
"""A training question says something of the graph if its path is at least so probable."""

INCOMPLETE, FEWEST_BROKEN = 0.05, 5
"""The graph is completed if so many of the questions are not reached, and so many show what is missing."""


class AnswerHead(Head):
    """Entities that a question's relations lead to.

    log P(path | q) = log P(topic | q) + log P(hops | q) + Σ_t log P_t(direction_t | q), see
    `roots_kg.adaptation.reasoning.policy`, on the centred features of the question with the mention of the
    entity it is about replaced. The weights of the directions start at the encoded relation names.
    """

    needs_knowledge = True
    reads_texts = False
    reads_fusion = False
    reads_questions = True
    default_metrics = ("hits@1",)
    metric_names = ("hits@1", "answered", "with_evidence")
    sample_task = sample_tasks.ANSWER

    centre: Tensor

    def __init__(
        self, task: Task, size: int, knowledge: Knowledge | None, settings: Mapping[str, Any] | None = None
    ) -> None:
        super().__init__(task, size, knowledge, settings)
        assert knowledge is not None
        settings = settings or {}
        self.relations: list[str] = list(settings.get("relations", self.graph.relations))
        missing = sorted(set(self.relations) - set(self.graph.relations))
        if missing:
            raise GraphError(
                f"the graph's relations are not those the head was adapted to (missing: {missing[:5]})",
                hint="adapt the task again with this graph",
            )
        self._numbers = torch.from_numpy(direction_numbers(self.graph.relations, self.relations))
        self.policy = QuestionPolicy(
            int(settings.get("hops", MAX_HOPS)),
            2 * len(self.relations),
            2 * size,
            float(settings.get("scale", 1.0)),
        )
        self.returns = bool(settings.get("returns", False))
        rows = settings.get("completion")
        self.completion: Completion | None = None
        if rows is not None:
            self.completion = Completion(knowledge, rows=tuple(rows), relations=self.relations)
        self.register_buffer("centre", torch.zeros(2 * size))

    def settings(self) -> dict[str, Any]:
        """Return the path's length, the scale, the relations in order, and the completion's size."""
        return {
            "hops": self.policy.hops,
            "scale": self.policy.scale,
            "relations": self.relations,
            "returns": self.returns,
            "completion": None if self.completion is None else list(self.completion.rows),
        }

    @property
    def graph(self) -> KnowledgeGraph:
        """The graph that is walked."""
        assert self.knowledge is not None
        return self.knowledge.graph

    @property
    def reads_vectors(self) -> bool:
        """Whether missing edges are completed, for which the vectors are read."""
        return self.completion is not None

    def text(self, record: Record) -> Text:
        """Read {"text"}, and "topic" if the entity that the question is about is given."""
        text = record.text("text")
        return text if "topic" not in record.fields else self._about(text, record)

    def example(self, record: Record) -> Example:
        """Read {"text", "answers"} and perhaps "topic"; entities are given by name or key."""
        answers = [self._entity(name, record) for name in record.texts("answers")]
        return Example(self.text(record), frozenset(answers), record)

    def sample(self, examples: Sequence[Example], shots: int, seed: int) -> list[Example]:
        """Draw `shots` questions in all."""
        return [examples[index] for index in few_shot.sample_any(len(examples), shots, seed)]

    def fit(self, support: Sequence[Example], encode: Encode, config: FewShotConfig) -> dict[str, Any]:
        """Learn which paths questions ask for, and what their answers say about edges that are missing."""
        encoded = encode([example.text for example in support], read=False)
        targets = [example.target for example in support]
        asked = torch.cat(encoded.questions)
        if len(asked):
            self.centre = asked.mean(dim=0)
        topics = self._topics(encoded)
        own = [
            any(topic.entity_id in target for topic in candidates)
            for candidates, target in zip(topics, targets, strict=True)
        ]
        self.returns = sum(own) >= max(1.0, RETURNING * len(own))
        order = np.random.default_rng(0).permutation(len(support))
        paths, hops = self._paths_needed(topics, targets, order[:LENGTH_CHOSEN_FROM].tolist())
        if not paths.reached:
            raise TaskError(
                "no answer can be reached from an entity that its question mentions",
                path=support[0].record.path,
                hint=f"answers must lie within {MAX_HOPS} edges of a linked entity",
            )
        if len(order) > LENGTH_CHOSEN_FROM:
            paths = self._paths(topics, targets, hops, sorted(order[:PATHS_LEARNED_FROM].tolist()))
        names = [label_text(name) for name in self.relations]
        directions = encode([*names, *(f"{name} of" for name in names)]).features
        start = few_shot.centred(directions, directions.mean(dim=0))
        self.policy = QuestionPolicy(hops, len(directions), 2 * self.size, config.scale)
        with one_thread():
            paths.fit(self.policy, start, len(support), config)
            completed = self._complete(topics, targets, config.augmentation)
        return {
            "examples": len(support),
            "examples_looked_at": min(len(support), PATHS_LEARNED_FROM),
            "examples_reached": paths.reached,
            "hops": hops,
            **completed,
        }

    def forward(self, encoded: EncodedTexts) -> Tensor:
        """Return, for every text, the score that arrives at each entity of the graph, (B, E)."""
        scores = torch.zeros(len(encoded.texts), self.graph.num_entities)
        for index, flows in enumerate(self._flows(encoded)):
            for moving in flows:
                ends, arriving = moving.flow.arriving()
                scores[index, torch.from_numpy(ends)] += torch.from_numpy(moving.prior * arriving).float()
        return scores

    def loss(self, encoded: EncodedTexts, targets: Sequence[Any]) -> Tensor:
        """Return the mean of −log of the score that arrives at the right answers; targets are sets of ids."""
        topics = self._topics(encoded)
        paths = QuestionPaths.collect(
            self.graph, topics, targets, self.policy.hops, encoded.without, returns=self.returns
        )
        return paths.loss(self.policy, UNANSWERABLE[-1])

    def decode(self, encoded: EncodedTexts) -> list[Prediction]:
        """Return the entity at which most arrives, with the triples of the path that brought most of it."""
        return [self._decode(flows) for flows in self._flows(encoded)]

    def support_of(self, encoded: EncodedTexts, value: str) -> list[float]:
        """Return the share of the score that arrives at the entity `value`, for each text."""
        shares = []
        for flows in self._flows(encoded):
            totals, total = _totals(flows)
            if value == NOTHING:
                shares.append(float(not totals))
            else:
                shares.append(totals.get(self.graph.entity_ids[value], 0.0) / max(total, 1e-30))
        return shares

    def value_of(self, target: Any) -> str | None:
        """Return the key of one of the entities that are right."""
        return self.graph.entities[min(target)] if target else None

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

    def _entity(self, name: str, record: Record) -> int:
        try:
            return self.graph.entity_id(name)
        except GraphError as error:
            raise record.error(error.message, hint=error.hint) from error

    def _about(self, text: str, record: Record) -> MarkedText:
        """Return a text with its given topic, found in it by the longest of its names, if at all."""
        entity_id = self._entity(record.text("topic"), record)
        key = self.graph.entities[entity_id]
        names = sorted({key, *self.graph.aliases.get(key, ())}, key=lambda name: (-len(name), name))
        folded = text.casefold()
        start, end = 0, 0
        if len(folded) == len(text):  # else the positions would not be those of the text
            for name in names:
                if name and (place := folded.find(name.casefold())) >= 0:
                    start, end = place, place + len(name.casefold())
                    break
        return MarkedText(text, (Mention((Link(start, end, text[start:end], entity_id, 1.0),)),))

    def _topics(self, encoded: EncodedTexts) -> list[list[Topic]]:
        start = self.graph.adjacency.start
        result = []
        for mentions, questions in zip(encoded.mentions, encoded.questions, strict=True):
            topics = []
            for mention, question in zip(mentions, few_shot.centred(questions, self.centre), strict=False):
                for link in mention.candidates:
                    score = np.log(link.score) - np.log(len(mention.candidates)) / LINK_SHARPNESS
                    degree = np.log1p(start[link.entity_id + 1] - start[link.entity_id])
                    length = np.log1p(link.end - link.start)
                    features = torch.tensor([score, degree, length], dtype=torch.float32)
                    topics.append(Topic(link.entity_id, question, features))
            result.append(topics)
        return result

    def _paths(
        self, topics: Sequence[Sequence[Topic]], targets: Sequence[Any], hops: int, chosen: Sequence[int]
    ) -> QuestionPaths:
        return QuestionPaths.collect(
            self.graph,
            [topics[index] for index in chosen],
            [targets[index] for index in chosen],
            hops,
            [()] * len(chosen),
            returns=self.returns,
        )

    def _paths_needed(
        self, topics: Sequence[Sequence[Topic]], targets: Sequence[Any], chosen: Sequence[int]
    ) -> tuple[QuestionPaths, int]:
        """Return the paths of some questions, and the fewest hops by which nearly all of them are reached."""
        linked = sum(bool(topics[index]) for index in chosen)
        best = None
        for hops in range(1, MAX_HOPS + 1):
            paths = self._paths(topics, targets, hops, chosen)
            if best is None or paths.reached > best[0].reached:
                best = paths, hops
            if paths.reached >= REACHED * linked:
                break
        assert best is not None
        return best

    def _complete(
        self, topics: Sequence[Sequence[Topic]], targets: Sequence[Any], augmentation: str
    ) -> dict[str, Any]:
        """Learn where missing edges lead, if questions show that some are missing."""
        assert self.knowledge is not None
        read = self._read(topics, targets)
        gathered = gather_clues(self.graph, read, returns=self.returns)
        incomplete = gathered.unreached >= INCOMPLETE * len(read) and len(gathered.broken) >= FEWEST_BROKEN
        self.completion = None
        if incomplete:
            self.completion = Completion(self.knowledge, gathered.clues.summed())
            self.completion.fit(gathered.broken, gathered.clues, augmentation=augmentation)
        return {
            "unreached": gathered.unreached / max(len(read), 1),
            "missing_edges_completed": incomplete,
            "clues": self.completion.rows[0] if self.completion else 0,
        }

    def _read(self, topics: Sequence[Sequence[Topic]], targets: Sequence[Any]) -> list[ReadQuestion]:
        """Return those questions of which it is plain what they ask for."""
        read = []
        for candidates, target in zip(topics, targets, strict=True):
            if not candidates:
                continue
            questions = torch.stack([topic.question for topic in candidates])
            features = torch.stack([topic.features for topic in candidates])
            prior, best = self.policy.topic_logits(questions, features).softmax(dim=0).max(dim=0)
            question = questions[best][None]
            step, direction = self.policy.log_directions(question)[0].max(dim=1)
            length, hops = (self.policy.log_hops(question)[0] + step.cumsum(dim=0)).max(dim=0)
            if float(prior * length.exp()) >= SURE:
                path = tuple(direction[: int(hops) + 1].tolist())
                read.append(ReadQuestion(candidates[int(best)].entity_id, path, frozenset(target)))
        return read

    def _flows(self, encoded: EncodedTexts) -> list[list[_Moving]]:
        """Let scores move from the topics of each text."""
        complete = self.completion.complete if self.completion is not None else None
        topics = self._topics(encoded)
        flat = [topic for candidates in topics for topic in candidates]
        if not flat:
            return [[] for _ in topics]
        questions = torch.stack([topic.question for topic in flat])
        logits = self.policy.topic_logits(questions, torch.stack([topic.features for topic in flat]))
        known = functional.pad(self.policy.log_directions(questions).exp(), (0, 1))  # 0 for what is not known
        directions = known[:, :, self._numbers].double().numpy()
        lengths = self.policy.log_hops(questions).exp().double().numpy()
        result: list[list[_Moving]] = []
        position = 0
        for index, candidates in enumerate(topics):
            flows = []
            rows = range(position, position + len(candidates))
            priors = logits[position : position + len(candidates)].softmax(dim=0).tolist()
            for topic, row, prior in zip(candidates, rows, priors, strict=True):
                moving = flow(
                    self.graph,
                    topic.entity_id,
                    directions[row],
                    lengths[row],
                    complete=complete,
                    returns=self.returns,
                    without=encoded.without[index],
                )
                if moving.hops:
                    flows.append(_Moving(moving, prior))
            position += len(candidates)
            result.append(flows)
        return result

    def _decode(self, flows: Sequence[_Moving]) -> Prediction:
        totals, total = _totals(flows)
        if not totals:
            return Prediction(NOTHING, 1.0, ((NOTHING, 1.0),))
        ranked = sorted(totals, key=lambda entity: (-totals[entity], entity))[:RANKED]
        shares = tuple((self.graph.entities[entity], totals[entity] / max(total, 1e-30)) for entity in ranked)
        best, score = max(
            ((moving, moving.score_at(ranked[0])) for moving in flows), key=lambda pair: pair[1]
        )
        weight = max(score, 0.0) / max(total, 1e-30)
        steps = best.flow.chain(ranked[0])
        relations = self.graph.num_relations
        inferred = tuple(
            (*((step.end, step.direction - relations, step.start) if step.direction >= relations
               else (step.start, step.direction, step.end)), weight)
            for step in steps if step.triple < 0
        )  # fmt: skip
        evidence = tuple((step.triple, weight) for step in steps if step.triple >= 0)
        return Prediction(*shares[0], shares, evidence, inferred)


@dataclass(frozen=True)
class _Moving:
    """The scores of a question about one topic, and how probable that topic is."""

    flow: Flow
    prior: float

    def score_at(self, entity: int) -> float:
        """Return the score that arrives at an entity, −1 if it is not reached."""
        ends, arriving = self.flow.arriving()
        place = int(np.searchsorted(ends, entity))
        found = place < len(ends) and ends[place] == entity
        return self.prior * float(arriving[place]) if found else -1.0


def _totals(flows: Sequence[_Moving]) -> tuple[dict[int, float], float]:
    """Return the score that arrives at each entity, and all of it, with what was spread too thin to list."""
    if not flows:
        return {}, 0.0
    found: list[tuple[Ids, NDArray[np.float64]]] = [
        (ends, moving.prior * arriving) for moving in flows for ends, arriving in [moving.flow.arriving()]
    ]
    ends = np.concatenate([part for part, _ in found])
    scores = np.concatenate([part for _, part in found])
    entities, merged = np.unique(ends, return_inverse=True)
    totals = np.bincount(merged, weights=scores, minlength=len(entities))
    spread = sum(moving.prior * moving.flow.spread for moving in flows)
    return dict(zip(entities.tolist(), totals.tolist(), strict=True)), float(totals.sum() + spread)
