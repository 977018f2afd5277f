"""What a question asks for: distributions over directions at each hop, over hops, and over topics."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

__all__ = ["TOPIC_FEATURES", "QuestionPolicy"]

TOPIC_FEATURES = 3
"""Of a topic: the logs of its link's score, of its degree and of its mention's length."""

LINK_SHARPNESS = 4.0


class QuestionPolicy(nn.Module):
    """Softmax classifiers on a question z with the mention of its topic replaced.

    P_t(direction | z) = softmax(s · (W_t z + b_t)) for each hop t, P(hops | z) = softmax(s · (V z + c)), and
    P(topic | text) = softmax over the entities that a text may be about of s · u·z + a·f, where f are the
    topic's features. All weights start at zero but for W, which may start at the encoded names of the
    directions, and the link's score, which counts `LINK_SHARPNESS`.

    Args:
        hops: H, the longest path.
        directions: 2R.
        size: d, of a question.
        scale: s.
    """

    def __init__(self, hops: int, directions: int, size: int, scale: float) -> None:
        super().__init__()
        self.scale = scale
        self.direction_weight = _zeros(hops, directions, size)
        self.direction_bias = _zeros(hops, directions)
        self.hops_weight = _zeros(hops, size)
        self.hops_bias = _zeros(hops)
        self.topic_weight = _zeros(size)
        self.topic_features = _zeros(TOPIC_FEATURES)
        self.topic_features.data[0] = LINK_SHARPNESS

    @property
    def hops(self) -> int:
        """H."""
        return len(self.hops_bias)

    def log_directions(self, questions: Tensor) -> Tensor:
        """Return log P_t(direction | z): questions (U, d) give (U, H, 2R)."""
        weight = self.direction_weight.flatten(0, 1)
        logits = (questions @ weight.T).reshape(-1, *self.direction_bias.shape) + self.direction_bias
        return functional.log_softmax(self.scale * logits, dim=2)

    def log_hops(self, questions: Tensor) -> Tensor:
        """Return log P(hops | z): questions (U, d) give (U, H)."""
        logits = questions @ self.hops_weight.T + self.hops_bias
        return functional.log_softmax(self.scale * logits, dim=1)

    def topic_logits(self, questions: Tensor, features: Tensor) -> Tensor:
        """Return how much speaks for each topic: questions (T, d) and features (T, F) give (T,)."""
        return self.scale * (questions @ self.topic_weight) + features @ self.topic_features

    def distance(self, start: Tensor) -> Tensor:
        """Return the squared distance of the weights from where a fit starts, `start` (2R, d) for W."""
        return (
            (self.direction_weight - start).square().sum()
            + self.hops_weight.square().sum()
            + self.topic_weight.square().sum()
        )


def _zeros(*shape: int) -> nn.Parameter:
    return nn.Parameter(torch.zeros(shape), requires_grad=False)
