"""Retrieval cuts out the same bounded neighbourhood, with its facts, whatever the order of the file."""

import hashlib
from fractions import Fraction

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


def reversed_too(*stated):
    """Edges as (source, direction, target), and each also the other way round, where R = 1."""
    return sorted([*stated, *((target, 1 - direction, source) for source, direction, target in stated)])


def test_mass_splits_evenly_over_relations_and_then_over_the_edges_of_each():
    graph = graph_of("a r b", "a s c", "a s d", "e s a")
    subgraph = Retriever(graph, RetrievalConfig(hops=1, decay=0.6)).retrieve({0: 2.0})
    expected = {"a": 1.0, "b": 0.2, "c": 0.1, "d": 0.1, "e": 0.2}
    assert masses(graph, subgraph) == pytest.approx({key: mass / 1.6 for key, mass in expected.items()})
    names = [graph.entities[node] for node in subgraph.nodes]
    assert [set(names[:1]), set(names[1:3]), set(names[3:])] == [{"a"}, {"b", "e"}, {"c", "d"}]
    outwards = [("a", 0, "b"), ("a", 1, "c"), ("a", 1, "d"), ("a", 3, "e")]
    back = [("b", 2, "a"), ("c", 3, "a"), ("d", 3, "a"), ("e", 1, "a")]
    assert sorted(edges(graph, subgraph)) == outwards + back


def test_mass_flows_on_with_every_hop():
    graph = graph_of("a r b", "b r c", "c r d")
    one, two = (Retriever(graph, RetrievalConfig(hops=hops, decay=0.5)).retrieve({0: 1}) for hops in (1, 2))
    assert list(masses(graph, one)) == ["a", "b"]
    assert masses(graph, two) == pytest.approx({"a": 1.125 / 1.75, "b": 0.5 / 1.75, "c": 0.125 / 1.75})
    assert sorted(edges(graph, two)) == reversed_too(("a", 0, "b"), ("b", 0, "c"))


def test_a_fact_between_two_kept_entities_is_there_though_no_walk_took_it():
    graph = graph_of("a r b", "a r c", "b r c", "c r far")
    subgraph = Retriever(graph, RetrievalConfig(hops=1)).retrieve({0: 1})
    assert sorted(edges(graph, subgraph)) == reversed_too(("a", 0, "b"), ("a", 0, "c"), ("b", 0, "c"))


def test_seeds_share_the_mass_by_their_weights():
    graph = graph_of("a r x", "b r y")
    mass = masses(graph, Retriever(graph).retrieve({graph.entity_id("a"): 3.0, graph.entity_id("b"): 1.0}))
    assert mass["a"] == pytest.approx(3 * mass["b"])
    assert mass["x"] == pytest.approx(3 * mass["y"])


def test_no_more_than_max_nodes_are_kept_and_they_are_those_of_most_mass():
    graph = graph_of("a r near", *(f"a s far{number}" for number in range(50)))
    subgraph = Retriever(graph, RetrievalConfig(max_nodes=4)).retrieve({0: 1})
    names = [graph.entities[node] for node in subgraph.nodes]
    assert (len(names), names[:2], {name[:3] for name in names[2:]}) == (4, ["a", "near"], {"far"})
    assert len(Retriever(graph, RetrievalConfig(max_nodes=1)).retrieve({0: 1}).nodes) == 1


def test_what_a_text_mentions_is_kept_before_what_is_near_it():
    graph = graph_of("a r near", "b r other", "b r another")
    a, b = graph.entity_id("a"), graph.entity_id("b")
    subgraph = Retriever(graph, RetrievalConfig(max_nodes=3)).retrieve({a: 100, b: 1})
    assert list(masses(graph, subgraph)) == ["a", "near", "b"]


def test_of_five_hundred_linked_entities_those_of_most_weight_are_kept_with_the_facts_between_them():
    graph = graph_of(*(f"e{number} r e{number + 1}" for number in range(500)))
    seeds = {graph.entity_id(f"e{number}"): 1.0 + (100 <= number < 120) for number in range(500)}
    subgraph = Retriever(graph).retrieve(seeds)
    assert len(subgraph.nodes) == 32
    assert {graph.entity_id(f"e{number}") for number in range(100, 120)} < set(subgraph.nodes.tolist())
    facts = [(f"e{number}", 0, f"e{number + 1}") for number in range(100, 119)]
    assert set(reversed_too(*facts)) <= set(edges(graph, subgraph))


def test_relevance_decides_which_relations_carry_the_mass():
    graph = graph_of("a r b", "a s c", "d s a", "d r e")
    relevance = np.ones(4)
    relevance[graph.relation("s")] = 3
    one = Retriever(graph, RetrievalConfig(hops=1, decay=1.0))
    expected = {"a": 1 / 2, "b": 1 / 10, "c": 3 / 10, "d": 1 / 10}
    assert masses(graph, one.retrieve({0: 1}, relevance=relevance)) == pytest.approx(expected)
    relevance[graph.relation("s") + graph.num_relations] = 6
    expected = {"a": 1 / 2, "b": 1 / 20, "c": 3 / 20, "d": 6 / 20}
    assert masses(graph, one.retrieve({0: 1}, relevance=relevance)) == pytest.approx(expected)


