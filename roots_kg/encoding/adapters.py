"""Low-rank adapters: another set of weights for a module, in a fraction of its size.

A matrix W becomes W + B A with B (rows, r) and A (r, columns), Hu et al. 2022 (arXiv:2106.09685), equation
3; a vector (a bias, a norm) gets a difference of its own. B and the differences start at zero: an untrained
adapter changes nothing. The products are formed once a step, not once a token, which at the ranks and batch
sizes used here costs less than two thin matrix products beside every wide one.
"""

from __future__ import annotations

import copy
from typing import TypeVar

import torch
from torch import Tensor, nn

__all__ = ["LowRankAdapter"]

M = TypeVar("M", bound=nn.Module)

_SEPARATOR = "/"  # names of parameters hold dots, which names in a ParameterDict may not


class LowRankAdapter(nn.Module):
    """Differences to all weights of a module.

    Args:
        module: the module to adapt, which is neither kept nor changed.
        rank: r, of its matrices; never more than a matrix has rows or columns.
        embedding_rank: r of its embeddings; by default that of the matrices.
    """

    def __init__(self, module: nn.Module, rank: int, embedding_rank: int | None = None) -> None:
        super().__init__()
        embeddings = {
            f"{name}.weight" for name, part in module.named_modules() if isinstance(part, nn.Embedding)
        }
        self.up, self.down, self.difference = nn.ParameterDict(), nn.ParameterDict(), nn.ParameterDict()
        for name, weight in module.named_parameters():
            key = name.replace(".", _SEPARATOR)
            if weight.dim() == 1:
                self.difference[key] = nn.Parameter(torch.zeros_like(weight, requires_grad=True))
                continue
            rows, columns = weight.shape
            wanted = rank if name not in embeddings or embedding_rank is None else embedding_rank
            inner = min(wanted, rows, columns)
            self.up[key] = nn.Parameter(weight.new_zeros(rows, inner))
            self.down[key] = nn.Parameter(torch.randn(inner, columns) / inner**0.5)

    def weights(self, module: nn.Module) -> dict[str, Tensor]:
        """Return the adapted weights of a module by name, through which gradients reach the adapter."""
        adapted = {}
        for name, weight in module.named_parameters():
            key = name.replace(".", _SEPARATOR)
            if key in self.difference:
                adapted[name] = weight + self.difference[key]
            else:
                adapted[name] = torch.addmm(weight, self.up[key], self.down[key])
        return adapted

    @torch.no_grad()
    def merged(self, module: M) -> M:
        """Return a copy of a module that has the adapted weights for its own."""
        with torch.device("meta"):
            adapted = copy.deepcopy(module).to("meta")
        adapted.load_state_dict(self.weights(module), assign=True)
        return adapted.requires_grad_(False)
