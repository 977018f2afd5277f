from dataclasses import replace

import pytest
import torch

from roots_kg.errors import GraphError
from roots_kg.graph.alignment import merge, project, shared_entities
from roots_kg.graph.store import GraphBundle
from roots_kg.graph.transe import TransE, TransEConfig
from roots_kg.graph.triples import KnowledgeGraph
from roots_kg.training.transe import train_transe

MORE = [
    ("Graz", "mayor", "Elke Kahr"),
    ("Linz", "mayor", "Dietmar Prammer"),
    ("Elke Kahr", "party", "KPÖ"),
]


def trained(graph, dimension=16, seed=1):
    config = TransEConfig(dimension=dimension, epochs=30, batch_size=32, negatives=32, seed=seed)
    return GraphBundle(graph, train_transe(graph, config), config)


def rotated(bundle, seed=0):
    """The same vectors in a space of their own: turned, stretched, and with another origin."""
    generator = torch.Generator().manual_seed(seed)
    size = bundle.config.dimension
    turn = 3 * torch.linalg.qr(torch.randn(size, size, generator=generator)).Q
    transe = TransE(bundle.graph.num_entities, bundle.graph.num_relations, size, reciprocal=True)
    transe.entity.weight.data = bundle.transe.entity.weight @ turn + 5
    transe.relation.weight.data = bundle.transe.relation.weight @ turn
    transe.inverse.weight.data = bundle.transe.inverse.weight @ turn
    return GraphBundle(bundle.graph, transe.requires_grad_(False), bundle.config)


def test_entities_are_shared_by_key_and_else_by_a_name_that_is_one_entitys_alone():
    first = KnowledgeGraph.from_triples(
        [("a", "r", "b"), ("c", "r", "d"), ("e", "r", "a")],
        aliases={"b": ["Bern"], "c": ["Como"], "d": ["Twin"], "e": ["Twin"]},
    )
    second = KnowledgeGraph.from_triples(
        [("a", "r", "Q1"), ("Q2", "r", "Q3")], aliases={"Q1": ["Bern"], "Q2": ["Twin"], "Q3": ["Ulm"]}
    )
    here, there = shared_entities(first, second)
    pairs = [(first.entities[a], second.entities[b]) for a, b in zip(here, there, strict=True)]
    assert sorted(pairs) == [("a", "a"), ("b", "Q1")]


def test_vectors_that_were_only_turned_and_stretched_are_turned_back(bundle):
    turned = rotated(bundle)
    assert turned.space != bundle.space
    moved = project(turned, bundle)
    assert moved.space == bundle.space
    for name in ("entity", "relation", "inverse"):
        before, after = (getattr(each.transe, name).weight for each in (bundle, moved))
        assert torch.nn.functional.cosine_similarity(before, after).min() > 0.9


def test_vectors_of_another_dimension_are_moved_too(bundle):
    other = trained(bundle.graph, dimension=24)
    moved = project(other, bundle)
    assert moved.transe.entity.weight.shape == bundle.transe.entity.weight.shape
    assert moved.config.dimension == 16
    assert moved.graph is bundle.graph
    unmoved = torch.nn.functional.cosine_similarity(
        bundle.transe.entity.weight, trained(bundle.graph, seed=2).transe.entity.weight
    )
    found = torch.nn.functional.cosine_similarity(bundle.transe.entity.weight, moved.transe.entity.weight)
    assert found.mean() > unmoved.mean() + 0.5


def test_graphs_that_share_too_little_have_no_map(bundle):
    other = trained(KnowledgeGraph.from_triples([("Graz", "mayor", "Elke Kahr")]))
    with pytest.raises(GraphError, match="share fewer than 10 entities") as caught:
        project(other, bundle)
    assert "adapt the task again" in caught.value.hint


def test_merged_graphs_hold_all_triples_with_the_file_that_stated_each(triples, tmp_path):
    files = [tmp_path / "towns.tsv", tmp_path / "mayors.tsv"]
    for path, facts in zip(files, (triples, MORE), strict=True):
        path.write_text("".join("\t".join(fact) + "\n" for fact in facts), encoding="utf-8")
    whole = merge([trained(KnowledgeGraph.from_file(path)) for path in files]).graph
    stated = {whole.triple(index): whole.sources[whole.source_id[index]] for index in range(len(whole))}
    assert stated == {
        **{fact: str(files[0]) for fact in triples},
        **{fact: str(files[1]) for fact in MORE},
    }


def test_merged_graphs_keep_the_first_ones_vectors_and_move_those_of_the_second(bundle):
    facts = [bundle.graph.triple(index) for index in range(len(bundle.graph))]
    both = trained(KnowledgeGraph.from_triples([*facts, *MORE]))
    second = replace(both, graph=both.graph)
    whole = merge([bundle, second])
    count = bundle.graph.num_entities
    assert torch.equal(whole.transe.entity.weight[:count], bundle.transe.entity.weight)
    assert whole.space == bundle.space
    mayor, party = whole.graph.entity_id("Elke Kahr"), whole.graph.entity_id("KPÖ")
    moved = project(second, bundle)
    assert torch.equal(
        whole.transe.entity.weight[[mayor, party]],
        moved.transe.entity.weight[[moved.graph.entity_id(name) for name in ("Elke Kahr", "KPÖ")]],
    )


def test_merged_graphs_that_share_too_little_keep_the_vectors_that_each_has(bundle):
    second = trained(KnowledgeGraph.from_triples(MORE))
    whole = merge([bundle, second])
    for name in ("Elke Kahr", "KPÖ"):
        assert torch.equal(
            whole.transe.entity.weight[whole.graph.entity_id(name)],
            second.transe.entity.weight[second.graph.entity_id(name)],
        )
    with pytest.raises(GraphError, match="vectors of 16 and of 8 dimensions"):
        merge([bundle, trained(KnowledgeGraph.from_triples(MORE), dimension=8)])


def test_one_graph_merged_is_that_graph(bundle):
    assert merge([bundle]) is bundle
