"""The losses agree with their formulas, written out slowly."""

import math

import pytest
import torch

from roots_kg.graph.losses import (
    answer_distances,
    euclidean_softmax_loss,
    self_adversarial_loss,
    softmax_loss,
    transe_loss,
)
from roots_kg.graph.negatives import Negatives
from roots_kg.graph.transe import TransE, TransEConfig, distances

NO_PAIRS = (torch.zeros(0, dtype=torch.long), torch.zeros(0, dtype=torch.long))


@pytest.fixture
def generator():
    return torch.Generator().manual_seed(0)


def vectors(generator, *sizes):
    return [torch.randn(size, 6, generator=generator, dtype=torch.double).requires_grad_() for size in sizes]


def test_the_fast_softmax_loss_and_its_gradient_are_those_of_the_formula(generator):
    queries, answers, candidates = vectors(generator, 5, 5, 7)
    excluded = (torch.tensor([0, 3, 3]), torch.tensor([6, 0, 1]))
    fast = euclidean_softmax_loss(queries, answers, candidates, excluded, 2.5)
    fast_gradients = torch.autograd.grad(3 * fast, [queries, answers, candidates])
    negative = distances(queries, candidates).index_put(excluded, torch.tensor(torch.inf).double())
    slow = softmax_loss(answer_distances(queries, answers, 2), negative, 2.5)
    assert fast.item() == pytest.approx(slow.item(), rel=1e-12)
    slow_gradients = torch.autograd.grad(3 * slow, [queries, answers, candidates])
    for ours, expected in zip(fast_gradients, slow_gradients, strict=True):
        assert torch.allclose(ours, expected, atol=1e-12)


def test_the_fast_softmax_loss_passes_the_check_against_finite_differences(generator):
    queries, answers, candidates = vectors(generator, 3, 3, 4)
    excluded = (torch.tensor([1]), torch.tensor([2]))
    assert torch.autograd.gradcheck(
        lambda *parts: euclidean_softmax_loss(*parts, excluded, 2.0), (queries, answers, candidates)
    )


def test_the_fast_softmax_loss_stays_finite_where_the_answer_is_far_and_a_candidate_near():
    query = torch.zeros(1, 2, requires_grad=True)
    loss = euclidean_softmax_loss(query, torch.full((1, 2), 1e4), torch.zeros(1, 2), NO_PAIRS, 4.0)
    loss.backward()
    assert loss.item() == pytest.approx(4e4 * math.sqrt(2), rel=1e-3)
    assert query.grad.isfinite().all()


def test_the_self_adversarial_loss_is_that_of_a_loop(generator):
    positive, negative = torch.rand(3, generator=generator), torch.rand(3, 4, generator=generator)
    negative[1, 2] = torch.inf
    expected = 0.0
    for row in range(3):
        counted = [float(value) for value in negative[row] if value.isfinite()]
        weights = [math.exp(-2 * value) for value in counted]
        expected += math.log1p(math.exp(2 * float(positive[row]) - 1.5)) / 2
        for value, weight in zip(counted, weights, strict=True):
            expected += weight / sum(weights) * math.log1p(math.exp(1.5 - 2 * value)) / 2
    loss = self_adversarial_loss(positive, negative, temperature=2.0, margin=1.5)
    assert loss.item() == pytest.approx(expected / 3, rel=1e-5)


def test_a_self_adversarial_query_without_a_candidate_learns_from_its_answer_alone():
    positive, negative = torch.ones(1, requires_grad=True), torch.full((1, 2), torch.inf)
    loss = self_adversarial_loss(positive, negative, temperature=1.0, margin=1.0)
    loss.backward()
    assert loss.item() == pytest.approx(math.log(2) / 2)
    assert positive.grad.isfinite().all()


SMALL = {"head": [0, 1, 2], "relation": [0, 2, 1], "tail": [3, 4, 0]}
TRIPLES = tuple(torch.tensor(ids) for ids in SMALL.values())


def expected_softmax_loss(model, queries, candidates, masked, temperature):
    losses = []
    entity, relation = model.entity.weight, model.relation.weight
    for row, query in enumerate(queries):
        head, way, tail = (part[query % 3] for part in TRIPLES)
        back = -relation[way] if model.inverse is None else model.inverse.weight[way]
        place, answer = (
            (entity[head] + relation[way], entity[tail]) if query < 3 else (entity[tail] + back, entity[head])
        )
        positive = math.exp(-temperature * float(torch.dist(place, answer, model.norm)))
        negatives = [
            math.exp(-temperature * float(torch.dist(place, entity[candidate], model.norm)))
            for position, candidate in enumerate(candidates)
            if (row, position) not in masked
        ]
        losses.append(-math.log(positive / (positive + sum(negatives))))
    return sum(losses) / len(losses)


@pytest.mark.parametrize("reciprocal", [False, True])
@pytest.mark.parametrize("norm", [1, 2])
@pytest.mark.parametrize("queries", [[0, 1, 2, 3, 4, 5], [2, 4], [0, 1], [5]], ids=str)
@torch.no_grad()
def test_the_loss_is_that_of_a_loop_over_queries_and_counted_candidates(generator, reciprocal, norm, queries):
    model = TransE(7, 3, 4, reciprocal=reciprocal, norm=norm, generator=generator)
    candidates = [0, 3, 5, 6]
    masked = {(0, 1), (0, 3), (len(queries) - 1, 0)}
    excluded = tuple(torch.tensor(column) for column in zip(*sorted(masked), strict=True))
    negatives = Negatives(torch.tensor(queries), torch.tensor(candidates), excluded)
    loss = transe_loss(model, TRIPLES, negatives, TransEConfig(temperature=2.5, norm=norm))
    expected = expected_softmax_loss(model, queries, candidates, masked, 2.5)
    assert loss.item() == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("loss", ["softmax", "self_adversarial"])
@pytest.mark.parametrize("norm", [1, 2])
def test_only_the_rows_of_a_batch_have_a_gradient(generator, loss, norm):
    model = TransE(9, 4, 4, reciprocal=True, norm=norm, generator=generator)
    negatives = Negatives(torch.tensor([0, 1]), torch.tensor([5, 8]), NO_PAIRS)
    transe_loss(model, TRIPLES, negatives, TransEConfig(loss=loss, norm=norm)).backward()
    assert model.entity.weight.grad.coalesce().indices()[0].tolist() == [0, 1, 3, 4, 5, 8]
    assert model.relation.weight.grad.coalesce().indices()[0].tolist() == [0, 2]
    assert model.entity.weight.grad.to_dense().isfinite().all()


def test_a_query_whose_candidates_are_all_masked_costs_nothing(generator):
    model = TransE(7, 3, 4, generator=generator)
    excluded = (torch.tensor([0]), torch.tensor([0]))
    negatives = Negatives(torch.tensor([0]), torch.tensor([5]), excluded)
    loss = transe_loss(model, TRIPLES, negatives, TransEConfig())
    loss.backward()
    assert loss.item() == 0
    assert model.entity.weight.grad.to_dense().isfinite().all()
