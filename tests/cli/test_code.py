"""Code of task folders runs for the chosen task alone, if a person trusts it, until it changes."""

import json

import pytest

from roots_kg import registry


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    """A memory of trusted code, and a process that has run none."""
    monkeypatch.setenv("ROOTS_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(registry, "_registered", {})
    return tmp_path / "home"


@pytest.fixture
def new_process(monkeypatch):
    """A function after which this process has run no foreign code."""
    return lambda: monkeypatch.setattr(registry, "_registered", {})


@pytest.fixture
def workspace(tmp_path):
    (tmp_path / "work" / "tasks").mkdir(parents=True)
    return tmp_path / "work"


@pytest.fixture
def own(workspace, write_task, examples):
    """A function that makes a task whose `head.py` notes that it ran, and returns its folder."""

    def make(task="own", head="shouting", more="", **stated):
        folder = workspace / "tasks" / task
        write_task(folder, {"head": head, **stated}, examples.routing.train)
        (folder / "head.py").write_text(
            "from pathlib import Path\n"
            "from roots_kg.adaptation.heads.classification import ClassificationHead\n"
            "from roots_kg.registry import register_head\n\n"
            f"Path(__file__).with_name('ran').touch()\n\n"
            f"@register_head({head!r})\n"
            f"class OwnHead(ClassificationHead):\n    pass\n{more}"
        )
        return folder

    return make


def ran(folder):
    """Tell whether a task's code ran since this was last asked."""
    note = folder / "ran"
    found = note.exists()
    note.unlink(missing_ok=True)
    return found


def adapt(folder, *options):
    return ("adapt", folder, "--shots", 1, "--no-knowledge", "--out", folder.parents[1] / "out", *options)


def test_code_that_nobody_trusts_does_not_run(roots, own):
    folder = own()
    result = roots(*adapt(folder))
    assert result.code == 2
    assert result.err == (
        f"error: {folder / 'head.py'}: it is not trusted, and so it does not run "
        "(read it, and if you trust it say so with --trust-task-code)\n"
    )
    assert not ran(folder)


def test_trust_is_said_once_and_remembered(roots, own, home, new_process):
    folder = own()
    assert roots(*adapt(folder, "--trust-task-code")).code == 0
    assert ran(folder)
    assert list(json.loads((home / "trusted.json").read_text())["head.py"]) == [str(folder / "head.py")]
    new_process()
    assert roots(*adapt(folder)).code == 0
    assert ran(folder)


@pytest.mark.parametrize("fresh", [True, False])
def test_code_that_changed_since_is_refused_until_it_is_trusted_again(roots, own, new_process, fresh):
    folder = own()
    roots(*adapt(folder, "--trust-task-code"))
    own(more="\n# a change\n")
    ran(folder)
    if fresh:
        new_process()
    result = roots(*adapt(folder))
    assert result.code == 2
    assert "head.py: it has changed since it was trusted (read it" in result.err
    assert not ran(folder)
    assert roots(*adapt(folder, "--trust-task-code")).code == 0
    assert roots(*adapt(folder)).code == 0


def test_code_that_is_not_needed_does_not_run_however_much_it_is_trusted(roots, own):
    folder = own()
    stated = json.loads((folder / "task.yaml").read_text())
    (folder / "task.yaml").write_text(json.dumps({**stated, "head": "classification"}))
    assert roots(*adapt(folder, "--trust-task-code")).code == 0
    assert not ran(folder)


def test_only_the_code_of_the_chosen_task_runs(roots, own):
    chosen, other = own(), own("other", "whispering")
    for folder in (chosen, other):
        roots(*adapt(folder, "--trust-task-code"))
        ran(folder)
    assert roots(*adapt(chosen)).code == 0
    assert not ran(other)


def test_code_that_takes_the_name_of_a_built_in_head_is_refused(roots, own):
    folder = own(head="classification")
    result = roots(*adapt(folder, "--trust-task-code"))
    assert result.code == 2
    assert "it registers a head 'classification', and that name is taken (built in)" in result.err
    assert not ran(folder)


def test_code_that_ends_the_program_is_an_error_with_its_file(roots, own):
    folder = own(more="\nraise SystemExit(0)\n")
    result = roots(*adapt(folder, "--trust-task-code"))
    assert result.code == 1
    assert f"{folder / 'head.py'}: its code raised SystemExit" in result.err


def test_code_that_does_not_bring_the_head_leaves_it_unknown(roots, own):
    folder = own()
    stated = json.loads((folder / "task.yaml").read_text())
    (folder / "task.yaml").write_text(json.dumps({**stated, "head": "shoutin"}))
    result = roots(*adapt(folder, "--trust-task-code"))
    assert result.code == 2
    assert "there is no head 'shoutin' (did you mean 'shouting'?)" in result.err


def test_a_damaged_memory_stops_only_what_needs_it(roots, own, home, routing_folder, tmp_path):
    home.mkdir()
    (home / "trusted.json").write_text("{")
    for options in ((), ("--trust-task-code",)):
        result = roots(*adapt(own(), *options))
        assert result.code == 2
        assert "trusted.json: the memory of trusted code is damaged" in result.err
        assert "delete it" in result.err
    assert roots(*adapt(routing_folder)[:-1], tmp_path / "out").code == 0


def test_a_memory_that_cannot_be_written_is_a_warning(roots, own, monkeypatch):
    monkeypatch.setenv("ROOTS_HOME", "/proc/none")
    result = roots(*adapt(own(), "--trust-task-code"))
    assert result.code == 0
    assert "warning: that this code is trusted cannot be remembered" in result.err


@pytest.fixture
def model(roots, own, new_process):
    """A model whose head its task defines, in a process that has not run its code; and the task's folder."""
    folder = own()
    assert roots(*adapt(folder, "--trust-task-code")).code == 0
    ran(folder)
    new_process()
    return folder.parents[1] / "out", folder


def test_a_model_finds_its_head_in_code_that_is_trusted(roots, model):
    path, folder = model
    assert roots("predict", path, "hello").code == 0
    assert ran(folder)


def test_a_model_does_not_run_code_that_changed(roots, model, own):
    path, folder = model
    own(more="\n# a change\n")
    result = roots("predict", path, "hello")
    assert result.code == 2
    assert "it has changed since it was trusted" in result.err
    assert "--trust-code-of TASK" in result.err
    assert not ran(folder)
    assert roots("predict", path, "hello", "--trust-code-of", folder).code == 0
    assert roots("evaluate", path, "--test", folder / "train.jsonl").code == 0


def test_a_model_without_trusted_code_asks_for_its_task(roots, model, home):
    path, folder = model
    (home / "trusted.json").unlink()
    result = roots("predict", path, "hello")
    assert result.code == 2
    assert (
        f"{path}: there is no head 'shouting' (name the task whose head.py defines it with --trust-code-of"
        in (result.err)
    )
    assert not ran(folder)
    assert roots("predict", path, "hello", "--trust-code-of", "own", cwd=folder.parents[1]).code == 0
    assert ran(folder)


def test_of_two_trusted_files_that_offer_a_head_the_one_of_this_workspace_is_meant(
    roots, model, own, new_process, tmp_path
):
    path, folder = model
    twin = own("twin")
    assert roots(*adapt(twin, "--trust-task-code")).code == 0
    new_process()
    ran(twin)
    result = roots("predict", path, "hello", cwd=tmp_path)
    assert result.code == 2
    assert "the head 'shouting' is defined in" in result.err
    assert not ran(twin)
    (tmp_path / "other" / "tasks").mkdir(parents=True)
    twin.rename(tmp_path / "other" / "tasks" / "twin")
    moved = tmp_path / "other" / "tasks" / "twin"
    assert roots(*adapt(moved, "--trust-task-code")).code == 0
    new_process()
    ran(moved)
    assert roots("predict", path, "hello", cwd=folder.parents[1]).code == 0
    assert ran(folder)
    assert not ran(moved)


def test_a_model_brings_no_code_of_its_own(roots, model, home):
    path, _ = model
    (home / "trusted.json").unlink()
    (path / "head.py").write_text("from pathlib import Path\nPath(__file__).with_name('ran').touch()\n")
    assert roots("predict", path, "hello").code == 2
    assert not (path / "ran").exists()


def test_a_task_without_code_cannot_be_trusted(roots, model, routing_folder):
    result = roots("predict", model[0], "hello", "--trust-code-of", routing_folder)
    assert result.code == 2
    assert "this task has no head.py" in result.err


def test_a_head_of_a_task_folder_is_checked_only_when_it_is_trusted(roots, own):
    folder = own()
    untrusted = roots("tasks", "check", "own", "--json", cwd=folder.parents[1])
    assert untrusted.code == 1
    assert "it is not trusted" in untrusted.out
    head = ("tasks", "check", "--head", "shouting")
    assert "it is not trusted" in roots(*head, cwd=folder.parents[1]).err
    assert not ran(folder)
    checked = roots(*head, "--trust-task-code", "--json", cwd=folder.parents[1]).json
    assert (checked["kept"], checked["origin"]) == (True, str(folder / "head.py"))
    assert roots("tasks", "check", "own", cwd=folder.parents[1]).code == 0


def test_the_list_shows_which_code_is_trusted_and_which_heads_it_offers_and_runs_nothing(roots, own, home):
    folder = own(description="What is shouted?")
    shadow = own("shadow", "answer")
    workspace = folder.parents[1]

    def listed():
        found = roots("tasks", "list", "--json", cwd=workspace).json
        assert not ran(folder)
        tasks = {row["task"]: row for row in found["tasks"]}
        heads = {(row["head"], row["origin"]): row for row in found["heads"]}
        return tasks, heads

    tasks, heads = listed()
    assert tasks["own"]["code"] == "head.py: not trusted; --trust-task-code runs it"
    assert heads["shouting", "tasks/own/head.py"]["trust"] == "not trusted; --trust-task-code runs it"
    assert heads["answer", "tasks/shadow/head.py"]["error"] == "the name is taken (built in)"
    assert heads["answer", "built in"]["error"] == ""
    roots(*adapt(folder, "--trust-task-code"))
    ran(folder)
    tasks, heads = listed()
    assert tasks["own"]["code"] == "head.py: trusted"
    assert heads["shouting", "tasks/own/head.py"]["trust"] == "trusted"
    own(more="# a change")
    tasks, heads = listed()
    assert tasks["own"]["code"] == "head.py: changed since it was trusted; --trust-task-code runs it"
    shown = roots("tasks", "list", cwd=workspace).out
    assert "changed since it was trusted" in shown
    assert str(home / "trusted.json") in shown.replace("\n", "")
    (home / "trusted.json").write_text("?")
    damaged = roots("tasks", "list", cwd=workspace)
    assert damaged.code == 0
    assert "the memory of trusted code is damaged" in damaged.err
    assert not ran(shadow)
