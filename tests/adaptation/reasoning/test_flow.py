"""Scores move as a plain enumeration of all paths says, and every answer has the way that led to it."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from roots_kg.adaptation.reasoning.flow import flow
from roots_kg.graph.paths import walk
from roots_kg.graph.triples import KnowledgeGraph

names = st.integers(0, 5).map(str)
graphs = st.lists(st.tuples(names, st.sampled_from("rs"), names), min_size=1, max_size=14).map(
    KnowledgeGraph.from_triples
)
CHAIN = KnowledgeGraph.from_triples(
    [
        ("film", "by", "director"),
        ("director", "born_in", "city"),
        ("other", "by", "director"),
        ("x", "by", "y"),
    ]
)


def probabilities(*shape, seed=0):
    drawn = np.random.default_rng(seed).uniform(0.5, 1.0, shape)
    return drawn / drawn.sum(axis=-1, keepdims=True)


def arriving(found):
    ends, scores = found.arriving()
    return dict(zip(ends.tolist(), scores.tolist(), strict=True))


def sure(graph, *path):
    """P_t(direction) and P(hops) of a question that asks for one path of directions."""
    direction = np.zeros((len(path), 2 * graph.num_relations))
    direction[np.arange(len(path)), list(path)] = 1.0
    length = np.zeros(len(path))
    length[-1] = 1.0
    return direction, length


@given(graphs, st.integers(1, 3), st.booleans(), st.data())
@settings(max_examples=100, deadline=None)
def test_what_arrives_is_the_sum_over_all_paths(graph, hops, returns, data):
    topic = data.draw(st.integers(0, graph.num_entities - 1))
    without = data.draw(st.sets(st.integers(0, len(graph) - 1), max_size=3))
    direction = probabilities(hops, 2 * graph.num_relations)
    length = probabilities(hops)
    paths = walk(graph, topic, hops, returns=returns, without=without)
    expected = {}
    for path, entity, mass in zip(paths.path, paths.entity, paths.mass, strict=True):
        walked = [way for way in paths.directions[path].tolist() if way >= 0]
        chosen = np.prod([direction[hop, way] for hop, way in enumerate(walked)])
        share = length[len(walked) - 1] * chosen * mass
        expected[int(entity)] = expected.get(int(entity), 0.0) + share
    found = flow(graph, topic, direction, length, returns=returns, without=without)
    assert (arriving(found) if found.hops else {}) == pytest.approx(expected)


@given(graphs, st.integers(1, 3), st.data())
@settings(max_examples=50, deadline=None)
def test_the_way_to_an_answer_is_a_walk_over_triples_of_the_graph(graph, hops, data):
    topic = data.draw(st.integers(0, graph.num_entities - 1))
    found = flow(graph, topic, probabilities(hops, 2 * graph.num_relations), probabilities(hops))
    for entity in arriving(found) if found.hops else {}:
        here = topic
        for step in found.chain(entity):
            assert step.start == here
            ends = int(graph.head_id[step.triple]), int(graph.tail_id[step.triple])
            forwards = step.direction < graph.num_relations
            assert (step.start, step.end) == (ends if forwards else ends[::-1])
            assert graph.relation_id[step.triple] == step.direction % graph.num_relations
            here = step.end
        assert here == entity


def test_an_edge_is_completed_only_where_the_graph_has_none():
    asked = []

    def complete(entities, direction):
        asked.append(([CHAIN.entities[entity] for entity in entities], direction))
        end = np.full(len(entities), CHAIN.entity_id("city"))
        return np.arange(len(entities)), end, np.full(len(entities), 0.6)

    born, film = CHAIN.relation("born_in"), CHAIN.entity_id("film")
    by = CHAIN.relation("by")
    found = flow(CHAIN, film, *sure(CHAIN, by, born), complete=complete)
    assert not asked
    assert [step.triple >= 0 for step in found.chain(CHAIN.entity_id("city"))] == [True, True]

    found = flow(CHAIN, CHAIN.entity_id("x"), *sure(CHAIN, by, born), complete=complete)
    assert asked == [(["y"], born)]
    assert arriving(found)[CHAIN.entity_id("city")] == pytest.approx(0.6)
    assert found.spread == pytest.approx(0.4)
    assert [step.triple >= 0 for step in found.chain(CHAIN.entity_id("city"))] == [True, False]


def test_a_triple_that_is_left_out_is_not_completed_either():
    def complete(entities, direction):
        raise AssertionError("asked")

    found = flow(
        CHAIN, CHAIN.entity_id("x"), *sure(CHAIN, CHAIN.relation("by")), complete=complete, without=[3]
    )
    assert not found.hops


def test_where_no_likely_direction_leads_anywhere_another_does():
    direction, length = sure(CHAIN, CHAIN.relation("born_in"))
    direction += 1e-4
    found = flow(CHAIN, CHAIN.entity_id("x"), direction, length)
    assert list(arriving(found)) == [CHAIN.entity_id("y")]


def test_scores_come_back_to_the_topic_only_if_they_may():
    by = CHAIN.relation("by")
    film, other = CHAIN.entity_id("film"), CHAIN.entity_id("other")
    there_and_back = sure(CHAIN, by, CHAIN.opposite(by))
    away = arriving(flow(CHAIN, film, *there_and_back))
    back = arriving(flow(CHAIN, film, *there_and_back, returns=True))
    assert away[other] == back[other] == back[film] == pytest.approx(0.5)
    assert film not in away
