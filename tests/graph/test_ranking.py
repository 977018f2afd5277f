"""Filtered ranks are those of a plain search over all entities."""

import functools
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from roots_kg.errors import GraphError
from roots_kg.graph import counting, ranking
from roots_kg.graph.ranking import EntityShard, count_candidates, filtered_ranks, ranking_metrics
from roots_kg.graph.transe import TransE

E, R = 9, 2


def whole_number_model(seed, norm=2, entities=E):
    """A model whose distances are (roots of) small whole numbers, so that many are exactly equal."""
    model = TransE(entities, R, 2, reciprocal=bool(seed % 2), norm=norm)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for table in model.parameters():
            table.copy_(torch.randint(-1, 2, table.shape, generator=generator))
    return model


def some_triples(seed, count, entities=E):
    draw = np.random.default_rng(seed)
    columns = [draw.integers(n, size=count) for n in (entities, R, entities)]
    return tuple(np.ascontiguousarray(draw.permutation(np.unique(np.stack(columns, axis=1), axis=0)).T))


def large_case():
    """A graph of more entities and queries than are compared at a time."""
    known = [some_triples(1, 2000, entities=800)]
    return whole_number_model(0, entities=800), some_triples(0, 500, entities=800), known


def brute_force(model, test, known):
    facts = {tuple(map(int, fact)) for part in (test, *known) for fact in zip(*part, strict=True)}
    vectors = model.entity.weight.detach()
    ranks = []
    for is_tail in (True, False):
        for head, relation, tail in zip(*map(np.ndarray.tolist, test), strict=True):
            anchor, answer = (head, tail) if is_tail else (tail, head)
            query = model.tail_queries if is_tail else model.head_queries
            point = query(vectors[anchor], torch.tensor(relation)).detach()
            difference = vectors - point
            scores = (difference.abs() if model.norm == 1 else difference.square()).sum(1).tolist()
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


@pytest.fixture
def small_blocks(monkeypatch):
    """Four queries and four entities at a time, so that a small graph fills several blocks and a part."""
    monkeypatch.setattr(ranking, "BLOCK", 4)
    monkeypatch.setattr(counting, "BLOCK", 4)


@pytest.mark.usefixtures("small_blocks")
@pytest.mark.parametrize("norm", [1, 2])
@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1), tested=st.integers(1, 30), sizes=st.lists(st.integers(0, 30), max_size=2)
)
def test_ranks_are_those_of_a_search_with_ties_sharing_their_mean(norm, seed, tested, sizes):
    model = whole_number_model(seed, norm)
    test, *known = (some_triples(seed + part, size) for part, size in enumerate((tested, *sizes)))
    assert filtered_ranks(model, test, known).tolist() == brute_force(model, test, known)


def test_there_are_ties_in_the_search_above():
    model = whole_number_model(0)
    assert any(rank % 1 for rank in filtered_ranks(model, some_triples(0, 12), []).tolist())


@pytest.mark.parametrize("threads", [1, 3])
def test_ranks_are_the_same_on_any_number_of_threads(threads):
    model, test, known = large_case()
    torch.set_num_threads(threads)
    try:
        ranks = filtered_ranks(model, test, known)
        assert torch.get_num_threads() == threads
    finally:
        torch.set_num_threads(1)
    assert ranks.tolist() == brute_force(model, test, known)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_entities_with_one_vector_are_tied_wherever_they_stand(dtype):
    generator = torch.Generator().manual_seed(0)
    model = TransE(1000, 3, 50, generator=generator).to(dtype)
    place = torch.randperm(1000, generator=generator)
    twin = torch.empty_like(place)
    twin[place[::2]], twin[place[1::2]] = place[1::2], place[::2]
    with torch.no_grad():
        model.entity.weight[twin[place[::2]]] = model.entity.weight[place[::2]]
    draw = np.random.default_rng(0)
    test = tuple(draw.integers(n, size=700) for n in (1000, 3, 1000))
    ranks = filtered_ranks(model, test, [])
    every = {tuple(fact) for fact in np.stack(test, axis=1).tolist()}
    alone = [
        (h, r, twin[t].item()) not in every for h, r, t in zip(*map(np.ndarray.tolist, test), strict=True)
    ]
    alone += [
        (twin[h].item(), r, t) not in every for h, r, t in zip(*map(np.ndarray.tolist, test), strict=True)
    ]
    assert sum(alone) > 1390
    assert all(rank % 1 == 0.5 for rank, tied in zip(ranks.tolist(), alone, strict=True) if tied)


