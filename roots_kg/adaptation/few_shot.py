"""Few-shot classification on fixed features: prototypes, label names, leave-one-out, L-BFGS.

Class weights start at the normalised class means ("prototypes", Snell et al. 2017, arXiv:1703.05175) plus
the vectors of the label names, and a few steps of L-BFGS move them, held to where they started. How much
to trust the label names and the graph is chosen by leave-one-out on the support set: an example's own
vector is taken out of its prototype before the example is judged.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional

from roots_kg.adaptation.calibration import Scored
from roots_kg.errors import UsageError, nearest
from roots_kg.fusion.augmentation import (
    Linked,
    augmented_loss,
    make_augmentation,
    require_augmentation,
)
from roots_kg.threads import one_thread

__all__ = [
    "ClassWeight",
    "Compared",
    "FewShotConfig",
    "Fits",
    "LinearFit",
    "Trust",
    "choose_trust",
    "class_weights",
    "features",
    "fit_linear",
    "fit_sides",
    "with_class",
]

ClassWeight = Mapping[str, float] | Literal["balanced"] | None
"""How much each class counts in a fit: by label, 1 where nothing is said, or in inverse to its size."""


ROUNDING = 1e-4
"""A sum of vectors of length 1 that is shorter than this is taken for zero."""

AUGMENTED_FITS = 2
"""How often virtual examples are made anew, each time with the model that was fitted last."""

TEMPERATURES = (0.0, 2.0, 4.0, 8.0, 16.0, 32.0)
"""What cosines are multiplied by when leave-one-out judges them; 0 knows nothing and never errs by much."""


@dataclass(frozen=True)
class FewShotConfig:
    """How a classifier is fitted to a support set.

    Args:
        scale: what cosines are multiplied by to become logits.
        regularisation: the weight of the squared distance from where the fit started.
        steps: the most steps of L-BFGS.
        name_weights: the candidates for how much label names count beside prototypes.
            Where no class has two examples, leaving one out tells nothing, and the largest is taken.
        knowledge_weights: the candidates for the graph's share in a cosine, from 0 to below 1; the text has
            the rest.
        augmentation: how virtual examples are made of those with knowledge, see
            `roots_kg.fusion.augmentation`.
        class_weight: how much each class counts, for heads that choose one label a text.
        reject: the share of texts that are in scope which a head may take for out of scope, where it chooses
            one label a text; 0 takes none for that.
    """

    scale: float = 16.0
    regularisation: float = 0.5
    steps: int = 10
    name_weights: tuple[float, ...] = (0.5, 0.25, 0.75, 0.0, 1.0, 2.0)
    knowledge_weights: tuple[float, ...] = (0.0, 0.2, 0.35, 0.5, 0.65, 0.8)
    augmentation: str = "none"
    class_weight: ClassWeight = None
    reject: float = 0.0

    def __post_init__(self) -> None:
        if not 0 <= self.reject < 1:
            raise ValueError(f"reject is a share of at least 0 and below 1, found {self.reject}")
        if isinstance(self.class_weight, Mapping) and not all(x > 0 for x in self.class_weight.values()):
            raise ValueError("class_weight must hold numbers above 0")
        require_augmentation(self.augmentation)
        if not all(0 <= weight < 1 for weight in self.knowledge_weights) or 0 not in self.knowledge_weights:
            raise ValueError("knowledge_weights must hold 0, and only numbers from 0 to below 1")


@dataclass(frozen=True)
class Trust:
    """What leave-one-out on the support set chose.

    Args:
        name_weight: how much label names count; the prototype counts 1.
        knowledge_weight: p, the graph's share in a cosine; the text has 1 − p.
        accuracy: the leave-one-out accuracy of that choice.
    """

    name_weight: float
    knowledge_weight: float
    accuracy: float


@dataclass(frozen=True)
class LinearFit:
    """A fitted classifier: logits = scale · (x Wᵀ + b), with W (N, d) and b (N,)."""

    weight: Tensor
    bias: Tensor


@dataclass(frozen=True)
class Compared:
    """A support set as a fit compares it.

    Args:
        text: (B, a), centred vectors of the texts.
        knowledge: (B, b), what the graph says of them, zero where it says nothing.
        text_names: (N, a), of the label names.
        knowledge_names: (N, b), of the label names.
        labels: (B,), the numbers of their classes; or (B, N), 1 for each label that a text has.
        common: (B,), the products of the texts' vectors with the centre that was taken away from them.
    """

    text: Tensor
    knowledge: Tensor
    text_names: Tensor
    knowledge_names: Tensor
    labels: Tensor
    common: Tensor

    def without(self, rows: Tensor) -> Compared:
        """Return the same without some examples."""
        kept = torch.ones(len(self.labels), dtype=torch.bool)
        kept[rows] = False
        names = (self.text_names, self.knowledge_names)
        return Compared(self.text[kept], self.knowledge[kept], *names, self.labels[kept], self.common[kept])


@dataclass(frozen=True)
class Fits:
    """A classifier of texts of which the graph says nothing, and one of the others.

    Args:
        text: for the text alone, W (N, a).
        both: for text and knowledge side by side, W (N, a + b); None where knowledge is not trusted.
        knowledge_weight: p, the graph's share in a cosine.
    """

    text: LinearFit
    both: LinearFit | None = None
    knowledge_weight: float = 0.0

    def score(self, text: Tensor, knowledge: Tensor, common: Tensor, scale: float) -> Scored:
        """Return scale · (x Wᵀ + b) of some texts.

        Args:
            text: (B, a), their centred vectors.
            knowledge: (B, b), what the graph says of them.
            common: (B,), as of `Compared`.
            scale: what cosines are multiplied by.
        """
        without = scale * (text @ self.text.weight.T + self.text.bias)
        linked = knowledge.any(dim=1)
        if self.both is None:
            return Scored(without, without, scale * common, torch.zeros_like(linked))
        inputs = features(text, knowledge, self.knowledge_weight)
        both = scale * (inputs @ self.both.weight.T + self.both.bias)
        return Scored(without, torch.where(linked[:, None], both, without), scale * common, linked)


def centred(vectors: Tensor, centre: Tensor) -> Tensor:
    """Take away what all texts have in common, `centre`, (d,), and normalise: (B, d) to (B, d)."""
    return functional.normalize(vectors - centre, dim=1)


def features(text: Tensor, knowledge: Tensor, knowledge_weight: float) -> Tensor:
    """Put text and knowledge side by side: (B, a) and (B, b) give (B, a + b).

    With parts of length 1, a product of two such vectors is (1 − p) cos(text) + p cos(knowledge).
    """
    return torch.cat([(1 - knowledge_weight) ** 0.5 * text, knowledge_weight**0.5 * knowledge], dim=1)


def initial_weights(text: tuple[Tensor, Tensor], knowledge: tuple[Tensor, Tensor], trust: Trust) -> Tensor:
    """Return the class weights that the fit starts from, (N, a + b).

    Args:
        text: the classes' mean vectors and their names' vectors, (N, a) each.
        knowledge: the same on the knowledge side, (N, b) each.
        trust: how much names and knowledge count.
    """
    parts = []
    for mean, name in (text, knowledge):
        prototype = functional.normalize(mean, dim=1)
        parts.append(functional.normalize(prototype + trust.name_weight * name, dim=1))
    return features(parts[0], parts[1], trust.knowledge_weight)


def class_means(vectors: Tensor, labels: Tensor, num_classes: int) -> Tensor:
    """Return the mean of each class's vectors, (N, d), zero where a class has none."""
    sums = vectors.new_zeros(num_classes, vectors.shape[1]).index_add(0, labels, vectors)
    counts = vectors.new_zeros(num_classes).index_add(0, labels, vectors.new_ones(len(labels)))
    return sums / counts.clamp_min(1)[:, None]


