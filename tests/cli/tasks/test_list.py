def test_the_bundled_tasks_and_the_built_in_heads_are_listed(roots):
    listed = roots("tasks", "list", "--json").json
    rows = {row["task"]: row for row in listed["tasks"]}
    assert (rows["region_routing"]["head"], rows["geo_questions"]["head"]) == ("classification", "answer")
    assert rows["region_routing"]["description"].endswith("?")
    heads = {row["head"]: row["origin"] for row in listed["heads"]}
    assert heads["answer"] == heads["classification"] == "built in"


def test_a_person_sees_a_table(roots):
    result = roots("tasks", "list")
    assert result.code == 0
    assert "region_routing" in result.out
    assert "classification" in result.out


def test_a_broken_task_is_listed_with_what_is_wrong_and_hides_no_other(roots, tmp_path, write_task):
    write_task(tmp_path / "tasks" / "good", {"head": "answer"}, [])
    write_task(tmp_path / "tasks" / "broken", {"head": "answer"}, [])
    (tmp_path / "tasks" / "broken" / "task.yaml").write_text("head: [")
    rows = {row["task"]: row for row in roots("tasks", "list", "--json", cwd=tmp_path).json["tasks"]}
    assert rows["good"]["error"] == ""
    assert "not valid YAML" in rows["broken"]["error"]


def test_listing_runs_no_code_of_a_task_folder(roots, tmp_path, write_task):
    folder = write_task(tmp_path / "tasks" / "own", {"head": "mine"}, [])
    (folder / "head.py").write_text("from pathlib import Path\nPath(__file__).with_name('ran').touch()\n")
    (row,) = roots("tasks", "list", "--json", cwd=tmp_path).json["tasks"]
    assert "--trust-task-code" in row["code"]
    assert not (folder / "ran").exists()


def test_an_empty_workspace_says_how_to_make_one(roots, tmp_path):
    result = roots("tasks", "list", cwd=tmp_path)
    assert result.code == 0
    assert "roots init DIR" in result.out