def test_relevance_decides_which_entities_are_kept():
    graph = graph_of(*(f"a {relation} {relation}{number}" for relation in "rs" for number in range(5)))
    retriever = Retriever(graph, RetrievalConfig(max_nodes=6))
    for relation in "rs":
        relevance = np.ones(4)
        relevance[graph.relation(relation)] = 2
        found = masses(graph, retriever.retrieve({0: 1}, relevance=relevance))
        assert sorted(found) == ["a", *(f"{relation}{number}" for number in range(5))]


@pytest.mark.parametrize(
    ("relevance", "message"),
    [([1.0], "shape"), ([1.0, 0.0], "above 0"), ([1.0, np.nan], "above 0"), ([np.inf, 1.0], "finite")],
)
def test_a_relevance_that_is_none_is_refused(relevance, message):
    with pytest.raises(ValueError, match=message):
        Retriever(graph_of("a r b")).retrieve({0: 1}, relevance=np.array(relevance))


def test_of_a_relation_with_many_edges_only_max_fanout_are_followed_and_they_carry_no_more_for_it():
    graph = graph_of("hub capital city", *(f"person{number} born_in hub" for number in range(5)))
    all_of_them, some = (
        masses(graph, Retriever(graph, RetrievalConfig(hops=1, max_fanout=fanout)).retrieve({0: 1}))
        for fanout in (5, 2)
    )
    assert (len(all_of_them), len(some)) == (7, 4)
    for name in some:
        assert some[name] / some["hub"] == pytest.approx(all_of_them[name] / all_of_them["hub"])


def test_a_fact_taken_from_a_hub_makes_room_for_one_other_and_moves_none():
    graph = graph_of(*(f"person{number} born_in hub" for number in range(40)))
    retriever = Retriever(graph, RetrievalConfig(hops=1, max_fanout=5))
    hub = graph.entity_id("hub")
    before = retriever.retrieve({hub: 1})
    gone = int(before.triple[0])
    after = retriever.retrieve({hub: 1}, without=[gone])
    assert len(before.nodes) == len(after.nodes) == 6
    assert set(before.nodes) - set(after.nodes) == {graph.head_id[gone]}


def test_where_a_hop_has_too_many_edges_the_relations_whose_edges_carry_least_are_given_up():
    graph = graph_of("a few x", *(f"a many y{number}" for number in range(9)))
    retriever = Retriever(graph, RetrievalConfig(hops=1, max_edges=9))
    assert sorted(masses(graph, retriever.retrieve({0: 1}))) == ["a", "x"]
    assert len(Retriever(graph, RetrievalConfig(hops=1, max_edges=10)).retrieve({0: 1}).nodes) == 11


def test_a_hub_of_a_million_edges_drowns_nothing():
    people = 1_000_000
    hub, city, river = people, people + 1, people + 2
    graph = KnowledgeGraph(
        (*(f"person {number}" for number in range(people)), "hub", "city", "river"),
        ("born_in", "capital", "crossed_by"),
        np.append(np.arange(people), [hub, city]),
        np.append(np.zeros(people, dtype=np.int64), [1, 2]),
        np.append(np.full(people, hub), [city, river]),
    )
    retriever = Retriever(graph)
    around = retriever.retrieve({hub: 1})
    assert around.nodes[:3].tolist() == [hub, city, river]
    assert len(around.nodes) == 32
    assert around.mass[3:].sum() < 1e-4

    person, fact = 123_456, 123_456
    both = retriever.retrieve({hub: 1, person: 1})
    assert {hub, city, river, person} < set(both.nodes.tolist())
    assert fact in both.triple
    without = retriever.retrieve({hub: 1, person: 1}, without=[fact])
    assert {hub, city, river, person} < set(without.nodes.tolist())
    assert fact not in without.triple


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
        ({"max_edges": 0}, "max_edges"),
        ({"decay": 1.5}, "decay"),
        ({"decay": 0}, "decay"),
    ],
)
def test_settings_out_of_range_are_refused_by_name(settings, message):
    with pytest.raises(ConfigError, match=f"{message} must be"):
        from_mapping(RetrievalConfig, settings)


names = st.integers(0, 7).map(str)
statements = st.lists(st.tuples(names, st.sampled_from("rs"), names), min_size=1, max_size=25)
graphs = statements.map(KnowledgeGraph.from_triples)
configs = st.builds(
    RetrievalConfig,
    hops=st.integers(1, 3),
    max_nodes=st.integers(1, 8),
    max_fanout=st.integers(1, 5),
    max_edges=st.integers(1, 20),
)
relevances = st.fixed_dictionaries({(name, back): st.integers(1, 4) for name in "rs" for back in (0, 1)})


def in_order(graph, relevance):
    """Relevance as an array over the directions of a graph, from a mapping of names and ways."""
    return np.array([float(relevance[name, back]) for back in (0, 1) for name in graph.relations])


