from collections import Counter

import numpy as np
import pytest
import torch

from roots_kg.evaluation.controls import RandomKnowledge, random_vectors, shuffled_graph

TEXTS = ["The parcel to Graz never arrived.", "Nothing is known here.", "From Bergen to Cusco", ""]


@pytest.fixture(scope="module")
def shuffled(bundle):
    return shuffled_graph(bundle, seed=0)


@pytest.fixture(scope="module")
def random_layers(encoder, knowledge):
    return RandomKnowledge(encoder, knowledge).eval()


def test_a_shuffled_graph_states_as_much_with_every_degree_as_it_was(bundle, shuffled):
    true, wrong = bundle.graph, shuffled.graph
    assert (wrong.entities, wrong.relations) == (true.entities, true.relations)
    assert np.array_equal(wrong.head_id, true.head_id)
    assert np.array_equal(wrong.relation_id, true.relation_id)
    pairs = [
        Counter(zip(graph.relation_id.tolist(), graph.tail_id.tolist(), strict=True))
        for graph in (true, wrong)
    ]
    assert pairs[0] == pairs[1]


def test_a_shuffled_graph_is_wrong_about_most_towns(bundle, shuffled):
    located = bundle.graph.relation_id == bundle.graph.relation("located_in")
    same = bundle.graph.tail_id[located] == shuffled.graph.tail_id[located]
    assert same.mean() < 0.4


def test_a_shuffled_graph_has_the_same_vectors_at_other_entities(bundle, shuffled):
    true, wrong = bundle.transe.entity.weight, shuffled.transe.entity.weight
    assert not torch.equal(true, wrong)
    assert sorted(map(tuple, true.tolist())) == sorted(map(tuple, wrong.tolist()))
    assert torch.equal(bundle.transe.relation.weight, shuffled.transe.relation.weight)


def test_shuffling_depends_on_the_seed_alone_and_leaves_the_true_graph_as_it_was(bundle, shuffled):
    before = bundle.graph.fingerprint
    assert shuffled_graph(bundle, seed=0).graph.fingerprint == shuffled.graph.fingerprint != before
    assert shuffled_graph(bundle, seed=1).graph.fingerprint != shuffled.graph.fingerprint
    assert bundle.graph.fingerprint == before


def test_random_knowledge_is_as_long_as_the_true_one_and_points_elsewhere(layers, random_layers):
    true, random = layers(TEXTS), random_layers(TEXTS)
    torch.testing.assert_close(random.knowledge.norm(dim=1), true.knowledge.norm(dim=1))
    assert not random.knowledge[[1, 3]].any()
    assert ((random.knowledge * true.knowledge).sum(dim=1)[[0, 2]].abs() < 0.3).all()
    assert torch.equal(random.features, true.features)


def test_random_knowledge_depends_on_the_text_and_nothing_else(random_layers):
    together, alone = random_layers(TEXTS).knowledge, random_layers(TEXTS[2:3]).knowledge
    torch.testing.assert_close(together[2:3], alone)
    assert not torch.allclose(together[0], together[2])


def test_random_vectors_are_as_long_as_the_true_ones_and_the_triples_stay(bundle):
    random = random_vectors(bundle, seed=0)
    assert random.graph is bundle.graph
    for true, wrong in zip(bundle.transe.parameters(), random.transe.parameters(), strict=True):
        torch.testing.assert_close(wrong.norm(dim=1), true.norm(dim=1))
        assert not torch.allclose(wrong, true)
    again, other = random_vectors(bundle, seed=0), random_vectors(bundle, seed=1)
    assert torch.equal(again.transe.entity.weight, random.transe.entity.weight)
    assert not torch.equal(other.transe.entity.weight, random.transe.entity.weight)