def class_weights(asked: ClassWeight, labels: Tensor, names: Sequence[str]) -> Tensor | None:
    """Return how much each class counts, (N,), or None where all count the same.

    Args:
        asked: how; "balanced" is B / (N · examples of the class), and 1 for a class without examples.
        labels: (B,), the numbers of the classes of the support set.
        names: of the N classes.

    Raises:
        UsageError: if a weight is given to a class that there is not.
    """
    if asked is None:
        return None
    if asked == "balanced":
        counts = torch.bincount(labels, minlength=len(names)).float()
        balanced = len(labels) / ((counts > 0).sum() * counts.clamp_min(1))
        return torch.where(counts > 0, balanced, 1.0)
    weights = torch.ones(len(names))
    for name, weight in asked.items():
        if name not in names:
            raise UsageError(f"a weight is given to the label {name!r}", hint=nearest(name, names))
        weights[names.index(name)] = weight
    return weights


def fit_sides(
    known: Compared, trust: Trust, text_only: Trust, config: FewShotConfig, weights: Tensor | None = None
) -> Fits:
    """Fit a classifier to texts alone, and, where knowledge is trusted, one to both sides.

    Args:
        known: the support set.
        trust: what `choose_trust` chose.
        text_only: what it chose for texts alone.
        config: how.
        weights: how much each class counts, (N,).
    """
    num_classes = len(known.text_names)
    text_side = (class_means(known.text, known.labels, num_classes), known.text_names)
    nothing = torch.zeros(num_classes, 0)
    start = initial_weights(text_side, (nothing, nothing), text_only)
    text = fit_linear(known.text, known.labels, start, config, weights=weights)
    if not trust.knowledge_weight:
        return Fits(text)
    means = class_means(known.knowledge, known.labels, num_classes)
    start = initial_weights(text_side, (means, known.knowledge_names), trust)
    inputs = features(known.text, known.knowledge, trust.knowledge_weight)
    both = fit_linear(inputs, known.labels, start, config, known.knowledge.shape[1], weights)
    return Fits(text, both, trust.knowledge_weight)


