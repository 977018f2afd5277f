"""TransE: a vector for every entity and relation such that h + r ≈ t for a true triple.

Bordes et al. 2013, "Translating Embeddings for Modeling Multi-relational Data" (NeurIPS). The distance
is Euclidean and comes out of a matrix product, ‖q − c‖² = ‖q‖² + ‖c‖² − 2 q·c, so that one query is
compared with many candidates at the speed of the matrix product. Training is by softmax over negatives
that the whole batch shares, as in "Old Dog, New Tricks" (Ruffinelli et al. 2020), with candidates that
are known to be true left out.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.optim import Optimizer

from roots_kg.graph.triples import KnowledgeGraph

__all__ = ["RowwiseAdagrad", "TransE", "TransEConfig", "TrueAnswers", "transe_loss"]


@dataclass(frozen=True)
class TransEConfig:
    """How TransE is trained.

    Args:
        dimension: the size k of a vector.
        epochs: passes over the triples.
        batch_size: triples in a step.
        negatives: entities drawn in a step, shared by all its triples and by both sides.
        learning_rate: the first step's, falling linearly to 0.
        initial_scale: entries of the vectors start uniform in ± this / √k.
        temperature: distances are multiplied by this before the softmax.
        reciprocal: learn a second vector for each relation, from tail to head, in place of −r (Lacroix et
            al. 2018, arXiv:1806.07297).
        norm: 2 for the Euclidean distance (a matrix product); 1 for the sum of absolute differences, which
            costs about 20 times as much.
        seed: of the initial vectors, the order of the triples and the negatives.
    """

    dimension: int = 128
    epochs: int = 10
    batch_size: int = 512
    negatives: int = 512
    learning_rate: float = 0.1
    initial_scale: float = 1.0
    temperature: float = 4.0
    reciprocal: bool = True
    norm: int = 2
    seed: int = 0

    def __post_init__(self) -> None:
        for name in (
            "dimension",
            "epochs",
            "batch_size",
            "negatives",
            "learning_rate",
            "initial_scale",
            "temperature",
        ):
            if not 0 < getattr(self, name) < math.inf:
                raise ValueError(f"{name} must be above 0, found {getattr(self, name)}")
        if self.norm not in (1, 2):
            raise ValueError(f"norm must be 1 or 2, found {self.norm}")


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
    ) -> None:
        super().__init__()
        self.norm = norm
        bound = initial_scale / dimension**0.5
        self.entity = nn.Embedding(num_entities, dimension, sparse=True)
        self.relation = nn.Embedding(num_relations, dimension, sparse=True)
        self.inverse = nn.Embedding(num_relations, dimension, sparse=True) if reciprocal else None
        for table in self.parameters():
            nn.init.uniform_(table, -bound, bound, generator=generator)

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
    squares = (candidates * candidates).sum(dim=1) - 2 * (queries @ candidates.T)
    return (squares + (queries * queries).sum(dim=1, keepdim=True)).clamp_min(1e-6).sqrt()


class TrueAnswers:
    """For every query of a graph's own triples, all the entities that answer it.

    Args:
        graph: the triples; query number i asks for the tail of triple i, query number T + i for its head.
    """

    def __init__(self, graph: KnowledgeGraph) -> None:
        tail_keys = graph.head_id * graph.num_relations + graph.relation_id
        head_keys = (
            graph.tail_id * graph.num_relations + graph.relation_id + graph.num_entities * graph.num_relations
        )
        keys = np.concatenate([tail_keys, head_keys])
        answers = np.concatenate([graph.tail_id, graph.head_id])
        order = np.argsort(keys, kind="stable")
        distinct, group = np.unique(keys, return_inverse=True)
        self.group = torch.from_numpy(group)
        self.start = torch.from_numpy(
            np.searchsorted(keys[order], np.append(distinct, keys.max(initial=0) + 1))
        )
        self.answers = torch.from_numpy(answers[order])

    def among(self, queries: Tensor, column: Tensor) -> tuple[Tensor, Tensor]:
        """Find the true answers of some queries among some candidates.

        Args:
            queries: (B,) numbers of queries.
            column: (E,) the position of each entity among the candidates, or -1.

        Returns:
            Rows (position in `queries`) and columns of the candidates that are true answers.
        """
        group = self.group[queries]
        first, count = self.start[group], self.start[group + 1] - self.start[group]
        row = torch.repeat_interleave(count)
        within = torch.arange(len(row)) - torch.repeat_interleave(count.cumsum(0) - count, count)
        found = column[self.answers[first[row] + within]]
        kept = found >= 0
        return row[kept], found[kept]


def transe_loss(
    model: TransE,
    head_id: Tensor,
    relation_id: Tensor,
    tail_id: Tensor,
    candidates: Tensor,
    known: tuple[Tensor, Tensor],
    temperature: float,
) -> Tensor:
    """The softmax loss of a batch over shared negatives, tails and heads together.

    −log exp(−τ d(q, a)) / (exp(−τ d(q, a)) + Σ_c exp(−τ d(q, c))), where q is h + r with answer t, or t − r
    with answer h, and c runs over the candidates that are not known to answer q.

    Args:
        model: the vectors.
        head_id: (B,).
        relation_id: (B,).
        tail_id: (B,).
        candidates: (N,) distinct entities.
        known: rows of the 2B queries (tails first) and columns of the candidates that answer them.
        temperature: τ.

    Returns:
        The mean over the 2B queries.
    """
    head, tail = model.entity(head_id), model.entity(tail_id)
    queries = torch.cat([model.tail_queries(head, relation_id), model.head_queries(tail, relation_id)])
    answers = torch.cat([tail, head])
    negative = distances(queries, model.entity(candidates)).index_put(known, queries.new_tensor(torch.inf))
    squares = (answers * answers).sum(1) - 2 * (queries * answers).sum(1) + (queries * queries).sum(1)
    positive = squares.clamp_min(1e-6).sqrt()
    logits = -temperature * torch.cat([positive[:, None], negative], dim=1)
    return functional.cross_entropy(logits, torch.zeros(len(logits), dtype=torch.long, device=logits.device))


class RowwiseAdagrad(Optimizer):
    """Adagrad with one accumulator a row, for sparse gradients of embedding tables.

    s_i ← s_i + mean(g_i²), w_i ← w_i − lr · g_i / (√s_i + ε), for the rows i that have a gradient.
    Duchi et al. 2011; the row-wise form is that of Naumov et al. 2019 (arXiv:1906.00091).

    Args:
        params: embedding tables, (rows, k) each.
        lr: the learning rate.
        eps: keeps the division finite.
    """

    def __init__(self, params: Iterable[Tensor], lr: float = 0.1, eps: float = 1e-10) -> None:
        super().__init__(params, {"lr": lr, "eps": eps})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> Any:
        """Take one step; a parameter's gradient may be sparse or dense."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            for table in group["params"]:
                if table.grad is None:
                    continue
                state = self.state[table]
                if not state:
                    state["squares"] = torch.zeros(len(table), device=table.device)
                gradient = (table.grad if table.grad.is_sparse else table.grad.to_sparse(1)).coalesce()
                rows, values = gradient.indices()[0], gradient.values()
                squares = state["squares"].index_add_(0, rows, values.square().mean(dim=1))
                scale = group["lr"] / (squares[rows].sqrt() + group["eps"])
                table.index_add_(0, rows, values * scale[:, None], alpha=-1)
        return loss
