"""What every head promises, checked for each one that is built in; a new head needs a sample here."""

import json
from dataclasses import dataclass, replace
from functools import partial
from types import SimpleNamespace

import pytest
import torch

from roots_kg import registry
from roots_kg.adaptation.few_shot import FewShotConfig
from roots_kg.adaptation.heads.base import Head
from roots_kg.adaptation.task import Record, Task
from roots_kg.errors import TaskError


@dataclass(frozen=True)
class Sample:
    """What a head is checked with.

    Args:
        examples: which of the shared examples.
        labels: the task's labels.
        broken: records that the head must refuse.
    """

    examples: str
    labels: tuple[str, ...] = ()
    broken: tuple[dict, ...] = ()


SAMPLES = {
    "answer": Sample(
        "questions",
        broken=(
            {"text": "Where is Graz?"},
            {"text": "Where is Graz?", "answers": []},
            {"text": "Where is Graz?", "answers": ["Atlantis"]},
            {"answers": ["Austria"]},
        ),
    ),
    "classification": Sample(
        "routing",
        labels=("central", "nordic", "andes"),
        broken=({"text": "Graz"}, {"text": "Graz", "label": "centrl"}, {"label": "andes"}),
    ),
}


@pytest.fixture(scope="module", params=sorted(registry.BUILT_IN))
def case(request, encoder, layers, knowledge, examples, tmp_path_factory):
    """A head that was fitted to the first half of the examples, and the second half encoded for it."""
    name = request.param
    assert name in SAMPLES, f"add a sample for the head {name!r} to this file"
    sample = SAMPLES[name]
    path = tmp_path_factory.mktemp(name) / "examples.jsonl"
    task = Task("contract", name, labels={label: label for label in sample.labels})
    make = partial(registry.get_head(name), task, encoder.hidden_size, knowledge)
    head = make()
    encode = partial(layers, fuse=head.reads_fusion, ask=head.reads_questions)
    shared = getattr(examples, sample.examples)
    support, query = (
        [head.example(Record(fields, path, line)) for line, fields in enumerate(part, start=1)]
        for part in (shared.train, shared.test[::3])
    )
    told = head.fit(support, encode, FewShotConfig())
    return SimpleNamespace(
        sample=sample,
        make=make,
        head=head.eval(),
        support=support,
        query=query,
        path=path,
        told=told,
        encoded=encode([example.text for example in query]),
        encoded_support=encode([example.text for example in support]),
        fields=shared.train[0],
    )


def test_every_built_in_head_has_a_sample():
    assert SAMPLES.keys() == registry.BUILT_IN.keys()


def test_a_head_is_a_head_with_metrics_to_report(case):
    assert isinstance(case.head, Head)
    assert case.head.default_metrics


def test_an_example_keeps_its_text_and_its_record(case):
    record = Record(case.fields, case.path, 1)
    example = case.head.example(record)
    assert example.text == case.fields["text"]
    assert example.record is record


def test_a_broken_record_is_an_error_that_names_its_line(case):
    for fields in case.sample.broken:
        with pytest.raises(TaskError, match=r"examples\.jsonl:9: "):
            case.head.example(Record(fields, case.path, 9))


def test_the_support_is_drawn_from_the_examples_by_seed(case):
    drawn = case.head.sample(case.support, 2, 0)
    assert drawn == case.head.sample(case.support, 2, 0)
    assert 2 <= len(drawn) < len(case.support)
    assert all(example in case.support for example in drawn)
    draws = {tuple(item.record.line for item in case.head.sample(case.support, 2, seed)) for seed in range(5)}
    assert len(draws) > 1


def test_a_fit_tells_what_it_chose_in_plain_data(case):
    assert case.told["examples"] == len(case.support)
    assert json.loads(json.dumps(case.told)) == case.told


def test_scores_are_finite_with_one_row_a_text(case):
    scores = case.head(case.encoded)
    assert scores.shape[0] == len(case.query)
    assert scores.isfinite().all()


def test_the_loss_is_one_finite_number_that_fitting_lowered(case):
    targets = [example.target for example in case.support]
    loss = case.head.loss(case.encoded_support, targets)
    assert loss.shape == ()
    assert loss.isfinite()
    assert loss < case.make().loss(case.encoded_support, targets)


def test_predictions_are_ranked_and_their_probabilities_lie_between_zero_and_one(case):
    predictions = case.head.decode(case.encoded)
    assert len(predictions) == len(case.query)
    for prediction in predictions:
        shares = [share for _, share in prediction.ranked]
        assert prediction.ranked[0] == (prediction.value, prediction.probability)
        assert shares == sorted(shares, reverse=True)
        assert all(0 <= share <= 1 for share in shares)
        assert sum(shares) <= 1 + 1e-5
        assert len({value for value, _ in prediction.ranked}) == len(shares)


def test_evidence_is_triples_of_the_graph(case):
    predictions = case.head.decode(case.encoded)
    assert any(prediction.evidence for prediction in predictions)
    for prediction in predictions:
        triples = [triple for triple, _ in prediction.evidence]
        assert len(set(triples)) == len(triples)
        assert all(0 <= triple < len(case.head.knowledge.graph) for triple in triples)


def test_the_support_of_an_answer_is_the_probability_it_was_predicted_with(case):
    for index, prediction in enumerate(case.head.decode(case.encoded)[:6]):
        for value, share in prediction.ranked[:3]:
            assert case.head.support_of(case.encoded, value)[index] == pytest.approx(share, abs=1e-5)


def test_the_metrics_hold_the_default_ones_and_are_one_for_no_mistake(case):
    predictions, targets = case.head.decode(case.encoded), [example.target for example in case.query]
    metrics = case.head.metrics(predictions, targets)
    assert set(case.head.default_metrics) <= metrics.keys() == set(case.head.metric_names)
    assert all(isinstance(value, float) and 0 <= value <= 1 for value in metrics.values())
    assert case.head.judge(predictions, targets) == {
        name: metrics[name] for name in case.head.default_metrics
    }


def test_a_head_learns_from_the_examples(case):
    predictions, targets = case.head.decode(case.encoded), [example.target for example in case.query]
    assert all(value >= 0.8 for value in case.head.judge(predictions, targets).values())


def test_a_metric_that_the_head_does_not_know_is_an_error_that_names_the_nearest(case):
    known = case.head.default_metrics[0]
    task = replace(case.head.task, metrics=(f"{known}x",))
    with pytest.raises(TaskError, match=f"did you mean '{known}'"):
        type(case.head)(task, case.head.size, case.head.knowledge, case.head.settings())


def test_settings_and_state_build_the_head_again_with_the_same_predictions(case):
    settings = json.loads(json.dumps(case.head.settings()))
    rebuilt = case.make(settings)
    rebuilt.load_state_dict(case.head.state_dict())
    rebuilt.eval()
    assert rebuilt.settings() == case.head.settings()
    assert torch.equal(rebuilt(case.encoded), case.head(case.encoded))
    assert rebuilt.decode(case.encoded) == case.head.decode(case.encoded)


def test_no_text_gives_no_prediction(case, layers):
    head = case.head
    assert head.decode(layers([], fuse=head.reads_fusion, ask=head.reads_questions)) == []
