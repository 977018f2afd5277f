"""What a training is told in YAML about the machine it runs on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch

from roots_kg.errors import ConfigError

__all__ = ["TrainerConfig"]


@dataclass(frozen=True)
class TrainerConfig:
    """Where a training runs, and how many processes share it.

    Args:
        accelerator: "cpu", "gpu", or "auto" for a GPU where there is one that the training can use.
        devices: processes of this computer that share every batch, each on a GPU of its own where these are
            used; they learn what one would.
        strategy: what they share: "ddp" for the work alone, every process having all weights (Li et al. 2020,
            arXiv:2006.15704); "fsdp" for the weights of the trunk and their optimizer's state too, of which
            every process keeps a part (Zhao et al. 2023, arXiv:2304.11277).
    """

    accelerator: Literal["auto", "cpu", "gpu"] = "auto"
    devices: int = 1
    strategy: Literal["ddp", "fsdp"] = "ddp"

    def __post_init__(self) -> None:
        if self.devices < 1:
            raise ValueError(f"devices must be at least 1, found {self.devices}")
        if self.strategy == "fsdp" and self.devices == 1:
            raise ValueError("strategy fsdp divides the weights among devices, and there is 1")

    def require_equal_shares(self, name: str, size: int) -> None:
        """Refuse a number that the devices cannot share equally.

        Raises:
            ValueError: if so.
        """
        if size % self.devices:
            raise ValueError(
                f"{name} must be a multiple of the {self.devices} devices that share it, found {size}"
            )

    def require_whole_weights(self, why: str) -> None:
        """Refuse to divide the weights.

        Raises:
            ValueError: if they are divided; it says why they cannot be.
        """
        if self.strategy == "fsdp":
            raise ValueError(f"strategy fsdp {why}; use ddp")

    def chosen_accelerator(self, *, small_steps: bool = False) -> Literal["cuda", "cpu"]:
        """Return Lightning's name of the accelerator.

        Args:
            small_steps: of a training that reads much of the graph on the CPU; "auto" then takes no GPU.

        Raises:
            ConfigError: if a GPU is wanted and there are too few.
        """
        wanted = self.devices if self.accelerator == "gpu" else 1
        found = torch.cuda.device_count()
        if self.accelerator == "gpu" and found < wanted:
            raise ConfigError(
                f"trainer: GPUs wanted: {wanted}, found on this computer: {found}",
                hint="set accelerator: auto, or lower devices",
            )
        automatic = self.accelerator == "auto" and not small_steps and found >= self.devices
        return "cuda" if self.accelerator == "gpu" or automatic else "cpu"
