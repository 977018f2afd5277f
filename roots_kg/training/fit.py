"""Fitting a module with Lightning, without what Lightning says of its own insides."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import pytorch_lightning as lightning
import torch
from pytorch_lightning.callbacks import Callback

from roots_kg.training.progress import RichProgress
from roots_kg.training.runs import Run

__all__ = ["fit", "trainer_options"]

LOGGED = 200
"""About how many steps of a run are logged."""

NOTES = (
    ".*(does not have many workers|in eval mode at the start|__len__|LeafSpec|exists and is not empty"
    "|logging interval|from a checkpoint that ended before|when using `ckpt_path`).*"
)


def fit(module: lightning.LightningModule, run: Run, options: dict[str, Any]) -> None:
    """Train a module in place.

    Args:
        module: what is trained.
        run: whose checkpoint is taken up, if it has one; it is read without unpickling code.
        options: what `trainer_options` returns.

    Raises:
        KeyboardInterrupt, SystemExit: if the training is interrupted, or the process told to end.
    """
    with _quiet():
        try:
            lightning.Trainer(**options).fit(module, ckpt_path=run.checkpoint, weights_only=True)
        except SystemExit as stopped:
            if stopped.code == 1:  # what Lightning makes of an interruption
                raise KeyboardInterrupt from stopped
            raise


def trainer_options(
    run: Run,
    steps: int,
    bar: RichProgress | None = None,
    own: Sequence[Callback] = (),
    **more: Any,
) -> dict[str, Any]:
    """Return the arguments of `pytorch_lightning.Trainer` that all trainings have in common.

    Args:
        run: where it keeps its checkpoint and its log.
        steps: of the optimizer.
        bar: shown meanwhile.
        own: the callbacks of the training itself.
        more: arguments of the training, and of its caller, which win.
    """
    callbacks = [*([bar] if bar is not None else []), *own, *more.pop("callbacks", [])]
    kept = run.callbacks()
    return {
        "accelerator": "cuda" if torch.cuda.is_available() else "cpu",  # others lack sparse gradients
        "logger": run.loggers() or False,
        "log_every_n_steps": max(1, steps // LOGGED),
        "enable_checkpointing": run.folder is not None and run.every is not None,
        "enable_model_summary": False,
        "enable_progress_bar": bar is not None,
        "use_distributed_sampler": False,
        **more,
        "callbacks": [*callbacks, *kept],
    }


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep Lightning's notes on hardware, on workers that are not wanted and on itself from being printed."""
    for library in ("pytorch_lightning", "lightning_fabric"):
        logging.getLogger(library).setLevel(logging.WARNING)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=NOTES)
        yield
