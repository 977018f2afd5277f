"""Relation-aware message passing over the retrieved subgraph."""

from __future__ import annotations

import torch
from torch import Tensor, nn

__all__ = ["RelationalPropagation"]


class RelationalPropagation(nn.Module):
    """One step in which every node hears from its neighbours through the relations between them.

    x'_i = (x_i + σ(β) · U mean_{(j, r) → i} (x_j + e_r)) / (1 + σ(β)), where e_r takes the
    neighbour to where i should be (the translation of TransE, as a composition in the sense of CompGCN,
    Vashishth et al. 2020, arXiv:1911.03082; see `TransE.translations`). U starts as the identity and β at 0.

    Args:
        size: d.
    """

    def __init__(self, size: int) -> None:
        super().__init__()
        self.update_map = nn.Linear(size, size, bias=False)
        self.mixing = nn.Parameter(torch.zeros(()))
        nn.init.eye_(self.update_map.weight)

    def forward(self, nodes: Tensor, edge_index: Tensor, edge_vectors: Tensor) -> Tensor:
        """Take one step.

        Args:
            nodes: (M, d).
            edge_index: (2, F) positions in `nodes`, from and to.
            edge_vectors: (F, d), e_r of each edge.

        Returns:
            (M, d).
        """
        source, target = edge_index
        messages = nodes[source] + edge_vectors
        sums = torch.zeros_like(nodes).index_add(0, target, messages)
        degree = torch.bincount(target, minlength=len(nodes)).clamp_min(1)
        heard = self.update_map(sums / degree[:, None])
        weight = torch.sigmoid(self.mixing)
        mixed: Tensor = (nodes + weight * heard) / (1 + weight)
        return mixed
