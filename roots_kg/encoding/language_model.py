"""The output side of language modelling: hidden states to tokens, and its loss in little memory."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from roots_kg.encoding.initial_weights import draw_normal

__all__ = ["IGNORE", "LanguageModelHead", "linear_cross_entropy"]

IGNORE = -100
"""The label of a position where nothing is predicted."""

ROWS_AT_A_TIME = 1024


class LanguageModelHead(nn.Module):
    """Hidden states to logits over the vocabulary: E f(h) + b, where E is the trunk's token embedding.

    Args:
        hidden_size: d.
        vocab_size: V.
        transform: whether f is norm(gelu(W h + c)), as in BERT; otherwise f(h) = h, as in GPT-2.
        bias: whether there is a b.
        layer_norm_eps: of the transform's norm.
    """

    def __init__(
        self,
        hidden_size: int,
        vocab_size: int,
        *,
        transform: bool = True,
        bias: bool = True,
        layer_norm_eps: float = 1e-12,
    ) -> None:
        super().__init__()
        self.transform = nn.Linear(hidden_size, hidden_size) if transform else None
        self.norm = nn.LayerNorm(hidden_size, eps=layer_norm_eps) if transform else None
        self.bias = nn.Parameter(torch.zeros(vocab_size)) if bias else None
        if self.transform is not None:
            draw_normal(self.transform.weight, 0.02)
            nn.init.zeros_(self.transform.bias)

    @torch.no_grad()
    def start_as_identity(self) -> None:
        """Let the transform start where it changes directions least, over a trunk that was trained before."""
        if self.transform is not None:
            nn.init.eye_(self.transform.weight)

    def features(self, hidden: Tensor) -> Tensor:
        """Return f(h), of the shape of `hidden`, (…, d)."""
        if self.transform is None or self.norm is None:
            return hidden
        result: Tensor = self.norm(functional.gelu(self.transform(hidden)))
        return result

    def forward(self, hidden: Tensor, embedding: Tensor) -> Tensor:
        """Return logits, (…, V).

        Args:
            hidden: (…, d).
            embedding: (V, d), the trunk's token embedding.
        """
        return functional.linear(self.features(hidden), embedding, self.bias)

    def loss(
        self,
        hidden: Tensor,
        embedding: Tensor,
        labels: Tensor,
        *,
        sampled: int = 0,
        among: Tensor | None = None,
        generator: torch.Generator | None = None,
    ) -> Tensor:
        """Return the mean cross-entropy in nats over the positions that have a label; 0 if none has.

        Args:
            hidden: (…, d).
            embedding: (V, d).
            labels: (…), token ids, `IGNORE` where nothing is predicted.
            sampled: 0 for the loss itself. Otherwise the partition function is estimated: the tokens among
                the labels count as they are, and of all others so many, drawn evenly, stand for the rest.
                The estimate of the sum is unbiased (importance sampling, Bengio & Senécal 2003), and costs
                V / (labels + sampled) times less.
            among: the labels of the whole batch that these are a part of, whose tokens count as they are too.
            generator: of the draw.
        """
        wanted = labels != IGNORE
        features, labels = self.features(hidden[wanted]), labels[wanted]
        bias: Tensor | None = self.bias
        if sampled:
            known = torch.unique(labels if among is None else among[among != IGNORE])
            labels = torch.searchsorted(known, labels)
            unknown = torch.ones(len(embedding), dtype=torch.bool)
            unknown[known.cpu()] = False
            others = unknown.nonzero().squeeze(1)
            drawn = others[torch.randperm(len(others), generator=generator)[:sampled]].to(known)
            tokens = torch.cat([known, drawn])
            stands_for = torch.zeros(len(tokens), device=hidden.device)
            stands_for[len(known) :] = math.log(len(others) / max(1, len(drawn)))
            bias = stands_for if bias is None else bias[tokens] + stands_for
            embedding = embedding[tokens]
        return linear_cross_entropy(features, embedding, bias, labels) / max(1, len(features))


def linear_cross_entropy(features: Tensor, weight: Tensor, bias: Tensor | None, labels: Tensor) -> Tensor:
    """Return Σ −log softmax(W f + b)[label], never holding more than some rows of logits.

    The logits of all positions of a batch would be its largest tensor by far. Their gradient needs nothing
    but themselves, so it is formed together with them, rows by rows.

    Args:
        features: (N, d).
        weight: (V, d).
        bias: (V,), or None.
        labels: (N,) integers below V.
    """
    total: Tensor = _LinearCrossEntropy.apply(features, weight, bias, labels)  # type: ignore[no-untyped-call]
    return total


class _LinearCrossEntropy(torch.autograd.Function):
    @staticmethod
    def forward(
        context: Any, features: Tensor, weight: Tensor, bias: Tensor | None, labels: Tensor
    ) -> Tensor:
        device = features.device.type
        kind = torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else weight.dtype
        wanted: Sequence[bool] = context.needs_input_grad
        gradients = [
            torch.zeros_like(tensor) if tensor is not None and wanted[place] else None
            for place, tensor in enumerate((features, weight, bias))
        ]
        total = features.new_zeros((), dtype=torch.float32)
        narrow = weight.to(kind)
        for start in range(0, len(features), ROWS_AT_A_TIME):
            rows = slice(start, start + ROWS_AT_A_TIME)
            part, target = features[rows].to(kind), labels[rows, None]
            logits = functional.linear(part, narrow).float()
            if bias is not None:
                logits += bias
            states = functional.log_softmax(logits, dim=-1)
            total -= states.gather(1, target).sum()
            if not any(wanted[:3]):
                continue
            states.exp_().scatter_add_(1, target, states.new_full(target.shape, -1.0))
            if gradients[2] is not None:
                gradients[2] += states.sum(dim=0)
            states = states.to(kind)
            if gradients[0] is not None:
                gradients[0][rows] = states @ narrow
            if gradients[1] is not None:
                gradients[1].addmm_(states.T.to(weight.dtype), part.to(weight.dtype))
        context.save_for_backward(*gradients)
        return total

    @staticmethod
    def backward(context: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        first, second, third = (
            None if saved is None else saved * gradient for saved in context.saved_tensors
        )
        return first, second, third, None
