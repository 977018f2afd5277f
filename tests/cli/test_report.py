import json
import re
import shutil

import pytest


@pytest.fixture(scope="module")
def command(small_model, examples, tmp_path_factory):
    """The words of a quick report on the small model."""
    test = tmp_path_factory.mktemp("report") / "test.jsonl"
    test.write_text("".join(json.dumps(line) + "\n" for line in examples.routing.test[::4]))
    return ("report", small_model, "--test", test, "--shots", 3, "--seeds", 2, "--evidence-sample", 2)


def test_a_person_sees_the_verdict_first_and_a_page_is_written(roots, command, routing_folder, tmp_path):
    page = tmp_path / "new" / "report.html"
    result = roots(*command, "--task", routing_folder, "--html", page)
    assert result.code == 0, result.err
    assert re.match(r"(The graph|No effect)", result.out)
    for shown in ("shuffled graph", "triples as text", "graph switched off", "not given away by training"):
        assert shown in result.out
    assert "2 draws of 9 training examples; 95% Student t-interval over 2 draws" in result.out
    assert "texts repeated in training" in result.out
    assert re.search(r"a random other triple +\d of \d", result.out)
    assert result.out.endswith(f"The page is {page}\n")
    assert "<h1>Knowledge report: <bdi>routing</bdi></h1>" in page.read_text(encoding="utf-8")
    assert [path.name for path in page.parent.iterdir()] == ["report.html"]


def test_a_machine_gets_one_json_object_about_the_task_of_the_models_name(
    roots, command, write_task, examples, tmp_path
):
    stated = {"name": "routing", "head": "classification"}
    write_task(tmp_path / "tasks" / "routing", stated, examples.routing.train)
    page = tmp_path / "report.html"
    page.write_text("an older page")
    found = roots(*command, "--html", page, "--json", cwd=tmp_path).json
    assert found["metrics"]["conditions"]["graph"]["scores"]["accuracy"]["value"] >= 0.8
    assert found["metrics"]["as_saved"]["graph"]["accuracy"] >= 0.8
    assert (found["task"], found["n"], found["shots"], found["support"]) == ("routing", 9, 3, [9, 9])
    assert (found["seed"], found["html"]) == (0, str(page))
    assert page.read_text(encoding="utf-8").startswith("<!doctype html>")


@pytest.fixture(scope="module")
def text_model(roots, routing_folder, tmp_path_factory):
    """A model that was adapted without a graph."""
    out = tmp_path_factory.mktemp("report") / "text"
    assert roots("adapt", routing_folder, "--no-knowledge", "--out", out).code == 0
    return out


