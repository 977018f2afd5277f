"""Where an edge that the graph lacks would lead: TransE, what is frequent, and clues from answered questions.

C_d(e' | e) = softmax over the candidates of −γ_d ‖q_d(e) − e'‖ + β_d log(n_d(e') + c) + ω_d · φ(e, d,
e'), where q_d(e) is where TransE expects the far end (h + r, or t − r), n_d(e') counts the edges in
direction d that lead to e', and φ counts the clues (see `clues`). Candidates are the entities to which d
leads somewhere in the graph, and those of directions that share a good part of their ends with it, such
as the directors among writers.

The weights are fitted to questions whose path breaks off at an entity without an edge, a question's own
clues left out; those of a direction are held to the weights that fit all directions best. With an
augmentation, those of a direction are fitted to virtual questions too, which break off at other vectors
than those of entities.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from roots_kg.adaptation.reasoning.clues import CLUE_FEATURES, BrokenPath, Clues
from roots_kg.fusion.augmentation import WEIGHT, Augmentation, Linked, make_augmentation
from roots_kg.fusion.encoder import Knowledge
from roots_kg.graph.paths import direction_numbers
from roots_kg.graph.triples import Ids

__all__ = ["Completion"]

START = (2.0, 0.5, *[1.0] * (CLUE_FEATURES // 2), *[0.5] * (CLUE_FEATURES // 2))
"""γ, β and ω before anything is fitted."""

SMOOTHING = 0.3
"""c, what an entity counts to which no edge in the direction leads."""

SHARED_ENDS = 0.2
"""Of another direction's ends, so many must be ends of this one too for the rest to be candidates."""

LISTED = 10
FITTED_A_DIRECTION, FITTED_TOGETHER = 250, 400
NEGATIVES = 4096
HOLD_TO_START, HOLD_TO_SHARED = 0.002, 0.005
FIT_STEPS = 25


