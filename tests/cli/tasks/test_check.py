import json

import pytest

from roots_kg.adaptation.heads.classification import ClassificationHead

LABELS = {"good": "pleased", "bad": "displeased"}
TRAIN = [
    {"text": "I like it.", "label": "good"},
    {"text": "Lovely.", "label": "good"},
    {"text": "I hate it.", "label": "bad"},
    {"text": "Awful.", "label": "bad"},
]
TEST = [{"text": "Great!", "label": "good"}, {"text": "Bad.", "label": "bad"}]


@pytest.fixture
def task(tmp_path, write_task):
    def write(train=TRAIN, test=TEST, **stated):
        folder = tmp_path / "tasks" / "mood"
        return write_task(folder, {"head": "classification", "labels": LABELS, **stated}, train, test)

    return write


def append(path, text):
    with path.open("a", encoding="utf-8") as stream:
        stream.write(text)


def found(result):
    """Return what a check printed as JSON, although it may have ended with an error."""
    assert result.out.count("\n") == 1
    return json.loads(result.out)


def test_a_task_without_faults_is_counted(roots, task):
    result = roots("tasks", "check", task(), "--json")
    assert result.code == 0
    report = result.json
    assert (report["task"], report["head"]) == ("mood", "classification")
    assert report["examples"] == {"train": 4, "test": 2}
    assert report["labels"] == {"good": {"train": 2, "test": 1}, "bad": {"train": 2, "test": 1}}
    assert (report["shared"], report["problems"], report["warnings"]) == (0, [], [])


def test_everything_that_is_wrong_is_told_at_once_with_its_line(roots, task):
    folder = task()
    append(folder / "train.jsonl", '{"text": "Hm.", "label": "goood"}\nnonsense\n\n{"label": "bad"}\n')
    append(folder / "test.jsonl", '[3]\n{"text": "Off.", "label": ["bad"]}\n')
    result = roots("tasks", "check", folder, "--json")
    assert result.code == 1
    report = found(result)
    assert [(problem["path"], problem["line"]) for problem in report["problems"]] == [
        (str(folder / "test.jsonl"), 3),
        (str(folder / "test.jsonl"), 4),
        (str(folder / "train.jsonl"), 5),
        (str(folder / "train.jsonl"), 6),
        (str(folder / "train.jsonl"), 8),
    ]
    assert "did you mean 'good'?" in report["problems"][2]["message"]
    assert report["examples"] == {"train": 4, "test": 2}
    shown = roots("tasks", "check", folder)
    assert shown.code == 1
    assert f"{folder / 'train.jsonl'}:5: unknown label 'goood' (did you mean 'good'?)" in shown.out


def test_texts_that_are_in_train_and_in_test_are_counted_and_warned_of(roots, task):
    test = [*TEST, {"text": " i LIKE\tit. ", "label": "good"}]
    result = roots("tasks", "check", task(test=test), "--json")
    assert (result.code, result.json["shared"]) == (0, 1)
    assert "1 example of train has a text that is also in test" in result.json["warnings"][0]["text"]


def test_one_text_with_two_labels_is_a_problem_that_names_both_lines(roots, task):
    result = roots("tasks", "check", task([*TRAIN, {"text": "Lovely.", "label": "bad"}]), "--json")
    assert result.code == 1
    (problem,) = found(result)["problems"]
    assert problem["line"] == 5
    assert "'bad', where line 2 has the same text with 'good'" in problem["message"]


def test_repeated_examples_and_labels_without_any_and_out_of_balance_are_warned_of(roots, task):
    train = [*TRAIN[:3], *({"text": f"Fine {number}.", "label": "good"} for number in range(8)), TRAIN[0]]
    result = roots("tasks", "check", task(train, labels={**LABELS, "odd": "neither"}), "--json")
    assert result.code == 0
    said = " / ".join(warning["message"] for warning in result.json["warnings"])
    assert "no example of train has 'odd': the model has only the name to go by" in said
    assert "'good' has 11 examples, 'bad' 1" in said
    assert "1 example repeats another one" in said


def test_labels_that_only_test_has_are_a_problem_where_they_come_from_the_examples(roots, task):
    result = roots(
        "tasks", "check", task(test=[*TEST, {"text": "So-so.", "label": "fair"}], labels={}), "--json"
    )
    assert result.code == 1
    (problem,) = found(result)["problems"]
    assert "no example of train has 'fair'" in problem["message"]
    assert problem["path"].endswith("test.jsonl")


def test_one_label_is_a_problem(roots, task):
    result = roots("tasks", "check", task(TRAIN[:2], None, labels=["good"]), "--json")
    assert result.code == 1
    assert found(result)["problems"][0]["message"] == "there is one label only, 'good'"


