"""The rating head: texts on a scale of labels, from the lowest to the highest."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from roots_kg.adaptation.few_shot import FewShotConfig, sample_support
from roots_kg.adaptation.heads.base import Encode, Example, Head, Prediction
from roots_kg.adaptation.sample_tasks import SampleTask
from roots_kg.adaptation.task import Record, Task
from roots_kg.errors import TaskError, nearest
from roots_kg.fusion.encoder import EncodedTexts, Knowledge

NAME_WEIGHT = 0.5
"""How much the labels' names say about the direction of the scale, beside the examples."""

REVIEWS = SampleTask(
    description="How did the guest like the hotel?",
    labels={
        "bad": "the guest is angry and disappointed",
        "fair": "the guest found it neither good nor bad",
        "good": "the guest is delighted",
    },
    train=(
        {"text": "The room was filthy and nobody cared.", "label": "bad"},
        {"text": "Worst stay of my life, I want my money back.", "label": "bad"},
        {"text": "Rude staff, cold food, broken shower.", "label": "bad"},
        {"text": "It was all right for one night.", "label": "fair"},
        {"text": "An average hotel, nothing special.", "label": "fair"},
        {"text": "Acceptable, though the walls are thin.", "label": "fair"},
        {"text": "Wonderful rooms and the kindest staff.", "label": "good"},
        {"text": "We loved every minute and will come back.", "label": "good"},
        {"text": "A perfect weekend, the breakfast was superb.", "label": "good"},
    ),
    test=(
        {"text": "Disgusting bathroom, never again.", "label": "bad"},
        {"text": "They lost our booking and were rude about it.", "label": "bad"},
        {"text": "It is okay for the price, not more.", "label": "fair"},
        {"text": "A beautiful hotel, we enjoyed it very much.", "label": "good"},
        {"text": "Excellent food and lovely people.", "label": "good"},
    ),
    broken=({"text": "Lovely."}, {"text": "Lovely.", "label": "godo"}, {"label": "good"}),
)


