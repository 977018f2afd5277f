"""Scores of labelled spans from features of words, and the model of segmentations that they make."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from roots_kg.adaptation.segmentation import (
    NEVER,
    best_segmentations,
    log_partition,
    segment_probabilities,
)

__all__ = ["FoundSpan", "Segment", "SpanScorer"]

Segment = tuple[int, int, int]
"""The first word of a span, the one after its last, and the number of its label."""

ROLES = ("inside", "first", "last", "before", "after")
"""The places of a word in a span, or beside it, that have weights of their own."""

SCALE = 8.0
"""What the products of features and weights are multiplied by to become scores."""

SCORES_TOGETHER = 2_000_000
"""How many scores of spans are held at a time."""

LENGTH_REGULARISATION = 1e-4
"""The weight of the squared scores of lengths; they are few, and every span tells of them."""


@dataclass(frozen=True)
class FoundSpan:
    """A span of the most probable segmentation.

    Args:
        segment: the span.
        probability: that it is one, and has that label, whatever the others are.
    """

    segment: Segment
    probability: float


class SpanScorer(nn.Module):
    """Scores of all spans, and the probability of every way to choose some that do not overlap.

    The score of a span from word i to word j with the label k is

        Σ_t x_t·w(k, inside) / √length + x_i·w(k, first) + x_j·w(k, last)
        + x_{i−1}·w(k, before) + x_{j+1}·w(k, after) + b(k, length),

    with w(k, role) = u(role) + v(k, role): what all spans have in common, and so is learned from all of them,
    and what is the label's own, both held to zero (Evgeniou and Pontil 2004, "Regularized multi-task
    learning"). A word outside of all spans scores x_t·o + b. The features x are centred; their sum inside a
    span pools the span. See `roots_kg.adaptation.segmentation` for the probabilities.

    Args:
        size: D, the number of features of a word.
        labels: K.
        longest: L, the length of the longest span in words.
    """

    centre: Tensor

    def __init__(self, size: int, labels: int, longest: int) -> None:
        super().__init__()
        self.size, self.labels, self.longest = size, labels, longest
        self.own = nn.Parameter(torch.zeros(len(ROLES), size, labels))
        self.common = nn.Parameter(torch.zeros(len(ROLES), size))
        self.outside = nn.Parameter(torch.zeros(size))
        self.length = nn.Parameter(torch.zeros(longest, labels))
        self.bias = nn.Parameter(torch.zeros(()))
        self.register_buffer("centre", torch.zeros(size))

    def forward(self, texts: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        """Score the spans of texts.

        Args:
            texts: the features of the words of each text, (W, D).

        Returns:
            The score of each span by its first word and its length less one, (B, T, L, K), and of each word
            to be outside, (B, T), where T is the length of the longest text; see `segmentation` on padding.
        """
        lengths = torch.tensor([len(words) for words in texts], dtype=torch.long)
        total = int(lengths.max()) if len(texts) else 0
        centred = [functional.pad(words - self.centre, (0, 0, 0, total - len(words))) for words in texts]
        words = torch.stack(centred) if centred else self.centre.new_zeros(0, 0, self.size)
        weights = SCALE * (self.own + self.common[:, :, None])
        roles = torch.einsum("btd,rdk->rbtk", words, weights)
        outside = SCALE * (words @ self.outside) + self.bias
        real = torch.arange(total) < lengths[:, None]
        return self._spans(roles, lengths), torch.where(real, outside, 0.0)

    def loss(self, texts: Sequence[Tensor], gold: Sequence[Sequence[Segment]]) -> Tensor:
        """Return −ln p of the right segmentations, summed over the texts.

        Args:
            texts: as in `forward`.
            gold: the right spans of each text; words of those that are longer than L count as outside.
        """
        segments, outside = self(texts)
        total = log_partition(segments.logsumexp(dim=3), outside)
        return (total - self._score(segments, outside, gold)).sum()

    @torch.no_grad()
    def log_probabilities(self, texts: Sequence[Tensor], spans: Sequence[Sequence[Segment]]) -> list[float]:
        """Return ln p of one segmentation of each text."""
        result = [0.0] * len(texts)
        for part in self._parts(texts):
            segments, outside = self([texts[index] for index in part])
            total = log_partition(segments.logsumexp(dim=3), outside)
            score = self._score(segments, outside, [spans[index] for index in part])
            for index, value in zip(part, (score - total).tolist(), strict=True):
                result[index] = min(value, 0.0)
        return result

    @torch.no_grad()
    def best(self, texts: Sequence[Tensor]) -> list[list[FoundSpan]]:
        """Return the spans of the most probable segmentation of each text, in their order."""
        result: list[list[FoundSpan]] = [[] for _ in texts]
        for part in self._parts(texts):
            segments, outside = self([texts[index] for index in part])
            best, labels = segments.max(dim=3)
            found = best_segmentations(best, outside)
            summed = segments.logsumexp(dim=3)
            shares = segment_probabilities(summed, outside) * (best - summed).exp()
            for row, index in enumerate(part):
                for first, after in found[row]:
                    place = row, first, after - first - 1
                    share = min(float(shares[place]), 1.0)
                    result[index].append(FoundSpan((first, after, int(labels[place])), share))
        return result

    def fit(
        self, texts: Sequence[Tensor], gold: Sequence[Sequence[Segment]], regularisation: float, steps: int
    ) -> None:
        """Minimise the mean loss of a word by L-BFGS.

        Args:
            texts: as in `forward`; their mean becomes the centre.
            gold: as in `loss`.
            regularisation: the weight of the squared weights.
            steps: the most steps.
        """
        self.centre.copy_(torch.cat(list(texts)).mean(dim=0))
        count = sum(map(len, texts))
        optimizer = torch.optim.LBFGS(self.parameters(), max_iter=steps, line_search_fn="strong_wolfe")

        def closure() -> Tensor:
            optimizer.zero_grad()
            total = self.penalty(regularisation)
            total.backward()  # type: ignore[no-untyped-call]
            total = total.detach()
            for part in self._parts(texts):
                loss = self.loss([texts[index] for index in part], [gold[index] for index in part]) / count
                loss.backward()  # type: ignore[no-untyped-call]
                total = total + loss.detach()
            return total

        with torch.enable_grad():
            optimizer.step(closure)  # type: ignore[no-untyped-call]

    def penalty(self, regularisation: float) -> Tensor:
        """Return the weighted squares of the weights."""
        squares = self.own.square().sum() + self.common.square().sum() + self.outside.square().sum()
        return regularisation * squares + LENGTH_REGULARISATION * self.length.square().sum()

    def _spans(self, roles: Tensor, lengths: Tensor) -> Tensor:
        """Put the scores of words in their roles together: (5, B, T, K) to (B, T, L, K)."""
        inside, first, last, before, after = roles
        batch, total, labels = inside.shape
        summed = functional.pad(inside.cumsum(dim=1), (0, 0, 1, 0))
        begin = first + functional.pad(before, (0, 0, 1, 0))[:, :-1]
        end = last + functional.pad(after, (0, 0, 0, 1))[:, 1:]
        columns = []
        for size in range(1, self.longest + 1):
            if size > total:
                columns.append(inside.new_full((batch, total, labels), NEVER))
                continue
            pooled = (summed[:, size:] - summed[:, :-size]) / size**0.5
            score = pooled + begin[:, : total - size + 1] + end[:, size - 1 :] + self.length[size - 1]
            columns.append(functional.pad(score, (0, 0, 0, size - 1), value=NEVER))
        scores = torch.stack(columns, dim=2)
        ends = torch.arange(total)[:, None] + torch.arange(1, self.longest + 1)
        return torch.where((ends <= lengths[:, None, None])[..., None], scores, NEVER)

    def _score(self, segments: Tensor, outside: Tensor, gold: Sequence[Sequence[Segment]]) -> Tensor:
        """Return the score of one segmentation of each text, (B,)."""
        alone = torch.ones(outside.shape, dtype=torch.bool)
        places = []
        for row, spans in enumerate(gold):
            for first, after, label in spans:
                if after - first <= self.longest:
                    places.append((row, first, after - first - 1, label))
                    alone[row, first:after] = False
        score = (outside * alone).sum(dim=1)
        if not places:
            return score
        index = torch.tensor(places).unbind(dim=1)
        return score.index_add(0, index[0], segments[index])

    def _parts(self, texts: Sequence[Tensor]) -> Iterator[list[int]]:
        """Yield the indices of texts of like length, as many as are scored together."""
        part: list[int] = []
        for index in sorted(range(len(texts)), key=lambda index: -len(texts[index])):
            longest = len(texts[part[0]]) if part else len(texts[index])
            if part and (len(part) + 1) * longest * self.longest * self.labels > SCORES_TOGETHER:
                yield part
                part = []
            part.append(index)
        if part:
            yield part
