"""A progress bar for training, on standard error, with the loss and the speed."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytorch_lightning as lightning
from pytorch_lightning.callbacks import ProgressBar
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from torch import Tensor

__all__ = ["RichProgress"]

SHORTEST = 1e-6
"""Seconds that are taken to have gone by where a coarse clock has not moved on."""


class RichProgress(ProgressBar):
    """One bar over all steps of a training run.

    Args:
        title: what is being trained.
        unit: what a batch is made of, such as "triples".
        size: how many of them a batch holds.
        added_up: the loss of a step is the sum of those of the processes, not their mean.
    """

    def __init__(
        self, title: str, *, unit: str, size: Callable[[Tensor], int] = len, added_up: bool = False
    ) -> None:
        super().__init__()
        self.title, self.unit, self.size, self.added_up = title, unit, size, added_up
        self._done = 0
        self._started = 0.0

    def on_train_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Show the bar, in one process."""
        if not trainer.is_global_zero:
            return
        columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.percentage:>3.0f}%"))
        figures = (TextColumn("{task.fields[figures]}"), TimeRemainingColumn())
        self._progress = Progress(*columns, *figures, console=Console(stderr=True))
        total = trainer.estimated_stepping_batches
        self._task = self._progress.add_task(self.title, total=total, figures="")
        self._started = time.perf_counter()
        self._progress.start()

    def on_train_batch_end(
        self,
        trainer: lightning.Trainer,
        pl_module: lightning.LightningModule,
        outputs: Any,
        batch: Tensor,
        batch_idx: int,
    ) -> None:
        """Move the bar on by one step."""
        self._done += self.size(batch)
        if not trainer.is_global_zero:
            return
        if trainer.global_step % 20 and trainer.global_step < trainer.estimated_stepping_batches:
            return
        speed = self._done / max(time.perf_counter() - self._started, SHORTEST)
        loss = float(outputs["loss"]) * (trainer.world_size if self.added_up else 1)
        figures = f"loss {loss:.3f}  {speed:,.0f} {self.unit}/s"
        self._progress.update(self._task, completed=trainer.global_step, figures=figures)

    def on_train_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Leave the finished bar standing."""
        if trainer.is_global_zero:
            self._progress.stop()

    def on_exception(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, exception: BaseException
    ) -> None:
        """Take the bar down, so that an error is printed on a clean line."""
        if trainer.is_global_zero:
            self._progress.stop()
