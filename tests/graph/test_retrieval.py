"""Retrieval cuts out the same bounded neighbourhood every time, and every edge of it is a real triple."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from roots_kg.config import from_mapping
from roots_kg.errors import ConfigError
from roots_kg.graph.retrieval import RetrievalConfig, Retriever
from roots_kg.graph.triples import KnowledgeGraph


def graph_of(*lines):
    return KnowledgeGraph.from_triples([tuple(line.split()) for line in lines])


def masses(graph, subgraph):
    return {graph.entities[node]: mass for node, mass in zip(subgraph.nodes, subgraph.mass, strict=True)}


def edges(graph, subgraph):
    """The edges as (source, direction, target) of entity keys, from a subgraph's positions."""
    names = [graph.entities[node] for node in subgraph.nodes]
    columns = (subgraph.source, subgraph.direction, subgraph.target)
    return [
        (names[source], int(direction), names[target])
        for source, direction, target in zip(*columns, strict=True)
    ]


def test_mass_splits_evenly_over_relations_and_then_over_the_edges_of_each():
    graph = graph_of("a r b", "a s c", "a s d", "e s a")
    subgraph = Retriever(graph, RetrievalConfig(hops=1, decay=0.6)).retrieve({0: 2.0})
    expected = {"a": 1.0, "b": 0.2, "c": 0.1, "d": 0.1, "e": 0.2}
    assert masses(graph, subgraph) == pytest.approx({key: mass / 1.6 for key, mass in expected.items()})
    assert [graph.entities[node] for node in subgraph.nodes] == ["a", "b", "e", "c", "d"]
    assert sorted(edges(graph, subgraph)) == [("a", 0, "b"), ("a", 1, "c"), ("a", 1, "d"), ("a", 3, "e")]


def test_mass_flows_on_with_every_hop():
    graph = graph_of("a r b", "b r c", "c r d")
    one, two = (Retriever(graph, RetrievalConfig(hops=hops, decay=0.5)).retrieve({0: 1}) for hops in (1, 2))
    assert list(masses(graph, one)) == ["a", "b"]
    assert masses(graph, two) == pytest.approx({"a": 1.125 / 1.75, "b": 0.5 / 1.75, "c": 0.125 / 1.75})
    assert edges(graph, two) == [("a", 0, "b"), ("b", 0, "c"), ("b", 1, "a")]


def test_seeds_share_the_mass_by_their_weights():
    graph = graph_of("a r x", "b r y")
    mass = masses(graph, Retriever(graph).retrieve({graph.entity_id("a"): 3.0, graph.entity_id("b"): 1.0}))
    assert mass["a"] == pytest.approx(3 * mass["b"])
    assert mass["x"] == pytest.approx(3 * mass["y"])


def test_no_more_than_max_nodes_are_kept_and_they_are_those_of_most_mass():
    graph = graph_of("a r near", *(f"a s far{number}" for number in range(50)))
    subgraph = Retriever(graph, RetrievalConfig(max_nodes=4)).retrieve({0: 1})
    assert [graph.entities[node] for node in subgraph.nodes] == ["a", "near", "far0", "far1"]
    assert len(Retriever(graph, RetrievalConfig(max_nodes=1)).retrieve({0: 1}).nodes) == 1


def test_a_relation_with_more_edges_than_max_fanout_is_not_followed_from_the_hub():
    graph = graph_of("hub capital city", *(f"person{number} born_in hub" for number in range(5)))
    names = [
        graph.entities[node]
        for node in Retriever(graph, RetrievalConfig(max_fanout=4)).retrieve({0: 1}).nodes
    ]
    assert sorted(names) == ["city", "hub"]
    assert len(Retriever(graph, RetrievalConfig(max_fanout=5)).retrieve({0: 1}).nodes) == 7
    person = graph.entity_id("person3")
    reached = masses(graph, Retriever(graph, RetrievalConfig(max_fanout=4)).retrieve({person: 1}))
    assert set(reached) == {"person3", "hub", "city"}


def test_an_entity_with_no_edges_left_is_alone():
    graph = graph_of("a r b")
    subgraph = Retriever(graph).retrieve({1: 0.5}, without=[0])
    assert (subgraph.nodes.tolist(), subgraph.mass.tolist()) == ([1], [1.0])
    assert all(
        len(part) == 0 for part in (subgraph.source, subgraph.target, subgraph.direction, subgraph.triple)
    )


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"hops": 0}, "hops"),
        ({"max_nodes": 0}, "max_nodes"),
        ({"decay": 1.5}, "decay"),
        ({"decay": 0}, "decay"),
    ],
)
def test_settings_out_of_range_are_refused_by_name(settings, message):
    with pytest.raises(ConfigError, match=f"{message} must be"):
        from_mapping(RetrievalConfig, settings)


names = st.integers(0, 7).map(str)
graphs = st.lists(st.tuples(names, st.sampled_from("rs"), names), min_size=1, max_size=25).map(
    KnowledgeGraph.from_triples
)
configs = st.builds(
    RetrievalConfig, hops=st.integers(1, 3), max_nodes=st.integers(1, 8), max_fanout=st.integers(1, 5)
)


@given(graphs, configs, st.data())
@settings(max_examples=100, deadline=None)
def test_whatever_the_graph_a_subgraph_is_bounded_real_and_repeatable(graph, config, data):
    entities = st.integers(0, graph.num_entities - 1)
    seeds = data.draw(st.dictionaries(entities, st.floats(0.1, 1), min_size=1, max_size=3))
    without = data.draw(st.sets(st.integers(0, len(graph) - 1), max_size=3))
    subgraph = Retriever(graph, config).retrieve(seeds, without)

    assert 1 <= len(subgraph.nodes) == len(set(subgraph.nodes.tolist())) <= config.max_nodes
    assert subgraph.mass.sum() == pytest.approx(1, abs=1e-5)
    assert (np.diff(subgraph.mass) <= 0).all()
    assert (subgraph.mass > 0).all()
    assert not without & set(subgraph.triple.tolist())
    distinct = set(
        zip(subgraph.source.tolist(), subgraph.direction.tolist(), subgraph.triple.tolist(), strict=True)
    )
    assert len(distinct) == len(subgraph.triple)
    for source, target, direction, triple in zip(
        subgraph.nodes[subgraph.source],
        subgraph.nodes[subgraph.target],
        subgraph.direction,
        subgraph.triple,
        strict=True,
    ):
        ends = (graph.head_id[triple], graph.tail_id[triple])
        backwards = direction >= graph.num_relations
        assert (source, target) == (ends[::-1] if backwards else ends)
        assert direction - backwards * graph.num_relations == graph.relation_id[triple]

    again = Retriever(graph, config).retrieve(seeds, without)
    for part in ("nodes", "mass", "source", "target", "direction", "triple"):
        assert np.array_equal(getattr(subgraph, part), getattr(again, part))


@given(graphs, st.data())
@settings(max_examples=60, deadline=None)
def test_leaving_triples_out_is_like_not_having_them(graph, data):
    without = data.draw(st.sets(st.integers(0, len(graph) - 1), max_size=4))
    kept = np.array([triple for triple in range(len(graph)) if triple not in without], dtype=np.int64)
    here = Retriever(graph).retrieve({0: 1.0}, without)
    there = Retriever(graph.without(sorted(without))).retrieve({0: 1.0})
    for part in ("nodes", "mass", "source", "target", "direction"):
        assert np.array_equal(getattr(here, part), getattr(there, part))
    assert np.array_equal(here.triple, kept[there.triple])