class RatingHead(Head):
    """Ordinal regression with proportional odds (McCullagh 1980).

    P(rating ≤ k | x) = σ(s (θ_k − w·x)), with one direction w for the whole scale, thresholds θ that rise,
    and x the centred and normalised text features, (B, 2d). The direction starts where the ratings of the
    examples and the names of the labels rise, and L-BFGS moves it, held to where it started.
    """

    reads_fusion = False
    default_metrics = ("closeness", "accuracy")
    metric_names = ("accuracy", "closeness", "within_one")
    sample_task = REVIEWS

    centre: Tensor
    direction: Tensor
    thresholds: Tensor

    def __init__(
        self, task: Task, size: int, knowledge: Knowledge | None, settings: Mapping[str, Any] | None = None
    ) -> None:
        super().__init__(task, size, knowledge, settings)
        settings = settings or {}
        self.labels: list[str] = list(settings.get("labels", task.labels))
        self.scale = float(settings.get("scale", 1.0))
        if len(self.labels) < 2:
            raise TaskError("a scale has two labels or more", hint="list them in task.yaml, the lowest first")
        self.register_buffer("centre", torch.zeros(2 * size))
        self.register_buffer("direction", torch.zeros(2 * size))
        self.register_buffer("thresholds", torch.linspace(-0.5, 0.5, len(self.labels) - 1))

    def settings(self) -> dict[str, Any]:
        """Return the labels from the lowest to the highest, and s."""
        return {"labels": self.labels, "scale": self.scale}

    def example(self, record: Record) -> Example:
        """Read {"text", "label"}."""
        label = record.text("label")
        if label not in self.labels:
            raise record.error(f"unknown label {label!r}", hint=nearest(label, self.labels))
        return Example(self.text(record), label, record)

    def sample(self, examples: Sequence[Example], shots: int, seed: int) -> list[Example]:
        """Draw `shots` examples of each label."""
        return [examples[index] for index in sample_support([item.target for item in examples], shots, seed)]

    def fit(self, support: Sequence[Example], encode: Encode, config: FewShotConfig) -> dict[str, Any]:
        """Find the direction of the scale and the thresholds on it."""
        if len({example.target for example in support}) < 2:
            raise TaskError("all examples have one label", path=support[0].record.path)
        steps = self._steps([example.target for example in support])
        texts = encode([example.text for example in support]).features
        names = encode([self.task.labels.get(label, label) for label in self.labels]).features
        self.scale, self.centre = config.scale, texts.mean(dim=0)
        told = _rise(self._centred(texts), steps)
        named = _rise(self._centred(names), torch.arange(len(self.labels)))
        start = functional.normalize(told + NAME_WEIGHT * named, dim=0)

        direction, first = start.clone().requires_grad_(), torch.zeros(1, requires_grad=True)
        gaps = torch.zeros(len(self.labels) - 2, requires_grad=True)
        optimizer = torch.optim.LBFGS(
            [direction, first, gaps], max_iter=config.steps, line_search_fn="strong_wolfe"
        )

        def loss() -> Tensor:
            optimizer.zero_grad()
            held = config.regularisation * (direction - start).square().sum()
            thresholds = torch.cat([first, first + gaps.exp().cumsum(0)]) / self.scale
            total = functional.nll_loss(self._log_shares(texts, direction, thresholds), steps) + held
            total.backward()
            return total

        optimizer.step(loss)
        self.direction = direction.detach()
        self.thresholds = torch.cat([first, first + gaps.exp().cumsum(0)]).detach() / self.scale
        return {"examples": len(support), "labels": len(self.labels)}

    def forward(self, encoded: EncodedTexts) -> Tensor:
        """Return the log-probability of each label, (B, N)."""
        return self._log_shares(encoded.features, self.direction, self.thresholds)

    def loss(self, encoded: EncodedTexts, targets: Sequence[Any]) -> Tensor:
        """Return the mean negative log-likelihood; targets are labels."""
        return functional.nll_loss(self(encoded), self._steps(targets))

    def decode(self, encoded: EncodedTexts) -> list[Prediction]:
        """Return the most probable label of each text."""
        predictions = []
        for shares in self(encoded).exp().tolist():
            ranked = sorted(zip(self.labels, shares, strict=True), key=lambda pair: -pair[1])
            predictions.append(Prediction(*ranked[0], tuple(ranked)))
        return predictions

    def support_of(self, encoded: EncodedTexts, value: str) -> list[float]:
        """Return the probability of the label `value` for each text."""
        shares: list[float] = self(encoded)[:, self.labels.index(value)].exp().tolist()
        return shares

    def metrics(self, predictions: Sequence[Prediction], targets: Sequence[Any]) -> dict[str, float]:
        """Return the share of right labels, of labels at most a step off, and 1 − the mean way off."""
        off = (self._steps([found.value for found in predictions]) - self._steps(targets)).abs().float()
        return {
            "accuracy": float((off == 0).float().mean()),
            "closeness": 1 - float(off.mean()) / (len(self.labels) - 1),
            "within_one": float((off <= 1).float().mean()),
        }

    def _steps(self, labels: Sequence[str]) -> Tensor:
        return torch.tensor([self.labels.index(label) for label in labels])

    def _centred(self, features: Tensor) -> Tensor:
        return functional.normalize(features - self.centre, dim=1)

    def _log_shares(self, features: Tensor, direction: Tensor, thresholds: Tensor) -> Tensor:
        """Return log P(rating = k) = log(P(rating ≤ k) − P(rating ≤ k − 1)), (B, N)."""
        place = self._centred(features) @ direction
        below = torch.sigmoid(self.scale * (thresholds - place[:, None]))
        edges = functional.pad(functional.pad(below, (0, 1), value=1.0), (1, 0), value=0.0)
        return edges.diff(dim=1).clamp_min(1e-9).log()


def _rise(vectors: Tensor, steps: Tensor) -> Tensor:
    """Return the direction in which vectors rise with their steps on the scale, of length 1."""
    away = steps - steps.float().mean()
    return functional.normalize(away @ vectors, dim=0)
