"""A run keeps a checkpoint and a log, one process at a time, and leaves the log in what it has made."""

import csv
import os
import pickle
import subprocess
import sys
from datetime import timedelta

import pytest
import torch
from pytorch_lightning import LightningModule
from pytorch_lightning.callbacks import Callback
from torch.utils.data import DataLoader

from roots_kg.bundle import Bundle, atomic_folder
from roots_kg.errors import BundleError, ConfigError, UsageError
from roots_kg.training.fit import fit, trainer_options
from roots_kg.training.runs import METRICS, Run, file_sizes, log_now, run_folder, work_folder

STEPS = 8


class Line(LightningModule):
    """Moves one weight towards the numbers of a list."""

    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(1))

    def train_dataloader(self):
        return DataLoader(range(STEPS), batch_size=None)

    def training_step(self, batch, number):
        loss = (self.weight - self.global_step).square().sum()
        self.log("loss", loss, batch_size=1)
        return loss

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.1)


class Look(Callback):
    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        if trainer.global_step % 4 == 0:
            log_now(trainer, {"held_out_loss": float(trainer.global_step)})


class Stop(Callback):
    def __init__(self, step):
        self.step = step

    def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
        if trainer.global_step == self.step:
            raise KeyboardInterrupt


def train(run, *callbacks):
    module = Line()
    fit(module, run, trainer_options(run, STEPS, None, [Look(), *callbacks], accelerator="cpu", max_epochs=1))
    return module.weight.item()


def test_the_log_has_a_row_a_step_with_what_was_held_out_beside_it(tmp_path):
    run = Run(tmp_path)
    train(run)
    rows = run.rows()
    assert rows[0]["loss"] == 0
    assert all(row["learning_rate"] == pytest.approx(0.1) for row in rows if "loss" in row)
    assert {row["step"]: row["held_out_loss"] for row in rows if "held_out_loss" in row} == {4: 4, 8: 8}


def test_a_run_without_a_folder_leaves_nothing_anywhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    train(Run())
    assert not list(tmp_path.iterdir())


def test_a_stopped_run_goes_on_and_its_log_has_every_step_once(tmp_path):
    whole = train(Run(tmp_path / "whole"))
    with pytest.raises(KeyboardInterrupt):
        train(Run(tmp_path / "parts", every=3), Stop(5))
    assert train(Run(tmp_path / "parts", resume=True, every=3)) == whole
    again = Run(tmp_path / "parts").rows()
    assert [row for row in again if "loss" in row] == [
        row for row in Run(tmp_path / "whole").rows() if "loss" in row
    ]


def test_a_run_resumed_twice_keeps_the_log_of_both_parts(tmp_path):
    for stop, resume in ((3, False), (6, True)):
        with pytest.raises(KeyboardInterrupt):
            train(Run(tmp_path, resume=resume, every=1), Stop(stop))
    train(Run(tmp_path, resume=True, every=1))
    steps = [row["step"] for row in Run(tmp_path).rows() if "loss" in row]
    assert steps == list(range(STEPS))


def test_checkpoints_can_be_written_by_the_clock(tmp_path):
    train(Run(tmp_path, every=timedelta(0)))
    assert (tmp_path / "last.ckpt").is_file()


def test_the_log_and_a_picture_of_it_go_into_the_bundle_that_was_made(tmp_path):
    out = tmp_path / "out"
    with run_folder(out, {"seed": 1}) as run:
        train(run)
        with atomic_folder(out, kind="thing") as folder:
            Bundle.write(folder, "thing", {"a": 1}, texts={"note.txt": "hello"})
        run.record(out, "thing")
    bundle = Bundle.read(out, "thing")
    assert (bundle.settings, bundle.text("note.txt")) == ({"a": 1}, "hello")
    rows = list(csv.DictReader((out / METRICS).open()))
    assert list(rows[0])[:2] == ["step", "epoch"]
    assert float(rows[-1]["held_out_loss"]) == 8
    assert (out / "training/curves.png").read_bytes().startswith(b"\x89PNG")
    assert not work_folder(out).exists()


def test_what_amends_no_bundle_changes_nothing(tmp_path):
    (tmp_path / "mine").mkdir()
    with pytest.raises(BundleError):
        Bundle.amend(tmp_path / "mine", "thing", {"x": b""})
    assert not list((tmp_path / "mine").iterdir())


def stopped(out):
    with pytest.raises(KeyboardInterrupt), run_folder(out, {"seed": 1}, every=1) as run:
        train(run, Stop(4))


def test_a_run_that_was_stopped_is_resumed_with_the_same_settings_only(tmp_path):
    out = tmp_path / "out"
    stopped(out)
    with pytest.raises(UsageError, match="go on with --resume"), run_folder(out, {"seed": 1}):
        pass
    with pytest.raises(ConfigError, match="not those of the run"), run_folder(out, {"seed": 2}, resume=True):
        pass
    with run_folder(out, {"seed": 1}, resume=True) as run:
        assert run.checkpoint is not None


