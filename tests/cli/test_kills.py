"""A verb that is killed leaves the old state or the new one, and a run that is taken up comes out the same.

Every verb is killed a few times. For a long run: `ROOTS_KILLS=200 pytest tests/cli/test_kills.py -s`. A
process that has imported everything forks for each run, so that the moments fall into the work and the
writing, and not into the seconds that imports take.
"""

import contextlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
import yaml

from roots_kg.bundle import Bundle
from roots_kg.graph.store import GraphBundle
from roots_kg.model import RootsModel
from roots_kg.training.runs import CHECKPOINT, work_folder

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="processes there do not fork")

KILLS = int(os.environ.get("ROOTS_KILLS", "3"))
NURSERY = """
import importlib, json, os, sys
from roots_kg.cli import main

def run(told):
    os.chdir(told['cwd'])
    log = os.open(told['log'], os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    for stream in (1, 2):
        os.dup2(log, stream)
    sys.argv = ['roots', *told['arguments']]
    try:
        main()
    except SystemExit as stop:
        return stop.code or 0
    return 0

for line in sys.stdin:
    told = json.loads(line)
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        code = 1
        try:
            code = run(told)
            os.write(writing, ' '.join(name for name in sys.modules if name != '__main__').encode())
        finally:
            os._exit(code)
    os.close(writing)
    print(child, flush=True)
    with open(reading, encoding='utf-8') as used:
        names = used.read().split()
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    for name in names:
        if name not in sys.modules:
            try:
                importlib.import_module(name)
            except Exception:
                pass
    print(code, flush=True)
"""


class Nursery:
    """A process that forks for every run of `roots`, and has imported what earlier runs have."""

    def __init__(self, folder):
        self.folder = folder
        self._process = subprocess.Popen(
            [sys.executable, "-c", NURSERY],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "HF_HUB_OFFLINE": "1"},
        )

    def run(self, *arguments, kill_after=None):
        """Run a verb, or begin it and kill it after so many seconds; return its exit code."""
        log = self.folder / "log.txt"
        told = {"cwd": str(self.folder), "log": str(log), "arguments": [*map(str, arguments)]}
        self._process.stdin.write(json.dumps(told) + "\n")
        self._process.stdin.flush()
        child = int(self._process.stdout.readline())
        if kill_after is not None:
            time.sleep(kill_after)
            with contextlib.suppress(ProcessLookupError):  # it was faster
                os.kill(child, signal.SIGKILL)
        code = int(self._process.stdout.readline())
        assert code == 0 or (kill_after is not None and code == -signal.SIGKILL), log.read_text()
        return code

    def seconds(self, *arguments):
        """Return how long a verb takes when what it imports is there already."""
        self.run(*arguments)
        started = time.perf_counter()
        self.run(*arguments)
        return time.perf_counter() - started

    def close(self):
        self._process.communicate()


@pytest.fixture
def nursery(tmp_path):
    nursery = Nursery(tmp_path)
    yield nursery
    nursery.close()


@dataclass(frozen=True)
class Scenario:
    """A verb that changes something, in every run in another way.

    Args:
        arguments: from the number of the run to what `roots` is told.
        state: reads in which state things are, and raises if in none.
        after: from the state before, and the number of the run, to that when it is done.
    """

    arguments: Callable[[int], tuple[object, ...]]
    state: Callable[[], Any]
    after: Callable[[Any, int], Any] = lambda before, number: number


def kg_train(folder, towns_file, **_):
    out = folder / "graph"
    settings = ("--epochs", 3, "--dimension", 8, "--out", out)
    return Scenario(
        lambda number: ("kg", "train", towns_file, "--seed", number, *settings),
        lambda: GraphBundle.load(out).config.seed,
    )


def kg_add(folder, towns, **_):
    GraphBundle.load(towns).save(folder / "graph")
    return Scenario(
        lambda number: ("kg", "add", folder / "graph", f"Town {number}|located_in|Austria"),
        lambda: {name for name in GraphBundle.load(folder / "graph").graph.entities if "Town " in name},
        lambda before, number: before | {f"Town {number}"},
    )


