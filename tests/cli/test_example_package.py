"""The example package of a head: installed as a person would, seen, used, and held to its own test."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from roots_kg import registry

PACKAGE = Path(__file__).resolve().parents[2] / "examples" / "roots-kg-rating"


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """The folder that the package was installed into, from its source and without the network."""
    target = tmp_path_factory.mktemp("example") / "site"
    options = ("--quiet", "--no-deps", "--no-build-isolation", "--no-index", "--target", target)
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", "install", *options, PACKAGE]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return target


@pytest.fixture
def package(installed, monkeypatch):
    """This process with the package installed."""
    monkeypatch.delenv("ROOTS_LOAD_PLUGINS", raising=False)
    monkeypatch.setattr(registry, "_registered", {})
    monkeypatch.syspath_prepend(str(installed))
    yield
    sys.modules.pop("roots_kg_rating", None)


def test_the_head_is_listed_with_its_package_and_not_imported(roots, package):
    heads = {row["head"]: row for row in roots("tasks", "list", "--json").json["heads"]}
    assert heads["rating"]["origin"] == "package roots-kg-rating"
    assert "roots_kg_rating" not in sys.modules


def test_a_person_who_wants_no_plugins_has_none(roots, package, monkeypatch):
    monkeypatch.setenv("ROOTS_LOAD_PLUGINS", "")
    heads = {row["head"] for row in roots("tasks", "list", "--json").json["heads"]}
    assert "rating" not in heads
    assert roots("tasks", "new", "reviews", "--head", "rating").code == 2


def test_a_task_of_it_is_made_adapted_judged_and_asked(roots, package, tmp_path):
    assert roots("init", tmp_path / "work").code == 0
    work = {"cwd": tmp_path / "work"}
    assert roots("tasks", "new", "reviews", "--head", "rating", **work).code == 0
    assert roots("tasks", "check", "reviews", "--json", **work).json["problems"] == []
    assert roots("adapt", "reviews", "--out", "runs/reviews", "--json", **work).json["metrics"]["labels"] == 3
    judged = roots("evaluate", "runs/reviews", "--test", "tasks/reviews/test.jsonl", "--json", **work).json
    assert judged["metrics"]["closeness"] >= 0.8
    asked = roots("predict", "runs/reviews", "The kindest people, a superb stay!", "--json", **work).json
    assert asked["predictions"][0]["prediction"] == "good"


def test_its_labels_are_a_scale_in_the_order_that_the_task_gives(roots, package, tmp_path, write_task):
    levels = ["low", "middle", "high"]
    train = [
        {"text": f"It is {word}.", "label": label}
        for label, word in zip(levels, ("cold", "warm", "hot"), strict=True)
    ]
    folder = write_task(tmp_path / "heat", {"head": "rating", "labels": levels}, train)
    assert roots("adapt", folder, "--out", tmp_path / "out").code == 0
    off = [{"text": "It is cold.", "label": label} for label in levels]
    judged = []
    for example in off:
        path = write_task(tmp_path / "off", {"head": "rating", "labels": levels}, [example]) / "train.jsonl"
        judged.append(
            roots("evaluate", tmp_path / "out", "--test", path, "--json").json["metrics"]["closeness"]
        )
    assert judged == [1.0, 0.5, 0.0]


def test_a_task_without_labels_is_refused_with_the_way_out(roots, package, tmp_path, write_task):
    folder = write_task(tmp_path / "heat", {"head": "rating"}, [{"text": "It is cold.", "label": "low"}])
    result = roots("adapt", folder, "--out", tmp_path / "out")
    assert result.code == 1
    assert "list them in task.yaml, the lowest first" in result.err


def test_its_own_test_runs_the_contract_and_passes(installed):
    environment = {**os.environ, "PYTHONPATH": str(installed)}
    command = [
        sys.executable,
        "-m",
        "pytest",
        "--rootdir",
        PACKAGE,
        "-p",
        "no:cacheprovider",
        PACKAGE / "tests",
    ]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
    assert "1 passed" in done.stdout
