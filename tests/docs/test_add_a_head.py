"""The head that docs/how-to/add_a_head.md shows works as it is shown."""

import re
from pathlib import Path

import pytest

from roots_kg import registry
from roots_kg.cli.code import run_code
from roots_kg.registry import get_head
from roots_kg.testing import check_head
from roots_kg.trust import CodeFile

GUIDE = Path(__file__).resolve().parents[2] / "docs/how-to/add_a_head.md"


@pytest.fixture
def head_file(tmp_path, monkeypatch):
    """The guide's `head.py`, written to a file."""
    monkeypatch.setattr(registry, "_registered", {})
    monkeypatch.setenv("ROOTS_HOME", str(tmp_path))
    blocks = re.findall(r"```python\n(.*?)```", GUIDE.read_text(encoding="utf-8"), re.DOTALL)
    (code,) = [block for block in blocks if "head.py" in block]
    path = tmp_path / "mail" / "head.py"
    path.parent.mkdir()
    path.write_text(code, encoding="utf-8")
    return path


def test_the_head_of_the_guide_keeps_the_contract(head_file):
    code = CodeFile.read(head_file)
    assert code.heads == ("nearest",)
    run_code(code, trust=True)
    assert get_head("nearest").__name__ == "NearestHead"
    check_head("nearest")


def test_the_guide_names_files_that_are_there():
    text = GUIDE.read_text(encoding="utf-8")
    root = GUIDE.parents[2]
    for path in re.findall(r"`(roots_kg/[\w/]+\.py)`", text):
        assert (root / path).is_file(), path
    assert (root / "examples/roots-kg-rating").is_dir()
