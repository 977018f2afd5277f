"""What a look through a task's files finds, also for heads whose targets are sets of labels or spans."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from roots_kg.adaptation.heads.base import Example
from roots_kg.adaptation.heads.classification import ClassificationHead
from roots_kg.adaptation.task import Task
from roots_kg.adaptation.task_check import check_task, shared_texts
from roots_kg.fusion.encoder import MarkedText

LABELS = {"a": "a", "b": "b"}


class SeveralLabels(ClassificationHead):
    """Reads {"text", "labels"}."""

    def example(self, record):
        return Example(record.text("text"), frozenset(record.texts("labels")), record)

    def value_of(self, target):
        return tuple(sorted(target))


class Spans(ClassificationHead):
    """Reads {"text", "spans"}, spans being start, end and label."""

    def example(self, record):
        return Example(record.text("text"), tuple(map(tuple, record.fields["spans"])), record)


class Pairs(ClassificationHead):
    """Reads {"text", "second", "at", "label"}."""

    def text(self, record):
        return MarkedText(
            record.text("text"), spans=(tuple(record.fields["at"]),), second=record.text("second")
        )

    def example(self, record):
        return Example(self.text(record), record.text("label"), record)


@pytest.fixture
def check(tmp_path):
    def run(head_type, train, test=None, labels=LABELS):
        paths = []
        for name, lines in (("train.jsonl", train), ("test.jsonl", test)):
            paths.append(tmp_path / name if lines is not None else None)
            if lines is not None:
                paths[-1].write_text("".join(json.dumps(line) + "\n" for line in lines))
        task = Task("t", "classification", labels=dict(labels), train=paths[0], test=paths[1])
        return check_task(task, head_type(task, 8, None))

    return run


def test_each_of_several_labels_is_counted(check):
    train = [{"text": "x", "labels": ["a", "b"]}, {"text": "y", "labels": ["b"]}]
    report = check(SeveralLabels, train)
    assert report.labels == {"a": {"train": 1}, "b": {"train": 2}}
    assert report.problems == []


def test_one_text_with_other_labels_contradicts_and_their_order_is_nothing(check):
    train = [
        {"text": "x", "labels": ["a", "b"]},
        {"text": "x", "labels": ["b", "a"]},
        {"text": "x", "labels": ["b"]},
    ]
    report = check(SeveralLabels, train)
    assert [problem.line for problem in report.problems] == [3]
    assert "1 example repeats" in report.warnings[0].message


def test_the_labels_of_spans_are_counted_and_texts_without_any_are_none(check):
    train = [{"text": "x y", "spans": [[0, 1, "a"], [2, 3, "b"]]}, {"text": "z", "spans": []}]
    report = check(Spans, train)
    assert report.labels == {"a": {"train": 1}, "b": {"train": 1}}


def test_what_is_marked_in_a_text_and_its_second_text_belong_to_it(check):
    one = {"text": "x y", "at": [0, 1], "second": "s", "label": "a"}
    others = [{**one, "at": [2, 3], "label": "b"}, {**one, "second": "t", "label": "b"}]
    assert check(Pairs, [one, *others]).problems == []
    assert len(check(Pairs, [one, {**one, "label": "b"}]).problems) == 1
    assert check(Pairs, [one, *others], [{**one, "text": "X  Y"}]).shared == 1


def test_targets_that_are_no_labels_do_not_contradict_each_other(check):
    class Free(SeveralLabels):
        sample_task = None

    report = check(Free, [{"text": "x", "labels": ["a"]}, {"text": "x", "labels": ["b"]}], labels={})
    assert (report.labels, report.problems) == ({}, [])


def test_texts_are_shared_whatever_else_is_wrong_with_the_test_file(check, tmp_path):
    train = [{"text": "ﬁve  Apples", "labels": ["a"]}, {"text": "six", "labels": ["a"]}]
    head = SeveralLabels(Task("t", "classification", labels=LABELS), 8, None)
    check(SeveralLabels, train)
    examples = [Example(line["text"], None, None) for line in train]
    path = tmp_path / "other.jsonl"
    assert shared_texts(examples, path, head) == 0
    path.write_text('nonsense\n{"text": 3}\n{"text": "Five apples"}\n')
    assert shared_texts(examples, path, head) == 1


@settings(max_examples=50)
@given(
    st.lists(
        st.binary(max_size=40) | st.sampled_from([b'{"text": "x", "label": "a"}', b"{}", b'{"text": 1}'])
    )
)
def test_any_bytes_are_counted_or_told(tmp_path_factory, lines):
    path = tmp_path_factory.mktemp("any") / "train.jsonl"
    path.write_bytes(b"\n".join(lines))
    task = Task("t", "classification", labels=LABELS, train=path)
    report = check_task(task, ClassificationHead(task, 8, None))
    written = [line for line in b"\n".join(lines).split(b"\n") if line.strip()]
    told = [problem for problem in report.problems if problem.line is not None]
    assert report.examples["train"] + len(told) == len(written)
    assert written or report.problems
