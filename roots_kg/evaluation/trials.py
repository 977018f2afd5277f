"""Adapted models judged on test examples, and how sure the scores and their differences are."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from roots_kg.adaptation.heads.base import Head, Prediction
from roots_kg.intervals import Estimate, bootstrap, over_draws, percentiles

__all__ = ["Estimates", "Trial", "difference", "estimate"]

Estimates = dict[str, Estimate]
"""From a metric to its estimate."""


class Trial:
    """What one model made of the test examples.

    Args:
        head: what judges, by the task's metrics.
        predictions: one an example; None where the model could not be adapted at all, which counts as 0.
        targets: what is right for each, in the head's own form.
    """

    def __init__(
        self, head: Head, predictions: Sequence[Prediction] | None, targets: Sequence[Any] = ()
    ) -> None:
        self.head, self.predictions, self.targets = head, predictions, targets
        self._resampled: dict[tuple[int, ...], dict[str, NDArray[np.float64]]] = {}

    def scores(self, members: Sequence[int]) -> dict[str, float]:
        """Judge the examples at these positions, at least one; positions may be repeated."""
        if self.predictions is None:
            return dict.fromkeys(self.head.task.metrics or self.head.default_metrics, 0.0)
        return self.head.judge(
            [self.predictions[position] for position in members],
            [self.targets[position] for position in members],
        )

    def resampled(self, members: Sequence[int]) -> dict[str, NDArray[np.float64]]:
        """Return the scores of resamples of these examples; see `bootstrap`."""
        key = tuple(members)
        if key not in self._resampled:
            self._resampled[key] = bootstrap(self.scores, members)
        return self._resampled[key]


def estimate(trials: Sequence[Trial], members: Sequence[Sequence[int]]) -> Estimates | None:
    """Return each metric with its interval: over the draws, or over the examples of a single draw.

    Args:
        trials: one a draw.
        members: for each draw, the examples that count.

    Returns:
        The estimates, or None where no draw has an example that counts. Draws without one are left out.
    """
    judged = [
        (trial, trial.scores(chosen), chosen)
        for trial, chosen in zip(trials, members, strict=True)
        if len(chosen)
    ]
    if not judged:
        return None
    trial, scores, chosen = judged[0]
    if len(trials) == 1:
        resampled = trial.resampled(chosen)
        return {name: percentiles(value, resampled[name]) for name, value in scores.items()}
    return {name: over_draws([found[name] for _, found, _ in judged]) for name in scores}


def difference(
    trials: Sequence[Trial], others: Sequence[Trial], members: Sequence[Sequence[int]]
) -> Estimates | None:
    """Return by how much each metric is higher than in other trials, draw by draw and example by example.

    Arguments and what is returned are those of `estimate`.
    """
    pairs = [
        (one.scores(chosen), other.scores(chosen), one, other, chosen)
        for one, other, chosen in zip(trials, others, members, strict=True)
        if len(chosen)
    ]
    if not pairs:
        return None
    left, right, one, other, chosen = pairs[0]
    if len(trials) == 1:
        ours, theirs = one.resampled(chosen), other.resampled(chosen)
        return {
            name: percentiles(value - right[name], ours[name] - theirs[name]) for name, value in left.items()
        }
    return {name: over_draws([pair[0][name] - pair[1][name] for pair in pairs]) for name in left}
