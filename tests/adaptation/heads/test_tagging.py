import pytest
import torch

from roots_kg.adaptation import sample_tasks
from roots_kg.adaptation.contract import encode_with
from roots_kg.adaptation.few_shot import FewShotConfig
from roots_kg.adaptation.heads.tagging import TaggingHead
from roots_kg.adaptation.task import Task
from roots_kg.errors import TaskError

LABELS = {"person": "the name of a person", "town": "the name of a town"}
FIT = FewShotConfig()


@pytest.fixture
def make(encoder):
    """A function that makes a head with these labels."""

    def head(labels=()):
        return TaggingHead(Task("names", "tagging", labels=dict(labels)), encoder.hidden_size, None)

    return head


@pytest.fixture
def fitted(make, read, text_layers):
    """A head that was fitted to its sample, and what it told."""
    head = make(LABELS)
    told = head.fit(read(head, sample_tasks.TAGGING.train), encode_with(text_layers, head), FIT)
    return head.eval(), told


@pytest.fixture
def predict(fitted, text_layers):
    """A function that predicts for texts."""
    head, _ = fitted
    return lambda texts: head.decode(encode_with(text_layers, head)(texts))


def tagged(*targets):
    return [{"tokens": ["a", "b", "c"], "tags": tags.split()} for tags in targets]


def test_a_span_is_found_with_its_characters_and_its_own_probability(predict):
    text = "Please call Laura Klein in Berlin."
    (found,) = predict([text])
    assert [(text[part.start : part.end], part.label) for part in found.parts] == [
        ("Laura Klein", "person"),
        ("Berlin", "town"),
    ]
    assert found.value == tuple((part.start, part.end, part.label) for part in found.parts)
    assert all(found.probability <= part.probability <= 1 for part in found.parts)


def test_tokens_are_words_whatever_they_look_like(fitted, text_layers, read):
    head, _ = fitted
    tokens = ["Call", "Anna-Maria", "Berg", "."]
    (example,) = read(head, [{"tokens": tokens, "tags": ["O", "B-person", "I-person", "O"]}])
    encoded = encode_with(text_layers, head)([example.text])
    assert head.decode(encoded)[0].value == example.target == ((5, 20, "person"),)


def test_a_text_without_names_has_no_span(predict, fitted):
    (found,) = predict(["Thank you, the parcel is here."])
    assert found.value == ()
    assert found.parts == ()
    assert fitted[0].display(found.value) == "no span"


def test_what_a_fit_tells(fitted):
    told = fitted[1]
    assert told["spans"] == 9 - 1
    assert (told["labels"], told["longest_span_in_words"], told["spans_that_split_a_word"]) == (2, 2, 0)


def test_a_span_that_splits_a_word_is_told_of(make, read, text_layers):
    head = make(LABELS)
    spans = [{"start": 0, "end": 4, "label": "town"}]
    told = head.fit(read(head, [{"text": "Osloer", "spans": spans}]), encode_with(text_layers, head), FIT)
    assert told["spans_that_split_a_word"] == 1


def test_without_labels_in_the_task_they_are_those_of_the_examples_sorted(make, read, text_layers):
    head = make()
    head.fit(read(head, sample_tasks.TAGGING.train), encode_with(text_layers, head), FIT)
    assert head.settings() == {"labels": ["person", "town"], "longest": 2}


def test_an_unknown_label_is_refused_with_the_nearest(make, read):
    with pytest.raises(TaskError, match=r"train\.jsonl:1: unknown label 'persn' \(did you mean 'person'"):
        read(make(LABELS), tagged("B-persn O O"))


def test_examples_without_any_span_are_refused(make, read, text_layers):
    head = make()
    with pytest.raises(TaskError, match=r"train\.jsonl: there is no span in the examples"):
        head.fit(read(head, tagged("O O O")), encode_with(text_layers, head), FIT)


def test_a_draw_has_each_label_and_no_label_as_often_as_asked(make, read):
    head = make()
    examples = read(head, tagged(*["B-x O O"] * 6, *["O O O"] * 6, *["B-y O O"] * 6))
    for seed in range(5):
        targets = [example.target for example in head.sample(examples, 2, seed)]
        assert sorted(targets) == sorted([(), ()] + [((0, 1, "x"),)] * 2 + [((0, 1, "y"),)] * 2)


def test_the_probability_of_what_cannot_be_said_is_zero(fitted, text_layers):
    head, _ = fitted
    encoded = encode_with(text_layers, head)(["Call Laura Klein."])
    for impossible in (((5, 7, "person"),), ((0, 16, "person"),), ((5, 10, "person"), (5, 16, "person"))):
        assert head.support_of(encoded, impossible) == [0.0]


def test_a_label_that_no_example_has_is_not_found_where_the_others_are(make, read, text_layers):
    head = make({**LABELS, "river": "the name of a river"})
    head.fit(read(head, sample_tasks.TAGGING.train), encode_with(text_layers, head), FIT)
    (found,) = head.decode(encode_with(text_layers, head)(["Please call Laura Klein in Berlin."]))
    assert {part.label for part in found.parts} == {"person", "town"}


def test_a_text_that_is_longer_than_a_window_is_read_whole(predict):
    text = "The parcel is here. " * 150 + "Please call Laura Klein in Berlin."
    (found,) = predict([text])
    assert (len(text) - 7, len(text) - 1, "town") in found.value


def test_the_loss_falls_with_the_states_of_tokens(fitted, text_layers, read):
    head, _ = fitted
    examples = read(head, sample_tasks.TAGGING.test)
    encoded = encode_with(text_layers, head)([example.text for example in examples])
    for tokens in encoded.tokens:
        tokens.states.requires_grad_()
    with torch.enable_grad():
        head.loss(encoded, [example.target for example in examples]).backward()
    assert all(bool(tokens.states.grad.any()) for tokens in encoded.tokens)
