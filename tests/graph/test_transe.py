"""TransE's parts agree with their formulas, written out slowly."""

import math

import pytest
import torch

from roots_kg.config import from_mapping
from roots_kg.errors import ConfigError
from roots_kg.graph.transe import TransE, TransEConfig, distances


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


def test_distances_of_norm_one_are_sums_of_absolute_differences(generator):
    queries = torch.randn(5, 8, generator=generator)
    candidates = torch.randn(9, 8, generator=generator)
    expected = (queries[:, None] - candidates).abs().sum(dim=2)
    assert torch.allclose(distances(queries, candidates, norm=1), expected, atol=1e-5)


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


@pytest.mark.parametrize(
    ("name", "value"), [("norm", 3), ("loss", "hinge"), ("sampling", "uniformly"), ("patience", -1)]
)
def test_a_choice_that_there_is_not_is_refused_by_name(name, value):
    with pytest.raises(ConfigError, match=name):
        from_mapping(TransEConfig, {name: value})
