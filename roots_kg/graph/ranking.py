"""Filtered link prediction: for each test triple, the rank of the true tail and of the true head.

Every other entity that is known to answer the query is left out ("filtered", Bordes et al. 2013). Equal
scores share the mean of the ranks they occupy, so that a model that scores everything alike ranks in the
middle and not first ("realistic" in Berrendorf et al. 2020, arXiv:2002.06914).

Each distinct query is compared once with every entity, however many test triples ask it; `EntityShard` splits
the entities over processes, whose counts of better entities add up to the ranks.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from roots_kg.graph.counting import BLOCK, answer_scores, count_better, require_finite, sums_of_squares
from roots_kg.graph.parallel import in_order
from roots_kg.graph.sharding import ShardedTable, shard_rows
from roots_kg.graph.tables import Table
from roots_kg.graph.transe import TransE
from roots_kg.graph.triples import Ids

__all__ = [
    "EntityShard",
    "RankingMetrics",
    "count_candidates",
    "filtered_ranks",
    "ranking_metrics",
]

Triples = tuple[Ids, Ids, Ids]

KNOWN_AT_ONCE = 4_000_000


@dataclass(frozen=True)
class RankingMetrics:
    """What the ranks say.

    Args:
        mrr: the mean of 1/rank.
        hits_at_1: the share of ranks at most 1, and likewise for 3 and 10.
        mean_rank: the mean of the ranks.
        amri: the adjusted mean rank index, 1 for a perfect model and 0 for a random one, which can be
            compared between graphs of any size (Berrendorf et al. 2020); None where the numbers of candidates
            are not given, or where no query has two.
        queries: how many ranks there are.
    """

    mrr: float
    hits_at_1: float
    hits_at_3: float
    hits_at_10: float
    mean_rank: float
    amri: float | None
    queries: int


def ranking_metrics(ranks: Tensor, candidates: Tensor | None = None) -> RankingMetrics:
    """Summarise ranks.

    Args:
        ranks: (Q,) each at least 1 and possibly fractional.
        candidates: (Q,) how many entities each was ranked among, as `count_candidates` tells.
    """
    ranks = ranks.double()
    one, three, ten = (float((ranks <= k).double().mean()) for k in (1, 3, 10))
    mean_rank, amri = float(ranks.mean()), None
    if candidates is not None:
        by_chance = float((candidates.double() + 1).mean()) / 2
        amri = 1 - (mean_rank - 1) / (by_chance - 1) if by_chance > 1 else None
    return RankingMetrics(float(ranks.reciprocal().mean()), one, three, ten, mean_rank, amri, len(ranks))


@dataclass(frozen=True)
class EntityShard:
    """The rows of the entity table that one process holds, and how to reach the others.

    Every process counts the better and the equal entities among its own rows; the sums are the ranks.

    Args:
        vectors: (N, k).
        rows: the ids of these entities, in their order.
        num_entities: E, over all processes.
        look_up: gives the vectors (B, k) of ids (B,), whoever holds them; it is called from one thread, in
            the same order and with the same ids on every process.
        total: sums a tensor over all processes.
    """

    vectors: Tensor
    rows: range
    num_entities: int
    look_up: Callable[[Tensor], Tensor]
    total: Callable[[Tensor], Tensor]

    @classmethod
    def whole(cls, vectors: Tensor) -> EntityShard:
        """Return the shard of a process that holds the whole table, (E, k)."""
        return cls(vectors, range(len(vectors)), len(vectors), lambda ids: vectors[ids], lambda part: part)

    @classmethod
    def of(cls, table: Table) -> EntityShard:
        """Return what this process holds of a table."""
        if isinstance(table, ShardedTable):
            vectors, rows = table.weight.detach(), shard_rows(table.num_rows, table.group)
            return cls(vectors, rows, table.num_rows, table, table.total)
        return cls.whole(table.weight.detach())

    def holds(self, ids: Ids) -> NDArray[np.bool_]:
        """Tell which of the entities `ids` are here."""
        held: NDArray[np.bool_] = (ids >= self.rows.start) & (ids < self.rows.stop)
        held &= (ids - self.rows.start) % self.rows.step == 0
        return held

    def places(self, ids: Ids) -> Ids:
        """Return where in `vectors` entities are that are here."""
        return (ids - self.rows.start) // self.rows.step


@torch.no_grad()
def filtered_ranks(
    model: TransE,
    test: Triples,
    known: Sequence[Triples],
    *,
    shard: EntityShard | None = None,
    progress: Callable[[int], None] | None = None,
) -> Tensor:
    """Rank the true tail and the true head of each test triple among all entities.

    Args:
        model: the vectors.
        test: head, relation and tail ids of the test triples, (T,) each. An entity or relation that the
            model does not know is -1: such a query gets the rank that a random guess expects, (E + 1) / 2.
        known: further true triples, to be left out of the ranking; the test triples always are.
        shard: the entities that this process holds, by default of the model's own table; several processes
            give the same test and known triples, and each receives all ranks.
        progress: called with the number of queries done since the last call.

    Returns:
        (2T,) ranks, tails first.

    Raises:
        GraphError: if a vector holds something that is not a finite number.
    """
    if shard is None:
        shard = EntityShard.of(model.entity)
    squares = sums_of_squares(shard.vectors)
    require_finite(shard.total(squares.sum()))
    ranks = []
    for is_tail in (True, False):
        side = _Side.of(test, known, is_tail, model.num_relations)
        ranks.append(_side_ranks(model, shard, squares, side, progress))
    return torch.cat(ranks)


def count_candidates(test: Triples, known: Sequence[Triples], num_entities: int) -> Tensor:
    """Count the entities among which `filtered_ranks` ranks each answer, itself included.

    Args:
        test: head, relation and tail ids of the test triples, (T,) each.
        known: further true triples.
        num_entities: E.

    Returns:
        (2T,) counts, tails first.
    """
    num_relations = 1 + max(int(ids[1].max(initial=0)) for ids in (test, *known))
    counts = np.full((2, len(test[0])), num_entities)
    for row, is_tail in zip(counts, (True, False), strict=True):
        side = _Side.of(test, known, is_tail, num_relations)
        left_out = np.bincount(side.known_row, minlength=len(side.anchor)) - 1
        row[side.place] -= left_out[side.row]
    return torch.from_numpy(counts.reshape(-1))


@dataclass(frozen=True)
class _Side:
    """One side of the test triples: U distinct queries, their P test answers and n known answers.

    The anchor is the entity that a query gives, (U,). Answers are in the order of their queries; `place` is
    where in the test a triple stands, and a triple with something unknown is left out.
    """

    is_tail: bool
    triples: int
    anchor: Ids
    relation: Ids
    row: Ids
    answer: Ids
    place: Ids
    known_row: Ids
    known_answer: Ids

    @classmethod
    def of(cls, test: Triples, known: Sequence[Triples], is_tail: bool, num_relations: int) -> _Side:
        place = np.flatnonzero((test[0] >= 0) & (test[1] >= 0) & (test[2] >= 0))
        anchor, relation, answer = _columns(tuple(ids[place] for ids in test), is_tail)
        keys, row = np.unique(anchor * num_relations + relation, return_inverse=True)
        order = np.argsort(row, kind="stable")
        found = [np.stack([row, answer])]
        for part in known:
            for begin in range(0, len(part[0]), KNOWN_AT_ONCE):
                columns = _columns(tuple(ids[begin : begin + KNOWN_AT_ONCE] for ids in part), is_tail)
                found.append(_answers_to(keys, columns, num_relations))
        known_row, known_answer = np.concatenate(found, axis=1)
        width = 1 + int(known_answer.max(initial=0))
        known_row, known_answer = np.divmod(np.unique(known_row * width + known_answer), width)
        return cls(
            is_tail,
            len(test[0]),
            keys // num_relations,
            keys % num_relations,
            row[order],
            answer[order],
            place[order],
            known_row,
            known_answer,
        )


def _columns(triples: tuple[Ids, ...], is_tail: bool) -> Triples:
    """Return anchor, relation and answer."""
    head, relation, tail = (ids.astype(np.int64, copy=False) for ids in triples)
    return (head, relation, tail) if is_tail else (tail, relation, head)


def _answers_to(keys: Ids, columns: Triples, num_relations: int) -> Ids:
    """Return, of some triples, those that answer one of the sorted queries: (2, n) query and answer."""
    anchor, relation, answer = columns
    own = anchor * num_relations + relation
    row = np.searchsorted(keys, own)
    asked = (anchor >= 0) & (relation >= 0) & (answer >= 0) & (row < len(keys))
    asked[asked] = keys[row[asked]] == own[asked]
    return np.stack([row[asked], answer[asked]])


def _side_ranks(
    model: TransE,
    shard: EntityShard,
    squares: Tensor,
    side: _Side,
    progress: Callable[[int], None] | None,
) -> Tensor:
    ranks = torch.full((side.triples,), (shard.num_entities + 1) / 2, dtype=torch.float64)
    counts = []
    for counted in in_order(_chunks(model, shard, squares, side)):
        counts.append(counted)
        if progress is not None:
            progress(counted.shape[1])
    if counts:
        better, equal = shard.total(torch.cat(counts, dim=1)).cpu()
        ranks[torch.from_numpy(side.place)] = 1 + better + equal / 2
    if progress is not None:
        progress(side.triples - len(side.place))
    return ranks


def _chunks(
    model: TransE, shard: EntityShard, squares: Tensor, side: _Side
) -> Iterator[Callable[[], Tensor]]:
    """Yield, for every `BLOCK` queries, a function that counts what beats their answers."""
    device = shard.vectors.device
    ask = model.tail_queries if side.is_tail else model.head_queries
    for begin in range(0, len(side.anchor), BLOCK):
        part = slice(begin, begin + BLOCK)
        anchor, relation = (torch.from_numpy(ids[part]).to(device) for ids in (side.anchor, side.relation))
        queries = ask(shard.look_up(anchor), relation)
        first, last = np.searchsorted(side.row, (begin, begin + BLOCK))
        row = torch.from_numpy(side.row[first:last] - begin).to(device)
        answer = side.answer[first:last]
        mine = torch.from_numpy(np.flatnonzero(shard.holds(answer))).to(device)
        column = torch.from_numpy(shard.places(answer)).to(device)[mine]
        scores = queries.new_zeros(len(row))
        scores[mine] = answer_scores(queries, row[mine], shard.vectors, column, model.norm)
        scores = shard.total(scores)
        require_finite(scores)
        first, last = np.searchsorted(side.known_row, (begin, begin + BLOCK))
        here = first + np.flatnonzero(shard.holds(side.known_answer[first:last]))
        left_out = (side.known_row[here] - begin, shard.places(side.known_answer[here]))
        yield partial(count_better, queries, row, scores, left_out, shard.vectors, squares, model.norm)
