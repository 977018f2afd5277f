def test_init_makes_the_folders_of_a_workspace(roots, tmp_path):
    result = roots("init", tmp_path / "mine" / "project", "--json")
    root = tmp_path / "mine" / "project"
    assert result.json == {"workspace": str(root), "folders": ["knowledge", "tasks", "configs"]}
    assert sorted(path.name for path in root.iterdir()) == ["configs", "knowledge", "tasks"]


def test_init_tells_a_person_what_goes_where(roots, tmp_path):
    result = roots("init", "project", cwd=tmp_path)
    assert result.code == 0
    assert "tasks/NAME/task.yaml" in result.out
    assert (tmp_path / "project" / "tasks").is_dir()


def test_init_leaves_other_files_as_they_are(roots, tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    assert roots("init", tmp_path).code == 0
    assert (tmp_path / "notes.txt").read_text() == "mine"


def test_init_refuses_a_workspace_that_is_there_and_a_file(roots, tmp_path):
    assert roots("init", tmp_path / "one").code == 0
    (tmp_path / "file").write_text("")
    for name, reason in (("one", "this is a workspace already"), ("file", "this is a file")):
        result = roots("init", tmp_path / name)
        assert result.code == 2
        assert result.err.startswith(f"error: {tmp_path / name}: {reason}")


def test_a_new_workspace_is_found_from_inside(roots, tmp_path, write_task, examples):
    roots("init", tmp_path)
    write_task(tmp_path / "tasks" / "mail", {"head": "classification"}, examples.routing.train)
    listed = roots("tasks", "list", "--json", cwd=tmp_path / "tasks" / "mail").json
    assert listed["workspace"] == str(tmp_path)
    assert [row["task"] for row in listed["tasks"]] == ["mail"]
