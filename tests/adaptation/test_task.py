import re

import pytest

from roots_kg.adaptation.task import Record, Task, label_text, read_records
from roots_kg.errors import ConfigError, TaskError

BASE = "head: classification\ntrain: train.jsonl\n"


@pytest.fixture
def load(tmp_path):
    """A function that reads a task from the text of its `task.yaml`."""

    def read(text):
        folder = tmp_path / "tickets"
        folder.mkdir(exist_ok=True)
        (folder / "task.yaml").write_text(text, encoding="utf-8")
        return Task.load(folder)

    return read


@pytest.fixture
def lines(tmp_path):
    """A function that reads the records of a JSONL file with these bytes."""

    def read(content):
        path = tmp_path / "examples.jsonl"
        path.write_bytes(content)
        return read_records(path)

    return read


def test_a_head_and_training_examples_are_all_a_task_needs(load, tmp_path):
    task = load(BASE)
    folder = tmp_path / "tickets"
    assert (task.name, task.head, task.train) == ("tickets", "classification", folder / "train.jsonl")
    assert (task.labels, task.metrics, task.test, task.knowledge) == ({}, (), None, None)


def test_a_task_says_everything_else_too(load, tmp_path):
    task = load(
        f"{BASE}name: routing\ndescription: Who answers?\ntest: held/out.jsonl\n"
        "metrics: [accuracy]\nknowledge: ../graph\n"
    )
    assert (task.name, task.description, task.metrics) == ("routing", "Who answers?", ("accuracy",))
    assert task.test == tmp_path / "tickets" / "held" / "out.jsonl"
    assert task.knowledge == (tmp_path / "graph").resolve()


def test_labels_are_a_list_or_a_mapping_to_what_they_stand_for(load):
    assert load(f"{BASE}labels: [zip_code, dach]").labels == {"zip_code": "zip code", "dach": "dach"}
    described = load(f"{BASE}labels: {{dach: Germany and Austria, uk: the islands}}").labels
    assert described == {"dach": "dach: Germany and Austria", "uk": "uk: the islands"}
    assert list(described) == ["dach", "uk"]


def test_underscores_in_a_label_read_as_spaces():
    assert label_text("card_not__working ") == "card not working"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (f"{BASE}lables: [a, b]", "unknown key 'lables' (did you mean 'labels'?)"),
        ("train: train.jsonl", "the key 'head' is missing"),
        ("head: classification", "the key 'train' is missing"),
        (f"{BASE}metrics: accuracy", "metrics: expected"),
        (f"{BASE}labels: [yes, no]", "put it in quotes"),
        (f"{BASE}head: answer", "the key 'head' is stated twice"),
        ("- a list", "expected a mapping"),
        ("head: [", "not valid YAML"),
    ],
)
def test_a_malformed_task_file_is_an_error_that_names_the_file(load, text, message):
    with pytest.raises(ConfigError, match=r"task\.yaml:.*" + re.escape(message)):
        load(text)


def test_the_line_of_a_repeated_key_is_named(load):
    with pytest.raises(ConfigError, match=r"task\.yaml:3: "):
        load(f"{BASE}head: answer")


def test_a_label_listed_twice_is_refused(load):
    with pytest.raises(TaskError, match="a label is listed twice"):
        load(f"{BASE}labels: [a, b, a]")


@pytest.mark.parametrize("path", ["../other.jsonl", "/tmp/train.jsonl", "sub/../../train.jsonl"])
@pytest.mark.parametrize("key", ["train", "test"])
def test_examples_outside_the_folder_are_refused(load, key, path):
    stated = {"head": "classification", "train": "train.jsonl", key: path}
    with pytest.raises(TaskError, match=r"task\.yaml: the path .* leaves its folder"):
        load("".join(f"{name}: {value}\n" for name, value in stated.items()))


@pytest.mark.parametrize("key", ["train", "test", "knowledge"])
@pytest.mark.parametrize("path", ['"\\ud800"', '"a\\0b"'])
def test_what_cannot_be_a_path_is_refused(load, key, path):
    stated = {"head": "classification", "train": "train.jsonl", key: path}
    with pytest.raises((ConfigError, TaskError), match=r"task\.yaml:"):
        load("".join(f"{name}: {value}\n" for name, value in stated.items()))


def test_a_link_that_leads_out_of_the_folder_is_refused(load, tmp_path):
    (tmp_path / "tickets").mkdir()
    (tmp_path / "secret.jsonl").write_text("{}")
    (tmp_path / "tickets" / "train.jsonl").symlink_to(tmp_path / "secret.jsonl")
    with pytest.raises(TaskError, match="leaves its folder"):
        load(BASE)


def test_a_folder_without_a_task_file_is_an_error(tmp_path):
    with pytest.raises(ConfigError, match=r"task\.yaml: there is no such file"):
        Task.load(tmp_path)


def test_records_keep_their_order_and_the_line_they_came_from(lines):
    records = lines('\ufeff{"text": "Zürich"}\r\n\n  \n{"text": "b", "label": "x"}'.encode())
    assert [(record.fields["text"], record.line) for record in records] == [("Zürich", 1), ("b", 4)]


@pytest.mark.parametrize(
    ("content", "where", "message"),
    [
        (b'{"text": "a"}\n{"text": }\n', ":2: ", "not a JSON object"),
        (b'{"text": "a"}\n["a", "b"]\n', ":2: ", "expected a JSON object, found ['a', 'b']"),
        (b'{"text": "a"}\n\n{"text": "Z\xfcrich"}\n', ":3: ", "not UTF-8: byte 0xfc"),
        (b"[" * 100_000, ":1: ", "not a JSON object"),
        (b"", ": ", "the file holds no example"),
        (b"\n \n", ": ", "the file holds no example"),
    ],
    ids=["bad JSON", "a list", "Latin-1", "deep nesting", "empty", "blank lines"],
)
def test_a_malformed_examples_file_is_an_error_that_names_file_and_line(lines, content, where, message):
    with pytest.raises(TaskError, match=re.escape(f"examples.jsonl{where}{message}")) as caught:
        lines(content)
    assert len(str(caught.value)) < 500


def test_a_missing_examples_file_and_a_folder_in_its_place_are_errors(tmp_path):
    with pytest.raises(TaskError, match=r"none\.jsonl: there is no such file"):
        read_records(tmp_path / "none.jsonl")
    with pytest.raises(TaskError, match="this is a folder, not a file"):
        read_records(tmp_path)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({}, "'text' is missing"),
        ({"text": 3}, "'text' is 3, not a text"),
        ({"text": None}, "None, not a text"),
    ],
)
def test_a_record_without_its_text_is_an_error_that_names_the_line(tmp_path, fields, message):
    with pytest.raises(TaskError, match=rf"a\.jsonl:7: .*{message}"):
        Record(fields, tmp_path / "a.jsonl", 7).text("text")


@pytest.mark.parametrize("value", [None, "Austria", [], ["Austria", 3]])
def test_a_list_of_texts_must_be_one(tmp_path, value):
    record = Record({"answers": value}, tmp_path / "a.jsonl", 2)
    with pytest.raises(TaskError, match=r"a\.jsonl:2: 'answers' must be a list of texts"):
        record.texts("answers")
    assert Record({"answers": ["a", ""]}, tmp_path / "a.jsonl", 2).texts("answers") == ["a", ""]