def choose_trust(
    text: Tensor,
    knowledge: Tensor,
    labels: Tensor,
    text_names: Tensor,
    knowledge_names: Tensor,
    config: FewShotConfig,
) -> tuple[Trust, Trust]:
    """Choose how much to trust label names and knowledge, by leave-one-out.

    Every pair of weights is judged by the mean log-probability that the prototypes give to each support
    example when that example is left out of its own prototype (though not out of the centre), at the
    temperature that suits the pair best: what counts is what is known, not how loudly. Names count as much as
    they may without being worse than the best by more than one standard error. Knowledge is trusted
    only if it beats the best choice without it by more than one standard error of the difference, so that
    noise in a small support set does not let a useless graph in.

    Args:
        text: (B, a) vectors of the support texts.
        knowledge: (B, b) their knowledge vectors, zero where nothing is linked.
        labels: (B,) classes.
        text_names: (N, a) vectors of the label names.
        knowledge_names: (N, b) knowledge vectors of the label names.
        config: the candidates.

    Returns:
        The choice, and the best choice without knowledge (the same one where knowledge is not trusted).
    """
    alone = len(set(labels.tolist())) == len(labels)
    name_weights = (max(config.name_weights),) if alone else config.name_weights
    text_cosines = {w: _left_out_cosines(text, labels, text_names, w) for w in name_weights}
    linked = bool(knowledge.any())
    knowledge_cosines = {
        w: _left_out_cosines(knowledge, labels, knowledge_names, w) for w in name_weights if linked
    }
    judged: dict[tuple[float, float], tuple[Tensor, float]] = {}
    for name_weight in name_weights:
        for knowledge_weight in config.knowledge_weights if linked else (0.0,):
            cosines = (1 - knowledge_weight) * text_cosines[name_weight]
            if knowledge_weight:
                cosines = cosines + knowledge_weight * knowledge_cosines[name_weight]
            accuracy = float((cosines.argmax(dim=1) == labels).float().mean())
            judged[name_weight, knowledge_weight] = (_likelihood(cosines, labels), accuracy)
    without = _most_of_names(judged, [key for key in judged if not key[1]])
    with_knowledge = [key for key in judged if key[1]]
    chosen = without
    if with_knowledge:
        best = _most_of_names(judged, with_knowledge)
        mean, error = _difference(judged[best][0], judged[without][0])
        if mean > error:
            chosen = best
    choice, text_only = (Trust(*key, judged[key][1]) for key in (chosen, without))
    return choice, text_only


