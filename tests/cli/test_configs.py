"""Settings of training runs are listed, copied, checked and printed."""

import json

import pytest
import yaml

from roots_kg.cli.settings import KINDS, ready_made
from roots_kg.config import from_mapping, to_mapping

READY = sorted(path.stem for path in ready_made().glob("*.yaml"))


def test_all_settings_are_listed_with_the_verb_that_reads_them(roots, tmp_path):
    (tmp_path / "configs").mkdir()
    (tmp_path / "tasks").mkdir()
    (tmp_path / "configs/mine.yaml").write_text("# A small graph: of mine.\nkind: transe\n")
    (tmp_path / "configs/broken.yaml").write_text("kind: [\n")
    rows = {row["name"]: row for row in roots("configs", "ls", "--json", cwd=tmp_path).json["configs"]}
    assert sorted(rows) == sorted([*READY, "mine", "broken"])
    assert (rows["mine"]["command"], rows["mine"]["about"]) == ("roots kg train", "A small graph")
    assert rows["mine"]["origin"] == "your own"
    assert "cannot be read" in rows["broken"]["about"]
    assert all(rows[name]["about"] for name in READY)
    shown = roots("configs", "ls", cwd=tmp_path).out
    assert "mine" in shown
    assert "ready-made" in shown


def test_a_copy_is_put_into_the_workspace_and_nothing_is_replaced(roots, tmp_path):
    (tmp_path / "tasks").mkdir()
    assert roots("configs", "cp", "pretrain", cwd=tmp_path).code == 0
    copy = tmp_path / "configs/pretrain.yaml"
    assert copy.read_bytes() == (ready_made() / "pretrain.yaml").read_bytes()
    copy.write_text("mine")
    again = roots("configs", "cp", "pretrain", cwd=tmp_path)
    assert again.code == 2
    assert "name another file" in again.err
    assert copy.read_text() == "mine"
    assert roots("configs", "cp", "pretrain", "other.yaml", cwd=tmp_path).code == 0
    unknown = roots("configs", "cp", "pretrian", cwd=tmp_path)
    assert (unknown.code, "did you mean 'pretrain'?" in unknown.err) == (2, True)


@pytest.mark.parametrize("name", READY)
def test_ready_made_settings_are_good(roots, name):
    result = roots("configs", "validate", ready_made() / f"{name}.yaml")
    assert (result.code, result.err) == (0, "")
    assert "good settings of the kind" in result.out


def test_every_file_that_is_wrong_is_named(roots, tmp_path):
    files = {
        "good": "kind: transe\ndimension: 8\n",
        "key": "kind: transe\ndimensoin: 8\n",
        "value": "kind: fusion\nsteps: many\n",
        "kind": "kind: fusoin\n",
        "none": "steps: 3\n",
        "list": "kind: [fusion]\n",
    }
    for name, text in files.items():
        (tmp_path / f"{name}.yaml").write_text(text)
    paths = [tmp_path / f"{name}.yaml" for name in [*files, "missing"]]
    result = roots("configs", "validate", *paths)
    assert result.code == 2
    assert "good.yaml: good settings" in result.out
    for name, said in {
        "key": "did you mean 'dimension'?",
        "value": "expected int, found 'many'",
        "kind": "did you mean 'fusion'?",
        "none": "the key 'kind' is missing",
        "list": "unknown kind",
        "missing": "there is no such file",
    }.items():
        assert any(said in line and f"{name}.yaml" in line for line in result.err.splitlines()), name
    stated = json.loads(roots("configs", "validate", *paths, "--json").out)["configs"]
    assert [row["error"] is None for row in stated] == [True] + [False] * 6


@pytest.mark.parametrize("name", READY)
@pytest.mark.parametrize("flag", ["--print-config", "--print_config"])
def test_settings_are_printed_whole_and_as_options_change_them(roots, name, flag, tmp_path):
    path = ready_made() / f"{name}.yaml"
    stated = yaml.safe_load(path.read_text())
    kind = KINDS[stated["kind"]]
    result = roots(
        *kind.command.split()[1:],
        *(["x"] if kind.name == "transe" else []),
        "--config",
        path,
        "--seed",
        7,
        flag,
    )
    assert (result.code, result.err) == (0, "")
    printed = yaml.safe_load(result.out)
    expected = from_mapping(kind.settings(), stated | {"seed": 7})
    assert from_mapping(kind.settings(), printed) == expected
    assert printed == to_mapping(expected)


def test_settings_of_another_verb_are_refused_with_the_right_one(roots, tmp_path):
    result = roots("train", "--config", ready_made() / "pretrain.yaml", "--out", tmp_path / "out")
    assert result.code == 2
    assert "`roots pretrain` does" in result.err


def test_without_print_config_the_folder_to_write_is_asked_for(roots):
    result = roots("train", "--config", ready_made() / "fusion.yaml")
    assert (result.code, "--out" in result.err) == (2, True)
