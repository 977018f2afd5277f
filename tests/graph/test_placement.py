"""New entities are placed where training would have put them, as far as their triples tell."""

import numpy as np
import pytest
import torch

from roots_kg.graph import placement
from roots_kg.graph.editing import add_triples
from roots_kg.graph.placement import place
from roots_kg.graph.ranking import filtered_ranks
from roots_kg.graph.store import GraphBundle
from roots_kg.graph.transe import TransE, TransEConfig
from roots_kg.graph.triples import KnowledgeGraph
from roots_kg.training.transe import train_transe

SIZE = 8


def exact(triples, *, reciprocal=False, norm=2, scale=1.0):
    """Vectors that fulfil every triple: places on a line of entities, the relations its steps."""
    graph = KnowledgeGraph.from_triples(triples)
    transe = TransE(graph.num_entities, graph.num_relations, SIZE, reciprocal=reciprocal, norm=norm)
    transe.requires_grad_(False)
    direction = torch.linspace(-1, 1, SIZE) * scale
    places = torch.tensor([float(key) for key in graph.entities])
    steps = torch.tensor([float(name) for name in graph.relations])
    transe.entity.weight.copy_(places[:, None] * direction)
    transe.relation.weight.copy_(steps[:, None] * direction)
    if transe.inverse is not None:
        transe.inverse.weight.copy_(-transe.relation.weight)
    return GraphBundle(graph, transe, TransEConfig(dimension=SIZE, reciprocal=reciprocal, norm=norm))


def line(*numbers):
    """Triples between numbers: a relation adds what it is called."""
    return [(str(a), str(b - a), str(b)) for a in numbers for b in numbers if 0 < b - a <= 2]


def where(bundle, key):
    return bundle.transe.entity.weight[bundle.graph.entity_id(key)]


@pytest.mark.parametrize("reciprocal", [True, False])
@pytest.mark.parametrize("norm", [1, 2])
@pytest.mark.parametrize("fact", [("5", "1", "6"), ("6", "2", "8")])
def test_where_the_vectors_fulfil_their_triples_so_does_the_new_entity(reciprocal, norm, fact):
    bundle = exact(line(1, 2, 3, 4, 5, 7, 8), reciprocal=reciprocal, norm=norm)
    edited, report = add_triples(bundle, [fact])
    assert report.entities == ("6",)
    assert torch.allclose(where(edited, "6"), 6 * torch.linspace(-1, 1, SIZE), atol=1e-4)


def test_an_entity_known_through_new_ones_only_is_placed_after_them():
    bundle = exact(line(1, 2, 3, 4, 9, 10))
    edited, report = add_triples(bundle, [("6", "1", "7"), ("4", "1", "5"), ("5", "1", "6")])
    assert report.unplaced == ()
    for key in "567":
        assert torch.allclose(where(edited, key), int(key) * torch.linspace(-1, 1, SIZE), atol=1e-3)


@pytest.mark.parametrize("reciprocal", [True, False])
@pytest.mark.parametrize("norm", [1, 2])
def test_a_new_relation_is_what_lies_between_its_ends(reciprocal, norm):
    bundle = exact(line(1, 2, 3, 4, 5, 9, 10), reciprocal=reciprocal, norm=norm)
    edited, report = add_triples(bundle, [("1", "3", "4"), ("2", "3", "5"), ("5", "3", "8")])
    assert (report.relations, report.entities, report.unplaced) == (("3",), ("8",), ())
    step = 3 * torch.linspace(-1, 1, SIZE)
    translations = edited.transe.translations()
    assert torch.allclose(translations[-1], step, atol=1e-4)
    assert torch.allclose(translations[edited.graph.num_relations - 1], -step, atol=1e-4)
    assert torch.allclose(where(edited, "8"), 8 * torch.linspace(-1, 1, SIZE), atol=1e-3)


def test_an_entity_that_nothing_known_leads_to_is_at_the_mean_and_named():
    bundle = exact(line(1, 2, 3, 4, 5))
    facts = [("20", "1", "21"), ("22", "other", "23"), ("3", "unheard", "24")]
    edited, report = add_triples(bundle, facts)
    assert sorted(report.unplaced) == ["20", "21", "22", "23", "24"]
    mean = bundle.transe.entity.weight.mean(dim=0)
    assert all(torch.equal(where(edited, key), mean) for key in report.unplaced)
    between = edited.transe.relation.weight[edited.graph.relation("unheard")]
    assert torch.allclose(between, mean - where(edited, "3"))


def test_a_triple_of_an_entity_with_itself_says_nothing_about_its_place():
    bundle = exact(line(1, 2, 3, 4))
    _, report = add_triples(bundle, [("9", "1", "9")])
    assert report.unplaced == ("9",)
    with_more, _ = add_triples(bundle, [("9", "1", "9"), ("4", "1", "9")])
    without, _ = add_triples(bundle, [("4", "1", "9")])
    assert torch.equal(where(with_more, "9"), where(without, "9"))


