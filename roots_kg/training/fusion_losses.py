"""What a fusion layer is trained to do, on tensors alone."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import torch
from torch import Tensor
from torch.nn import functional

__all__ = ["distance_from_start", "gate_loss", "recovery_loss"]


def recovery_loss(
    states: Tensor, candidates: Tensor, answer: Tensor, counted: Tensor, temperature: float
) -> Tensor:
    """InfoNCE of states against the names of entities (van den Oord et al. 2018, arXiv:1807.03748).

    −log exp(cos(s_i, c_a)/T) / Σ_j exp(cos(s_i, c_j)/T), a being the answer of i and j running over the
    candidates that count for i; the mean over i.

    Args:
        states: (B, d).
        candidates: (C, d).
        answer: (B,), which candidate is right.
        counted: (B, C), false for candidates that are right too, and so are no negatives; the answer counts.
        temperature: T.

    Returns:
        A scalar; 0 for no state.
    """
    if not len(states):
        return states.sum()
    cosines = functional.normalize(states, dim=1) @ functional.normalize(candidates, dim=1).T
    logits = (cosines / temperature).masked_fill(~counted, -torch.inf)
    return functional.cross_entropy(logits, answer)


def gate_loss(openness: Tensor, wrong: Tensor, closing: float, opening: float) -> Tensor:
    """−λ_c · mean over wrong links of log(1 − o) + λ_o · mean of o.

    Args:
        openness: o, (B,), how much of the graph a text lets in, from 0 to below 1.
        wrong: (B,), true where what the text was linked to is wrong.
        closing: λ_c.
        opening: λ_o.
    """
    closed = -torch.log1p(-openness.clamp_max(1 - 1e-6))
    loss = opening * openness.mean()
    return loss + closing * closed[wrong].sum() / wrong.sum().clamp_min(1)


def distance_from_start(parameters: Iterable[tuple[str, Tensor]], start: Mapping[str, Tensor]) -> Tensor:
    """Return Σ ‖θ − θ₀‖² over named parameters."""
    return torch.stack([(value - start[name]).square().sum() for name, value in parameters]).sum()
