"""Small modules on feature vectors, and a bank of them that is mixed for each task.

A module changes a vector x by x ⊙ γ + β (FiLM, Perez et al. 2018, arXiv:1709.07871, equation 2) and by U V x
(a low-rank map, Hu et al. 2022, arXiv:2106.09685). Both are linear in what is mixed, so a mixture of modules
is again one module (compare Ponti et al. 2023, arXiv:2202.13914), which costs no more however many the bank
has. A mixture whose weights are all zero gives back the vectors bit for bit.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

__all__ = ["BankShape", "FeatureModule", "ModuleBank", "apply_module"]

START = 0.02
"""The spread of what a new module would change of a coordinate."""

Parameters = Mapping[str, Tensor]


@dataclass(frozen=True)
class BankShape:
    """How many modules a bank has, and of what kind.

    Args:
        film: modules that scale and shift each coordinate.
        low_rank: modules that add a low-rank map.
        rank: r, of each of the latter.
    """

    film: int = 4
    low_rank: int = 4
    rank: int = 8

    def __post_init__(self) -> None:
        if min(self.film, self.low_rank) < 0 or self.modules < 1 or self.rank < 1:
            raise ValueError("a bank needs at least one module, and rank must be at least 1")

    @property
    def modules(self) -> int:
        """How many modules there are in all."""
        return self.film + self.low_rank


class ModuleBank(nn.Module):
    """Modules of which a task takes a mixture.

    Args:
        size: f, the size of a feature vector.
        shape: how many modules.
    """

    def __init__(self, size: int, shape: BankShape | None = None) -> None:
        super().__init__()
        self.shape = shape = shape or BankShape()
        self.scale = nn.Parameter(START * torch.randn(shape.film, size))
        self.shift = nn.Parameter(START * torch.randn(shape.film, size))
        self.up = nn.Parameter(START * torch.randn(shape.low_rank, size, shape.rank))
        self.down = nn.Parameter(torch.randn(shape.low_rank, shape.rank, size) / shape.rank**0.5)

    def mixed(self, weights: Tensor) -> dict[str, Tensor]:
        """Return the parameters of the one module that a mixture makes, for `apply_module`.

        Args:
            weights: (modules,), first those of FiLM, then those of the low-rank maps.
        """
        film, low_rank = torch.split(weights, [self.shape.film, self.shape.low_rank])
        up = low_rank[:, None, None] * self.up
        return {
            "scale": film @ self.scale,
            "shift": film @ self.shift,
            "up": up.permute(1, 0, 2).flatten(1),
            "down": self.down.flatten(0, 1),
        }


class FeatureModule(nn.Module):
    """One module with its own parameters: what a mixture was for one task.

    Args:
        parameters: what `ModuleBank.mixed` returned; scale (f,), shift (f,), up (f, r), down (r, f).
    """

    def __init__(self, parameters: Parameters) -> None:
        super().__init__()
        for name, value in parameters.items():
            self.register_parameter(name, nn.Parameter(value.detach().clone()))

    @classmethod
    def of_shape(cls, size: int, rank: int) -> FeatureModule:
        """Return a module that changes nothing yet, of which low-rank maps can be learned."""
        zeros = torch.zeros(size)
        down = torch.randn(rank, size) / max(1, rank) ** 0.5
        return cls({"scale": zeros, "shift": zeros, "up": torch.zeros(size, rank), "down": down})

    @classmethod
    def of_state(cls, state: Parameters, prefix: str) -> FeatureModule | None:
        """Return the module whose parameters stand in a state under names that start so, if there is one."""
        found = {name.removeprefix(prefix): value for name, value in state.items() if name.startswith(prefix)}
        return cls(found) if found else None

    def forward(self, vectors: Tensor) -> Tensor:
        """Change feature vectors: (…, f) to (…, f)."""
        return apply_module(dict(self.named_parameters()), vectors)


def apply_module(parameters: Parameters, vectors: Tensor) -> Tensor:
    """Return x + x ⊙ γ + β + U V x for each x of the vectors, (…, f) to (…, f)."""
    low = vectors @ parameters["down"].T
    return vectors * (1 + parameters["scale"]) + functional.linear(low, parameters["up"], parameters["shift"])
