"""Fitting a module with Lightning, without what Lightning says of its own insides."""

from __future__ import annotations

import logging
import signal
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from typing import Any

import pytorch_lightning as lightning
from pytorch_lightning.callbacks import Callback
from pytorch_lightning.strategies.launchers.multiprocessing import _MultiProcessingLauncher
from torch.multiprocessing.spawn import ProcessRaisedException

from roots_kg.errors import DataError
from roots_kg.training.progress import RichProgress
from roots_kg.training.runs import Run
from roots_kg.training.sharing import Ending, strategy_for
from roots_kg.training.trainer_config import TrainerConfig

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
        DataError: if a process fails that shares the training.
        KeyboardInterrupt, SystemExit: if the training is interrupted, or the process told to end.
    """
    callbacks: list[Callback] = options["callbacks"]
    ending = next((callback for callback in callbacks if isinstance(callback, Ending)), None)
    with _quiet(), ending or nullcontext():
        trainer = lightning.Trainer(**options)
        try:
            trainer.fit(module, ckpt_path=run.checkpoint, weights_only=True)
            if ending is not None:
                ending.take_over(module, callbacks)
        except ProcessRaisedException as error:
            reason = str(error).strip().rpartition("\n")[2]
            raise DataError(f"one of the {trainer.world_size} processes failed: {reason}") from error
        except SystemExit as stopped:
            if stopped.code == 1:  # what Lightning makes of an interruption
                raise KeyboardInterrupt from stopped
            raise
        finally:
            _end_processes(trainer)


def trainer_options(
    run: Run,
    steps: int,
    bar: RichProgress | None = None,
    own: Sequence[Callback] = (),
    *,
    on: TrainerConfig | None = None,
    some_unused: bool = False,
    small_steps: bool = False,
    **more: Any,
) -> dict[str, Any]:
    """Return the arguments of `pytorch_lightning.Trainer` that all trainings have in common.

    Args:
        run: where it keeps its checkpoint and its log.
        steps: of the optimizer.
        bar: shown meanwhile.
        own: the callbacks of the training itself.
        on: where it runs, and in how many processes.
        some_unused: see `strategy_for`.
        small_steps: see `TrainerConfig.chosen_accelerator`.
        more: arguments of the training, and of its caller, which win.

    Raises:
        ConfigError: if the computer lacks the devices.
    """
    on = on or TrainerConfig()
    accelerator = more.pop("accelerator", None) or on.chosen_accelerator(small_steps=small_steps)
    callbacks = [*([bar] if bar is not None else []), *own, *more.pop("callbacks", [])]
    kept = [*run.callbacks(), *([Ending()] if on.devices > 1 else [])]
    return {
        "accelerator": accelerator,
        "devices": on.devices,
        "strategy": strategy_for(on, accelerator, some_unused=some_unused),
        "logger": run.loggers() or False,
        "log_every_n_steps": max(1, steps // LOGGED),
        "enable_checkpointing": run.folder is not None and run.every is not None,
        "enable_model_summary": False,
        "enable_progress_bar": bar is not None,
        "use_distributed_sampler": False,
        **more,
        "callbacks": [*callbacks, *kept],
    }


def _end_processes(trainer: lightning.Trainer) -> None:
    """End what other processes of a training are left, should it have been stopped."""
    launcher = trainer.strategy.launcher
    if isinstance(launcher, _MultiProcessingLauncher):
        launcher.kill(signal.SIGKILL)
        for process in launcher.procs:
            process.join()


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep Lightning's notes on hardware, on workers that are not wanted and on itself from being printed."""
    for library in ("pytorch_lightning", "lightning_fabric"):
        logging.getLogger(library).setLevel(logging.WARNING)
    logging.getLogger("torch.multiprocessing.spawn").setLevel(logging.ERROR)  # the error says what ended
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=NOTES)
        yield