def _most_of_names(
    judged: Mapping[tuple[float, float], tuple[Tensor, float]], candidates: Sequence[tuple[float, float]]
) -> tuple[float, float]:
    """Return the candidate with the largest name weight of those that are about as good as the best.

    Candidates are name weights and knowledge weights. With the best's knowledge weight, one is as good if its
    likelihood is not less by more than one standard error of the difference (the rule of Breiman et al. 1984,
    section 3.4.3): names are the prior, and examples are what moves one away from it.
    """
    best = max(candidates, key=lambda key: float(judged[key][0].mean()))
    good = []
    for key in candidates:
        mean, error = _difference(judged[best][0], judged[key][0])
        if key[1] == best[1] and mean <= error:
            good.append(key)
    return max(good)


def _difference(first: Tensor, second: Tensor) -> tuple[float, float]:
    """Return the mean of the differences of pairs, (B,) each, and its standard error."""
    difference = first - second
    if len(difference) < 2:
        return float(difference.mean()), float(difference.abs().max())
    return float(difference.mean()), float(difference.std()) / len(difference) ** 0.5


def with_class(others: LinearFit, start: Tensor) -> LinearFit:
    """Put one more class beside others, which stay as they are.

    Its vector is what a fit would start from, as long as those of the others are in the mean (imprinting, Qi
    et al. 2018, arXiv:1712.07136). Fitting it alone would let it take texts from the others, whose examples
    are not there to hold it off.

    Args:
        others: the fit of N classes.
        start: (1, d), as of `initial_weights`.

    Returns:
        The fit of N + 1 classes, the new one last.
    """
    weight = others.weight.norm(dim=1).mean() * functional.normalize(start, dim=1)
    return LinearFit(torch.cat([others.weight, weight]), torch.cat([others.bias, others.bias.new_zeros(1)]))


def fit_linear(
    inputs: Tensor,
    labels: Tensor,
    start: Tensor,
    config: FewShotConfig,
    knowledge_size: int = 0,
    weights: Tensor | None = None,
) -> LinearFit:
    """Fit a linear classifier by regularised L-BFGS, on one thread.

    Minimises the mean cross-entropy of scale · (x Wᵀ + b) plus λ/N · ‖W − W₀‖². With an augmentation, virtual
    examples are made with the fitted model, whose knowledge part is another and whose text part is the same,
    and it is fitted anew, from W₀ on and with as many steps, to both.

    Args:
        inputs: (B, d) features.
        labels: (B,) classes.
        start: W₀, (N, d).
        config: the scale, λ, the number of steps and the augmentation.
        knowledge_size: b, how many of the last features are knowledge; without any nothing is augmented.
        weights: how much each class counts in the mean, (N,). The biases start at log(weights) / scale, where
            they belong for texts that tell nothing: examples that are told apart well would not move them.
    """
    text, knowledge = (
        inputs[:, : inputs.shape[1] - knowledge_size],
        inputs[:, inputs.shape[1] - knowledge_size :],
    )
    linked = Linked(knowledge, labels)
    length = knowledge.norm(dim=1, keepdim=True)

    def plain(weight: Tensor, bias: Tensor) -> Tensor:
        return functional.cross_entropy(config.scale * (inputs @ weight.T + bias), labels, weights)

    def loss(examples: Linked, weight: Tensor, bias: Tensor) -> Tensor:
        both = torch.cat([text, length * functional.normalize(examples.vectors, dim=1)], dim=1)
        return functional.cross_entropy(config.scale * (both @ weight.T + bias), examples.targets, weights)

    def augmented(weight: Tensor, bias: Tensor, virtual: Linked) -> Tensor:
        return augmented_loss(partial(loss, weight=weight, bias=bias), linked, virtual)

    with one_thread(), torch.enable_grad():
        bias = start.new_zeros(len(start)) if weights is None else weights.log() / config.scale
        fitted = minimise(plain, start, config, bias)
        augmentation = make_augmentation(config.augmentation)
        for _ in range(AUGMENTED_FITS if knowledge.any() else 0):
            virtual = augmentation.virtual(linked, partial(loss, weight=fitted.weight, bias=fitted.bias))
            if virtual is None:
                break
            fitted = minimise(partial(augmented, virtual=virtual), start, config, bias)
    return fitted


