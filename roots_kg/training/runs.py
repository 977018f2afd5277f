"""A training run while it goes on: the folder with its checkpoint and its log, where one process writes."""

from __future__ import annotations

import csv
import json
import os
import pickle
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from importlib.util import find_spec
from pathlib import Path
from shutil import rmtree
from typing import Any

import pytorch_lightning as lightning
import torch
from pytorch_lightning.callbacks import Callback, LearningRateMonitor, ModelCheckpoint
from pytorch_lightning.loggers import CSVLogger, Logger, TensorBoardLogger

from roots_kg.bundle import Bundle, locked, make_folder
from roots_kg.errors import BundleError, ConfigError, UsageError
from roots_kg.files import not_a_file, read_small
from roots_kg.viz.curves import draw_curves, has_matplotlib

__all__ = ["METRICS", "Run", "damaged", "file_sizes", "log_now", "run_folder", "work_folder"]

MAX_SETTINGS_BYTES = 1 << 24
SETTINGS, CHECKPOINT, LOG, EARLIER = "run.json", "last.ckpt", "log", "earlier.csv"
METRICS, CURVES = "training/metrics.csv", "training/curves.png"
Row = dict[str, float]


@dataclass(frozen=True)
class Run:
    """Where a training keeps its checkpoint and its log.

    Args:
        folder: where they lie; None keeps neither.
        resume: go on from the checkpoint, if one was written.
        every: after so many steps, or so much time, a checkpoint is written; None writes none.
        tensorboard: a folder for a log that TensorBoard reads as well, or None.
    """

    folder: Path | None = None
    resume: bool = False
    every: int | timedelta | None = timedelta(minutes=2)
    tensorboard: Path | None = None

    @property
    def checkpoint(self) -> Path | None:
        """What the training goes on from, if from anything."""
        path = self.folder / CHECKPOINT if self.folder is not None and self.resume else None
        return path if path is not None and path.is_file() else None

    def callbacks(self) -> list[Callback]:
        """Return what Lightning calls to write the checkpoint and to log the learning rate."""
        if self.folder is None:
            return []
        callbacks: list[Callback] = [LearningRateMonitor("step")]
        if self.every is not None:
            steps = isinstance(self.every, int)
            often = {"every_n_train_steps" if steps else "train_time_interval": self.every}
            callbacks.append(
                ModelCheckpoint(
                    dirpath=self.folder,
                    filename=CHECKPOINT.removesuffix(".ckpt"),
                    save_on_train_epoch_end=False,
                    enable_version_counter=False,
                    **often,  # type: ignore[arg-type]
                )
            )
        return callbacks

    def loggers(self) -> list[Logger]:
        """Return what Lightning logs to: a CSV file, and TensorBoard where that was asked for."""
        if self.folder is None:
            return []
        if (self.folder / LOG / "metrics.csv").is_file():  # of a run that was stopped; Lightning removes it
            (self.folder / EARLIER).write_text(_table(self.rows()), encoding="utf-8", newline="")
        loggers: list[Logger] = [CSVLogger(self.folder, name="", version=LOG, flush_logs_every_n_steps=1)]
        if self.tensorboard is not None:
            loggers.append(TensorBoardLogger(self.tensorboard, name="", version=""))
        return loggers

    def rows(self) -> list[Row]:
        """Return what was logged, a row for each step at which something was, as figures by name."""
        if self.folder is None:
            return []
        newest, earlier = _read(self.folder / LOG / "metrics.csv"), _read(self.folder / EARLIER)
        first = min((row["step"] for row in newest), default=float("inf"))  # where it was taken up
        return [row for row in earlier if row["step"] < first] + newest

    def record(self, bundle: Path, kind: str) -> None:
        """Put what was logged into the bundle that the run has written, as a table and as a picture of it."""
        rows = self.rows()
        if rows:
            files = {METRICS: _table(rows).encode()}
            if has_matplotlib():
                files[CURVES] = draw_curves(rows)
            Bundle.amend(bundle, kind, files)


def log_now(trainer: lightning.Trainer, figures: Mapping[str, float]) -> None:
    """Log figures of the step that was just done, whether or not it is one whose loss is logged."""
    for logger in trainer.loggers:
        logger.log_metrics(dict(figures), step=trainer.global_step)


def file_sizes(paths: Sequence[Path]) -> list[tuple[str, int]]:
    """Return what tells, for `run_folder`, whether a run still reads the files that it was started with."""
    return [(str(path), path.stat().st_size) for path in paths if path.is_file()]


def work_folder(out: Path) -> Path:
    """Return where a run lies that is to write `out`, until it is done."""
    return out.with_name(f"{out.name}.work")