def test_one_wild_triple_does_not_move_an_entity_of_l1_vectors():
    bundle = exact(line(1, 2, 3, 4, 5, 7, 8), norm=1)
    facts = [("5", "1", "6"), ("4", "2", "6"), ("6", "1", "7"), ("6", "2", "8"), ("6", "1", "1")]
    there = 6 * torch.linspace(-1, 1, SIZE)
    assert torch.allclose(where(add_triples(bundle, facts)[0], "6"), there, atol=1e-3)
    euclidean = exact(line(1, 2, 3, 4, 5, 7, 8), norm=2)
    assert not torch.allclose(where(add_triples(euclidean, facts)[0], "6"), there, atol=0.1)


@pytest.fixture
def noisy():
    """Random vectors and triples: no entity is where its triples point."""
    generator = np.random.default_rng(0)
    rows = generator.integers([40, 3, 40], size=(400, 3))
    graph = KnowledgeGraph.from_triples([(f"e{h}", f"r{r}", f"e{t}") for h, r, t in rows.tolist()])
    sizes = (graph.num_entities, graph.num_relations, SIZE)
    transe = TransE(*sizes, reciprocal=True, generator=torch.Generator().manual_seed(0)).requires_grad_(False)
    for table in (transe.relation, transe.inverse):
        table.weight *= 0.2
    return GraphBundle(graph, transe, TransEConfig(dimension=SIZE))


def test_a_long_chain_of_new_entities_stays_among_the_trained_ones(noisy):
    chain = [(f"n{number}", "r0", f"n{number + 1}") for number in range(300)]
    edited, report = add_triples(noisy, [("e1", "r0", "n0"), *chain])
    assert report.unplaced == ()
    norms = edited.transe.entity.weight.norm(dim=1)
    assert norms.max() <= norms[: noisy.graph.num_entities].max() * 1.0001


def test_new_entities_lie_as_far_from_their_targets_as_trained_ones_do(noisy):
    training = placement._Training.of(noisy.transe, noisy.graph)
    spread = training.residuals.norm(dim=1).mean()
    centres, count = 0.1 * noisy.transe.entity.weight, np.full(noisy.graph.num_entities, 4)
    features = torch.cat([centres, centres / 2, torch.ones(len(centres), 1)], dim=1)
    points = centres + features @ training.correction
    moved = training.vectors(centres, count) - points
    assert torch.allclose(moved.norm(dim=1), spread.expand(len(moved)))


def test_a_sample_of_a_large_graph_is_enough_to_learn_from(noisy, monkeypatch):
    facts = [("new", "r0", "e1"), ("new", "r1", "e2")]
    monkeypatch.setattr(placement, "MOST_EXAMPLES", 10)
    few = placement._Training.of(noisy.transe, noisy.graph)
    assert len(few.residuals) == 10
    edited, _ = add_triples(noisy, facts)
    assert bool(where(edited, "new").isfinite().all())


def test_medians_of_many_groups_are_those_of_each(monkeypatch):
    generator = torch.Generator().manual_seed(0)
    table, other = (torch.rand(50, 3, generator=generator) for _ in range(2))
    count = np.array([1, 7, 2, 3, 1, 16, 4, 17, 5])
    start = np.cumsum(count) - count
    rows = torch.randint(50, (2, int(count.sum())), generator=generator)
    points = table[rows[0]] + other[rows[1]]
    for room in (placement.PADDED_AT_ONCE, 1):
        monkeypatch.setattr(placement, "PADDED_AT_ONCE", room)
        for norm, centre in ((1, lambda group: group.median(0).values), (2, lambda group: group.mean(0))):
            found = placement._centres(start, count, (rows[0], table), (rows[1], other), norm)
            groups = zip(start, count, strict=True)
            wanted = torch.stack([centre(points[first : first + size]) for first, size in groups])
            assert torch.allclose(found, wanted)


def test_placing_does_not_touch_the_shared_random_numbers(noisy):
    torch.manual_seed(3)
    wanted = torch.rand(1)
    torch.manual_seed(3)
    add_triples(noisy, [("new", "r0", "e1")])
    assert torch.equal(torch.rand(1), wanted)


def test_nothing_gained_keeps_the_vectors_as_they_are(noisy):
    found = place(noisy.transe, noisy.graph, noisy.graph.without([0]))
    assert found.transe is noisy.transe
    assert len(found.unplaced) == 0


@pytest.mark.parametrize("reciprocal", [True, False])
def test_a_town_that_training_never_saw_is_found_in_its_country(triples, reciprocal):
    held = ("Graz", "Ulm", "Lund", "Bergen", "Cusco", "Talca")
    seen = [triple for triple in triples if triple[0] not in held]
    config = TransEConfig(dimension=16, epochs=30, batch_size=32, negatives=32, reciprocal=reciprocal)
    graph = KnowledgeGraph.from_triples(seen)
    bundle = GraphBundle(graph, train_transe(graph, config), config)
    facts = [triple for triple in triples if triple[0] in held]
    edited, _ = add_triples(bundle, facts)
    ids = edited.graph.entity_ids
    columns = np.array([(ids[head], edited.graph.relation(name), ids[tail]) for head, name, tail in facts]).T
    ranks = filtered_ranks(edited.transe, tuple(columns), [])[: len(facts)]
    assert (ranks <= 2).all()
