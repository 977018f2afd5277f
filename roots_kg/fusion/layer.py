"""The fusion layer: node features, propagation, interactive attention and the gate, in a row."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence

from roots_kg.fusion.attention import InteractiveAttention
from roots_kg.fusion.gate import KnowledgeGate
from roots_kg.fusion.propagation import RelationalPropagation
from roots_kg.graph.retrieval import Subgraph

__all__ = ["Fused", "FusionConfig", "FusionLayer"]

MOST_STEPS = 100


@dataclass(frozen=True)
class FusionConfig:
    """The shape of the fusion layer.

    Args:
        steps: rounds of message passing.
        entity_scale: the length that TransE vectors have, on average, beside names of length 1.
        relevance: τ; retrieval weighs a relation by exp(τ cos(text, its name)), 0 takes all of them alike.
        seed: of the initial projection of TransE vectors.
    """

    steps: int = 1
    entity_scale: float = 0.5
    relevance: float = 8.0
    seed: int = 0

    def __post_init__(self) -> None:
        if not 0 <= self.steps <= MOST_STEPS:
            raise ValueError(f"steps must be from 0 to {MOST_STEPS}, found {self.steps}")
        if not 0 <= self.relevance <= 100:
            raise ValueError(f"relevance must be from 0 to 100, found {self.relevance}")


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

    A node's features are W_t·encode(name(e)) + s W_e·TransE(e), and those of an edge W_r·encode(name(r)) +
    s W_e·translation(r), s being `entity_scale`. W_t starts as the identity, W_r at zero and W_e as a random
    projection with orthogonal columns, which keeps distances.

    Args:
        size: d.
        entity_size: the dimension k of the TransE vectors.
        config: its shape.
    """

    def __init__(self, size: int, entity_size: int, config: FusionConfig | None = None) -> None:
        super().__init__()
        self.config = config or FusionConfig()
        self.name_map = nn.Linear(size, size, bias=False)
        self.relation_map = nn.Linear(size, size, bias=False)
        self.entity_map = nn.Linear(entity_size, size, bias=False)
        self.propagation = nn.ModuleList(RelationalPropagation(size) for _ in range(self.config.steps))
        self.attention = InteractiveAttention(size)
        self.gate = KnowledgeGate(size)
        nn.init.eye_(self.name_map.weight)
        nn.init.zeros_(self.relation_map.weight)
        generator = torch.Generator().manual_seed(self.config.seed)
        nn.init.orthogonal_(self.entity_map.weight, generator=generator)

    @property
    def entity_size(self) -> int:
        """The dimension k of the TransE vectors."""
        return self.entity_map.in_features

    def node_features(self, names: Tensor, entities: Tensor) -> Tensor:
        """Return the features of nodes, (M, d), given their encoded names, (M, d), and vectors, (M, k)."""
        features: Tensor = self.name_map(names) + self.config.entity_scale * self.entity_map(entities)
        return features

    def edge_features(self, names: Tensor, translations: Tensor) -> Tensor:
        """Return the features of the edges of each direction, (2R, d).

        Args:
            names: (2R, d), encoded names of the directions.
            translations: (2R, k), for each direction what takes the far end of an edge to the near one.
        """
        features: Tensor = self.relation_map(names) + self.config.entity_scale * self.entity_map(translations)
        return features

    def forward(
        self,
        tokens: Tensor,
        token_mask: Tensor,
        subgraphs: Sequence[Subgraph],
        nodes: Sequence[Tensor],
        edges: Tensor,
        since: Sequence[Tensor] | None = None,
    ) -> Fused:
        """Fuse a batch of rows, each with a subgraph.

        Args:
            tokens: h, (B, L, d).
            token_mask: (B, L), true for tokens, false for padding.
            subgraphs: B of them, each with at least one node.
            nodes: for each subgraph, (M, d) features of its nodes; see `node_features`.
            edges: (2R, d), features of the edges of each direction; see `edge_features`.
            since: for each subgraph, (M,), the first token that each node is there for, where texts are read
                from left to right.
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
        features = torch.cat(list(nodes))
        for step in self.propagation:
            features = step(features, edge_index, edges[direction])
        padded = pad_sequence(list(torch.split(features, sizes)), batch_first=True)
        mass = pad_sequence([torch.from_numpy(part.mass).to(tokens) for part in subgraphs], batch_first=True)
        first = None
        if since is not None:
            length = tokens.shape[1]
            first = pad_sequence(list(since), batch_first=True, padding_value=length).to(tokens.device)
        taken, weights = self.attention(tokens, token_mask, padded, mass, first)
        knowledge, gate = self.gate(tokens, taken)
        return Fused(tokens + knowledge, knowledge, gate, weights)

    def load_state_dict(
        self, state_dict: Mapping[str, Any], strict: bool = True, assign: bool = False
    ) -> Any:
        """Load weights; those saved before edges had names stand for W_r = 0."""
        none = {"relation_map.weight": torch.zeros_like(self.relation_map.weight)}
        return super().load_state_dict({**none, **state_dict}, strict, assign)
