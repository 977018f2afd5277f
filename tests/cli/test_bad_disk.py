"""A disk that is full, or a place where nothing can be written, is told in a line and loses nothing."""

import shutil
import subprocess
import sys

import pytest

from roots_kg.graph.store import GraphBundle
from roots_kg.model import RootsModel

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="limits are those of Linux")


def run_on_a_full_disk(most_bytes, *arguments, cwd):
    """Run `roots` in a process that can write no file beyond so many bytes, as on a disk that is full."""
    code = (
        "import resource, sys\n"
        "most = int(sys.argv.pop(1))\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))\n"
        "from roots_kg.cli import main\nmain()\n"
    )
    command = [sys.executable, "-c", code, str(most_bytes), *map(str, arguments)]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True)


@pytest.mark.parametrize("most_bytes", [0, 300, 3_000])
def test_a_full_disk_leaves_the_graph_that_was_there(most_bytes, towns, towns_file, tmp_path):
    out = shutil.copytree(towns, tmp_path / "out")
    run = ("kg", "train", towns_file, "--epochs", 1, "--dimension", 64, "--out", out)
    done = run_on_a_full_disk(most_bytes, *run, cwd=tmp_path)
    assert done.returncode == 1
    assert done.stderr.startswith("error: "), done.stderr
    assert done.stderr.count("\n") == 1
    assert GraphBundle.load(out).space == GraphBundle.load(towns).space
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_a_full_disk_leaves_the_model_that_was_there(small_model, routing_folder, tmp_path):
    out = shutil.copytree(small_model, tmp_path / "out")
    run = ("adapt", routing_folder, "--shots", 2, "--no-knowledge", "--out", out)
    done = run_on_a_full_disk(2_000, *run, cwd=tmp_path)
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert done.stderr.startswith("error: "), done.stderr
    texts = ["The parcel to Wels never arrived."]
    kept, before = (RootsModel.from_pretrained(path).predict(texts) for path in (out, small_model))
    assert kept[0].value == before[0].value
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_vectors_in_files_take_their_space_at_once_or_none(towns_file, tmp_path):
    run = ("kg", "train", towns_file, "--epochs", 1, "--dimension", 64, "--mapped", "files", "--out", "out")
    done = run_on_a_full_disk(5_000, *run, cwd=tmp_path)
    assert done.returncode == 1
    assert done.stderr.startswith("error: files/entity.safetensors: "), done.stderr
    assert "bytes cannot be written: File too large" in done.stderr
    assert done.stderr.count("\n") == 1
    assert [path.name for path in tmp_path.rglob("*")] == ["files"]


def test_a_full_folder_of_temporary_files_is_told_before_processes_train(towns_file, tmp_path):
    run = ("kg", "train", towns_file, "--epochs", 1, "--dimension", 64, "--processes", 2, "--out", "out")
    done = run_on_a_full_disk(5_000, *run, cwd=tmp_path)
    assert (done.returncode, done.stderr.count("\n")) == (1, 1), done.stderr
    assert done.stderr.startswith("error: "), done.stderr
    assert "bytes cannot be written: File too large" in done.stderr
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "verb",
    [
        ("init",),
        ("kg", "train", "{towns_file}", "--epochs", "1", "--out"),
        ("adapt", "{routing}", "--no-knowledge", "--shots", "2", "--out"),
        ("configs", "cp", "fusion"),
        ("predict", "{model}", "--input", "{routing}/test.jsonl", "--output"),
    ],
    ids=lambda verb: verb[0],
)
@pytest.mark.parametrize("place", ["/proc/none/out", "/dev/null/out", "/sys/out"])
def test_a_place_where_nothing_can_be_written_is_told(
    roots, verb, place, towns_file, routing_folder, small_model
):
    places = {"towns_file": towns_file, "routing": routing_folder, "model": small_model}
    result = roots(*(word.format_map(places) for word in verb), place)
    assert result.code in (1, 2)
    assert result.err.startswith("error: "), result.err
    assert result.err.count("\n") == 1