def sample_support(labels: Sequence[str], shots: int, seed: int) -> list[int]:
    """Draw `shots` examples of each class (all of them where there are fewer).

    Args:
        labels: the class of each example.
        shots: K.
        seed: of the draw.

    Returns:
        Positions in `labels`, ascending.
    """
    generator = torch.Generator().manual_seed(seed)
    by_class: dict[str, list[int]] = {}
    for index, label in enumerate(labels):
        by_class.setdefault(label, []).append(index)
    chosen = []
    for label in sorted(by_class):
        members = by_class[label]
        order = torch.randperm(len(members), generator=generator)[:shots]
        chosen += [members[position] for position in order.tolist()]
    return sorted(chosen)


def sample_any(count: int, shots: int, seed: int) -> list[int]:
    """Draw `shots` of so many examples, whatever they are; return their positions, ascending."""
    generator = torch.Generator().manual_seed(seed)
    chosen: list[int] = torch.randperm(count, generator=generator)[:shots].tolist()
    return sorted(chosen)


def sample_label_sets(label_sets: Sequence[Collection[str]], shots: int, seed: int) -> list[int]:
    """Draw examples until each label is in `shots` of them, and as many are without any label.

    Args:
        label_sets: the labels of each example.
        shots: K.
        seed: of the draw.

    Returns:
        Positions in `label_sets`, ascending.
    """
    generator = torch.Generator().manual_seed(seed)
    counts: dict[str | None, int] = {}
    chosen = []
    for index in torch.randperm(len(label_sets), generator=generator).tolist():
        labels = set(label_sets[index]) or {None}
        if any(counts.get(label, 0) < shots for label in labels):
            chosen.append(index)
            counts.update((label, counts.get(label, 0) + 1) for label in labels)
    return sorted(chosen)


def minimise(
    loss: Callable[[Tensor, Tensor], Tensor], start: Tensor, config: FewShotConfig, bias: Tensor | None = None
) -> LinearFit:
    """Minimise the loss of weight and bias, the weight held to `start`, (N, d), the bias from `bias` on."""
    weight = start.clone().requires_grad_()
    bias = (start.new_zeros(len(start)) if bias is None else bias.clone()).requires_grad_()
    optimizer = torch.optim.LBFGS([weight, bias], max_iter=config.steps, line_search_fn="strong_wolfe")

    def closure() -> Tensor:
        optimizer.zero_grad()
        total = loss(weight, bias)
        total = total + config.regularisation / len(start) * (weight - start).square().sum()
        total.backward()  # type: ignore[no-untyped-call]
        return total

    optimizer.step(closure)  # type: ignore[no-untyped-call]
    return LinearFit(weight.detach(), bias.detach())


def _likelihood(cosines: Tensor, labels: Tensor) -> Tensor:
    """Return the log-probability of each example's class, (B,), at the best of a few temperatures."""
    at_each = [-functional.cross_entropy(scale * cosines, labels, reduction="none") for scale in TEMPERATURES]
    return max(at_each, key=lambda likelihood: float(likelihood.mean()))


def _left_out_cosines(vectors: Tensor, labels: Tensor, names: Tensor, name_weight: float) -> Tensor:
    """Return each example's cosine with every class weight, its own class judged without it: (B, N)."""
    num_classes = len(names)
    means = class_means(vectors, labels, num_classes)
    weights = functional.normalize(functional.normalize(means, dim=1) + name_weight * names, dim=1)
    cosines = vectors @ weights.T
    sums = torch.zeros(num_classes, vectors.shape[1]).index_add(0, labels, vectors)
    others = sums[labels] - vectors
    others[others.norm(dim=1) < ROUNDING] = 0.0  # nothing is left, and normalising would make noise of it
    own = functional.normalize(others, dim=1) + name_weight * names[labels]
    cosines[torch.arange(len(labels)), labels] = (vectors * functional.normalize(own, dim=1)).sum(dim=1)
    return cosines