class Completion(nn.Module):
    """Says where missing edges would lead.

    Args:
        knowledge: the graph and its vectors.
        clues: what answered questions say, summed.
        rows: how many clues and how many entities in them a saved completion has.
        relations: of a saved completion, those of the graph that it was fitted on, in their order there.
    """

    def __init__(
        self,
        knowledge: Knowledge,
        clues: Clues | None = None,
        rows: tuple[int, int] = (0, 0),
        relations: Sequence[str] | None = None,
    ) -> None:
        super().__init__()
        self.knowledge = knowledge
        graph = knowledge.graph
        self._relations = list(graph.relations if relations is None else relations)
        self._numbers = direction_numbers(graph.relations, self._relations)
        self.register_buffer("weight", torch.tensor(START).repeat(2 * len(self._relations), 1))
        if clues is None:
            named = torch.zeros(rows[1], dtype=torch.int64)
            owner, end, direction = torch.zeros(3, rows[0], dtype=torch.int32).unbind()
            feature = torch.zeros(rows[0], CLUE_FEATURES, dtype=torch.half)
        else:
            entity, directions = np.divmod(clues.key, 2 * graph.num_relations)
            ids, places = np.unique(np.concatenate([entity, clues.end]), return_inverse=True)
            hashes = [_hash(graph.entities[index]) for index in ids.tolist()]
            named = torch.tensor(hashes, dtype=torch.int64)
            owner, end = torch.from_numpy(places.reshape(2, -1).astype(np.int32)).unbind()
            direction = torch.from_numpy(directions.astype(np.int32))
            feature = torch.from_numpy(clues.feature).half()
        self.register_buffer("clue_entities", named)
        self.register_buffer("clue_owner", owner)
        self.register_buffer("clue_end", end)
        self.register_buffer("clue_direction", direction)
        self.register_buffer("clue_feature", feature)
        self._clues = clues
        self._ends: dict[int, tuple[Ids, Ids]] = {}
        self._candidates: dict[int, _Candidates] = {}
        self._found: dict[tuple[int, int], tuple[Ids, NDArray[np.float64]]] = {}

    weight: Tensor
    clue_entities: Tensor
    clue_owner: Tensor
    clue_end: Tensor
    clue_direction: Tensor
    clue_feature: Tensor

    @property
    def rows(self) -> tuple[int, int]:
        """How many clues there are, and how many entities in them."""
        return len(self.clue_owner), len(self.clue_entities)

    def complete(self, entities: Ids, direction: int) -> tuple[Ids, Ids, NDArray[np.float64]]:
        """Complete the edges of entities in a direction.

        Returns:
            For each end listed, the position of its entity in `entities`, the end, and its probability.
        """
        new = [entity for entity in entities.tolist() if (entity, direction) not in self._found]
        if new:
            self._complete(new, direction)
        found = [self._found[entity, direction] for entity in entities.tolist()]
        owner = np.repeat(np.arange(len(found)), [len(ends) for ends, _ in found])
        return owner, np.concatenate([ends for ends, _ in found]), np.concatenate([p for _, p in found])

    def fit(
        self, broken: Sequence[BrokenPath], clues: Clues, seed: int = 0, augmentation: str = "none"
    ) -> None:
        """Fit the weights to questions whose path breaks off; of each direction, a sample.

        Args:
            broken: the questions.
            clues: what all questions say, not summed.
            seed: of the sample.
            augmentation: how virtual questions are made of them, see `roots_kg.fusion.augmentation`.

        Raises:
            ConfigError: if there is no such augmentation.
        """
        generator = np.random.default_rng(seed)
        augmenting = make_augmentation(augmentation, self.knowledge.bundle.transe.entity.weight, seed)
        by_direction: dict[int, list[_Example]] = {}
        for index in generator.permutation(len(broken)).tolist():
            example = broken[index]
            chosen = by_direction.setdefault(example.direction, [])
            if len(chosen) < FITTED_A_DIRECTION and (made := self._example(example, clues, generator)):
                chosen.append(made)
        start = torch.tensor(START)
        everything = [example for chosen in by_direction.values() for example in chosen]
        picked = generator.permutation(len(everything))[:FITTED_TOGETHER].tolist()
        shared = _fit([everything[index] for index in picked], start, HOLD_TO_START)
        self.weight = shared.repeat(len(self.weight), 1)
        for direction, examples in by_direction.items():
            fitted = _fit(examples, shared, HOLD_TO_SHARED)
            virtual = self._virtual(direction, examples, fitted, augmenting) if examples else []
            self.weight[direction] = _fit(examples, shared, HOLD_TO_SHARED, virtual) if virtual else fitted
        self._found.clear()

    def _virtual(
        self, direction: int, examples: Sequence[_Example], weight: Tensor, augmentation: Augmentation
    ) -> list[_Example]:
        """Return virtual questions: other vectors, and perhaps other answers, but the same clues."""
        candidates = self._candidates_of(direction)
        size = len(examples), len(candidates.ids)
        shown, right = torch.zeros(size, dtype=torch.bool), torch.zeros(size, dtype=torch.bool)
        clues = torch.zeros(size)
        for row, example in enumerate(examples):
            shown[row, example.shown] = True
            right[row, example.shown[example.right]] = True
            clues[row].index_add_(0, example.place, example.feature @ weight[2:])
        entity_ids = torch.tensor([example.entity for example in examples])
        vectors = self.knowledge.bundle.transe.entity.weight.detach()[entity_ids]
        linked = Linked(vectors, torch.arange(len(examples)), entity_ids)

        def loss(linked: Linked) -> Tensor:
            distance = self._distance(linked.vectors, direction, candidates.ids)
            scores = weight[1] * candidates.popularity + clues - weight[0] * distance
            every, answers = (
                scores.masked_fill(~chosen[linked.targets], -torch.inf).logsumexp(dim=1)
                for chosen in (shown, right)
            )
            return (every - answers).mean()

        with torch.enable_grad():
            virtual = augmentation.virtual(linked, loss)
        if virtual is None:
            return []
        made = []
        for example, vector, other in zip(examples, virtual.vectors, virtual.targets.tolist(), strict=True):
            at, truth = examples[other].shown, examples[other].right
            distance = self._distance(vector[None], direction, candidates.ids[at.numpy()])[0]
            counted = torch.zeros(size[1], CLUE_FEATURES).index_add_(0, example.place, example.feature)
            inputs = torch.cat(
                [torch.stack([-distance, candidates.popularity[at]], dim=1), counted[at]], dim=1
            )
            made.append(replace(example, inputs=inputs, shown=at, right=truth))
        return made

    def _complete(self, entities: list[int], direction: int) -> None:
        candidates = self._candidates_of(direction)
        distance = self._distance(self._vectors(entities), direction, candidates.ids)
        weight = self.weight[self._numbers[direction]]
        scores = -weight[0] * distance + weight[1] * candidates.popularity
        for row, entity in enumerate(entities):
            ends, feature = self._clues_about(entity, direction)
            scores[row, candidates.places(ends)] += feature @ weight[2:]
            scores[row, candidates.places(np.array([entity]))] = -torch.inf
        shares, best = scores.softmax(dim=1).topk(min(LISTED, scores.shape[1]), dim=1)
        for row, entity in enumerate(entities):
            listed = shares[row] > 0
            ends = candidates.ids[best[row][listed].numpy()]
            self._found[entity, direction] = ends, shares[row][listed].double().numpy()

    def _example(self, broken: BrokenPath, clues: Clues, generator: np.random.Generator) -> _Example | None:
        candidates = self._candidates_of(broken.direction)
        rows = clues.about(broken.entity * 2 * self.knowledge.graph.num_relations + broken.direction)
        others = clues.question[rows] != broken.question
        ends, feature = clues.end[rows][others], torch.from_numpy(clues.feature[rows][others])
        right = candidates.places(np.array(sorted(broken.answers), dtype=np.int64))
        if not len(right):
            return None
        place = candidates.places(ends)
        counted = torch.zeros(len(candidates.ids), CLUE_FEATURES)
        counted.index_add_(0, torch.from_numpy(place), feature)
        shown = np.arange(len(candidates.ids))
        if len(shown) > NEGATIVES:
            drawn = generator.choice(len(shown), NEGATIVES, replace=False)
            shown = np.unique(np.concatenate([drawn, right, place]))
        shown = shown[candidates.ids[shown] != broken.entity]
        at = torch.from_numpy(shown)
        near = self._vectors([broken.entity])
        distance = self._distance(near, broken.direction, candidates.ids[shown])[0]
        inputs = torch.cat([torch.stack([-distance, candidates.popularity[at]], dim=1), counted[at]], dim=1)
        return _Example(
            inputs=inputs,
            right=torch.from_numpy(np.isin(shown, right)),
            entity=broken.entity,
            shown=at,
            place=torch.from_numpy(place),
            feature=feature,
        )

    def _vectors(self, entities: list[int]) -> Tensor:
        return self.knowledge.bundle.transe.entity.weight[entities]

    def _distance(self, near: Tensor, direction: int, candidates: Ids) -> Tensor:
        """Return how far candidates are from where TransE expects the far end, (n, k) to (n, C)."""
        transe, relations = self.knowledge.bundle.transe, self.knowledge.graph.num_relations
        relation = torch.full((len(near),), direction % relations)
        backwards = direction >= relations
        query = transe.head_queries(near, relation) if backwards else transe.tail_queries(near, relation)
        return torch.cdist(query, transe.entity.weight[torch.from_numpy(candidates)], float(transe.norm))

    def _clues_about(self, entity: int, direction: int) -> tuple[Ids, Tensor]:
        clues = self._summed()
        rows = clues.about(entity * 2 * self.knowledge.graph.num_relations + direction)
        return clues.end[rows], torch.from_numpy(clues.feature[rows])

    def _summed(self) -> Clues:
        if self._clues is None:
            self._clues = self._restored()
        return self._clues

    def _restored(self) -> Clues:
        """Return the saved clues in the ids of this graph; what it does not know is left out."""
        graph = self.knowledge.graph
        wanted = set(self.clue_entities.tolist())
        by_hash: Mapping[int, int] = {
            number: index for index, key in enumerate(graph.entities) if (number := _hash(key)) in wanted
        }
        ids = np.array([by_hash.get(number, -1) for number in self.clue_entities.tolist()], dtype=np.int64)
        owner, end = ids[self.clue_owner.numpy()], ids[self.clue_end.numpy()]
        direction = direction_numbers(self._relations, graph.relations)[self.clue_direction.numpy()]
        key = owner * 2 * graph.num_relations + direction
        kept = np.nonzero((owner >= 0) & (end >= 0) & (direction >= 0))[0]
        kept = kept[np.argsort(key[kept], kind="stable")]
        return Clues(key[kept], end[kept], np.full(len(kept), -1), self.clue_feature.float().numpy()[kept])

    def _candidates_of(self, direction: int) -> _Candidates:
        if direction not in self._candidates:
            ids, counts = self._ends_of(direction)
            found = [ids, self._clue_ends(direction)]
            for other in range(2 * self.knowledge.graph.num_relations):
                theirs = self._ends_of(other)[0]
                if np.isin(theirs, ids).sum() > SHARED_ENDS * len(theirs):
                    found.append(theirs)
            everything = np.unique(np.concatenate(found))
            popularity = np.full(len(everything), SMOOTHING)
            popularity[np.searchsorted(everything, ids)] += counts
            self._candidates[direction] = _Candidates(
                everything, torch.from_numpy(np.log(popularity)).float()
            )
        return self._candidates[direction]

    def _ends_of(self, direction: int) -> tuple[Ids, Ids]:
        """Return the entities to which edges in a direction lead, ascending, and how many lead to each."""
        if direction not in self._ends:
            graph = self.knowledge.graph
            members = graph.relation_id == direction % graph.num_relations
            far = graph.tail_id if direction < graph.num_relations else graph.head_id
            self._ends[direction] = np.unique(far[members], return_counts=True)
        return self._ends[direction]

    def _clue_ends(self, direction: int) -> Ids:
        clues = self._summed()
        ends: Ids = clues.end[clues.key % (2 * self.knowledge.graph.num_relations) == direction]
        return ends


