"""Interactive attention: nodes attend to tokens, then tokens attend to nodes; both may choose nothing."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

__all__ = ["InteractiveAttention"]


class InteractiveAttention(nn.Module):
    """Attention both ways between the L tokens of a text and the M nodes of its subgraph.

    Nodes first: a_ml = softmax over the tokens and a null slot of τ cos(P n_m, h_l), and
    n'_m = n_m + O Σ_l a_ml h_l. What a node does not give to the null slot is its relevance, ρ_m.
    Then tokens: b_lm = softmax over the nodes and a null slot of τ cos(Q h_l, n'_m) + log(mass_m ρ_m), and
    k_l = Σ_m b_lm V n'_m. The null slots are learned logits: a node may concern no token and a token may
    need no node. P, Q and V start as the identity and O at zero, so that untrained attention compares
    texts and names in the encoder's own space.

    Args:
        size: d.
    """

    def __init__(self, size: int) -> None:
        super().__init__()
        self.node_query = _identity(size)
        self.token_query = _identity(size)
        self.value = _identity(size)
        self.node_update = nn.Linear(size, size, bias=False)
        nn.init.zeros_(self.node_update.weight)
        self.log_temperature = nn.Parameter(torch.tensor(10.0).log())
        self.node_null = nn.Parameter(torch.zeros(()))
        self.token_null = nn.Parameter(torch.tensor(2.0))

    def forward(
        self, tokens: Tensor, token_mask: Tensor, nodes: Tensor, mass: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Return what each token takes from the nodes.

        Args:
            tokens: (B, L, d).
            token_mask: (B, L), true for tokens, false for padding.
            nodes: (B, M, d).
            mass: (B, M), 0 for padding.

        Returns:
            k, (B, L, d), and the weights b without the null slot, (B, L, M).
        """
        temperature = self.log_temperature.exp()
        states = functional.normalize(tokens, dim=-1)
        logits = temperature * functional.normalize(self.node_query(nodes), dim=-1) @ states.transpose(1, 2)
        logits = logits.masked_fill(~token_mask[:, None, :], -torch.inf)
        heard = _with_null(logits, self.node_null).softmax(dim=-1)
        nodes = nodes + self.node_update(heard[..., 1:] @ tokens)
        prior = mass.log() + (1 - heard[..., 0]).clamp_min(1e-9).log()

        queries = functional.normalize(self.token_query(tokens), dim=-1)
        logits = (
            temperature * queries @ functional.normalize(nodes, dim=-1).transpose(1, 2) + prior[:, None, :]
        )
        weights = _with_null(logits, self.token_null).softmax(dim=-1)[..., 1:]
        return weights @ self.value(nodes), weights


def _identity(size: int) -> nn.Linear:
    linear = nn.Linear(size, size, bias=False)
    nn.init.eye_(linear.weight)
    return linear


def _with_null(logits: Tensor, null: Tensor) -> Tensor:
    return torch.cat([null.expand(*logits.shape[:-1], 1), logits], dim=-1)
