"""The package starts at once, offers the names it promises, and its wheel claims one import name."""

import importlib
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

import roots_kg

ROOT = Path(__file__).resolve().parents[1]
HEAVY = ("torch", "pytorch_lightning", "torch_geometric", "transformers", "tokenizers", "networkx", "numpy")


def run(*arguments, cwd):
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.run(
        [sys.executable, *arguments], cwd=cwd, env=environment, capture_output=True, text=True, check=True
    )


def imported(stderr):
    """Return the top-level names in what `python -X importtime` prints."""
    lines = [line for line in stderr.splitlines() if line.startswith("import time:")]
    return {line.rpartition("|")[2].strip().partition(".")[0] for line in lines}


def test_importing_the_package_imports_nothing_heavy(tmp_path):
    names = imported(run("-X", "importtime", "-c", "import roots_kg", cwd=tmp_path).stderr)
    assert "roots_kg" in names
    assert not names & {*HEAVY, "yaml", "typer"}


@pytest.mark.parametrize(
    "arguments",
    [
        ["--help"],
        ["--version"],
        ["kg", "train", "--help"],
        ["adapt", "--help"],
        ["tasks", "list"],
        ["configs", "ls"],
    ],
)
def test_printing_help_and_lists_imports_nothing_heavy(arguments, tmp_path):
    done = run("-X", "importtime", "-m", "roots_kg", *arguments, cwd=tmp_path)
    names = imported(done.stderr)
    assert "roots_kg" in names
    assert not names & set(HEAVY)


def test_every_public_name_is_there_and_comes_from_its_home():
    assert roots_kg.__all__ == sorted(roots_kg.__all__)
    assert set(roots_kg._HOME) == set(roots_kg.__all__) <= set(dir(roots_kg))
    for name in roots_kg.__all__:
        home = importlib.import_module(roots_kg._HOME[name])
        assert getattr(roots_kg, name) is getattr(home, name)


def test_every_name_that_a_module_declares_public_is_there():
    modules = [
        ".".join(path.relative_to(ROOT).with_suffix("").parts)
        for path in sorted((ROOT / "roots_kg").rglob("*.py"))
        if path.name not in ("__init__.py", "__main__.py")
    ]
    assert "roots_kg.graph.triples" in modules
    for name in modules:
        module = importlib.import_module(name)
        missing = [public for public in getattr(module, "__all__", ()) if not hasattr(module, public)]
        assert not missing, f"{name} has no {missing}"


def test_a_name_that_is_not_there_is_an_attribute_error():
    with pytest.raises(AttributeError, match="module 'roots_kg' has no attribute 'Missing'"):
        roots_kg.Missing  # noqa: B018


def test_the_wheel_claims_one_import_name_and_carries_its_types(tmp_path):
    run("-m", "build", "--wheel", "--no-isolation", "--outdir", str(tmp_path), str(ROOT), cwd=tmp_path)
    (wheel,) = tmp_path.glob("*.whl")
    files = zipfile.ZipFile(wheel).namelist()
    info = f"roots_kg-{roots_kg.__version__}.dist-info"
    assert {name.partition("/")[0] for name in files} == {"roots_kg", info}
    assert "roots_kg/py.typed" in files
    assert {f"roots_kg/configs/{path.name}" for path in (ROOT / "configs").iterdir()} <= set(files)
    assert f"{info}/licenses/LICENSE" in files
    sources = {path.relative_to(ROOT).as_posix() for path in (ROOT / "roots_kg").rglob("*.py")}
    assert {name for name in files if name.endswith(".py")} == sources