def tie(name):
    return int.from_bytes(hashlib.blake2b(name.encode(), digest_size=8).digest(), "little")


def heaviest(mass, count):
    return sorted(mass, key=lambda name: (-np.float32(mass[name]), tie(name)))[:count]


def slowly_retrieved(triples, seeds, config, relevance):
    """The names of the nodes with their mass, and the edges, found edge by edge in exact arithmetic."""
    around = {}
    for head, relation, tail in triples:
        around.setdefault(head, {}).setdefault((relation, 0), set()).add(tail)
        around.setdefault(tail, {}).setdefault((relation, 1), set()).add(head)
    linked = heaviest(seeds, config.max_nodes)
    mass = {name: Fraction(seeds[name], sum(seeds[other] for other in linked)) for name in linked}
    frontier = dict(mass)
    for _ in range(config.hops):
        groups = []
        for rank, name in enumerate(heaviest(frontier, config.max_nodes)):
            directions = around.get(name, {})
            total = sum(relevance[direction] for direction in directions)
            for direction, found in directions.items():
                share = frontier[name] * Fraction(config.decay) * relevance[direction] / total / len(found)
                by_name = tie("\0" * direction[1] + direction[0])
                followed = sorted(found, key=tie)[: config.max_fanout]
                groups.append(((-np.float32(share), rank, by_name), share, followed))
        frontier, edges = {}, 0
        for _, share, followed in sorted(groups):
            if edges and edges + len(followed) > config.max_edges:
                break
            edges += len(followed)
            for name in followed:
                frontier[name] = frontier.get(name, 0) + share
        for name, amount in frontier.items():
            mass[name] = mass.get(name, 0) + amount
    near = heaviest({name: mass[name] for name in mass if name not in linked}, config.max_nodes)
    nodes = [*linked, *near][: config.max_nodes]
    kept = {name: mass[name] for name in heaviest({name: mass[name] for name in nodes}, config.max_nodes)}
    facts = [(head, (relation, 0), tail) for head, relation, tail in triples if {head, tail} <= set(kept)]
    return kept, sorted([*facts, *((tail, (name, 1), head) for head, (name, _), tail in facts)])


@given(statements, configs, relevances, st.data())
@settings(max_examples=200, deadline=None)
def test_it_finds_what_a_slow_search_in_exact_numbers_finds(lines, config, relevance, data):
    graph = KnowledgeGraph.from_triples(lines)
    seeds = data.draw(
        st.dictionaries(st.sampled_from(graph.entities), st.integers(1, 3), min_size=1, max_size=4)
    )
    without = data.draw(st.sets(st.integers(0, len(graph) - 1), max_size=4))
    present = [graph.triple(index) for index in range(len(graph)) if index not in without]
    mass, facts = slowly_retrieved(present, seeds, config, relevance)

    by_id = {graph.entity_id(name): float(weight) for name, weight in seeds.items()}
    subgraph = Retriever(graph, config).retrieve(by_id, without, in_order(graph, relevance))
    assert [graph.entities[node] for node in subgraph.nodes] == list(mass)
    expected = {name: float(amount / sum(mass.values())) for name, amount in mass.items()}
    assert masses(graph, subgraph) == pytest.approx(expected)
    directions = [(name, back) for back in (0, 1) for name in graph.relations]
    found = [(source, directions[index], target) for source, index, target in edges(graph, subgraph)]
    assert sorted(found) == facts


@given(statements, configs, relevances, st.data())
@settings(max_examples=100, deadline=None)
def test_the_order_of_the_file_changes_nothing(lines, config, relevance, data):
    seeds = data.draw(
        st.dictionaries(st.sampled_from([line[0] for line in lines]), st.floats(0.1, 1), min_size=1)
    )
    found = []
    for triples in (lines, data.draw(st.permutations(lines))):
        graph = KnowledgeGraph.from_triples(triples)
        by_id = {graph.entity_id(name): weight for name, weight in seeds.items()}
        subgraph = Retriever(graph, config).retrieve(by_id, relevance=in_order(graph, relevance))
        stated = [graph.triple(index) for index in subgraph.triple]
        positions = zip(subgraph.source.tolist(), subgraph.target.tolist(), stated, strict=True)
        found.append((masses(graph, subgraph), list(positions)))
    (mass, walked), (other_mass, other_walked) = found
    assert list(mass) == list(other_mass)
    assert mass == pytest.approx(other_mass)
    assert walked == other_walked


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


@given(graphs, configs, st.data())
@settings(max_examples=60, deadline=None)
def test_leaving_triples_out_is_like_not_having_them(graph, config, data):
    without = data.draw(st.sets(st.integers(0, len(graph) - 1), max_size=4))
    kept = np.array([triple for triple in range(len(graph)) if triple not in without], dtype=np.int64)
    here = Retriever(graph, config).retrieve({0: 1.0}, without)
    there = Retriever(graph.without(sorted(without)), config).retrieve({0: 1.0})
    for part in ("nodes", "mass", "source", "target", "direction"):
        assert np.array_equal(getattr(here, part), getattr(there, part))
    assert np.array_equal(here.triple, kept[there.triple])