@pytest.mark.parametrize(
    ("model", "arguments", "message", "code"),
    [
        ("text", ("--task", "routing"), "the model has no graph", 2),
        ("text", ("--task", "routing"), "adapt it again with `--knowledge BUNDLE`", 2),
        ("small", (), "the task 'routing', which the model was adapted to, is not in this workspace", 2),
        ("small", (), "name its folder with `--task`", 2),
        ("small", ("--task", "questions"), "the model was adapted with the head 'classification'", 2),
        ("small", ("--task", "nowhere"), "there is no task 'nowhere'", 1),
        ("small", ("--task", "routing", "--seeds", 0), "--seeds must be at least 1, found 0", 2),
        ("small", ("--task", "routing", "--shots", 0), "--shots must be at least 1, found 0", 2),
        ("small", ("--task", "routing", "--test", "wrong.jsonl"), "wrong.jsonl:2: unknown label 'Mars'", 1),
        ("small", ("--task", "routing", "--test", "none.jsonl"), "none.jsonl: there is no such file", 1),
        ("small", ("--task", "routing", "--html", "."), "this is a folder", 2),
        (
            "small",
            ("--task", "routing", "--html", "wrong.jsonl", "--test", "wrong.jsonl"),
            "test examples",
            2,
        ),
        ("small", ("--task", "routing", "--html", "model/a.html"), "lies in the model", 2),
        ("nowhere", ("--task", "routing"), "there is no such model folder", 2),
    ],
)
def test_what_cannot_be_reported_on_is_one_line_and_loses_nothing(
    roots,
    small_model,
    text_model,
    routing_folder,
    questions_folder,
    tmp_path,
    model,
    arguments,
    message,
    code,
):
    (tmp_path / "model").symlink_to(small_model)
    folders = {"routing": routing_folder, "questions": questions_folder}
    models = {"small": "model", "text": text_model, "nowhere": "nowhere"}
    lines = [{"text": "Graz", "label": "central"}, {"text": "Bergen", "label": "Mars"}]
    (tmp_path / "wrong.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    words = [folders.get(word, word) for word in arguments]
    test = () if "--test" in arguments else ("--test", routing_folder / "test.jsonl")
    result = roots("report", models[model], *test, *words, cwd=tmp_path)
    assert (result.code, result.out) == (code, "")
    assert re.match(r"error: .*\n$", result.err)
    assert message in result.err
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == before


def test_noise_is_reported_and_written_into_the_card(roots, small_model, routing_folder, tmp_path):
    model = shutil.copytree(small_model, tmp_path / "model")
    test = routing_folder / "test.jsonl"
    arguments = ("report", model, "--test", test, "--task", routing_folder, "--robustness", "--record")
    result = roots(*arguments)
    assert result.code == 0, result.err
    assert "30% of the links wrong" in result.out
    card = (model / "README.md").read_text(encoding="utf-8")
    assert "### Robustness" in card
    assert "how it stands up to noise was not measured" not in card
    assert roots("evaluate", model, "--test", test, "--record").code == 0
    card = (model / "README.md").read_text(encoding="utf-8")
    assert "### Robustness" in card
    assert "95% interval over examples" in card
    refused = roots(*arguments, "--html", tmp_path / "page.html")
    assert (refused.code, "--robustness writes no page" in refused.err) == (2, True)


def test_what_swapped_words_change_is_reported_and_written_into_the_card(
    roots, small_model, routing_folder, tmp_path
):
    model = shutil.copytree(small_model, tmp_path / "model")
    groups = tmp_path / "words.yaml"
    groups.write_text("kinds: {towns: {groups: {north: [Molde, Kalmar], south: [Talca, Wels]}}}")
    command = ("report", model, "--test", routing_folder / "test.jsonl", "--bias")
    result = roots(*command, "--groups", groups, "--record")
    assert result.code == 0, result.err
    assert re.search(r"towns +texts +\d of 8 ", result.out)
    assert "towns: in the names of 4 of the graph's entities" in result.out
    card = (model / "README.md").read_text(encoding="utf-8")
    assert "| towns | both |" in card
    found = roots(*command, "--json").json
    assert [kind["n"] for kind in found["metrics"]["kinds"]] == [0, 0, 0, 0]
    groups.write_text("kinds: {towns: {groups: {north: [Molde], south: [molde]}}}")
    refused = roots(*command, "--groups", groups)
    assert (refused.code, refused.out) == (2, "")
    assert "words.yaml: towns: 'molde' stands in two groups, 'north' and 'south'" in refused.err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--bias", "--robustness"), "ask for one of the two"),
        (("--bias", "--html", "page.html"), "--bias writes no page"),
        (("--bias", "--shots", 3), "--bias judges the model as it is"),
        (("--groups", "words.yaml"), "add --bias"),
        (("--bias", "--groups", "nowhere.yaml"), "nowhere.yaml: there is no such file"),
    ],
)
def test_options_that_belong_to_another_report_are_refused(
    roots, small_model, routing_folder, arguments, message
):
    result = roots("report", small_model, "--test", routing_folder / "test.jsonl", *arguments)
    assert (result.code, result.out) == (2, "")
    assert message in result.err


def test_what_another_graph_gives_is_not_recorded(roots, small_model, towns, routing_folder):
    test = routing_folder / "test.jsonl"
    for verb in (("evaluate",), ("report", "--task", str(routing_folder))):
        result = roots(verb[0], small_model, *verb[1:], "--test", test, "--knowledge", towns, "--record")
        assert (result.code, "--record tells of the model as it is saved" in result.err) == (2, True)
