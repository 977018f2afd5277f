"""What unseen examples tell of a classifier: how sure it may be, and what it was never meant for.

Both are found on logits of examples that had no part in the fit: those of folds of the support set, each
judged by a fit to the others, or those that were held out while an encoder was tuned.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

__all__ = [
    "Calibration",
    "Calibrations",
    "Scored",
    "calibrate",
    "calibrate_sides",
    "calibration_error",
    "folds",
    "scope_auroc",
    "scope_scores",
]

FOLDS = 5
ENOUGH = 1000
"""So many examples that were left out tell enough."""

TEMPERATURES = torch.logspace(-1, 1, 81, base=10.0)
"""The candidates; 1 is in their middle."""

RELUCTANCE = 5.0
"""What a temperature of e or 1 / e costs, in nats: a few examples shall not make a model very sure."""

BINS = 15


@dataclass(frozen=True)
class Calibration:
    """How logits are read.

    Args:
        temperature: what logits are divided by to become those of probabilities.
        threshold: the least score, as `scope_scores` gives it, of a text that is taken for one of the
            classes; None where every text is.
    """

    temperature: float = 1.0
    threshold: float | None = None


@dataclass(frozen=True)
class Calibrations:
    """How logits are read of texts of which the graph says nothing, as without a graph, and of the others."""

    text: Calibration = Calibration()
    linked: Calibration = Calibration()

    def temperatures(self, linked: Tensor) -> Tensor:
        """Return what the logits of texts are divided by, (B,); `linked`, (B,), says which are the others."""
        return self._of_side(linked, self.text.temperature, self.linked.temperature)

    def inside(self, scores: Tensor, linked: Tensor) -> Tensor:
        """Return whether texts with such scores, (B,), are taken for one of the classes, (B,) booleans."""
        least = [
            -torch.inf if side.threshold is None else side.threshold for side in (self.text, self.linked)
        ]
        return scores >= self._of_side(linked, *least)

    @staticmethod
    def _of_side(linked: Tensor, text: float, other: float) -> Tensor:
        return torch.where(linked, torch.tensor(other), torch.tensor(text))


@dataclass(frozen=True)
class Scored:
    """What a classifier makes of texts.

    Args:
        text: (B, N), logits that do not know the graph.
        logits: (B, N), those that do, where the graph says something.
        common: (B,), what is added to scores, see `scope_scores`.
        linked: (B,), whether the graph says something that is trusted.
    """

    text: Tensor
    logits: Tensor
    common: Tensor
    linked: Tensor


def calibrate_sides(scored: Scored, labels: Tensor, reject: float = 0.0) -> Calibrations:
    """Calibrate by all examples without the graph, and by those of which it says something with it.

    Args:
        scored: examples that had no part in the fit.
        labels: (B,), their classes.
        reject: as of `calibrate`.
    """
    text = calibrate(scored.text, labels, scored.common, reject)
    linked = scored.linked
    if not linked.any():
        return Calibrations(text, text)
    return Calibrations(text, calibrate(scored.logits[linked], labels[linked], scored.common[linked], reject))


def calibrate(logits: Tensor, labels: Tensor, common: Tensor, reject: float = 0.0) -> Calibration:
    """Find the temperature and the threshold on examples that had no part in the fit.

    The temperature is that of the likeliest probabilities (temperature scaling, Guo et al. 2017,
    arXiv:1706.04599, section 4.2), held to 1 by `RELUCTANCE` · (ln T)².

    Args:
        logits: (B, N); of no example, the temperature is 1.
        labels: (B,), their classes.
        common: (B,), what is added to their scores, see `scope_scores`.
        reject: the share of texts of the classes that may be rejected; 0 rejects none.
    """
    losses = [
        float(functional.cross_entropy(logits / temperature, labels, reduction="sum"))
        + RELUCTANCE * float(temperature.log() ** 2)
        for temperature in TEMPERATURES
    ]
    temperature = float(TEMPERATURES[min(range(len(losses)), key=losses.__getitem__)])
    if not reject or not len(logits):
        return Calibration(temperature)
    scores = scope_scores(logits / temperature, common / temperature)
    return Calibration(temperature, float(scores.quantile(reject)))


def scope_scores(logits: Tensor, common: Tensor) -> Tensor:
    """Return how much texts are like those of any class, (B,).

    It is log Σ exp, the negative free energy (Liu et al. 2020, arXiv:2010.03759, equation 4), which does not
    sink where a text is like two classes at once, as the largest probability does, plus what logits cannot
    know: how much of what all classes have in common a text has.

    Args:
        logits: (B, N), of vectors from which the common part was taken away.
        common: (B,), scale · x · c with the vectors x as they were and the centre c.
    """
    return logits.logsumexp(dim=1) + common


def folds(labels: Tensor) -> Iterator[Tensor]:
    """Yield the numbers of examples to leave out together, (F,), until enough were left out.

    The examples of each class are dealt out over all folds. Of up to `FOLDS` examples, each is a fold.

    Args:
        labels: (B,), their classes.
    """
    draw, place = random.Random(0), 0
    members: dict[int, list[int]] = {}
    for number, label in enumerate(labels.tolist()):
        members.setdefault(label, []).append(number)
    dealt: list[list[int]] = [[] for _ in range(min(FOLDS, len(labels)))]
    for label in sorted(members):
        for number in draw.sample(members[label], len(members[label])):
            dealt[place % len(dealt)].append(number)
            place += 1
    left_out = 0
    for fold in dealt:
        if left_out < ENOUGH:
            yield torch.tensor(sorted(fold))
            left_out += len(fold)


def calibration_error(probabilities: Sequence[float], right: Sequence[bool]) -> float:
    """Return the expected calibration error, in [0, 1] (Naeini et al. 2015; Guo et al. 2017, equation 3).

    Args:
        probabilities: of what was predicted, one an example.
        right: whether that was right.
    """
    chance, hit = torch.tensor(probabilities, dtype=torch.double), torch.tensor(right).double()
    if not len(chance):
        return 0.0
    bins = (chance * BINS).ceil().long().clamp(1, BINS) - 1
    gaps = torch.zeros(BINS, dtype=torch.double).index_add_(0, bins, hit - chance)
    return float(gaps.abs().sum() / len(chance))


def scope_auroc(inside: Sequence[float], outside: Sequence[float]) -> float:
    """Return how often a text of the classes scores higher than one that is out of scope, ties half.

    Args:
        inside: scores of texts of the classes, at least one.
        outside: scores of others, at least one.
    """
    first, second = torch.tensor(inside, dtype=torch.double), torch.tensor(outside, dtype=torch.double)
    ordered = second.sort().values
    below, up_to = torch.searchsorted(ordered, first), torch.searchsorted(ordered, first, right=True)
    return float((below + up_to).double().mean() / (2 * len(second)))