@contextmanager
def run_folder(
    out: Path,
    stated: Mapping[str, Any],
    *,
    resume: bool = False,
    every: int | timedelta | None = timedelta(minutes=2),
    tensorboard: Path | None = None,
) -> Iterator[Run]:
    """Give a run its folder; afterwards remove it, but for a run that was stopped and can be taken up.

    What a process left behind that was killed before its first checkpoint is removed at the next start.

    Args:
        out: what the run is to write.
        stated: what makes the run what it is, as plain data; a run is resumed with the same only.
        resume: go on with a run that was stopped.
        every: see `Run`.
        tensorboard: see `Run`.

    Raises:
        UsageError: if there is a stopped run and `resume` is not said, or the other way round, or if
            TensorBoard is wanted and not installed.
        ConfigError: if what is stated is not that of the run that is resumed, or what it left is damaged.
        BundleError: if another process is at it, or the folder cannot be written.
    """
    work = work_folder(out)
    if tensorboard is not None and find_spec("tensorboard") is None:
        hint = "pip install 'roots-kg[tensorboard]', or leave --tensorboard out"
        raise UsageError("TensorBoard is not installed", hint=hint)
    if not resume and not work.exists():
        make_folder(work)
    if not work.is_dir():
        raise UsageError("there is no run to resume", path=work, hint="start without --resume")
    with locked(work):
        _prepare(work, stated, resume=resume)
        try:
            yield Run(work, resume, every, tensorboard)
        except BaseException:
            if not (work / CHECKPOINT).exists():  # there is nothing to go on from
                rmtree(work)
            raise
        rmtree(work)


def _prepare(work: Path, stated: Mapping[str, Any], *, resume: bool) -> None:
    """Make the folder of a run ready, or see that it belongs to the run that is to be resumed."""
    plain = json.loads(json.dumps(stated))
    settings = work / SETTINGS
    if not resume:
        if (work / CHECKPOINT).exists():
            hint = "go on with --resume, or remove the folder"
            raise UsageError("a run that was stopped lies here", path=work, hint=hint)
        if not settings.exists() and any(work.iterdir()):
            message = "this folder is in the way, which no run has made"
            raise UsageError(message, path=work, hint="move it elsewhere")
        for path in work.iterdir():
            rmtree(path) if path.is_dir() else path.unlink()
        try:
            settings.write_text(json.dumps(plain, indent=2), encoding="utf-8")
        except OSError as error:
            rmtree(work)
            raise BundleError(f"cannot be written: {error.strerror}", path=work) from error
        return
    if not settings.exists():
        raise UsageError("there is no run to resume", path=work, hint="start without --resume")
    try:
        before = json.loads(read_small(settings, MAX_SETTINGS_BYTES, ConfigError).decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise damaged(settings, str(error)) from error
    if before != plain:
        raise ConfigError(
            "the settings or the texts are not those of the run that was stopped",
            path=settings,
            hint="put them back, or remove the folder and start anew",
        )
    if os.path.lexists(work / CHECKPOINT):
        _check_checkpoint(work / CHECKPOINT)


def _check_checkpoint(path: Path) -> None:
    """Refuse a checkpoint that holds more than tensors and plain data, or not those of a training.

    Nothing in it is executed, and its tensors are not read into memory.

    Raises:
        ConfigError: if so.
    """
    problem = not_a_file(path)
    if problem is not None:
        raise damaged(path, problem)
    try:
        state = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    except pickle.UnpicklingError as error:
        reason = "it holds more than tensors and plain data, which could run any code, and is not read"
        raise damaged(path, reason) from error
    except Exception as error:  # what is no checkpoint at all makes torch stumble in many ways
        raise damaged(path, " ".join(str(error).split())) from error
    if not isinstance(state, dict) or not {"state_dict", "loops", "optimizer_states"} <= state.keys():
        raise damaged(path, "it is no checkpoint of a training")


def damaged(path: Path, reason: str) -> ConfigError:
    """Return the error about a file that a run has left and that cannot be taken up."""
    hint = "remove the folder that it lies in and start anew"
    return ConfigError(f"what the run left is damaged: {reason}", path=path, hint=hint)


def _read(file: Path) -> list[Row]:
    if not file.is_file():
        return []
    rows: dict[str, Row] = {}
    try:
        with file.open(encoding="utf-8", newline="") as stream:
            for row in csv.DictReader(stream):
                told = {
                    "learning_rate" if name.startswith("lr-") else name: float(value)
                    for name, value in row.items()
                    if value
                }
                rows.setdefault(row["step"], {}).update(told)
    except (ValueError, KeyError, TypeError, AttributeError, csv.Error) as error:
        raise damaged(file, f"no table of figures by step ({error})") from error
    return list(rows.values())


def _table(rows: list[Row]) -> str:
    names = list(dict.fromkeys(["step", "epoch", *(name for row in rows for name in row)]))
    lines = [",".join(names)]
    lines += [",".join(str(row.get(name, "")).removesuffix(".0") for name in names) for row in rows]
    return "\n".join(lines) + "\n"
