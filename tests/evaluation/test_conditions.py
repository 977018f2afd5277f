from pathlib import Path

import pytest

from roots_kg.adaptation.task import Record, read_records
from roots_kg.errors import UsageError
from roots_kg.evaluation.conditions import AS_TEXT, GRAPH, NO_GRAPH, RANDOM, SHUFFLED, TITLES, Conditions
from roots_kg.model import RootsModel


@pytest.fixture(scope="module")
def records(tickets):
    return tickets


@pytest.fixture(scope="module")
def conditions(routing_model, routing_task, records):
    return Conditions(routing_model, routing_task, records)


def by_name(conditions, name):
    (found,) = (condition for condition in conditions.all if condition.name == name)
    return found


def nothing(done):
    """Take no notice of progress."""


def test_every_condition_is_there_and_has_a_title(conditions):
    assert [condition.name for condition in conditions.all] == list(TITLES)


def test_the_graph_beats_every_control_on_towns_never_seen(conditions, routing_task, records):
    support = read_records(routing_task.train)[::2]
    accuracy = {
        name: conditions.trial(by_name(conditions, name), support, records, nothing).scores(range(18))[
            "accuracy"
        ]
        for name in (GRAPH, NO_GRAPH, SHUFFLED, RANDOM, AS_TEXT)
    }
    assert accuracy[GRAPH] >= 0.9
    assert accuracy[AS_TEXT] >= 0.6
    assert max(accuracy[NO_GRAPH], accuracy[SHUFFLED], accuracy[RANDOM]) < 0.75


def test_triples_as_text_stand_in_front_of_the_text_nearest_first(conditions, records):
    (written,) = by_name(conditions, AS_TEXT).write(records[:1])
    town = next(
        word for word in records[0].fields["text"].split() if word in conditions.knowledge.graph.entity_ids
    )
    assert written.fields["text"].startswith(f"{town} located in ")
    assert written.fields["text"].endswith(f". {records[0].fields['text']}")
    assert written.fields["label"] == records[0].fields["label"]
    assert (written.path, written.line) == (records[0].path, records[0].line)


def test_a_text_that_mentions_nothing_is_written_as_it_is(conditions):
    record = Record({"text": "Nothing is known here.", "label": "andes"}, Path("x"), 1)
    assert by_name(conditions, AS_TEXT).write([record]) == [record]


def test_examples_that_point_into_their_text_are_left_alone(routing_model, routing_task):
    record = Record({"text": "Graz", "label": "andes", "span": {"start": [0, 4]}}, Path("x"), 1)
    found = by_name(Conditions(routing_model, routing_task, [record]), AS_TEXT)
    assert found.model is None
    assert "point into their text" in found.note


def test_a_head_that_needs_a_graph_is_stood_in_for_by_the_nearest_labelled_text(
    questions_model, questions_task, questions
):
    train, test = read_records(questions_task.train), questions
    conditions = Conditions(questions_model, questions_task, test)
    without = by_name(conditions, NO_GRAPH)
    assert "stands in" in without.note
    seen = conditions.trial(without, train, train[:6], nothing)
    assert seen.scores(range(6)) == {"hits@1": 1.0}  # the nearest text is the text itself
    assert conditions.trial(without, train, test, nothing).scores(range(len(test)))["hits@1"] < 0.6
    as_text = by_name(conditions, AS_TEXT)
    assert (as_text.model, conditions.trial(as_text, train, test, nothing)) == (None, None)


def test_a_control_that_nothing_can_be_learned_from_counts_as_zero(questions_model, questions_task):
    train, test = read_records(questions_task.train), read_records(questions_task.test)
    conditions = Conditions(questions_model, questions_task, test)
    lost = [Record({"text": "What is it?", "answers": ["euro"]}, Path("x"), 1)]
    trial = conditions.trial(by_name(conditions, SHUFFLED), lost, test, nothing)
    assert trial.scores(range(3)) == {"hits@1": 0.0}
    assert len(train) > 1


def test_switched_off_the_saved_model_is_the_one_without_a_graph(conditions, encoder, routing_task, records):
    off = conditions.judge(conditions.switched_off, records[:6], nothing)
    plain = RootsModel(encoder)
    plain.adapt(routing_task)
    expected = plain.predict([record.fields["text"] for record in records[:6]])
    assert [found.value for found in off.predictions] == [found.value for found in expected]


def test_the_model_stays_as_it_is(routing_model, conditions, routing_task, records):
    head, knowledge, layers = routing_model.head, routing_model.knowledge, routing_model.layers
    for condition in conditions.all:
        conditions.trial(condition, records[::3], records[:2], nothing)
    assert (routing_model.head, routing_model.knowledge, routing_model.layers) == (head, knowledge, layers)
    assert layers.reading is None


def test_a_model_without_a_task_or_without_a_graph_is_refused(encoder, bundle, routing_task, records):
    with pytest.raises(UsageError, match="no task yet"):
        Conditions(RootsModel(encoder, bundle), routing_task, records)
    plain = RootsModel(encoder)
    plain.adapt(routing_task, shots=2)
    with pytest.raises(UsageError, match="--knowledge BUNDLE"):
        Conditions(plain, routing_task, records)
