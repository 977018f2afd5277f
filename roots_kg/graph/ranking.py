"""Filtered link prediction: for each test triple, the rank of the true tail and of the true head.

Every other entity that is known to answer the query is left out ("filtered", Bordes et al. 2013). Equal
scores share the mean of the ranks they occupy, so that a model that scores everything alike ranks in the
middle and not first ("realistic" in Berrendorf et al. 2020, arXiv:2002.06914).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from roots_kg.graph.transe import TransE, distances
from roots_kg.graph.triples import Ids

__all__ = ["RankingMetrics", "filtered_ranks", "ranking_metrics"]

Triples = tuple[Ids, Ids, Ids]


@dataclass(frozen=True)
class RankingMetrics:
    """What the ranks say, over both sides of every test triple.

    Args:
        mrr: the mean of 1/rank.
        hits_at_1: the share of ranks at most 1, and likewise for 3 and 10.
        mean_rank: the mean of the ranks.
        queries: how many ranks there are, two a triple.
    """

    mrr: float
    hits_at_1: float
    hits_at_3: float
    hits_at_10: float
    mean_rank: float
    queries: int


def ranking_metrics(ranks: Tensor) -> RankingMetrics:
    """Summarise ranks, (Q,), each at least 1 and possibly fractional."""
    ranks = ranks.double()
    one, three, ten = (float((ranks <= k).double().mean()) for k in (1, 3, 10))
    return RankingMetrics(float(ranks.reciprocal().mean()), one, three, ten, float(ranks.mean()), len(ranks))


@torch.inference_mode()
def filtered_ranks(
    model: TransE,
    test: Triples,
    known: Sequence[Triples],
    *,
    chunk_size: int = 512,
    progress: Callable[[int], None] | None = None,
) -> Tensor:
    """Rank the true tail and the true head of each test triple among all entities.

    Args:
        model: the vectors.
        test: head, relation and tail ids of the test triples, (T,) each. An entity or relation that the
            model does not know is -1: such a query gets the rank that a random guess expects, (E + 1) / 2.
        known: further true triples, to be left out of the ranking; the test triples always are.
        chunk_size: queries at a time; E × chunk_size distances are held at once.
        progress: called with the number of queries done since the last call.

    Returns:
        (2T,) ranks, tails first.
    """
    entities = model.entity.weight
    head, relation, tail = (torch.from_numpy(np.ascontiguousarray(ids)) for ids in test)
    columns = [np.concatenate(ids) for ids in zip(test, *known, strict=True)]
    ranks = []
    for is_tail in (True, False):
        anchor, answer = (head, tail) if is_tail else (tail, head)
        true_keys, true_answers = _sorted_answers(columns, is_tail, model.relation.num_embeddings)
        for begin in range(0, len(head), chunk_size):
            chunk = slice(begin, begin + chunk_size)
            rows = (anchor[chunk], relation[chunk], answer[chunk])
            ranks.append(_rank_chunk(model, entities, rows, true_keys, true_answers, is_tail))
            if progress is not None:
                progress(len(rows[0]))
    return torch.cat(ranks) if ranks else torch.zeros(0)


def _rank_chunk(
    model: TransE,
    entities: Tensor,
    rows: tuple[Tensor, Tensor, Tensor],
    true_keys: Ids,
    true_answers: Ids,
    is_tail: bool,
) -> Tensor:
    anchor, relation, answer = rows
    usable = (anchor >= 0) & (relation >= 0) & (answer >= 0)
    ranks = torch.full((len(anchor),), (len(entities) + 1) / 2)
    if not usable.any():
        return ranks
    anchor, relation, answer = anchor[usable], relation[usable], answer[usable]
    device = entities.device
    vectors = entities[anchor.to(device)]
    queries = (model.tail_queries if is_tail else model.head_queries)(vectors, relation.to(device))
    scores = distances(queries, entities).cpu()
    keys = (anchor * model.relation.num_embeddings + relation).numpy()
    first, last = np.searchsorted(true_keys, keys, "left"), np.searchsorted(true_keys, keys, "right")
    count = last - first
    row = np.repeat(np.arange(len(keys)), count)
    position = np.arange(len(row)) - np.repeat(np.cumsum(count) - count, count) + np.repeat(first, count)
    true_score = scores.gather(1, answer[:, None])
    scores[torch.from_numpy(row), torch.from_numpy(true_answers[position])] = torch.inf
    better = (scores < true_score).sum(dim=1)
    equal = (scores == true_score).sum(dim=1)
    ranks[usable] = 1 + better + equal / 2
    return ranks


def _sorted_answers(columns: Sequence[Ids], is_tail: bool, num_relations: int) -> tuple[Ids, Ids]:
    """Return the queries' keys, sorted, and the answer beside each."""
    anchor, answer = (columns[0], columns[2]) if is_tail else (columns[2], columns[0])
    usable = (columns[0] >= 0) & (columns[1] >= 0) & (columns[2] >= 0)
    keys = (anchor * num_relations + columns[1])[usable]
    order = np.argsort(keys, kind="stable")
    return keys[order], answer[usable][order]
