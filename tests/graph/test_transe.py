"""TransE's parts agree with their formulas, written out slowly."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from roots_kg.config import from_mapping
from roots_kg.errors import ConfigError
from roots_kg.graph.transe import RowwiseAdagrad, TransE, TransEConfig, TrueAnswers, distances, transe_loss
from roots_kg.graph.triples import KnowledgeGraph


@pytest.fixture
def generator():
    return torch.Generator().manual_seed(0)


def small_model(generator, *, reciprocal=False):
    return TransE(7, 3, 4, reciprocal=reciprocal, generator=generator)


def test_distances_are_the_euclidean_ones(generator):
    queries = torch.randn(5, 8, generator=generator)
    candidates = torch.randn(9, 8, generator=generator)
    expected = torch.cdist(queries, candidates, compute_mode="donot_use_mm_for_euclid_dist")
    assert torch.allclose(distances(queries, candidates), expected, atol=1e-5)


def test_the_distance_of_a_vector_to_itself_is_almost_nothing_and_has_a_derivative(generator):
    vectors = torch.randn(3, 8, generator=generator, requires_grad=True)
    own = distances(vectors, vectors).diagonal()
    assert (own <= 2e-3).all()
    own.sum().backward()
    assert vectors.grad.isfinite().all()


def test_a_tail_is_sought_at_head_plus_relation_and_a_head_at_tail_minus_relation(generator):
    model = small_model(generator)
    vectors, relation_id = torch.randn(2, 4, generator=generator), torch.tensor([2, 0])
    relation = model.relation.weight[relation_id]
    assert torch.equal(model.tail_queries(vectors, relation_id), vectors + relation)
    assert torch.equal(model.head_queries(vectors, relation_id), vectors - relation)


def test_a_reciprocal_model_has_a_vector_of_its_own_for_the_way_back(generator):
    model = small_model(generator, reciprocal=True)
    vectors, relation_id = torch.randn(2, 4, generator=generator), torch.tensor([2, 0])
    assert torch.equal(model.head_queries(vectors, relation_id), vectors + model.inverse.weight[relation_id])
    assert not torch.equal(model.inverse.weight, -model.relation.weight)


@pytest.mark.parametrize("reciprocal", [False, True])
def test_translations_lead_from_the_far_end_of_an_edge_to_the_near_one(generator, reciprocal):
    model = small_model(generator, reciprocal=reciprocal)
    translations = model.translations()
    assert translations.shape == (6, 4)
    far = torch.randn(3, 4, generator=generator)
    relation_id = torch.arange(3)
    assert torch.equal(far + translations[:3], model.head_queries(far, relation_id))
    assert torch.equal(far + translations[3:], model.tail_queries(far, relation_id))


def test_vectors_start_within_the_scale_and_the_same_for_the_same_seed():
    first, second = (TransE(50, 3, 16, generator=torch.Generator().manual_seed(5)) for _ in range(2))
    assert torch.equal(first.entity.weight, second.entity.weight)
    assert first.entity.weight.abs().max() <= 1 / 4
    wide = TransE(50, 3, 16, initial_scale=2.0)
    assert 1 / 4 < wide.entity.weight.abs().max() <= 1 / 2


@pytest.mark.parametrize("name", ["dimension", "epochs", "batch_size", "negatives"])
def test_settings_that_cannot_train_are_refused_by_name(name):
    with pytest.raises(ConfigError, match=f"{name} must be above 0, found 0"):
        from_mapping(TransEConfig, {name: 0})


@pytest.mark.parametrize("name", ["learning_rate", "initial_scale", "temperature"])
@pytest.mark.parametrize("value", [0.0, -1.0, math.nan, math.inf])
def test_a_scale_that_is_not_a_positive_number_is_refused_by_name(name, value):
    with pytest.raises(ConfigError, match=name):
        from_mapping(TransEConfig, {name: value})


ids = st.integers(0, 4).map(str)


@given(
    st.lists(st.tuples(ids, st.sampled_from("rs"), ids), min_size=1, max_size=15),
    st.sets(st.integers(0, 4)),
    st.data(),
)
@settings(max_examples=100, deadline=None)
def test_the_true_answers_among_some_candidates_are_those_of_a_search(triples, candidates, data):
    graph = KnowledgeGraph.from_triples(triples)
    candidates = sorted(entity for entity in candidates if entity < graph.num_entities)
    queries = data.draw(st.lists(st.integers(0, 2 * len(graph) - 1), max_size=6))
    column = torch.full((graph.num_entities,), -1)
    column[candidates] = torch.arange(len(candidates))
    rows, columns = TrueAnswers(graph).among(torch.tensor(queries, dtype=torch.long), column)

    known = set(zip(graph.head_id.tolist(), graph.relation_id.tolist(), graph.tail_id.tolist(), strict=True))
    expected = set()
    for row, query in enumerate(queries):
        triple = query % len(graph)
        head, relation, tail = (
            int(part[triple]) for part in (graph.head_id, graph.relation_id, graph.tail_id)
        )
        for position, entity in enumerate(candidates):
            fact = (head, relation, entity) if query < len(graph) else (entity, relation, tail)
            if fact in known:
                expected.add((row, position))
    found = list(zip(rows.tolist(), columns.tolist(), strict=True))
    assert len(found) == len(set(found))
    assert set(found) == expected


@pytest.mark.parametrize("reciprocal", [False, True])
def test_the_loss_is_that_of_a_loop_over_queries_and_unmasked_candidates(generator, reciprocal):
    model = small_model(generator, reciprocal=reciprocal)
    head_id, relation_id, tail_id = torch.tensor([0, 1, 2]), torch.tensor([0, 2, 1]), torch.tensor([3, 4, 0])
    candidates, temperature = torch.tensor([0, 3, 5, 6]), 2.5
    masked = {(0, 1), (2, 0), (3, 0), (3, 2), (5, 3)}
    known = tuple(torch.tensor(column) for column in zip(*sorted(masked), strict=True))

    losses = []
    entity, relation = model.entity.weight, model.relation.weight
    for row in range(6):
        triple = row % 3
        head, tail, way = entity[head_id[triple]], entity[tail_id[triple]], relation_id[triple]
        back = model.inverse.weight[way] if reciprocal else -relation[way]
        query, answer = (head + relation[way], tail) if row < 3 else (tail + back, head)
        positive = math.exp(-temperature * float((query - answer).detach().norm()))
        negatives = [
            math.exp(-temperature * float((query - entity[candidate]).detach().norm()))
            for position, candidate in enumerate(candidates)
            if (row, position) not in masked
        ]
        losses.append(-math.log(positive / (positive + sum(negatives))))

    loss = transe_loss(model, head_id, relation_id, tail_id, candidates, known, temperature)
    assert loss.item() == pytest.approx(sum(losses) / 6, rel=1e-5)


def test_a_query_whose_candidates_are_all_masked_costs_nothing(generator):
    model = small_model(generator)
    one = torch.tensor([1])
    known = (torch.tensor([0, 1]), torch.tensor([0, 0]))
    loss = transe_loss(model, one, one, one, torch.tensor([5]), known, 4.0)
    loss.backward()
    assert loss.item() == 0
    assert model.entity.weight.grad.to_dense().isfinite().all()


@pytest.mark.parametrize("sparse", [True, False])
def test_rowwise_adagrad_is_its_formula_row_by_row(generator, sparse):
    table = torch.nn.Embedding(5, 3, sparse=sparse)
    optimizer = RowwiseAdagrad(table.parameters(), lr=0.1)
    weight, squares = table.weight.detach().clone(), [0.0] * 5
    for rows in ([0, 2, 2], [2, 4], [0]):
        factors = torch.randn(len(rows), 3, generator=generator)
        gradient = torch.zeros(5, 3)
        for row, factor in zip(rows, factors, strict=True):
            gradient[row] += factor
        for row in set(rows):
            squares[row] += float(gradient[row].square().mean())
            weight[row] -= 0.1 * gradient[row] / (math.sqrt(squares[row]) + 1e-10)
        optimizer.zero_grad()
        (table(torch.tensor(rows)) * factors).sum().backward()
        assert table.weight.grad.is_sparse == sparse
        optimizer.step()
        assert torch.allclose(table.weight.detach(), weight, atol=1e-6)


def test_rowwise_adagrad_leaves_rows_without_a_gradient_alone_and_takes_a_closure(generator):
    table = torch.nn.Embedding(3, 2, sparse=True)
    unused = torch.nn.Parameter(torch.ones(2, 2))
    before = table.weight.detach().clone()
    optimizer = RowwiseAdagrad([table.weight, unused], lr=0.5)

    def closure():
        loss = table(torch.tensor([1])).sum()
        loss.backward()
        return loss

    assert optimizer.step(closure) == before[1].sum()
    assert torch.equal(table.weight[[0, 2]], before[[0, 2]])
    assert torch.allclose(table.weight[1], before[1] - 0.5)
    assert torch.equal(unused, torch.ones(2, 2))


def test_rowwise_adagrad_resumes_from_its_state(generator):
    gradients = torch.randn(4, 3, 2, generator=generator)

    def steps(table, optimizer, numbers):
        for number in numbers:
            table.grad = gradients[number].clone()
            optimizer.step()

    whole, halves = torch.zeros(3, 2).requires_grad_(), torch.zeros(3, 2).requires_grad_()
    steps(whole, RowwiseAdagrad([whole]), range(4))
    first = RowwiseAdagrad([halves])
    steps(halves, first, range(2))
    second = RowwiseAdagrad([halves])
    second.load_state_dict(first.state_dict())
    steps(halves, second, range(2, 4))
    assert torch.equal(whole, halves)
