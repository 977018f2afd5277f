"""The fusion layer: node features, propagation, interactive attention and the gate, in a row."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence

from roots_kg.fusion.attention import InteractiveAttention
from roots_kg.fusion.gate import KnowledgeGate
from roots_kg.fusion.propagation import RelationalPropagation
from roots_kg.graph.retrieval import Subgraph

__all__ = ["Fused", "FusionConfig", "FusionLayer"]


@dataclass(frozen=True)
class FusionConfig:
    """The shape of the fusion layer.

    Args:
        steps: rounds of message passing.
        entity_scale: the length that TransE vectors have, on average, beside names of length 1.
        seed: of the initial projection of TransE vectors.
    """

    steps: int = 1
    entity_scale: float = 0.5
    seed: int = 0

    def __post_init__(self) -> None:
        if self.steps < 0:
            raise ValueError(f"steps must be at least 0, found {self.steps}")


@dataclass(frozen=True)
class Fused:
    """What the graph gave to the tokens of a batch of rows.

    Args:
        states: (B, L, d), h' = h + g ⊙ W k.
        knowledge: (B, L, d), g ⊙ W k.
        gate: (B, L, d), g.
        attention: (B, L, M), how much each token took from each node; the null slot holds the rest.
    """

    states: Tensor
    knowledge: Tensor
    gate: Tensor
    attention: Tensor


class FusionLayer(nn.Module):
    """Tokens and the subgraph of their text to gated knowledge for every token.

    A node's features are W_e·TransE(e) + W_t·encode(name(e)); W_t starts as the identity and W_e as a
    random projection with orthogonal columns, which keeps distances.

    Args:
        size: d.
        entity_size: the dimension k of the TransE vectors.
        config: its shape.
    """

    def __init__(self, size: int, entity_size: int, config: FusionConfig | None = None) -> None:
        super().__init__()
        self.config = config or FusionConfig()
        self.name_map = nn.Linear(size, size, bias=False)
        self.entity_map = nn.Linear(entity_size, size, bias=False)
        self.propagation = nn.ModuleList(RelationalPropagation(size) for _ in range(self.config.steps))
        self.attention = InteractiveAttention(size)
        self.gate = KnowledgeGate(size)
        nn.init.eye_(self.name_map.weight)
        generator = torch.Generator().manual_seed(self.config.seed)
        nn.init.orthogonal_(self.entity_map.weight, generator=generator)

    def forward(
        self,
        tokens: Tensor,
        token_mask: Tensor,
        subgraphs: Sequence[Subgraph],
        names: Sequence[Tensor],
        entities: Sequence[Tensor],
        translations: Tensor,
    ) -> Fused:
        """Fuse a batch of rows, each with a subgraph.

        Args:
            tokens: h, (B, L, d).
            token_mask: (B, L), true for tokens, false for padding.
            subgraphs: B of them, each with at least one node.
            names: for each subgraph, (M, d) encoded names of its nodes.
            entities: for each subgraph, (M, k) TransE vectors of its nodes.
            translations: (2R, k), for each direction what takes the far end of an edge to the near one.
        """
        sizes = [len(subgraph.nodes) for subgraph in subgraphs]
        offsets = np.cumsum([0, *sizes[:-1]])
        # messages flow against the walk that retrieved the nodes, from far to near
        walk = [
            np.stack([part.target, part.source]) + offset
            for part, offset in zip(subgraphs, offsets, strict=True)
        ]
        edge_index = torch.from_numpy(np.concatenate(walk, axis=1)).to(tokens.device)
        direction = torch.from_numpy(np.concatenate([part.direction for part in subgraphs])).to(tokens.device)
        edge_vectors = self.config.entity_scale * self.entity_map(translations[direction])
        nodes = self.name_map(torch.cat(list(names))) + self.config.entity_scale * self.entity_map(
            torch.cat(list(entities))
        )
        for step in self.propagation:
            nodes = step(nodes, edge_index, edge_vectors)
        padded = pad_sequence(list(nodes.split(sizes)), batch_first=True)
        mass = [torch.from_numpy(subgraph.mass).to(tokens) for subgraph in subgraphs]
        taken, weights = self.attention(tokens, token_mask, padded, pad_sequence(mass, batch_first=True))
        knowledge, gate = self.gate(tokens, taken)
        return Fused(tokens + knowledge, knowledge, gate, weights)
