import json
from dataclasses import replace

import pytest

from roots_kg.adaptation.task import read_records
from roots_kg.errors import TaskError, UsageError
from roots_kg.evaluation.controls import shuffled_graph
from roots_kg.evaluation.report import knowledge_report, work
from roots_kg.model import RootsModel


def scores(report, name):
    (found,) = (result.scores for result in report.conditions if result.name == name)
    return found[report.metric].value


def test_a_graph_that_carries_the_label_is_reported_as_helping(routing_report):
    assert routing_report.outcome == "helps"
    assert routing_report.verdict.startswith("The graph helps: +")
    assert "It is its facts that count" in routing_report.verdict
    assert scores(routing_report, "graph") > scores(routing_report, "shuffled_graph") + 0.2


def test_a_graph_of_wrong_facts_is_not_reported_as_helping(encoder, bundle, routing_task, tickets):
    model = RootsModel(encoder, shuffled_graph(bundle, seed=0))
    model.adapt(routing_task, shots=4)
    found = knowledge_report(model, routing_task, tickets, shots=4, seeds=3, seed=1, evidence_sample=0)
    assert found.outcome != "helps"


def test_the_report_says_what_it_is_about(routing_report):
    assert (routing_report.task, routing_report.head, routing_report.n) == ("routing", "classification", 18)
    assert (routing_report.shots, routing_report.support) == (4, (12, 12, 12))
    assert routing_report.interval == "95% Student t-interval over 3 draws of the support set"
    assert routing_report.metric == "accuracy"


def test_the_saved_model_is_judged_as_it_is_and_with_its_graph_switched_off(
    routing_report, routing_model, tickets
):
    assert routing_report.saved["graph"] == routing_model.evaluate(tickets).metrics
    assert routing_report.saved["no_graph"]["accuracy"] < 0.7


def test_towns_that_no_support_example_mentions_are_a_part_of_their_own(routing_report):
    parts = {split.name: split for split in routing_report.splits}
    assert (parts["unseen"].n, parts["seen"].n, parts["unlinked"].n) == (18, 0, 0)
    assert parts["unseen"].scores["graph"]["accuracy"].value == scores(routing_report, "graph")
    assert parts["seen"].scores["graph"] is None
    assert [title for title, _, _ in routing_report.parts] == [
        "entities not in the support set",
        "not given away by training",
    ]


def test_training_examples_as_test_examples_are_found_out(questions_model, questions_task):
    records = read_records(questions_task.train)[:8]
    found = knowledge_report(questions_model, questions_task, records, shots=40, seeds=1, evidence_sample=0)
    assert len(found.leakage.repeated) == len(found.leakage.stated) == found.n == 8
    assert found.leakage.facts_stated == found.leakage.facts
    assert found.clean["graph"] is None
    assert {split.name: split.n for split in found.splits} == {"unseen": 0, "seen": 8, "unlinked": 0}


def test_where_every_draw_is_the_same_there_is_one_and_the_examples_are_resampled(questions_report):
    assert questions_report.support == (72,)
    assert "bootstrap over test examples" in questions_report.interval
    assert "give --shots" in questions_report.interval
    graph = questions_report.conditions[0].scores["hits@1"]
    assert graph.low <= graph.value <= graph.high


def test_a_head_that_needs_a_graph_is_reported_on_too(questions_report):
    by_name = {result.name: result for result in questions_report.conditions}
    assert questions_report.outcome == "helps"
    assert "the nearest labelled text" in questions_report.verdict
    assert by_name["triples_as_text"].scores is None
    assert questions_report.saved["no_graph"] == {"hits@1": 0.0}
    assert questions_report.deletion.heaviest.share.value >= 0.9


def test_the_report_is_plain_data_with_what_was_measured_under_metrics(routing_report, questions_report):
    for report in (routing_report, questions_report):
        found = json.loads(json.dumps(report.to_json()))
        measured = found["metrics"]
        assert set(measured) == {"conditions", "as_saved", "entities", "leakage", "deletion"}
        assert (found["verdict"], found["outcome"], found["n"]) == (
            report.verdict,
            report.outcome,
            report.n,
        )
    gain = measured["conditions"]["no_graph"]["graph_minus_this"]["hits@1"]
    assert gain["low"] <= gain["value"] <= gain["high"]
    assert measured["conditions"]["graph"]["graph_minus_this"] is None
    assert measured["deletion"]["other"]["tried"] > 0


def test_the_same_seed_gives_the_same_report_and_progress_is_told_of_as_announced(
    questions_report, questions_model, questions_task, questions
):
    done = []
    again = knowledge_report(
        questions_model, questions_task, questions, evidence_sample=12, progress=done.append
    )
    assert replace(again, seconds=0) == replace(questions_report, seconds=0)
    assert sum(done) == work(24, 12)


@pytest.mark.parametrize(
    ("changes", "options", "message"),
    [
        ({"head": "answer"}, {}, "adapted with the head 'classification'"),
        ({"train": None}, {}, "no training examples"),
        ({}, {"seeds": 0}, "--seeds must be at least 1, found 0"),
        ({}, {"shots": 0}, "--shots must be at least 1, found 0"),
        ({}, {"evidence_sample": -1}, "--evidence-sample must be at least 0"),
    ],
)
def test_what_cannot_be_reported_on_is_an_error(
    routing_model, routing_task, tickets, changes, options, message
):
    with pytest.raises((UsageError, TaskError), match=message):
        knowledge_report(routing_model, replace(routing_task, **changes), tickets, **options)


def test_no_test_example_is_an_error(routing_model, routing_task):
    with pytest.raises(TaskError, match="no test example"):
        knowledge_report(routing_model, routing_task, [])
