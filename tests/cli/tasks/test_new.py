import json

import pytest
import yaml

from roots_kg import registry
from roots_kg.adaptation.heads.classification import ClassificationHead
from roots_kg.adaptation.task import Task
from roots_kg.registry import get_head

HEADS = sorted(registry.BUILT_IN)


@pytest.fixture
def workspace(roots, tmp_path):
    roots("init", tmp_path / "work")
    return tmp_path / "work"


@pytest.mark.parametrize("head", HEADS)
def test_a_new_task_of_every_head_adapts_and_evaluates_at_once(roots, workspace, head):
    made = roots("tasks", "new", "mine", "--head", head, "--json", cwd=workspace).json
    assert made == {"task": "mine", "head": head, "folder": str(workspace / "tasks" / "mine")}
    checked = roots("tasks", "check", "mine", "--json", cwd=workspace)
    assert (checked.code, checked.json["problems"], checked.json["warnings"]) == (0, [], [])
    adapted = roots("adapt", "mine", "--out", "runs/mine", "--json", cwd=workspace)
    assert adapted.code == 0, adapted.err
    assert "warning" not in adapted.err
    judged = roots("evaluate", "runs/mine", "--test", "tasks/mine/test.jsonl", "--json", cwd=workspace).json
    assert judged["metrics"].keys() == set(get_head(head).default_metrics)
    assert judged["n"] == len(get_head(head).sample_task.test)


def test_every_setting_is_in_the_file_to_be_changed_and_explained_beside_it(roots, workspace):
    roots("tasks", "new", "mail", "--head", "classification", cwd=workspace)
    text = (workspace / "tasks" / "mail" / "task.yaml").read_text()
    everything = "\n".join(
        line.removeprefix("# ") for line in text.splitlines() if ": " in line or ":" in line[-1:]
    )
    keys = {line.partition(":")[0] for line in everything.splitlines() if not line.startswith(" ")}
    assert {"head", "description", "labels", "train", "test", "metrics", "knowledge", "reading"} <= keys
    assert sum(line.startswith("#") for line in text.splitlines()) >= 6
    task = Task.load(workspace / "tasks" / "mail")
    sample = ClassificationHead.sample_task
    assert (task.name, task.description, list(task.labels)) == (
        "mail",
        sample.description,
        list(sample.labels),
    )


def test_the_result_tells_a_person_what_to_do_next(roots, workspace):
    result = roots("tasks", "new", "mail", "--head", "classification", cwd=workspace)
    assert "roots tasks check mail" in result.out
    assert "roots adapt mail --out runs/mail" in result.out


@pytest.mark.parametrize(
    "name",
    ["../out", "/tmp/out", "a/b", "a\\b", ".", "..", "", " ", "a b", ".git", "-x", "a.", "a\0b", "a" * 101],
)
def test_a_name_that_is_not_that_of_a_folder_under_tasks_is_refused(roots, workspace, name):
    result = roots("tasks", "new", "--head", "classification", "--", name, cwd=workspace)
    assert (result.code, result.out) == (2, "")
    assert "cannot be the name of a task" in result.err
    assert list((workspace / "tasks").iterdir()) == []
    assert [path.name for path in workspace.parent.iterdir()] == ["work"]


@pytest.mark.parametrize("name", ["mail", "Mail_2", "tâche", "v1.2", "7"])
def test_names_that_can_be_those_of_a_folder_are_taken(roots, workspace, name):
    assert roots("tasks", "new", name, "--head", "classification", cwd=workspace).code == 0
    assert (workspace / "tasks" / name / "task.yaml").is_file()


def test_what_is_there_already_is_left_alone(roots, workspace):
    taken = workspace / "tasks" / "mine"
    taken.mkdir()
    (workspace / "tasks" / "file").touch()
    (workspace / "tasks" / "link").symlink_to(workspace / "nowhere")
    for name in ("mine", "file", "link"):
        result = roots("tasks", "new", name, "--head", "classification", cwd=workspace)
        assert result.code == 2
        assert "exists already" in result.err
    assert list(taken.iterdir()) == []
    assert not (workspace / "nowhere").exists()


def test_an_unknown_head_names_the_nearest_and_leaves_nothing(roots, workspace):
    result = roots("tasks", "new", "mine", "--head", "clasification", cwd=workspace)
    assert result.code == 2
    assert "did you mean 'classification'?" in result.err
    assert list((workspace / "tasks").iterdir()) == []


def test_a_head_without_an_example_of_its_lines_says_so(roots, workspace, monkeypatch):
    monkeypatch.setattr(ClassificationHead, "sample_task", None)
    result = roots("tasks", "new", "mine", "--head", "classification", cwd=workspace)
    assert result.code == 2
    assert "without an example of its lines" in result.err


def test_texts_of_a_sample_survive_yaml_whatever_they_hold(roots, workspace, monkeypatch):
    odd = {"yes": "no: never", "12": "# 3", "a: b": "'\"\\ \n\t {", "ü": "ñ 🦆", "_": "-"}
    from dataclasses import replace

    sample = replace(
        ClassificationHead.sample_task, labels=odd, description="off", train=({"text": "\u2028"},)
    )
    monkeypatch.setattr(ClassificationHead, "sample_task", sample)
    assert roots("tasks", "new", "odd", "--head", "classification", cwd=workspace).code == 0
    folder = workspace / "tasks" / "odd"
    stated = yaml.safe_load((folder / "task.yaml").read_text(encoding="utf-8"))
    assert (stated["labels"], stated["description"]) == (odd, "off")
    assert json.loads((folder / "train.jsonl").read_text(encoding="utf-8")) == {"text": "\u2028"}


def test_outside_a_workspace_the_current_folder_becomes_one(roots, tmp_path):
    assert roots("tasks", "new", "mine", "--head", "classification", cwd=tmp_path).code == 0
    assert (tmp_path / "tasks" / "mine" / "task.yaml").is_file()
