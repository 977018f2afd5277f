"""The program that docs/how-to/predict_on_many_machines.md shows answers as `roots predict` does."""

import json
import os
import re
import subprocess
import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path

import pytest

GUIDE = Path(__file__).resolve().parents[2] / "docs/how-to/predict_on_many_machines.md"
LIKE_A_DATE = "2026-11-30"


@pytest.fixture
def program(tmp_path):
    """The guide's program, written to a file."""
    pattern = r'```python title="predict_on_ray.py"\n(.*?)```'
    (code,) = re.findall(pattern, GUIDE.read_text(encoding="utf-8"), re.DOTALL)
    path = tmp_path / "predict_on_ray.py"
    path.write_text(code, encoding="utf-8")
    return path


def lines_of(path):
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


@pytest.mark.skipif(find_spec("ray") is None, reason="Ray is not installed")
def test_many_workers_answer_in_the_order_of_the_texts_what_one_process_does(
    program, routing, examples, tmp_path
):
    routing.save_pretrained(tmp_path / "model")
    (tmp_path / "texts").mkdir()
    tickets = examples.routing.test
    for name, rows in (("a", tickets[:20]), ("b", [{"text": LIKE_A_DATE}]), ("c", tickets[20:])):
        written = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
        (tmp_path / f"texts/{name}.jsonl").write_text(written, encoding="utf-8")
    with tempfile.TemporaryDirectory(prefix="ray") as folder:  # sockets lie in it: a short name
        own = {"HOME": str(tmp_path), "RAY_TMPDIR": folder, "RAY_USAGE_STATS_ENABLED": "0"}
        command = [sys.executable, str(program), "model", "texts", "answers", "2"]
        done = subprocess.run(
            command, cwd=tmp_path, env={**os.environ, **own}, capture_output=True, text=True, timeout=300
        )
    assert done.returncode == 0, done.stderr
    found = [row for path in sorted((tmp_path / "answers").iterdir()) for row in lines_of(path)]
    texts = [row["text"] for row in [*tickets[:20], {"text": LIKE_A_DATE}, *tickets[20:]]]
    expected = [each.stated(text) for text, each in zip(texts, routing.predict(texts), strict=True)]
    assert [row["text"] for row in found] == texts
    for row, one in zip(found, expected, strict=True):
        assert (row["prediction"], row["in_scope"]) == (one["prediction"], one["in_scope"])
        assert [each["answer"] for each in row["ranked"]] == [answer for answer, _ in one["ranked"]]
        assert row["probability"] == pytest.approx(one["probability"], abs=1e-5)
