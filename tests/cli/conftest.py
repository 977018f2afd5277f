"""The command line as a function, and what several verbs need: a graph bundle and adapted models."""

import contextlib
import io
import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from roots_kg.cli import main

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Result:
    """What a command left behind: its exit code and what it printed."""

    code: int
    out: str
    err: str

    @property
    def json(self):
        """The one JSON object on standard output, which must hold nothing else."""
        assert self.code == 0, self.err
        assert self.out.count("\n") == 1
        found = json.loads(self.out)
        assert isinstance(found, dict)
        return found


@pytest.fixture(scope="session")
def roots():
    """A function that runs `roots` with these arguments, in this process and in the given folder."""

    def run(*arguments, cwd=ROOT):
        out, err = io.StringIO(), io.StringIO()
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(sys, "argv", ["roots", *map(str, arguments)])
            patch.chdir(cwd)
            with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
                try:
                    main()
                    code = 0
                except SystemExit as stop:
                    code = stop.code or 0
        return Result(code, out.getvalue(), err.getvalue())

    return run


@pytest.fixture(scope="session")
def shell():
    """A function that runs `python -m roots_kg` with these arguments, in a process of its own."""

    def run(*arguments, cwd=ROOT):
        command = [sys.executable, "-m", "roots_kg", *map(str, arguments)]
        done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)
        return Result(done.returncode, done.stdout, done.stderr)

    return run


@pytest.fixture(scope="session")
def geography(shell, tmp_path_factory):
    """The bundled graph with vectors of two epochs."""
    out = tmp_path_factory.mktemp("cli") / "geography"
    result = shell("kg", "train", "knowledge/geography", "--epochs", 2, "--out", out, "--json")
    assert result.json["metrics"]["triples"] > 10_000
    return out


@pytest.fixture(scope="session")
def towns_file(tmp_path_factory, triples):
    """The small graph as a triples file."""
    path = tmp_path_factory.mktemp("cli") / "towns.tsv"
    path.write_text("".join("\t".join(triple) + "\n" for triple in triples), encoding="utf-8")
    return path


@pytest.fixture(scope="session")
def towns(tmp_path_factory, bundle):
    """The small graph with its vectors, saved."""
    folder = tmp_path_factory.mktemp("cli") / "towns"
    bundle.save(folder)
    return folder


@pytest.fixture(scope="session")
def small_model(roots, towns, routing_folder, tmp_path_factory):
    """A model for the small routing task with the small graph."""
    out = tmp_path_factory.mktemp("cli") / "small"
    result = roots("adapt", routing_folder, "--knowledge", towns, "--out", out, "--json")
    assert result.code == 0, result.err
    return out


@pytest.fixture(scope="session")
def routing_models(roots, shell, geography, tmp_path_factory):
    """Models for the bundled routing task, 5 shots, with the graph and without."""
    folder = tmp_path_factory.mktemp("cli")
    adapt = ("adapt", "region_routing", "--shots", 5, "--json")
    told = {
        "graph": shell(*adapt, "--knowledge", geography, "--out", folder / "graph").json,
        "text": roots(*adapt, "--no-knowledge", "--out", folder / "text").json,
    }
    return folder, told


@pytest.fixture(scope="session")
def two_tasks(roots, small_model, questions_folder, tmp_path_factory):
    """The small model with a second task."""
    out = tmp_path_factory.mktemp("cli") / "two"
    result = roots("adapt", questions_folder, "--add-to", small_model, "--out", out, "--json")
    assert result.code == 0, result.err
    return out
