"""Inverse and symmetric relations are found with their counts, and chance is not."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from roots_kg.graph import inverses
from roots_kg.graph.inverses import InverseRelations, inverse_relations
from roots_kg.graph.triples import KnowledgeGraph


def test_two_relations_that_state_the_same_backwards_are_one_pair():
    triples = [("p", "child", f"c{number}") for number in range(4)]
    triples += [(f"c{number}", "parent", "p") for number in range(3)] + [("p", "parent", "p")]
    assert inverse_relations(KnowledgeGraph.from_triples(triples)) == [
        InverseRelations("child", "parent", 4, 3, 3)
    ]
    assert inverse_relations(KnowledgeGraph.from_triples(triples[::-1]))[0].share == 1.0


def test_a_symmetric_relation_is_its_own_inverse_and_self_loops_do_not_count():
    triples = [("a", "borders", "b"), ("b", "borders", "a"), ("a", "borders", "c"), ("a", "borders", "a")]
    (found,) = inverse_relations(KnowledgeGraph.from_triples(triples))
    assert found == InverseRelations("borders", "borders", 3, 3, 2)
    assert found.symmetric
    assert found.share == pytest.approx(2 / 3)


def test_a_single_pair_or_a_small_share_is_not_reported():
    triples = [("a", "r", "b"), ("b", "s", "a")]
    assert inverse_relations(KnowledgeGraph.from_triples(triples)) == []
    assert len(inverse_relations(KnowledgeGraph.from_triples(triples), least_matched=1)) == 1
    triples += [("c", "r", "d"), ("d", "s", "c")]
    triples += [(f"x{number}", relation, f"{relation}{number}") for number in range(10) for relation in "rs"]
    graph = KnowledgeGraph.from_triples(triples)
    assert inverse_relations(graph) == []
    assert [pair.matched for pair in inverse_relations(graph, least_share=0.1)] == [2]


def test_a_graph_without_triples_has_none():
    assert inverse_relations(KnowledgeGraph.from_triples([])) == []


entities, relations = st.sampled_from("abcd"), st.sampled_from("rst")


@given(st.lists(st.tuples(entities, relations, entities), max_size=40), st.sampled_from([1, 2, 1 << 22]))
@settings(max_examples=150, deadline=None)
def test_counts_are_those_of_looking_up_every_triple(triples, chunk):
    stated = {triple for triple in triples if triple[0] != triple[2]}
    expected = {}
    for head, relation, tail in stated:
        for other in "rst":
            if (tail, other, head) in stated:
                pair = (relation, other)
                expected[pair] = expected.get(pair, 0) + 1
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(inverses, "CHUNK", chunk)
        found = inverse_relations(KnowledgeGraph.from_triples(triples), least_share=0, least_matched=1)
    counted = {}
    for pair in found:
        counted[pair.relation, pair.inverse] = counted[pair.inverse, pair.relation] = pair.matched
        assert pair.triples == sum(relation == pair.relation for _, relation, _ in stated)
    assert counted == expected
    assert [pair.matched for pair in found] == sorted((pair.matched for pair in found), reverse=True)
