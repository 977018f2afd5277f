"""Answered questions say something about edges that are missing, and nothing about those that are there."""

import numpy as np
import pytest

from roots_kg.adaptation.reasoning.clues import ReadQuestion, gather_clues
from roots_kg.graph.triples import KnowledgeGraph

GRAPH = KnowledgeGraph.from_triples(
    [
        ("film 1", "by", "Ann"),
        ("film 2", "by", "Bob"),
        ("film 3", "in", "1999"),
        ("film 1", "in", "1984"),
        ("Ann", "friend", "Bob"),
    ]
)
BY, IN = GRAPH.relation("by"), GRAPH.relation("in")


def asked(topic, path, *answers):
    return ReadQuestion(
        GRAPH.entity_id(topic), tuple(path), frozenset(GRAPH.entity_id(name) for name in answers)
    )


def stated(clues):
    """{(entity, direction): {end: features}} of summed clues."""
    found = {}
    for key, end, feature in zip(clues.key, clues.end, clues.feature, strict=True):
        entity, direction = divmod(int(key), 2 * GRAPH.num_relations)
        ends = found.setdefault((GRAPH.entities[entity], direction), {})
        ends[GRAPH.entities[end]] = feature.tolist()
    return found


def test_a_question_over_one_relation_states_its_facts_both_ways():
    found = gather_clues(GRAPH, [asked("film 3", [BY], "Ann", "Bob")])
    facts = stated(found.clues.summed())
    assert facts == {("film 3", BY): {"Ann": [1, 1, 0.5, 0, 0, 0], "Bob": [1, 1, 0.5, 0, 0, 0]}}
    (broken,) = found.broken
    assert (GRAPH.entities[broken.entity], broken.direction) == ("film 3", BY)
    assert found.unreached == 1


def test_what_the_graph_holds_needs_no_clue():
    found = gather_clues(GRAPH, [asked("film 1", [BY], "Ann")])
    assert len(found.clues.key) == len(found.broken) == found.unreached == 0


def test_the_end_of_a_longer_path_is_told_by_the_answers():
    found = gather_clues(GRAPH, [asked("Bob", [GRAPH.opposite(BY), IN], "1984", "1999")])
    facts = stated(found.clues.summed())
    assert set(facts["film 2", IN]) == {"1984", "1999"}
    assert facts["film 2", IN]["1999"][:3] == [1, 1, 0.5]


def test_an_edge_on_the_way_is_told_from_behind():
    found = gather_clues(GRAPH, [asked("film 3", [BY, GRAPH.relation("friend")], "Bob")])
    facts = stated(found.clues.summed())
    assert facts["film 3", BY] == {"Ann": [0, 0, 0, 1, 1, 1]}


def test_facts_stated_outright_are_walked_like_edges():
    questions = [
        asked("film 2", [IN], "1999"),
        asked("Bob", [GRAPH.opposite(BY), IN, GRAPH.opposite(IN)], "film 3"),
    ]
    before = gather_clues(GRAPH, questions[1:])
    after = gather_clues(GRAPH, questions)
    assert before.unreached == 1
    assert not any(
        key == ("film 2", IN) and 1 in before.clues.question for key in stated(before.clues.summed())
    )
    assert stated(after.clues.summed())["film 2", IN]["1999"][0] == 1


def test_clues_of_several_questions_add_up():
    questions = [asked("film 3", [BY], "Ann"), asked("film 3", [BY], "Ann", "Bob")]
    clues = gather_clues(GRAPH, questions).clues
    assert np.all(np.diff(clues.key) >= 0)
    assert stated(clues.summed())["film 3", BY]["Ann"][:3] == [2, 2, 1.5]


def test_no_questions_give_no_clues():
    found = gather_clues(GRAPH, [])
    assert len(found.clues.summed().key) == 0
    assert found.clues.about(3) == slice(0, 0)


@pytest.mark.parametrize(("returns", "unreached"), [(False, 1), (True, 0)])
def test_a_path_comes_back_to_its_topic_only_if_it_may(returns, unreached):
    question = asked("film 1", [BY, GRAPH.opposite(BY)], "film 1")
    assert gather_clues(GRAPH, [question], returns=returns).unreached == unreached
