"""Filtered ranks are those of a plain search over all entities."""

import numpy as np
import pytest
import torch

from roots_kg.graph.ranking import filtered_ranks, ranking_metrics
from roots_kg.graph.transe import TransE

E, R = 9, 2


def whole_number_model(seed):
    """A model whose distances are roots of small whole numbers, so that many are exactly equal."""
    model = TransE(E, R, 2, reciprocal=bool(seed % 2))
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for table in model.parameters():
            table.copy_(torch.randint(-1, 2, table.shape, generator=generator))
    return model


def some_triples(seed, count):
    draw = np.random.default_rng(seed)
    triples = np.unique(np.stack([draw.integers(n, size=count) for n in (E, R, E)], axis=1), axis=0)
    return tuple(np.ascontiguousarray(draw.permutation(triples).T))


def brute_force(model, test, known):
    facts = {tuple(map(int, fact)) for part in (test, *known) for fact in zip(*part, strict=True)}
    vectors = model.entity.weight.detach()
    ranks = []
    for is_tail in (True, False):
        for head, relation, tail in zip(*map(np.ndarray.tolist, test), strict=True):
            anchor, answer = (head, tail) if is_tail else (tail, head)
            query = model.tail_queries if is_tail else model.head_queries
            point = query(vectors[anchor], torch.tensor(relation)).detach()
            scores = (vectors - point).square().sum(1).tolist()
            rivals = [
                score
                for entity, score in enumerate(scores)
                if entity != answer
                and ((head, relation, entity) if is_tail else (entity, relation, tail)) not in facts
            ]
            better = sum(score < scores[answer] for score in rivals)
            equal = sum(score == scores[answer] for score in rivals)
            ranks.append(1 + better + equal / 2)
    return ranks


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("chunk_size", [1, 3, 512])
def test_ranks_are_those_of_a_search_with_ties_sharing_their_mean(seed, chunk_size):
    model = whole_number_model(seed)
    test, known = some_triples(seed, 12), [some_triples(seed + 100, 20), some_triples(seed + 200, 5)]
    ranks = filtered_ranks(model, test, known, chunk_size=chunk_size)
    assert ranks.tolist() == brute_force(model, test, known)
    assert any(rank % 1 for rank in ranks.tolist())


def test_other_true_answers_do_not_push_the_right_one_down():
    model = TransE(3, 1, 1)
    with torch.no_grad():
        model.entity.weight.copy_(torch.tensor([[0.0], [1.0], [2.0]]))
        model.relation.weight.copy_(torch.tensor([[1.0]]))
    test = tuple(np.array([number]) for number in (0, 0, 2))
    nearer = tuple(np.array([number]) for number in (0, 0, 1))
    assert filtered_ranks(model, test, [])[0] == 2.5
    assert filtered_ranks(model, test, [nearer])[0] == 1.5


def test_a_query_with_something_unknown_gets_the_rank_of_a_guess():
    model = whole_number_model(0)
    test = tuple(np.array(column) for column in ([0, -1, 0, 0], [0, 0, -1, 0], [1, 1, 1, -1]))
    known = tuple(np.array([-1, 0, -1]) for _ in range(3))
    ranks = filtered_ranks(model, test, [known])
    assert ranks[[1, 2, 3, 5, 6, 7]].tolist() == [(E + 1) / 2] * 6
    alone = tuple(column[:1] for column in test)
    assert ranks[[0, 4]].tolist() == filtered_ranks(model, alone, [tuple(ids[1:2] for ids in known)]).tolist()


def test_a_model_that_scores_everything_alike_ranks_in_the_middle():
    model = TransE(11, 1, 2)
    with torch.no_grad():
        for table in model.parameters():
            table.zero_()
    test = tuple(np.array([number]) for number in (3, 0, 5))
    assert filtered_ranks(model, test, []).tolist() == [6.0, 6.0]


def test_no_test_triples_give_no_ranks():
    nothing = tuple(np.zeros(0, dtype=np.int64) for _ in range(3))
    assert filtered_ranks(whole_number_model(0), nothing, []).shape == (0,)


def test_progress_counts_every_query():
    done = []
    filtered_ranks(whole_number_model(0), some_triples(0, 7), [], chunk_size=2, progress=done.append)
    assert sum(done) == 2 * len(some_triples(0, 7)[0])


def test_metrics_are_means_over_the_ranks():
    metrics = ranking_metrics(torch.tensor([1.0, 1.5, 3.0, 4.0, 10.0, 20.0]))
    assert metrics.mrr == pytest.approx((1 + 1 / 1.5 + 1 / 3 + 1 / 4 + 1 / 10 + 1 / 20) / 6)
    assert (metrics.hits_at_1, metrics.hits_at_3, metrics.hits_at_10) == pytest.approx((1 / 6, 3 / 6, 5 / 6))
    assert metrics.mean_rank == pytest.approx(39.5 / 6)
    assert metrics.queries == 6
