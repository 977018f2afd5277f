"""TransE: a vector for every entity and relation such that h + r ≈ t for a true triple.

Bordes et al. 2013, "Translating Embeddings for Modeling Multi-relational Data" (NeurIPS). The Euclidean
distance comes out of a matrix product, ‖q − c‖² = ‖q‖² + ‖c‖² − 2 q·c, so that one query is compared with
many candidates at the speed of the matrix product.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn

from roots_kg.graph.tables import MakeTable, table_in_memory

__all__ = ["TransE", "TransEConfig", "distances"]

_ABOVE_ZERO = (
    "dimension",
    "epochs",
    "batch_size",
    "negatives",
    "learning_rate",
    "initial_scale",
    "temperature",
    "margin",
    "validate_every",
)
_CHOICES: dict[str, tuple[Any, ...]] = {
    "norm": (1, 2),
    "loss": ("softmax", "self_adversarial"),
    "sampling": ("uniform", "bernoulli", "typed"),
}


@dataclass(frozen=True)
class TransEConfig:
    """How TransE is trained.

    Args:
        kind: "transe".
        dimension: the size k of a vector.
        epochs: passes over the triples.
        batch_size: triples in a step.
        negatives: entities drawn in a step, shared by all its triples and by both sides.
        sampling: "uniform" draws negatives from all entities, for both sides of every triple; "bernoulli"
            corrupts one side of a triple, the one that gives fewer false negatives more often (Wang et al.
            2014, TransH); "typed" lets only entities count that the relation has on that side somewhere.
        filtered: leave out negatives that are known to be true.
        loss: "softmax" (Ruffinelli et al. 2020) or "self_adversarial" (Sun et al. 2019, RotatE).
        learning_rate: the first step's, falling linearly to 0.
        initial_scale: entries of the vectors start uniform in ± this / √k.
        temperature: τ; the losses see τ times the distance.
        weight_decay: λ of the penalty λ/2 ‖e‖² on the entities of a step, whose loss is a mean over queries.
        margin: γ of the self-adversarial loss, in units of τ times the distance.
        reciprocal: learn a second vector for each relation, from tail to head, in place of −r (Lacroix et
            al. 2018, arXiv:1806.07297).
        norm: 2 for the Euclidean distance (a matrix product); 1 for the sum of absolute differences, which
            costs about 20 times as much.
        validate_every: epochs between two looks at the validation triples, where there are some.
        patience: stop after this many looks without a better MRR, and keep the best vectors; 0 never stops.
        seed: of the initial vectors, the order of the triples and the negatives.
    """

    kind: Literal["transe"] = "transe"
    dimension: int = 128
    epochs: int = 10
    batch_size: int = 512
    negatives: int = 512
    sampling: Literal["uniform", "bernoulli", "typed"] = "uniform"
    filtered: bool = True
    loss: Literal["softmax", "self_adversarial"] = "softmax"
    learning_rate: float = 0.1
    initial_scale: float = 1.0
    temperature: float = 4.0
    weight_decay: float = 0.0
    margin: float = 9.0
    reciprocal: bool = True
    norm: int = 2
    validate_every: int = 1
    patience: int = 0
    seed: int = 0

    def __post_init__(self) -> None:
        for name in _ABOVE_ZERO:
            if not 0 < getattr(self, name) < math.inf:
                raise ValueError(f"{name} must be above 0, found {getattr(self, name)}")
        for name, choices in _CHOICES.items():
            if getattr(self, name) not in choices:
                listed = " or ".join(map(str, choices))
                raise ValueError(f"{name} must be {listed}, found {getattr(self, name)!r}")
        for name in ("patience", "weight_decay"):
            if not 0 <= getattr(self, name) < math.inf:
                raise ValueError(f"{name} must be at least 0, found {getattr(self, name)}")


class TransE(nn.Module):
    """The vectors of a graph's entities and relations.

    Args:
        num_entities: E.
        num_relations: R.
        dimension: k.
        reciprocal: keep a vector of its own for each relation from tail to head.
        norm: 2 for the Euclidean distance, 1 for the sum of absolute differences.
        initial_scale: see `TransEConfig`.
        generator: draws the initial vectors.
        make_table: says where the vectors lie; in memory, by default.
    """

    def __init__(
        self,
        num_entities: int,
        num_relations: int,
        dimension: int,
        *,
        reciprocal: bool = False,
        norm: int = 2,
        initial_scale: float = 1.0,
        generator: torch.Generator | None = None,
        make_table: MakeTable = table_in_memory,
    ) -> None:
        super().__init__()
        self.norm = norm
        bound = initial_scale / dimension**0.5
        self.entity = make_table("entity", num_entities, dimension, bound, generator)
        self.relation = make_table("relation", num_relations, dimension, bound, generator)
        self.inverse = (
            make_table("inverse", num_relations, dimension, bound, generator) if reciprocal else None
        )

    @property
    def num_entities(self) -> int:
        """E."""
        return self.entity.num_rows

    @property
    def num_relations(self) -> int:
        """R."""
        return self.relation.num_rows

    def tail_queries(self, head: Tensor, relation_id: Tensor) -> Tensor:
        """Return h + r, where the tail should be: vectors (B, k) and ids (B,) give (B, k)."""
        query: Tensor = head + self.relation(relation_id)
        return query

    def head_queries(self, tail: Tensor, relation_id: Tensor) -> Tensor:
        """Return t − r (or t + r′ with reciprocal relations), where the head should be, (B, k)."""
        query: Tensor = (
            tail - self.relation(relation_id) if self.inverse is None else tail + self.inverse(relation_id)
        )
        return query

    @torch.no_grad()
    def translations(self) -> Tensor:
        """Return, for each direction, what takes the far end of an edge to the near one, (2R, k).

        Row r is for an edge walked from head to tail: t − r (or t + r′) is where the head should be. Row
        r + R is for one walked from tail to head.
        """
        relation = self.relation.weight
        return torch.cat([-relation if self.inverse is None else self.inverse.weight, relation])


def distances(queries: Tensor, candidates: Tensor, norm: int = 2) -> Tensor:
    """Return the distance of each query to each candidate.

    The square of a Euclidean distance is kept away from zero, where the root has no derivative.

    Args:
        queries: (B, k).
        candidates: (N, k).
        norm: 2 for the Euclidean distance, 1 for the sum of absolute differences.

    Returns:
        (B, N).
    """
    if norm == 1:
        return torch.cdist(queries, candidates, p=1.0)
    squares = torch.addmm((candidates * candidates).sum(dim=1), queries, candidates.T, alpha=-2)
    return (squares + (queries * queries).sum(dim=1, keepdim=True)).clamp_min(1e-6).sqrt()