@pytest.mark.parametrize(
    ("stated", "expected"),
    [
        ({"train": "../train.jsonl"}, "leaves its folder"),
        ({"test": "/etc/passwd"}, "leaves its folder"),
        ({"test": "none.jsonl"}, "there is no such file"),
        ({"head": "clasification"}, "did you mean 'classification'?"),
        ({"metrics": ["acuracy"]}, "did you mean 'accuracy'?"),
        ({"knowledge": "none.tsv"}, "there is no such file"),
        ({"head": "answer", "labels": {}}, "needs a graph"),
        ({"hed": "answer"}, "did you mean 'head'?"),
    ],
)
def test_what_is_wrong_with_the_settings_is_a_problem_too(roots, task, stated, expected):
    folder = task()
    path = folder / "task.yaml"
    path.write_text(json.dumps({**json.loads(path.read_text()), **stated}))
    result = roots("tasks", "check", folder, "--json")
    assert result.code == 1
    assert expected in found(result)["problems"][0]["text"]
    assert result.err == ""


def test_a_file_that_is_linked_out_of_the_folder_is_refused(roots, task, tmp_path):
    folder = task()
    (folder / "train.jsonl").rename(tmp_path / "elsewhere.jsonl")
    (folder / "train.jsonl").symlink_to(tmp_path / "elsewhere.jsonl")
    result = roots("tasks", "check", folder, "--json")
    assert "leaves its folder" in found(result)["problems"][0]["text"]


def test_the_answers_of_questions_are_looked_up_in_the_tasks_graph(
    roots, write_task, towns_file, towns, tmp_path
):
    lines = [{"text": "Where is Graz?", "answers": [answer]} for answer in ("Austria", "Atlantis")]
    folder = write_task(tmp_path / "where", {"head": "answer", "knowledge": str(towns_file)}, lines)
    report = found(roots("tasks", "check", folder, "--json"))
    assert [problem["line"] for problem in report["problems"]] == [2]
    assert "Atlantis" in report["problems"][0]["message"]
    folder = write_task(tmp_path / "which", {"head": "answer"}, lines)
    report = found(roots("tasks", "check", folder, "--knowledge", towns, "--json"))
    assert [problem["line"] for problem in report["problems"]] == [2]


def test_empty_files_are_a_problem(roots, task):
    report = found(roots("tasks", "check", task([], []), "--json"))
    assert [problem["message"] for problem in report["problems"]] == ["the file holds no example"] * 2


def test_a_head_that_fails_on_a_line_is_a_problem_of_that_line(roots, task, monkeypatch):
    def fail(self, record):
        raise KeyError("oops")

    monkeypatch.setattr(ClassificationHead, "example", fail)
    report = found(roots("tasks", "check", task(), "--json"))
    assert report["problems"][0]["line"] == 1
    assert "the head fails on this line with KeyError: 'oops'" in report["problems"][0]["message"]


def test_without_a_name_every_task_of_the_workspace_is_checked(roots, task, write_task, tmp_path):
    task()
    write_task(tmp_path / "tasks" / "broken", {"head": "classification"}, [{"text": 3}])
    result = roots("tasks", "check", "--json", cwd=tmp_path)
    assert result.code == 1
    assert {row["task"]: bool(row["problems"]) for row in found(result)["tasks"]} == {
        "broken": True,
        "mood": False,
    }
    shown = roots("tasks", "check", cwd=tmp_path)
    assert "Nothing is wrong with it." in shown.out
    assert "'text' is 3" in shown.out or "'label' is missing" in shown.out
    (tmp_path / "empty" / "tasks").mkdir(parents=True)
    assert roots("tasks", "check", cwd=tmp_path / "empty").code == 2


def test_long_lists_are_cut_for_people_and_whole_for_machines(roots, task):
    folder = task([*TRAIN, *({"text": f"t{number}", "label": f"l{number}"} for number in range(70))])
    assert len(found(roots("tasks", "check", folder, "--json"))["problems"]) == 70
    assert "… and 20 more; --json gives them all" in roots("tasks", "check", folder).out


def test_a_head_is_put_to_the_test(roots):
    result = roots("tasks", "check", "--head", "classification", "--json")
    report = result.json
    assert (report["head"], report["origin"], report["kept"]) == ("classification", "built in", True)
    assert all(promise["kept"] for promise in report["promises"])


def test_a_promise_that_a_head_breaks_is_told_with_how(roots, monkeypatch):
    monkeypatch.setattr(
        ClassificationHead, "support_of", lambda self, encoded, value: [1.0 for _ in encoded.texts]
    )
    result = roots("tasks", "check", "--head", "classification")
    assert result.code == 1
    assert "BROKEN  the support of an answer is the probability it was predicted with" in result.out
    assert "support_of says 1.00000" in result.out
    assert "22 of 23 promises are kept." in result.out


def test_a_head_that_is_unknown_or_given_with_a_task_is_wrong_use(roots):
    assert "did you mean 'classification'?" in roots("tasks", "check", "--head", "clasification").err
    result = roots("tasks", "check", "region_routing", "--head", "classification")
    assert result.code == 2
