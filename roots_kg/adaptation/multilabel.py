"""Several labels a text: one regularised logistic regression a label, on the vectors of few examples.

Each label's weights start at the normalised mean of the examples that have it ("prototype", Snell et al.
2017, arXiv:1703.05175) plus the vector of its name, and L-BFGS moves all of them at once, held to where they
started. What is trusted besides the texts is chosen by leave-one-out on the support set.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import torch
from torch import Tensor
from torch.nn import functional

from roots_kg.adaptation.few_shot import FewShotConfig, LinearFit, Trust, minimise
from roots_kg.threads import one_thread

__all__ = ["choose_trust", "fit_labels", "label_means", "likeliest_sets"]

THRESHOLDS = tuple(number / 20 for number in range(2, 16))
"""The candidates for the probability from which on a label is given."""

FOLDS = 5


def label_means(vectors: Tensor, has: Tensor) -> Tensor:
    """Return the mean of the vectors that have each label, (N, d), zero where none has it.

    Args:
        vectors: (B, d).
        has: (B, N), 1 where an example has a label.
    """
    return has.T @ vectors / has.sum(dim=0).clamp_min(1)[:, None]


def choose_trust(
    text: Tensor,
    knowledge: Tensor,
    has: Tensor,
    text_names: Tensor,
    knowledge_names: Tensor,
    config: FewShotConfig,
) -> Trust:
    """Choose how much label names and the graph count, by leave-one-out.

    A pair of weights is judged by how well the prototypes put the labels that an example has above those that
    it has not: the mean over its labels of the share of the others whose cosine is below. An example is left
    out of the prototypes of its labels.

    Args:
        text: (B, a) vectors of the support texts.
        knowledge: (B, b) their knowledge vectors, zero where nothing is linked.
        has: (B, N), 1 where an example has a label.
        text_names: (N, a) vectors of the label names.
        knowledge_names: (N, b) knowledge vectors of the label names.
        config: the candidates.
    """
    best: Trust | None = None
    sides = ((text, text_names), (knowledge, knowledge_names))
    for name_weight in config.name_weights:
        cosines = [_left_out(vectors, has, names, name_weight) for vectors, names in sides]
        for weight in config.knowledge_weights if knowledge.any() else (0.0,):
            order = _ordered((1 - weight) * cosines[0] + weight * cosines[1], has)
            margin = 0.0 if best is None else 1e-6 if best.knowledge_weight or not weight else 0.01
            if best is None or order > best.accuracy + margin:
                best = Trust(name_weight, weight, order)
    assert best is not None
    return best


def fit_labels(
    inputs: Tensor, has: Tensor, start: Tensor, config: FewShotConfig, seed: int = 0
) -> tuple[LinearFit, float]:
    """Fit all labels at once, on one thread, and find from which probability on a label is given.

    Minimises the mean over examples and labels of the binary cross-entropy of scale · (x Wᵀ + b) plus
    λ/N · ‖W − W₀‖². The threshold is the one with the best micro-F1 on parts of the examples that were left
    out of the fit, `FOLDS` of them; with fewer examples than that it is one half.

    Args:
        inputs: (B, d) features.
        has: (B, N), 1 where an example has a label.
        start: W₀, (N, d).
        config: the scale, λ and the number of steps.
        seed: of the folds.

    Returns:
        The fit, and the threshold.
    """
    with one_thread(), torch.enable_grad():
        if len(inputs) < FOLDS:
            return _fit(inputs, has, start, config), 0.5
        generator = torch.Generator().manual_seed(seed)
        fold = torch.randperm(len(inputs), generator=generator) % FOLDS
        found = torch.zeros_like(has)
        for number in range(FOLDS):
            out = fold == number
            fitted = _fit(inputs[~out], has[~out], start, config)
            found[out] = config.scale * (inputs[out] @ fitted.weight.T + fitted.bias)
        chances = found.sigmoid()
        threshold = max(THRESHOLDS, key=lambda share: (_f1(chances >= share, has > 0), -abs(share - 0.5)))
        return _fit(inputs, has, start, config), threshold


def likeliest_sets(chances: Sequence[float], most: int) -> list[tuple[frozenset[int], float]]:
    """Return the likeliest sets of labels that are there or not independently, best first.

    Args:
        chances: of each label.
        most: how many sets, at most.
    """
    best = frozenset(number for number, chance in enumerate(chances) if chance >= 0.5)
    product = 1.0
    for chance in chances:
        product *= max(chance, 1 - chance)
    odds = [min(chance, 1 - chance) / max(chance, 1 - chance) for chance in chances]
    doubtful = sorted(range(len(chances)), key=lambda number: -odds[number])[: most - 1]
    sets: dict[frozenset[int], float] = {best: product}
    for number in doubtful:
        sets |= {found ^ {number}: probability * odds[number] for found, probability in list(sets.items())}
    ordered = sorted(sets.items(), key=lambda item: (-item[1], item[0] != best, sorted(item[0])))
    return ordered[:most]


def _fit(inputs: Tensor, has: Tensor, start: Tensor, config: FewShotConfig) -> LinearFit:
    return minimise(partial(_loss, inputs, has, config.scale), start, config)


def _loss(inputs: Tensor, has: Tensor, scale: float, weight: Tensor, bias: Tensor) -> Tensor:
    return functional.binary_cross_entropy_with_logits(scale * (inputs @ weight.T + bias), has)


def _left_out(vectors: Tensor, has: Tensor, names: Tensor, name_weight: float) -> Tensor:
    """Return each example's cosine with every label, without itself in those that it has: (B, N)."""
    sums, counts = has.T @ vectors, has.sum(dim=0)
    others = sums[None] - has[:, :, None] * vectors[:, None]
    left = (counts[None] - has)[:, :, None]
    prototypes = functional.normalize(torch.where(left > 0, others, 0.0), dim=2)
    weights = functional.normalize(prototypes + name_weight * names, dim=2)
    return torch.einsum("bd,bnd->bn", vectors, weights)


def _ordered(cosines: Tensor, has: Tensor) -> float:
    """Return the mean share of the labels an example lacks that stand below one that it has."""
    shares: list[float] = []
    for row, own in zip(cosines, has > 0, strict=True):
        if own.any() and not own.all():
            shares.append(float((row[own][:, None] > row[~own]).float().mean()))
    return sum(shares) / len(shares) if shares else 0.0


def _f1(found: Tensor, there: Tensor) -> float:
    both, total = int((found & there).sum()), int(found.sum() + there.sum())
    return 2 * both / total if total else 1.0