class Processes:
    """Threads that stand for processes, each with a shard of the table; sums wait for all of them."""

    def __init__(self, count):
        self.count, self.parts = count, [None] * count
        self.barrier = threading.Barrier(count)

    def total(self, number, part):
        self.parts[number] = part
        self.barrier.wait(30)
        total = sum(self.parts)
        self.barrier.wait(30)
        return total

    def ranks(self, model, test, known):
        vectors = model.entity.weight.detach()
        bounds = np.linspace(0, len(vectors), self.count + 1).astype(int).tolist()

        def run(number):
            first, last = bounds[number : number + 2]
            total = functools.partial(self.total, number)
            look_up = vectors.__getitem__
            shard = EntityShard(vectors[first:last].clone(), range(first, last), len(vectors), look_up, total)
            return filtered_ranks(model, test, known, shard=shard)

        with ThreadPoolExecutor(self.count) as pool:
            return list(pool.map(run, range(self.count)))


@pytest.mark.parametrize("count", [2, 3])
def test_shards_of_the_table_give_the_ranks_of_the_whole_also_with_ties(count):
    model = TransE(1000, 3, 50, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        model.entity.weight[500:] = model.entity.weight[:500].flip(0)
    draw = np.random.default_rng(0)
    test, known = (tuple(draw.integers(n, size=size) for n in (1000, 3, 1000)) for size in (700, 3000))
    whole = filtered_ranks(model, test, [known])
    assert sum(rank % 1 == 0.5 for rank in whole.tolist()) > 1000
    for ranks in Processes(count).ranks(model, test, [known]):
        assert torch.equal(ranks, whole)


def test_more_shards_than_entities_give_the_ranks_of_the_whole():
    model, test = whole_number_model(0), some_triples(0, 12)
    for ranks in Processes(E + 2).ranks(model, test, []):
        assert torch.equal(ranks, filtered_ranks(model, test, []))


def test_every_process_raises_when_one_of_them_holds_a_vector_that_is_no_number():
    model, test = whole_number_model(0), some_triples(0, 12)
    with torch.no_grad():
        model.entity.weight[0] = torch.nan
    with pytest.raises(GraphError, match="not finite"):
        Processes(3).ranks(model, test, [])


@pytest.mark.parametrize("value", [torch.nan, torch.inf])
@pytest.mark.parametrize("table", ["entity", "relation"])
def test_vectors_that_are_no_numbers_are_an_error_and_not_a_perfect_model(table, value):
    model = TransE(E, R, 2)
    with torch.no_grad():
        getattr(model, table).weight[0, 0] = value
    with pytest.raises(GraphError, match="not finite"):
        filtered_ranks(model, some_triples(0, 12), [])


def test_a_triple_tested_twice_is_ranked_twice():
    model, test = whole_number_model(0), some_triples(0, 6)
    twice = filtered_ranks(model, tuple(np.tile(ids, 2) for ids in test), [test])
    assert twice.view(2, 2, -1).tolist() == [
        [side] * 2 for side in filtered_ranks(model, test, []).view(2, -1).tolist()
    ]


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


def test_progress_counts_every_query_also_the_unknown():
    done, (model, test, known) = [], large_case()
    test[2][:3] = -1
    filtered_ranks(model, test, known, progress=done.append)
    assert sum(done) == 2 * len(test[0])
    assert len(done) > 2


def test_metrics_are_means_over_the_ranks():
    metrics = ranking_metrics(torch.tensor([1.0, 1.5, 3.0, 4.0, 10.0, 20.0]))
    assert metrics.mrr == pytest.approx((1 + 1 / 1.5 + 1 / 3 + 1 / 4 + 1 / 10 + 1 / 20) / 6)
    assert (metrics.hits_at_1, metrics.hits_at_3, metrics.hits_at_10) == pytest.approx((1 / 6, 3 / 6, 5 / 6))
    assert metrics.mean_rank == pytest.approx(39.5 / 6)
    assert metrics.queries == 6


def test_candidates_are_all_entities_but_the_other_known_answers():
    test = tuple(np.array(column) for column in ([0, 0, 1, -1], [0, 0, 0, 0], [1, 2, 1, 1]))
    known = tuple(np.array(column) for column in ([0, 0, 0, 4], [0, 0, 1, 0], [2, 3, 5, 1]))
    # tails of (0, 0, ?) are 1, 2 and 3; heads of (?, 0, 1) are 0, 1 and 4, and of (?, 0, 2) is 0
    assert count_candidates(test, [known], E).tolist() == [E - 2, E - 2, E, E, E - 2, E, E - 2, E]
    model = TransE(E, R, 2)
    with torch.no_grad():
        for table in model.parameters():
            table.zero_()
    among = count_candidates(test, [known], E)
    assert filtered_ranks(model, test, [known]).tolist() == [(count + 1) / 2 for count in among.tolist()]


def test_the_adjusted_mean_rank_index_is_1_at_best_0_by_chance_and_negative_below():
    among = torch.tensor([9, 5, 21])
    assert ranking_metrics(torch.ones(3), among).amri == 1
    assert ranking_metrics((among + 1) / 2, among).amri == pytest.approx(0)
    assert ranking_metrics(among, among).amri == pytest.approx(-1)
    assert ranking_metrics(torch.ones(3)).amri is None
    assert ranking_metrics(torch.ones(3), torch.ones(3)).amri is None
