"""A verb that is told to end does so with the code that says so, and undoes what it began."""

import os
import signal
import subprocess
import sys

import pytest

from roots_kg.training.runs import work_folder

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="there are no such signals")


def begin(*arguments, cwd):
    """Start `roots` and wait until it is at work, not merely being loaded."""
    code = (
        "import signal, sys, threading, time\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)  # those who run tests may ignore it\n"
        "import roots_kg.cli.output as output\n"
        "from roots_kg.cli import main\n"
        "delay, at_work = float(sys.argv.pop(1)), threading.Event()\n"
        "def tell():\n"
        "    at_work.wait()\n"
        "    time.sleep(delay)\n"
        "    print('ready', flush=True)\n"
        "threading.Thread(target=tell, daemon=True).start()\n"
        "at_work.set()\n"
        "main()\n"
    )
    delay = str(arguments[0])
    process = subprocess.Popen(
        [sys.executable, "-c", code, delay, *map(str, arguments[1:])],
        cwd=cwd,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "HF_HUB_OFFLINE": "1"},
    )
    assert process.stdout.readline() == "ready\n"
    return process


@pytest.mark.parametrize(
    ("number", "delay", "processes"),
    [
        (signal.SIGTERM, 0.01, 1),
        (signal.SIGTERM, 4.0, 1),
        (signal.SIGTERM, 4.0, 2),
        (signal.SIGINT, 0.01, 1),
        (signal.SIGINT, 4.0, 1),
    ],
)
def test_a_training_ends_with_the_signals_code_and_undoes_what_it_began(
    delay, number, processes, towns_file, tmp_path
):
    out = tmp_path / "out"
    options = ("--epochs", 10**6, "--processes", processes, "--out", out)
    process = begin(delay, "kg", "train", towns_file, *options, cwd=tmp_path)
    process.send_signal(number)
    _, told = process.communicate(timeout=60)
    assert process.returncode == 128 + number, told
    assert told == {signal.SIGTERM: "", signal.SIGINT: "interrupted\n"}[number]
    assert not out.exists()
    assert not work_folder(out).exists()


@pytest.mark.parametrize(
    "verb",
    [
        ("adapt", "region_routing", "--no-knowledge", "--tune-encoder", "--out", "{out}"),
        ("evaluate", "{model}", "--test", "{test}"),
        ("generate", "roots-base", "--prompt", "It was", "--max-new-tokens", "400"),
        ("report", "{model}", "--test", "{test}", "--task", "{task}"),
    ],
    ids=lambda verb: verb[0],
)
@pytest.mark.parametrize("delay", [0.5, 5.0])
def test_other_verbs_end_likewise(
    verb, delay, small_model, routing_folder, tmp_path, tmp_path_factory, request
):
    test = tmp_path_factory.mktemp("long") / "test.jsonl"
    test.write_text('{"text": "The parcel to Wels never arrived.", "label": "central"}\n' * 20_000)
    places = {"out": tmp_path / "out", "model": small_model, "task": routing_folder, "test": test}
    root = request.config.rootpath
    process = begin(delay, *(str(word).format_map(places) for word in verb), cwd=root)
    process.terminate()
    _, told = process.communicate(timeout=60)
    assert (process.returncode, told) == (128 + signal.SIGTERM, "")
    assert not list(tmp_path.iterdir())
