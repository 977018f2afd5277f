"""Pretraining in processes that keep a part of the weights each (FSDP, Zhao et al. 2023, arXiv:2304.11277).

Each block of the trunk, the rest of it, and the output are put together from their parts before they are
used and taken apart again afterwards; gradients are averaged into the parts, with which the optimizer's state
lies.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pytorch_lightning.core.optimizer import LightningOptimizer
from pytorch_lightning.strategies import DDPStrategy
from torch.distributed.checkpoint.state_dict import (
    StateDictOptions,
    get_model_state_dict,
    get_optimizer_state_dict,
    set_model_state_dict,
    set_optimizer_state_dict,
)
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard, register_fsdp_forward_method
from torch.optim import Optimizer

from roots_kg.encoding.language_model import LanguageModelHead
from roots_kg.encoding.transformer import Transformer

__all__ = ["ShardedStrategy", "shard"]

WHOLE = StateDictOptions(full_state_dict=True, cpu_offload=True)


class ShardedStrategy(DDPStrategy):
    """Processes whose module has taken its weights apart, with checkpoints that hold the whole ones.

    A checkpoint is that of one process, so that a run can be taken up by any number of them.
    """

    def configure_ddp(self) -> None:
        """Leave the module as it is; its parts average their gradients themselves."""

    def lightning_module_state_dict(self) -> dict[str, Any]:
        """Return the whole weights, in the first process."""
        assert self.model is not None
        return get_model_state_dict(self.model, options=WHOLE)

    def load_model_state_dict(self, checkpoint: Mapping[str, Any], strict: bool = True) -> None:
        """Take a part of whole weights."""
        assert self.model is not None
        options = StateDictOptions(full_state_dict=True, strict=strict)
        set_model_state_dict(self.model, checkpoint["state_dict"], options=options)

    def optimizer_state(self, optimizer: Optimizer) -> dict[str, Any]:
        """Return the optimizer's whole state, by the names of weights, in the first process."""
        assert self.model is not None
        inner = optimizer.optimizer if isinstance(optimizer, LightningOptimizer) else optimizer
        return get_optimizer_state_dict(self.model, inner, options=WHOLE)

    def load_optimizer_state_dict(self, checkpoint: Mapping[str, Any]) -> None:
        """Take a part of it."""
        assert self.model is not None
        for optimizer, state in zip(self.optimizers, checkpoint["optimizer_states"], strict=True):
            set_optimizer_state_dict(
                self.model, optimizer, state, options=StateDictOptions(full_state_dict=True)
            )


def shard(trunk: Transformer, head: LanguageModelHead, device: str, processes: int) -> None:
    """Take the weights of a trunk and of its output apart, in place, in every process of a group.

    Args:
        trunk: the trunk.
        head: its output.
        device: the kind of device that the processes compute on.
        processes: how many there are.
    """
    mesh = init_device_mesh(device, (processes,))
    for block in trunk.blocks:
        fully_shard(block, mesh=mesh)
    fully_shard(trunk, mesh=mesh)
    fully_shard(head, mesh=mesh)
    register_fsdp_forward_method(head, "loss")