@dataclass(frozen=True)
class _Candidates:
    """The entities to which edges of a direction may lead, ascending, and log(n + c) of each."""

    ids: Ids
    popularity: Tensor

    def places(self, entities: Ids) -> Ids:
        """Return the positions of those entities that are candidates."""
        place = np.searchsorted(self.ids, entities)
        kept: Ids = place[np.append(self.ids, -1)[place] == entities]
        return kept


@dataclass(frozen=True)
class _Example:
    """A question whose path breaks off, and the candidates that are shown of it.

    Args:
        inputs: (C, 2 + F) features of the candidates shown.
        right: (C,) which of them are right.
        entity: where the path breaks off.
        shown: (C,) the positions of the candidates.
        place: (n,) the positions of those that clues are about, with repetitions.
        feature: (n, F) the clues.
    """

    inputs: Tensor
    right: Tensor
    entity: int
    shown: Tensor
    place: Tensor
    feature: Tensor


def _fit(
    examples: Sequence[_Example], start: Tensor, strength: float, virtual: Sequence[_Example] = ()
) -> Tensor:
    """Minimise the mean of −log Σ_right softmax(x · w) plus strength · ‖w − start‖² by L-BFGS.

    Where there are virtual examples, the mean is over both, a virtual one counting `WEIGHT`.
    """
    if not examples:
        return start
    weight = start.clone().requires_grad_()
    optimizer = torch.optim.LBFGS([weight], max_iter=FIT_STEPS, line_search_fn="strong_wolfe")
    count = len(examples) + WEIGHT * len(virtual)
    weighed = [(example, count) for example in examples]
    weighed += [(example, count / WEIGHT) for example in virtual]

    def loss() -> Tensor:
        optimizer.zero_grad()
        total = strength * (weight - start).square().sum()
        for example, share in weighed:
            scores = functional.log_softmax(example.inputs @ weight, dim=0)
            total = total - scores[example.right].logsumexp(dim=0) / share
        total.backward()  # type: ignore[no-untyped-call]
        return total

    with torch.enable_grad():
        optimizer.step(loss)  # type: ignore[no-untyped-call]
    return weight.detach()


def _hash(key: str) -> int:
    """Return a number for an entity's key by which it is known again in another graph."""
    return int.from_bytes(hashlib.sha256(key.encode()).digest()[:8], "big", signed=True)
