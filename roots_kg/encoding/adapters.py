"""Low-rank adapters: another set of weights for a module, in a fraction of its size.

A matrix W becomes W + B A with B (rows, r) and A (r, columns), Hu et al. 2022 (arXiv:2106.09685), equation
3; a vector (a bias, a norm) gets a difference of its own. B and the differences start at zero: an untrained
adapter changes nothing. The products are formed once a step, not once a token, which at the ranks and batch
sizes used here costs less than two thin matrix products beside every wide one.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.func import functional_call

from roots_kg.encoding.initial_weights import draw_normal
from roots_kg.encoding.transformer import Transformer

__all__ = ["AdaptedTransformer", "AdapterShape", "LowRankAdapter"]

M = TypeVar("M", bound=nn.Module)

_SEPARATOR = "/"  # names of parameters hold dots, which names in a ParameterDict may not


@dataclass(frozen=True)
class AdapterShape:
    """The ranks of an adapter: of its matrices and of its embeddings."""

    rank: int
    embedding_rank: int

    def __post_init__(self) -> None:
        if min(self.rank, self.embedding_rank) < 0:
            raise ValueError("the ranks of an adapter must be at least 0")


class LowRankAdapter(nn.Module):
    """Differences to all weights of a module.

    Args:
        module: the module to adapt, which is neither kept nor changed.
        rank: r, of its matrices; never more than a matrix has rows or columns.
        embedding_rank: r of its embeddings, 0 to leave them as they are; by default that of the matrices.
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
            down = torch.empty(inner, columns)
            draw_normal(down, max(1, inner) ** -0.5)
            self.down[key] = nn.Parameter(down)

    @property
    def shape(self) -> AdapterShape:
        """The ranks, which are those of its largest matrices."""
        ranks = {True: 0, False: 0}
        for name, matrix in self.up.items():
            ranks["embedding" in name] = max(ranks["embedding" in name], matrix.shape[1])
        return AdapterShape(rank=ranks[False], embedding_rank=ranks[True])

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


class AdaptedTransformer(Transformer):
    """A trunk read with the weights of an adapter, which it does not merge: gradients reach the adapter.

    Args:
        trunk: the trunk, which is shared and stays as it is.
        adapter: what changes its weights; it is trained elsewhere and is no part of this module's state.
    """

    def __init__(self, trunk: Transformer, adapter: LowRankAdapter) -> None:
        nn.Module.__init__(self)
        self.config = trunk.config
        self._trunk, self._adapter = [trunk], [adapter]  # in lists, as they are no part of the state

    @property
    def token_embedding(self) -> nn.Embedding:  # type: ignore[override]
        """The embedding of the trunk as it stands."""
        return self._trunk[0].token_embedding

    def forward(self, input_ids: Tensor, mask: Tensor | None = None, **options: Any) -> tuple[Tensor, Tensor]:
        """Encode a batch; see `Transformer.forward`."""
        (trunk,), (adapter,) = self._trunk, self._adapter
        states: tuple[Tensor, Tensor] = functional_call(
            trunk, adapter.weights(trunk), (input_ids, mask), options
        )
        return states
