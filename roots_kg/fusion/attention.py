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

    Where tokens are read from left to right, a node is there from token s_m on, and every token l has nodes
    of its own: a_m is a softmax over the tokens up to l, so that n'_ml and ρ_ml know nothing of what follows,
    and b_l is over the nodes with s_m ≤ l, among which the mass is shared out.

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
        self, tokens: Tensor, token_mask: Tensor, nodes: Tensor, mass: Tensor, since: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Return what each token takes from the nodes.

        Args:
            tokens: (B, L, d).
            token_mask: (B, L), true for tokens, false for padding.
            nodes: (B, M, d).
            mass: (B, M), 0 for padding.
            since: (B, M), the first token that each node is there for, where texts are read from left to
                right; None for a text that is read as a whole.

        Returns:
            k, (B, L, d), and the weights b without the null slot, (B, L, M).
        """
        temperature = self.log_temperature.exp()
        states = functional.normalize(tokens, dim=-1)
        heard = temperature * functional.normalize(self.node_query(nodes), dim=-1) @ states.transpose(1, 2)
        heard = heard.masked_fill(~token_mask[:, None, :], -torch.inf)
        queries = functional.normalize(self.token_query(tokens), dim=-1)
        if since is not None:
            return self._from_left_to_right(tokens, nodes, mass, since, heard, queries, temperature)
        shares = _with_null(heard, self.node_null).softmax(dim=-1)
        nodes = nodes + shares[..., 1:] @ self.node_update(tokens)
        prior = mass.log() + (1 - shares[..., 0]).clamp_min(1e-9).log()
        logits = (
            temperature * queries @ functional.normalize(nodes, dim=-1).transpose(1, 2) + prior[:, None, :]
        )
        weights = _with_null(logits, self.token_null).softmax(dim=-1)[..., 1:]
        return self.value(weights @ nodes), weights

    def _from_left_to_right(
        self,
        tokens: Tensor,
        nodes: Tensor,
        mass: Tensor,
        since: Tensor,
        heard: Tensor,
        queries: Tensor,
        temperature: Tensor,
    ) -> tuple[Tensor, Tensor]:
        """Return what each token takes, given the logits of what nodes hear, (B, M, L), and Q h, (B, L, d).

        n'_ml = n_m + Σ_{j ≤ l} e_mj u_j / z_ml with u_j = O h_j, e_mj = exp(logit_mj − τ) and
        z_ml = e_null + Σ_{j ≤ l} e_mj. Of these (B, M, L, d) vectors only products are needed, and those are
        sums over j: q_l · n'_ml and |n'_ml|² here, and Σ_m b_lm n'_ml at the end.
        """
        length = tokens.shape[1]
        weight = (heard - temperature).exp()
        null = (self.node_null - temperature).exp()
        total = null + weight.cumsum(dim=-1)
        updates = self.node_update(tokens)
        products = (queries @ nodes.transpose(1, 2)).transpose(1, 2)
        products = products + weight @ (queries @ updates.transpose(1, 2)).tril().transpose(1, 2) / total
        among = updates @ updates.transpose(1, 2)
        pairs = weight * (weight @ (2 * among.tril(-1) + among.diagonal(dim1=1, dim2=2).diag_embed()).mT)
        crossed = weight * (nodes @ updates.transpose(1, 2))
        squares = (nodes * nodes).sum(dim=-1, keepdim=True)
        squares = squares + 2 * crossed.cumsum(dim=-1) / total + pairs.cumsum(dim=-1) / total**2
        relevance = (1 - null / total).clamp_min(1e-9)
        visible = since[..., None] <= torch.arange(length, device=tokens.device)
        present = (mass[..., None] * visible).sum(dim=1, keepdim=True).clamp_min(1e-9)
        logits = temperature * products / squares.clamp_min(1e-12).sqrt() + relevance.log()
        logits = logits + (mass.log()[..., None] - present.log())
        logits = logits.masked_fill(~visible, -torch.inf).transpose(1, 2)
        weights = _with_null(logits, self.token_null).softmax(dim=-1)[..., 1:]
        moved = ((weights / total.transpose(1, 2)) @ weight).tril()
        return self.value(weights @ nodes + moved @ updates), weights


def _identity(size: int) -> nn.Linear:
    linear = nn.Linear(size, size, bias=False)
    nn.init.eye_(linear.weight)
    return linear


def _with_null(logits: Tensor, null: Tensor) -> Tensor:
    return torch.cat([null.expand(*logits.shape[:-1], 1), logits], dim=-1)
