"""A workspace finds what is asked for by name or path, and lets no path out of its folder."""

import pytest

from roots_kg.errors import DataError, TaskError, UsageError
from roots_kg.workspace import GraphFiles, Workspace, inside


@pytest.fixture
def workspace(tmp_path):
    workspace = Workspace.create(tmp_path / "home")
    for name in ("routing", "questions"):
        (workspace.root / "tasks" / name).mkdir()
        (workspace.root / "tasks" / name / "task.yaml").touch()
    (workspace.root / "tasks" / "notes").mkdir()
    (workspace.root / "knowledge" / "geography").mkdir()
    (workspace.root / "knowledge" / "geography" / "triples.tsv").touch()
    return workspace


def test_a_workspace_is_found_from_any_folder_in_it(workspace):
    deep = workspace.root / "tasks" / "routing" / "deep"
    deep.mkdir()
    assert Workspace.find(deep) == Workspace.find(workspace.root) == workspace


def test_one_of_its_folders_is_enough_to_know_a_workspace(tmp_path):
    (tmp_path / "knowledge").mkdir()
    (tmp_path / "below").mkdir()
    assert Workspace.find(tmp_path / "below").root == tmp_path


def test_without_a_workspace_the_folder_itself_is_an_empty_one(tmp_path):
    found = Workspace.find(tmp_path)
    assert found.root == tmp_path
    assert found.task_folders() == []


def test_the_current_folder_is_where_the_search_starts(workspace, monkeypatch):
    monkeypatch.chdir(workspace.root / "tasks")
    assert Workspace.find() == workspace


def test_a_new_workspace_has_its_three_folders_and_keeps_what_was_there(tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    Workspace.create(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["configs", "knowledge", "notes.txt", "tasks"]
    assert (tmp_path / "notes.txt").read_text() == "mine"


def test_a_workspace_is_not_made_where_one_is_or_where_a_file_is(workspace, tmp_path):
    with pytest.raises(UsageError, match="this is a workspace already"):
        Workspace.create(workspace.root)
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match="this is a file"):
        Workspace.create(tmp_path / "file")


def test_tasks_are_the_folders_with_a_task_file_by_name(workspace):
    assert [folder.name for folder in workspace.task_folders()] == ["questions", "routing"]


def test_a_task_is_found_by_name_by_folder_and_by_file(workspace):
    folder = workspace.root / "tasks" / "routing"
    for task in ("routing", str(folder), str(folder / "task.yaml")):
        assert workspace.task_folder(task) == folder


def test_an_unknown_task_is_refused_with_the_nearest_name(workspace):
    with pytest.raises(TaskError, match=r"no task 'routin' \(did you mean 'routing'\?\)"):
        workspace.task_folder("routin")
    with pytest.raises(TaskError, match=r"this folder has no task.yaml"):
        workspace.task_folder(str(workspace.root / "tasks" / "notes"))


def test_a_graph_is_found_by_name_by_folder_and_by_file(workspace, tmp_path):
    folder = workspace.root / "knowledge" / "geography"
    triples = folder / "triples.tsv"
    for graph in ("geography", str(folder), str(triples)):
        assert workspace.graph_files(graph) == GraphFiles((triples,))
    (folder / "aliases.tsv").touch()
    assert workspace.graph_files("geography") == GraphFiles((triples,), folder / "aliases.tsv")
    assert workspace.graph_files(str(triples)).aliases == folder / "aliases.tsv"
    (folder / "card.yaml").touch()
    assert workspace.graph_files("geography").card == folder / "card.yaml"


@pytest.mark.parametrize("name", ["triples.ttl", "triples.parquet", "triples.jsonl.gz", "triples.csv"])
def test_triples_of_any_kind_make_a_graph(workspace, name):
    folder = workspace.root / "knowledge" / "towns"
    folder.mkdir()
    (folder / name).touch()
    (folder / "aliases.tsv.gz").touch()
    assert workspace.graph_files("towns") == GraphFiles((folder / name,), folder / "aliases.tsv.gz")
    assert workspace.graph_files(str(folder / name)).aliases == folder / "aliases.tsv.gz"
    with pytest.raises(DataError, match="did you mean 'towns'"):
        workspace.graph_files("town")


def test_aliases_and_a_card_belong_to_no_other_file_beside_them(workspace):
    folder = workspace.root / "knowledge" / "geography"
    for name in ("aliases.tsv", "card.yaml", "more.tsv"):
        (folder / name).touch()
    assert workspace.graph_files(str(folder / "more.tsv")) == GraphFiles((folder / "more.tsv",))


def test_a_folder_with_two_triples_files_is_refused_for_both_could_be_meant(workspace):
    folder = workspace.root / "knowledge" / "geography"
    (folder / "triples.tsv.rejects.tsv").touch()
    assert workspace.graph_files("geography").triples == (folder / "triples.tsv",)
    (folder / "triples.nt.gz").touch()
    with pytest.raises(DataError, match=r"several triples files, triples.tsv and triples.nt.gz"):
        workspace.graph_files("geography")
    assert workspace.graph_files(str(folder / "triples.nt.gz")).triples == (folder / "triples.nt.gz",)


def test_an_unknown_graph_is_refused_with_the_nearest_name(workspace):
    with pytest.raises(DataError, match=r"geografy: there is no such file.*did you mean 'geography'\?"):
        workspace.graph_files("geografy")
    with pytest.raises(DataError, match=r"this folder has no triples\.tsv"):
        workspace.graph_files(str(workspace.root / "tasks"))


@pytest.mark.parametrize("name", ["x" * 300, "a\0b", "a/" * 3000])
def test_a_name_that_no_file_can_have_is_refused_like_any_other(workspace, name):
    with pytest.raises(DataError, match="no graph of that name"):
        workspace.graph_files(name)
    with pytest.raises(TaskError, match="there is no task"):
        workspace.task_folder(name)


def test_a_path_inside_its_folder_is_joined(tmp_path):
    assert inside(tmp_path, "data/train.jsonl", named_in=tmp_path) == tmp_path / "data" / "train.jsonl"
    assert inside(tmp_path, "data/../train.jsonl", named_in=tmp_path).resolve() == tmp_path / "train.jsonl"


@pytest.mark.parametrize("relative", ["../secret", "a/../../secret", "/etc/passwd", "link/secret", ".."])
def test_a_path_that_leaves_its_folder_is_refused(tmp_path, relative):
    folder = tmp_path / "task"
    folder.mkdir()
    (folder / "link").symlink_to(tmp_path)
    (tmp_path / "secret").touch()
    with pytest.raises(TaskError, match="leaves its folder") as caught:
        inside(folder, relative, named_in=folder / "task.yaml")
    assert caught.value.path == folder / "task.yaml"


def test_a_path_with_a_nul_byte_is_refused(tmp_path):
    with pytest.raises(TaskError):
        inside(tmp_path, "a\0b", named_in=tmp_path / "task.yaml")


def test_a_link_that_stays_inside_is_followed(tmp_path):
    (tmp_path / "data").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "data")
    assert inside(tmp_path, "link/x", named_in=tmp_path).resolve() == tmp_path / "data" / "x"
