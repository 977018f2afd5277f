"""Noise is drawn by a seed, changes what it says, and is judged beside a model that has no graph."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from roots_kg.adaptation.task import Task, read_records
from roots_kg.errors import UsageError
from roots_kg.evaluation.robustness import DISTURBANCES, GRAPHS, LINKS, TEXTS, disturbed, robustness_report
from roots_kg.model import RootsModel

TEXT = "The parcel to Steiermark has been lost since Monday evening"


@given(st.sampled_from(sorted(TEXTS)), st.text(), st.integers(0, 3))
def test_any_text_can_be_disturbed_and_the_same_seed_does_the_same(disturbance, text, seed):
    (first,) = disturbed([text], disturbance, seed)
    assert disturbed([text], disturbance, seed) == [first]
    assert first.strip() or not text.strip()


def test_each_disturbance_of_a_text_does_what_it_is_called():
    many = [TEXT] * 400
    words = TEXT.split()
    assert disturbed([TEXT], "lower case") == [TEXT.lower()]
    assert disturbed([TEXT], "upper case") == [TEXT.upper()]
    assert disturbed([TEXT], "the second half cut off") == [" ".join(words[:5])]
    kept = [len(text.split()) for text in disturbed(many, "10% of the words dropped")]
    assert 0.87 < sum(kept) / (400 * len(words)) < 0.93
    typed = disturbed(many, "typing errors in 10% of the words")
    wrong = sum(
        one != other
        for text in typed
        for one, other in zip(text.split(), words, strict=True)
        if len(other) > 3
    )
    assert 0.05 < wrong / (400 * sum(len(word) > 3 for word in words)) < 0.12  # a swap may change nothing
    assert all(one[0] == other[0] for text in typed for one, other in zip(text.split(), words, strict=True))


@pytest.fixture(scope="module")
def found(encoder, bundle, routing_folder):
    task = Task.load(routing_folder)
    model = RootsModel(encoder, bundle)
    model.adapt(task)
    asked = []
    report = robustness_report(model, task, read_records(task.test), seed=1, progress=asked.append)
    return model, report, sum(asked)


def test_every_disturbance_has_a_row_beside_the_text_only_model(found, routing_folder):
    model, report, asked = found
    assert [row.disturbance for row in report.rows] == list(DISTURBANCES)
    rows = {row.disturbance: row for row in report.rows}
    clean = rows["as it is"]
    examples = read_records(Task.load(routing_folder).test)
    assert clean.graph.value == pytest.approx(model.evaluate(examples).metrics[report.metric])
    assert clean.graph.value > clean.text.value
    for name in (*LINKS, *GRAPHS):  # of which the text-only model sees nothing
        assert rows[name].text == clean.text
    for row in report.rows:
        assert row.graph.low <= row.graph.value <= row.graph.high
        assert row.difference.value == pytest.approx(row.graph.value - row.text.value)
    assert rows["50% of the triples deleted"].graph.value <= clean.graph.value
    assert asked == len(examples) * (len(DISTURBANCES) + 1 + len(TEXTS))
    assert "| as it is |" in report.to_markdown()
    json.dumps(report.to_json())


def test_a_model_without_a_graph_or_a_head_that_reads_spans_is_refused(encoder, routing_folder):
    task = Task.load(routing_folder)
    model = RootsModel(encoder)
    model.adapt(task)
    with pytest.raises(UsageError, match="no graph"):
        robustness_report(model, task, read_records(task.test))
