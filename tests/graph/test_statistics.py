import unicodedata

import networkx
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from roots_kg.graph.statistics import (
    component_sizes,
    degree_histogram,
    degree_quantiles,
    degrees,
    fold,
    likely_duplicates,
    relation_statistics,
)
from roots_kg.graph.triples import KnowledgeGraph

names = st.sampled_from("abcdefghij")
graphs = st.lists(st.tuples(names, st.sampled_from("rst"), names), min_size=1, max_size=30).map(
    KnowledgeGraph.from_triples
)


def groups(*spelt):
    return [(group.difference, group.keys) for group in likely_duplicates(spelt, spelt)]


def test_a_self_loop_counts_twice_for_the_degree():
    graph = KnowledgeGraph.from_triples([("a", "r", "b"), ("b", "s", "b"), ("b", "r", "c")])
    assert dict(zip(graph.entities, degrees(graph).tolist(), strict=True)) == {"a": 1, "b": 4, "c": 1}


def test_the_histogram_doubles_its_bins_and_holds_every_entity():
    found = degree_histogram(np.array([0, 1, 1, 2, 3, 4, 7, 8, 40]))
    assert [(item.low, item.high, item.entities) for item in found] == [
        (0, 0, 1),
        (1, 1, 2),
        (2, 3, 2),
        (4, 7, 2),
        (8, 15, 1),
        (16, 31, 0),
        (32, 63, 1),
    ]


def test_quantiles_are_degrees_that_occur():
    found = degree_quantiles(np.arange(1, 101))
    assert (found["minimum"], found["median"], found["p90"], found["maximum"]) == (1, 50, 90, 100)
    assert found["mean"] == 50.5


@pytest.mark.parametrize(
    ("triples", "cardinality"),
    [
        ([("a", "r", "x"), ("b", "r", "y")], "1-1"),
        ([("a", "r", "x"), ("a", "r", "y")], "1-N"),
        ([("a", "r", "x"), ("b", "r", "x")], "N-1"),
        ([("a", "r", "x"), ("a", "r", "y"), ("b", "r", "x"), ("b", "r", "y")], "N-N"),
        ([("a", "r", "x"), ("a", "r", "y"), ("b", "r", "z")], "1-N"),  # 1.5 tails a head is many
        ([("a", "r", "x"), ("a", "r", "y"), ("b", "r", "z"), ("c", "r", "w")], "1-1"),  # 1.33 is not
    ],
)
def test_cardinality_is_many_from_one_and_a_half_on_the_mean(triples, cardinality):
    (found,) = relation_statistics(KnowledgeGraph.from_triples(triples))
    assert found.cardinality == cardinality
    assert found.example == triples[0]


def test_a_relation_without_triples_has_no_cardinality_and_comes_last():
    graph = KnowledgeGraph.from_triples([("a", "r", "b"), ("a", "s", "b")]).without([0])
    assert [
        (item.relation, item.triples, item.cardinality, item.example) for item in relation_statistics(graph)
    ] == [
        ("s", 1, "1-1", ("a", "s", "b")),
        ("r", 0, None, None),
    ]


@given(graphs)
def test_relation_statistics_are_what_counting_one_by_one_gives(graph):
    rows = [graph.triple(index) for index in range(len(graph))]
    found = relation_statistics(graph)
    assert [(-item.triples, item.relation) for item in found] == sorted(
        (-sum(row[1] == name for row in rows), name) for name in graph.relations
    )
    for item in found:
        own = [row for row in rows if row[1] == item.relation]
        assert item.heads == len({row[0] for row in own})
        assert item.tails == len({row[2] for row in own})
        assert item.tails_per_head == pytest.approx(item.triples / item.heads)
        assert item.heads_per_tail == pytest.approx(item.triples / item.tails)
        assert item.example == own[0]


@given(graphs)
def test_components_are_those_of_networkx(graph):
    expected = map(len, networkx.weakly_connected_components(graph.to_networkx()))
    assert component_sizes(graph).tolist() == sorted(expected, reverse=True)


def test_a_long_chain_in_random_order_is_one_component():
    order = np.random.default_rng(0).permutation(5000)
    names = tuple(map(str, range(5000)))
    graph = KnowledgeGraph(names, ("r",), order[:-1], np.zeros(4999, dtype=np.int64), order[1:])
    assert component_sizes(graph).tolist() == [5000]


def test_entities_without_triples_are_in_no_component():
    graph = KnowledgeGraph.from_triples([("a", "r", "b"), ("c", "r", "d")])
    assert component_sizes(graph.without([1])).tolist() == [2]
    assert component_sizes(graph.without([0, 1])).tolist() == []


def test_duplicates_are_told_by_what_sets_them_apart():
    composed, decomposed = "Caf\u00e9", "Cafe\u0301"
    assert groups("New York", "new-york", composed, "ABBA", decomposed, "abba", "Ａ１", "A1", "Bern") == [
        ("NFC/NFD", (composed, decomposed)),
        ("compatibility forms", ("Ａ１", "A1")),
        ("letter case", ("ABBA", "abba")),
        ("spacing and punctuation", ("New York", "new-york")),
    ]


def test_names_that_mean_different_things_are_not_duplicates():
    assert groups("C", "C#", "C++", "1.5", "15", "/m/0ab", "/m/0a_b", "Ähre", "Ahre") == []


def test_signs_that_cannot_be_seen_make_no_difference():
    assert groups("Bern", "Be\u00adrn\u200b") == [("spacing and punctuation", ("Bern", "Be\u00adrn\u200b"))]


def test_entities_of_one_name_are_told_apart_from_spellings():
    keys, names = ["Georgia (US)", "b", "Georgia (country)"], ["Georgia", "B", "Georgia"]
    (group,) = likely_duplicates(keys, names)
    assert (group.difference, group.keys) == ("same name", ("Georgia (US)", "Georgia (country)"))


def test_names_of_punctuation_alone_stay_apart():
    assert groups("...", "???", "-") == []


@given(st.text(min_size=1))
def test_folding_twice_is_folding_once_for_the_forms_of_a_name(name):
    forms = {fold(unicodedata.normalize(form, name)) for form in ("NFC", "NFD")}
    assert len(forms) == 1
    assert forms.pop()
