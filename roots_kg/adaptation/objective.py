"""What is minimised when an encoder is tuned for a head: by default the head's own loss."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from roots_kg.adaptation import few_shot
from roots_kg.fusion.encoder import EncodedTexts, Text

if TYPE_CHECKING:
    from roots_kg.adaptation.heads.base import Head

__all__ = ["CosineObjective", "HeadObjective", "Objective"]


class Objective(nn.Module, ABC):
    """A loss of encoded texts, and the parameters that are trained beside the encoder's.

    Args:
        examples: what is trained on, each a text and its target.
        asks: how texts are read for it, by the names of the arguments of `KnowledgeEncoder.forward`.
    """

    learning_rate: ClassVar[float] = 1e-3
    """Of its own parameters."""

    def __init__(self, examples: Sequence[tuple[Text, Any]], asks: dict[str, bool]) -> None:
        super().__init__()
        self.examples, self.asks = list(examples), asks

    @abstractmethod
    def forward(self, encoded: EncodedTexts, targets: Sequence[Any]) -> Tensor:
        """Return the mean loss over encoded texts with these targets."""


class HeadObjective(Objective):
    """The loss of a head, whose parameters are trained as well.

    Args:
        head: the head, fitted.
        examples: texts with their targets.
    """

    def __init__(self, head: Head, examples: Sequence[tuple[Text, Any]]) -> None:
        super().__init__(examples, {"read": head.reads_texts, **head.asks})
        self.head = head

    def forward(self, encoded: EncodedTexts, targets: Sequence[Any]) -> Tensor:
        """Return `Head.loss`."""
        return self.head.loss(encoded, targets)


class CosineObjective(Objective):
    """The cross-entropy of scaled cosines between texts and a trained vector a class.

    Logits are s · cos(x − c, w_j), the cosine classifier of Gidaris and Komodakis 2018 (arXiv:1804.09458),
    equation 4, with a scale s and a centre c that stay as they are: what tells classes apart must come to be
    in the directions of the texts themselves, where prototypes find it.

    Args:
        examples: texts with the numbers of their classes.
        asks: how texts are read, see `Objective`.
        vectors: what encoded texts are compared by, (B, f).
        centre: c, (f,).
        start: the w_j to start from, (N, f).
        scale: s.
        weights: how much each class counts, (N,); None where all count the same.
    """

    learning_rate = 5e-3

    def __init__(
        self,
        examples: Sequence[tuple[Text, int]],
        asks: dict[str, bool],
        vectors: Callable[[EncodedTexts], Tensor],
        centre: Tensor,
        start: Tensor,
        scale: float,
        weights: Tensor | None = None,
    ) -> None:
        super().__init__(examples, asks)
        self.vectors, self.centre, self.scale, self.weights = vectors, centre, scale, weights
        self.weight = nn.Parameter(start.clone())

    def forward(self, encoded: EncodedTexts, targets: Sequence[Any]) -> Tensor:
        """Return the mean cross-entropy; targets are the numbers of classes."""
        texts = few_shot.centred(self.vectors(encoded), self.centre)
        logits = self.scale * texts @ functional.normalize(self.weight, dim=1).T
        return functional.cross_entropy(logits, torch.tensor(targets), self.weights)
