"""An adversary that learns towards which entity a vector has to move for the model to err."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from roots_kg.fusion.augmentation.base import Augmentation, Linked, Loss

__all__ = ["Generator"]

CANDIDATES = 8
HIDDEN = 32
STEPS = 5
LEARNING_RATE = 0.01


class Generator(Augmentation):
    """e' = e + ε (n − e) / ‖n − e‖, n = Σ_j c_j n_j, c a straight-through choice among the nearest n_j.

    c = one_hot(argmax p) + p − stop_gradient(p), p = softmax((f(e, n_j) + G_j) / τ), G Gumbel noise, τ = 1, f
    a network with one hidden layer on [e / s; (n_j − e) / s], s the mean length of the vectors. Each call
    first takes 5 steps of Adam on f that raise the loss, while the model lowers it in between. Vectors (B,
    k), 8 candidates each, (B, 8, k), to (B, k).

    Straight-through Gumbel-softmax: Jang et al. 2017 (arXiv:1611.01144). A generator of negatives against a
    knowledge graph model: Cai and Wang 2018, "KBGAN" (arXiv:1711.04071), which chooses among entities and
    learns by policy gradient; here the virtual entity lies on the way to the chosen one, ε far, as with
    `GradientStep`.
    """

    def __init__(self, table: Tensor | None = None, seed: int = 0) -> None:
        super().__init__(table, seed)
        self._scorer: nn.Sequential | None = None
        self._optimizer: torch.optim.Adam | None = None

    def virtual(self, linked: Linked, loss: Loss) -> Linked | None:
        """Train the adversary a little, then move every vector towards the neighbour that it chooses."""
        near, distance = self.neighbours(linked, CANDIDATES)
        if not distance.isfinite().any():
            return linked.at(linked.vectors.detach())
        radius = self.radius(linked)
        scorer, optimizer = self._network(linked.vectors.shape[1])
        with torch.enable_grad():
            for _ in range(STEPS):
                optimizer.zero_grad()
                raised = -loss(linked.at(self._moved(scorer, linked, near, distance, radius)))
                gradients = torch.autograd.grad(raised, list(scorer.parameters()))
                for parameter, gradient in zip(scorer.parameters(), gradients, strict=True):
                    parameter.grad = gradient
                optimizer.step()
        return linked.at(self._moved(scorer, linked, near, distance, radius).detach())

    def state_dict(self) -> dict[str, Any]:
        """Return what was drawn and learned so far."""
        state = super().state_dict()
        if self._scorer is not None and self._optimizer is not None:
            state |= {"scorer": self._scorer.state_dict(), "optimizer": self._optimizer.state_dict()}
        return state

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take that up."""
        if "scorer" in state:
            scorer, optimizer = self._network(state["scorer"]["0.weight"].shape[1] // 2)
            scorer.load_state_dict(state["scorer"])
            optimizer.load_state_dict(state["optimizer"])
        super().load_state_dict(state)

    def _network(self, size: int) -> tuple[nn.Sequential, torch.optim.Adam]:
        if self._scorer is None or self._optimizer is None:
            layers = nn.Linear(2 * size, HIDDEN), nn.Linear(HIDDEN, 1)
            for layer in layers:
                bound = layer.in_features**-0.5
                layer.weight.data = bound * (2 * torch.rand(layer.weight.shape, generator=self.random) - 1)
                layer.bias.data.zero_()
            self._scorer = nn.Sequential(layers[0], nn.Tanh(), layers[1])
            self._optimizer = torch.optim.Adam(self._scorer.parameters(), lr=LEARNING_RATE)
        return self._scorer, self._optimizer

    def _moved(
        self, scorer: nn.Sequential, linked: Linked, near: Tensor, distance: Tensor, radius: Tensor
    ) -> Tensor:
        vectors = linked.vectors.detach()
        away = near - vectors[:, None]
        scale = vectors.norm(dim=1).mean().clamp_min(1e-6)
        shown = torch.cat([vectors[:, None].expand_as(away), away], dim=2) / scale
        uniform = torch.rand(distance.shape, generator=self.random).to(vectors)
        gumbel = -(-uniform.clamp(1e-6, 1 - 1e-6).log()).log()
        logits = (scorer(shown)[..., 0] + gumbel).masked_fill(~distance.isfinite(), -1e9)
        share = logits.softmax(dim=1)
        choice = functional.one_hot(share.argmax(dim=1), share.shape[1]).to(share) + share - share.detach()
        step = (choice[..., None] * away).sum(dim=1)
        return vectors + radius * functional.normalize(step, dim=1)
