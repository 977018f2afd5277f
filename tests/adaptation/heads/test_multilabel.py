import pytest

from roots_kg.adaptation import sample_tasks
from roots_kg.adaptation.few_shot import FewShotConfig
from roots_kg.adaptation.heads.multilabel import MultilabelHead
from roots_kg.adaptation.task import Task
from roots_kg.errors import TaskError


@pytest.fixture
def fitted(encoder, read, text_layers):
    """A function that fits a head to the sample task, or to other records."""

    def fit(records=sample_tasks.MULTILABEL.train, labels=sample_tasks.MULTILABEL.labels):
        head = MultilabelHead(Task("guests", "multilabel", labels=dict(labels)), encoder.hidden_size, None)
        return head, head.fit(read(head, records), text_layers, FewShotConfig())

    return fit


def test_a_text_can_have_several_labels_or_none(fitted, text_layers):
    head, _ = fitted()
    both, none = head.decode(text_layers(["Good dinner, and friendly people.", "The bus stops here in May."]))
    assert both.value == ("food", "staff")
    assert [part.label for part in both.parts] == ["food", "staff"]
    assert all(part.probability >= 0.5 for part in both.parts)
    assert none.value == ()
    assert head.display(none.value) == "no label"


def test_values_have_the_order_of_the_labels_whatever_the_order_in_a_line(fitted, read):
    head, _ = fitted()
    (example,) = read(head, [{"text": "Nice.", "labels": ["staff", "food"]}])
    assert head.value_of(example.target) == ("food", "staff")


def test_a_label_without_examples_is_known_by_its_name_and_told(fitted):
    labels = {**sample_tasks.MULTILABEL.labels, "parking": "where to leave the car"}
    head, told = fitted(labels=labels)
    assert told["labels_without_examples"] == 1
    assert head.labels[-1] == "parking"


def test_without_any_label_there_is_nothing_to_learn(fitted):
    with pytest.raises(TaskError, match=r"train\.jsonl: no example has a label"):
        fitted([{"text": "Nice.", "labels": []}], labels=())


def test_support_holds_each_label_often_enough_and_texts_without_any(fitted, read):
    head, _ = fitted()
    examples = read(head, sample_tasks.MULTILABEL.train)
    drawn = head.sample(examples, 1, seed=0)
    assert {label for example in drawn for label in example.target} == {"food", "staff", "room"}
    assert any(not example.target for example in drawn)
    assert len(drawn) < len(examples)
