"""Processes that share the batches of a training, and learn what one process would.

Every process draws the whole batch, with the same generator, and works on its own rows of it. Lightning's
DDP averages the gradients over the processes, so the loss of a process is W times its part of the loss of the
whole batch, W being the number of processes.
"""

from __future__ import annotations

import multiprocessing
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar

import pytorch_lightning as lightning
import torch
from pytorch_lightning.callbacks import Callback
from pytorch_lightning.strategies import DDPStrategy, Strategy
from torch import Tensor, nn

from roots_kg.errors import ConfigError
from roots_kg.training.trainer_config import TrainerConfig

__all__ = ["ALONE", "Ending", "Share", "averaged_gradient", "gathered", "move", "strategy_for", "zero_of"]

T = TypeVar("T")


@dataclass(frozen=True)
class Share:
    """Which rows of a batch are a process's own: every `processes`-th, from its rank on.

    Args:
        rank: of the process, from 0.
        processes: W, how many share the batch.
    """

    rank: int = 0
    processes: int = 1

    @classmethod
    def of(cls, module: lightning.LightningModule) -> Share:
        """Return the share of the process that trains a module."""
        return cls(module.global_rank, module.trainer.world_size)

    @property
    def rows(self) -> slice:
        """The process's own rows of a batch."""
        return slice(self.rank, None, self.processes)

    def own(self, rows: Sequence[T]) -> Sequence[T]:
        """Return the process's own among the rows of a batch."""
        return rows[self.rows]

    def weight(self, own: float, whole: float) -> float:
        """Return what counts a mean over own items, for the average over processes to be that of all.

        Args:
            own: how many items the mean is over.
            whole: how many the whole batch has.
        """
        return self.processes * own / max(1, whole)


ALONE = Share()


def strategy_for(config: TrainerConfig, accelerator: str, *, some_unused: bool = False) -> Strategy | str:
    """Return how Lightning trains on the devices of a configuration.

    Args:
        config: says how many.
        accelerator: what they are.
        some_unused: whether there are weights that no step trains.

    Raises:
        ConfigError: if the system cannot start such processes.
    """
    if config.devices == 1:
        return "auto"
    if "fork" not in multiprocessing.get_all_start_methods():
        raise ConfigError(
            "trainer: processes share a training where the system can fork, which this one cannot"
        )
    backend = "nccl" if accelerator == "cuda" else "gloo"
    if config.strategy == "fsdp":
        from roots_kg.training.sharded import ShardedStrategy

        return ShardedStrategy(process_group_backend=backend, start_method="fork")
    return DDPStrategy(process_group_backend=backend, start_method="fork", static_graph=some_unused)


def zero_of(module: nn.Module) -> Tensor:
    """Return 0 as a function of every weight of a module that is trained.

    A process that has nothing to do in a step still takes part in the average of all gradients.
    """
    return torch.stack([weight.sum() for weight in module.parameters() if weight.requires_grad]).sum() * 0


def gathered(module: lightning.LightningModule, own: Tensor) -> Tensor:
    """Return the rows of all processes in the order of the batch, (B, …), from one's own, (B / W, …).

    The gradient of a loss of them goes back to the process that each row is from.
    """
    if module.trainer.world_size == 1:
        return own
    every: Tensor = module.all_gather(own, sync_grads=True)  # type: ignore[assignment]
    return every.transpose(0, 1).flatten(0, 1)


def averaged_gradient(module: lightning.LightningModule, values: Tensor) -> Tensor:
    """Return values that all processes have, whose gradient becomes the mean over the processes."""
    if module.trainer.world_size == 1 or not values.requires_grad:
        return values
    averaged: Tensor = _AveragedGradient.apply(values, module.trainer.strategy)  # type: ignore[no-untyped-call]
    return averaged


def move(encoder: object, device: torch.device) -> None:
    """Bring an encoder that a module uses and does not train to a device, in place."""
    if isinstance(encoder, nn.Module):
        encoder.to(device)


class _AveragedGradient(torch.autograd.Function):
    @staticmethod
    def forward(context: Any, values: Tensor, strategy: Strategy) -> Tensor:
        context.strategy = strategy
        return values.view_as(values)

    @staticmethod
    def backward(context: Any, gradient: Tensor) -> tuple[Tensor, None]:
        return context.strategy.reduce(gradient.contiguous(), reduce_op="mean"), None


class Ending(Callback):
    """Brings what the processes learned back to the one that started them.

    Lightning would bring the weights alone; this brings what callbacks and the module itself remember too.
    It is a context, within which the files that do so are kept, and Lightning's.
    """

    def __init__(self) -> None:
        self._threads = torch.get_num_threads()
        self._scratch = tempfile.TemporaryDirectory(prefix="roots-kg-")
        self._before: str | None = None

    def __enter__(self) -> Ending:
        self._before, tempfile.tempdir = tempfile.tempdir, self._scratch.name
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        tempfile.tempdir = self._before
        self._scratch.cleanup()

    @property
    def _file(self) -> Path:
        return Path(self._scratch.name) / "end.ckpt"

    def setup(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, stage: str) -> None:
        """Give every process the threads that were asked for; Lightning gives it what it thinks best."""
        torch.set_num_threads(self._threads)

    def on_fit_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Save everything, after whatever the module did last, and leave nothing for Lightning to bring."""
        trainer.save_checkpoint(self._file)
        for name, _ in list(pl_module.named_children()):
            delattr(pl_module, name)

    def take_over(self, module: lightning.LightningModule, callbacks: Sequence[Callback]) -> None:
        """Load it in the process that started the others."""
        checkpoint: dict[str, Any] = torch.load(self._file, weights_only=True)
        module.load_state_dict(checkpoint["state_dict"])
        module.on_load_checkpoint(checkpoint)
        states = checkpoint["callbacks"]
        for callback in callbacks:
            if callback.state_key in states:
                callback.load_state_dict(states[callback.state_key])