class Harm:
    """What, when it is unpickled without care, makes a file."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (str(self.path), "w")


@pytest.mark.parametrize("write", [torch.save, lambda state, path: path.write_bytes(pickle.dumps(state))])
def test_a_checkpoint_that_would_run_code_is_refused_and_none_is_run(tmp_path, write):
    out = tmp_path / "out"
    stopped(out)
    checkpoint = work_folder(out) / "last.ckpt"
    write(torch.load(checkpoint, weights_only=True) | {"harm": Harm(tmp_path / "harmed")}, checkpoint)
    with (
        pytest.raises(ConfigError, match=r"last\.ckpt: what the run left is damaged") as caught,
        run_folder(out, {"seed": 1}, resume=True),
    ):
        pytest.fail("the run must not begin")
    assert "remove the folder that it lies in and start anew" in caught.value.hint
    assert not (tmp_path / "harmed").exists()
    assert checkpoint.is_file()


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda path: path.write_bytes(b""), "damaged"),
        (lambda path: path.write_bytes(b"PK\x03\x04" + bytes(100)), "damaged"),
        (lambda path: torch.save([1, 2], path), "no checkpoint of a training"),
        (lambda path: torch.save({"state_dict": {}}, path), "no checkpoint of a training"),
        (lambda path: path.symlink_to(path), "this link leads back to itself"),
        (os.mkfifo, "this is a pipe"),
    ],
    ids=["empty", "no archive", "a list", "half of one", "a self-link", "a pipe"],
)
@pytest.mark.skipif(sys.platform == "win32", reason="there are no such files")
def test_what_is_no_checkpoint_is_refused_with_its_file(tmp_path, make, reason):
    out = tmp_path / "out"
    stopped(out)
    (work_folder(out) / "last.ckpt").unlink()
    make(work_folder(out) / "last.ckpt")
    with pytest.raises(ConfigError, match=reason), run_folder(out, {"seed": 1}, resume=True):
        pytest.fail("the run must not begin")


@pytest.mark.parametrize("content", [b"", b"{", b"\xff", b"[" * 100_000, b"9" * 5000])
def test_damaged_settings_of_a_run_are_told_with_the_way_out(tmp_path, content):
    out = tmp_path / "out"
    stopped(out)
    (work_folder(out) / "run.json").write_bytes(content)
    with (
        pytest.raises(ConfigError, match=r"run\.json: what the run left is damaged: .* start anew"),
        run_folder(out, {"seed": 1}, resume=True),
    ):
        pytest.fail("the run must not begin")


def test_a_damaged_log_of_a_run_is_told_with_its_file(tmp_path):
    stopped(tmp_path / "out")
    log = work_folder(tmp_path / "out") / "log" / "metrics.csv"
    log.write_text("step,loss\n1,many\n")
    with (
        pytest.raises(ConfigError, match=r"metrics\.csv: what the run left is damaged: no table"),
        run_folder(tmp_path / "out", {"seed": 1}, resume=True) as run,
    ):
        run.loggers()


def test_what_was_killed_before_its_first_checkpoint_is_started_anew(tmp_path):
    work = work_folder(tmp_path / "out")
    work.mkdir()
    (work / "run.json").write_text("{}")
    (work / "log").mkdir()
    with run_folder(tmp_path / "out", {"seed": 1}) as run:
        assert [path.name for path in run.folder.iterdir()] == ["run.json"]


def test_a_folder_of_the_name_that_no_run_has_made_is_left_alone(tmp_path):
    work = work_folder(tmp_path / "out")
    work.mkdir()
    (work / "letter.txt").write_text("mine")
    with pytest.raises(UsageError, match="in the way"), run_folder(tmp_path / "out", {}):
        pass
    assert (work / "letter.txt").read_text() == "mine"


@pytest.mark.skipif(sys.platform == "win32", reason="there are no such locks")
def test_two_processes_cannot_write_the_same_output(tmp_path):
    code = (
        "import sys; from pathlib import Path; from roots_kg.training.runs import run_folder\n"
        "from roots_kg.errors import BundleError\n"
        "try:\n    with run_folder(Path(sys.argv[1]), {}): pass\n"
        "except BundleError as error: print(error)\n"
    )
    with run_folder(tmp_path / "out", {}):
        done = subprocess.run(
            [sys.executable, "-c", code, str(tmp_path / "out")], capture_output=True, text=True, check=True
        )
        assert "another process is writing here" in done.stdout
        assert work_folder(tmp_path / "out").exists()


def test_tensorboard_reads_the_same_figures(tmp_path):
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    with run_folder(tmp_path / "out", {}, tensorboard=tmp_path / "board") as run:
        train(run)
        logged = [row["loss"] for row in run.rows() if "loss" in row]
    events = accumulator.EventAccumulator(str(tmp_path / "board"))
    events.Reload()
    assert [event.value for event in events.Scalars("loss")] == pytest.approx(logged)


def test_without_tensorboard_the_way_out_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr("roots_kg.training.runs.find_spec", lambda name: None)
    with (
        pytest.raises(UsageError, match=r"roots-kg\[tensorboard\]"),
        run_folder(tmp_path / "out", {}, tensorboard=tmp_path),
    ):
        pass
    assert not work_folder(tmp_path / "out").exists()


def test_files_are_known_by_their_size(tmp_path):
    (tmp_path / "a").write_text("four")
    assert file_sizes([tmp_path / "a", tmp_path / "none"]) == [(str(tmp_path / "a"), 4)]
