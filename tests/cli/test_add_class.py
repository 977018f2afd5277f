import json

TRAIN = [
    {"text": "I want my money back", "label": "refund"},
    {"text": "Please refund order 12", "label": "refund"},
    {"text": "Where is my parcel?", "label": "shipping"},
    {"text": "My package has not arrived", "label": "shipping"},
]
TEST = [
    {"text": "refund me", "label": "refund"},
    {"text": "the parcel is late", "label": "shipping"},
    {"text": "The recipe calls for three eggs", "label": None},
]


def adapted(roots, write_task, folder, *options, train=TRAIN):
    """Adapt a model without a graph to `TRAIN`; return its folder and what the command printed."""
    task = write_task(folder / "task", {"head": "classification"}, train, TEST)
    done = roots("adapt", task, "--out", folder / "model", *options)
    assert done.code == 0, done.err
    return folder / "model", done


def predictions(roots, model, *texts):
    """Return what a model predicts for texts."""
    return roots("predict", model, *texts, "--json").json["predictions"]


def write_lines(path, lines):
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    return path


def test_a_label_that_is_added_is_found_and_the_others_stay(roots, write_task, tmp_path):
    model, _ = adapted(roots, write_task, tmp_path)
    new = write_lines(tmp_path / "new.jsonl", [{"text": "the website is down"}, {"text": "your app crashes"}])
    before = predictions(roots, model, "refund me", "late parcel")
    told = roots("add-class", model, "technical", "--examples", new, "--name", "a broken app", "--json").json
    assert told["labels"] == ["refund", "shipping", "technical"]
    after = roots("predict", model, "refund me", "late parcel", "the app is broken", "--json").json[
        "predictions"
    ]
    assert [row["prediction"] for row in after] == ["refund", "shipping", "technical"]
    for old, row in zip(before, after[:2], strict=True):
        shares = dict(row["ranked"])
        known = shares["refund"] + shares["shipping"]
        assert abs(dict(old["ranked"])["refund"] - shares["refund"] / known) < 1e-4


def test_a_label_can_be_added_to_another_folder(roots, write_task, tmp_path):
    model, _ = adapted(roots, write_task, tmp_path)
    new = write_lines(tmp_path / "new.jsonl", [{"text": "your app crashes", "label": "technical"}])
    done = roots("add-class", model, "technical", "--examples", new, "--out", tmp_path / "more")
    assert "technical is the last of 3 labels, from 1 examples" in done.out
    assert predictions(roots, model, "the app is broken")[0]["prediction"] != "technical"
    assert predictions(roots, tmp_path / "more", "the app is broken")[0]["prediction"] == "technical"


def test_an_example_of_another_label_is_refused_and_nothing_is_lost(roots, write_task, tmp_path):
    model, _ = adapted(roots, write_task, tmp_path)
    new = write_lines(tmp_path / "new.jsonl", [{"text": "a"}, {"text": "b", "label": "refund"}])
    done = roots("add-class", model, "technical", "--examples", new)
    assert done.code == 1
    assert f"{new}:2: the label is 'refund', and 'technical' is to be added" in done.err
    assert roots("predict", model, "a", "--json").code == 0


def test_what_is_out_of_scope_is_rejected_and_judged(roots, write_task, tmp_path):
    model, _ = adapted(roots, write_task, tmp_path, "--reject", "0.25")
    shown = roots("predict", model, "The recipe calls for three eggs", "refund me").out
    assert "(out of scope)" in shown
    rows = roots("predict", model, "The recipe calls for three eggs", "refund me", "--json").json[
        "predictions"
    ]
    assert [row["in_scope"] for row in rows] == [False, True]
    told = roots("evaluate", model, "--test", tmp_path / "task" / "test.jsonl", "--json").json
    assert told["diagnostics"]["out_of_scope_auroc"] == 1.0
    low, high = told["intervals"]["accuracy"]
    assert low <= told["metrics"]["accuracy"] <= high


def test_contradictions_are_told_with_their_lines(roots, write_task, tmp_path):
    lines = [*TRAIN, {"text": "Where is my parcel?", "label": "refund"}]
    _, done = adapted(roots, write_task, tmp_path, train=lines)
    assert "2 examples have the text of another and another label" in done.err
    assert "train.jsonl:5 ('refund') and line 3 ('shipping')" in done.err


def test_class_weights_are_named_or_balanced(roots, write_task, tmp_path):
    adapted(roots, write_task, tmp_path, "--class-weight", "balanced")
    wrong = roots("adapt", tmp_path / "task", "--out", tmp_path / "m", "--class-weight", "refund")
    assert wrong.code == 2
    assert "is not LABEL=NUMBER" in wrong.err
    unknown = roots("adapt", tmp_path / "task", "--out", tmp_path / "m", "--class-weight", "refnd=2")
    assert unknown.code == 2
    assert "did you mean 'refund'?" in unknown.err
    assert not (tmp_path / "m").exists()


def test_what_a_head_cannot_do_is_refused_before_any_work(roots, write_task, tmp_path):
    lines = [{"text": "a b", "labels": ["x"]}, {"text": "c d", "labels": []}]
    task = write_task(tmp_path / "task", {"head": "multilabel"}, lines)
    done = roots("adapt", task, "--out", tmp_path / "m", "--reject", "0.1")
    assert done.code == 2
    assert "the head 'multilabel' rejects no texts" in done.err