def adapt(folder, small_model, routing_folder, **_):
    RootsModel.from_pretrained(small_model).save_pretrained(folder / "model")
    settings = yaml.safe_load((routing_folder / "task.yaml").read_text(encoding="utf-8"))
    task = shutil.copytree(routing_folder, folder / "task")

    def arguments(number):
        told = {**settings, "description": f"Run {number}"}
        (task / "task.yaml").write_text(yaml.safe_dump(told), encoding="utf-8")
        return ("adapt", task, "--add-to", folder / "model")

    def state():
        (head,) = RootsModel.from_pretrained(folder / "model").heads.values()
        return int(head.task.description.removeprefix("Run "))

    return Scenario(arguments, state)


def train(folder, towns, **_):
    out, config = folder / "fusion", folder / "fusion.yaml"
    config.write_text("kind: fusion\nsteps: 2\nbatch_size: 8\nnegatives: 2\n", encoding="utf-8")

    def state():
        bundle = Bundle.read(out, "fusion")
        bundle.tensors("fusion.safetensors")
        return bundle.settings["training"]["seed"]

    return Scenario(
        lambda number: ("train", "--config", config, "--knowledge", towns, "--seed", number, "--out", out),
        state,
    )


@pytest.mark.parametrize("verb", [kg_train, kg_add, adapt, train], ids=lambda verb: verb.__name__)
def test_a_kill_leaves_the_old_state_or_the_new_one(
    verb, nursery, towns_file, towns, small_model, routing_folder
):
    """Half of the moments are spread over the whole run, half over its end, where files are written."""
    given = {"towns_file": towns_file, "towns": towns, "small_model": small_model}
    scenario = verb(nursery.folder, routing_folder=routing_folder, **given)
    nursery.run(*scenario.arguments(0))
    longest = nursery.seconds(*scenario.arguments(1))
    before, number, left = scenario.state(), 1, Counter()
    draw = random.Random(0)
    while left.total() < KILLS:
        number += 1
        moment = longest * draw.uniform(draw.choice((0.0, 0.67)), 1.2)
        code = nursery.run(*scenario.arguments(number), kill_after=moment)
        now, new = scenario.state(), scenario.after(before, number)
        assert now in (before, new), f"run {number}, killed after {moment:.3f} s: {before} became {now}"
        if code:
            left["new" if now == new else "old"] += 1
        before = now
    nursery.run(*scenario.arguments(number + 1))  # what was left behind is in nobody's way
    assert scenario.state() == scenario.after(before, number + 1)
    print(f"{verb.__name__}: {left.total()} kills, {dict(left)}, in runs of {longest:.2f} s")


def test_a_training_that_is_killed_again_and_again_comes_out_the_same(nursery):
    folder, left = nursery.folder, 0
    (folder / "text.txt").write_text("A river runs by the town, and the town sleeps.\n" * 60)
    settings = {
        "kind": "pretraining",
        "text": ["text.txt"],
        "tokenizer": {"kind": "bpe", "vocab_size": 300},
        "model": {
            "hidden_size": 16,
            "num_layers": 1,
            "num_heads": 2,
            "intermediate_size": 32,
            "dropout": 0.1,
        },
        "length": 16,
        "batch_size": 4,
        "steps": 30,
        "validate_every": 1,
    }
    (folder / "pretrain.yaml").write_text(yaml.safe_dump(settings), encoding="utf-8")
    verb = ("pretrain", "--config", folder / "pretrain.yaml", "--out")
    longest = nursery.seconds(*verb, folder / "whole")
    whole = Bundle.read(folder / "whole", "encoder").tensors("encoder.safetensors")
    draw, number = random.Random(0), 0
    while left < KILLS:
        out, code, number = folder / f"killed {number}", 1, number + 1
        while code:
            again = ("--resume",) if (work_folder(out) / CHECKPOINT).exists() else ()
            code = nursery.run(*verb, out, *again, kill_after=draw.uniform(0.2, 1) * longest)
            left += bool(code)
        weights = Bundle.read(out, "encoder").tensors("encoder.safetensors")
        assert all(weight.equal(weights[name]) for name, weight in whole.items())
    print(f"pretrain: {left} kills in {number} runs of {longest:.2f} s")
