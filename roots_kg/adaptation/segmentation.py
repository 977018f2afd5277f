"""Semi-Markov conditional random fields: which segmentation of a sequence is how probable.

A segmentation cuts T units into segments with a label, of at most L units each, and single units that are
outside of all. Its score is the sum of theirs, and p(segmentation) = exp(score − log Z), with log Z over all
segmentations (Sarawagi and Cohen 2004, "Semi-Markov conditional random fields for information extraction").
Labels of neighbours do not look at each other, so that Z takes T · L steps, whatever the number of labels.

Scores come padded to one T: units behind the end are outside with a score of zero, and every segment that
holds one scores `NEVER`. So padding changes nothing, to the bit.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

__all__ = ["NEVER", "best_segmentations", "log_partition", "segment_probabilities"]

NEVER = -1e4
"""The score of what cannot be; finite, so that its gradient is zero and not undefined."""


def log_partition(segments: Tensor, outside: Tensor) -> Tensor:
    """Return log Z, (B,); it has gradients, by the forward-backward algorithm, and no second ones.

    Args:
        segments: (B, T, L), the score of the segment of l + 1 units that starts with unit t, its labels
            summed up by logsumexp.
        outside: (B, T), the score of each unit outside of all segments.
    """
    result: Tensor = _LogPartition.apply(segments, outside)  # type: ignore[no-untyped-call]
    return result


def segment_probabilities(segments: Tensor, outside: Tensor) -> Tensor:
    """Return the probability that a segmentation has each segment, (B, T, L); arguments as above."""
    return _forward_backward(segments, outside)[1]


@torch.no_grad()
def best_segmentations(segments: Tensor, outside: Tensor) -> list[list[tuple[int, int]]]:
    """Return the segments of the best segmentation of each sequence, as (first unit, unit after the last).

    Args:
        segments: (B, T, L), scores, of the best label of each.
        outside: (B, T).
    """
    batch, length, longest = segments.shape
    ending = _by_end(segments)
    best = outside.new_zeros(batch)
    window = outside.new_full((batch, longest), NEVER)
    choices = []
    for unit in range(length):
        window = torch.cat([best[:, None], window[:, :-1]], dim=1)
        options = torch.cat([(best + outside[:, unit])[:, None], window + ending[:, unit]], dim=1)
        best, choice = options.max(dim=1)
        choices.append(choice)
    if not choices:
        return [[] for _ in range(batch)]
    result = []
    for chosen in torch.stack(choices, dim=1).tolist():
        end, found = length, []
        while end > 0:
            size = chosen[end - 1]
            if size:
                found.append((end - size, end))
            end -= max(size, 1)
        result.append(found[::-1])
    return result


class _LogPartition(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, segments: Tensor, outside: Tensor) -> Tensor:
        total, inside, alone = _forward_backward(segments, outside)
        ctx.save_for_backward(inside, alone)
        return total

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor]:
        inside, alone = ctx.saved_tensors
        return gradient[:, None, None] * inside, gradient[:, None] * alone


@torch.no_grad()
def _forward_backward(segments: Tensor, outside: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return log Z, (B,), the probability of each segment, (B, T, L), and of each unit to be outside."""
    dtype = segments.dtype
    starting, alone = segments.double(), outside.double()
    batch, length, longest = starting.shape
    ending = _by_end(starting)
    before, after = [alone.new_zeros(batch)], [alone.new_zeros(batch)]
    window = alone.new_full((batch, longest), NEVER)
    for unit in range(length):
        window = torch.cat([before[-1][:, None], window[:, :-1]], dim=1)
        options = torch.cat([(before[-1] + alone[:, unit])[:, None], window + ending[:, unit]], dim=1)
        before.append(options.logsumexp(dim=1))
    window = alone.new_full((batch, longest), NEVER)
    for unit in range(length - 1, -1, -1):
        window = torch.cat([after[-1][:, None], window[:, :-1]], dim=1)
        options = torch.cat([(after[-1] + alone[:, unit])[:, None], window + starting[:, unit]], dim=1)
        after.append(options.logsumexp(dim=1))
    total = before[-1]
    left, right = torch.stack(before, dim=1), torch.stack(after[::-1], dim=1)
    rest = _followed(right, longest - 1)
    follow = rest[:, 1:].unfold(1, longest, 1) if length else starting.new_zeros(batch, 0, longest)
    inside = (left[:, :-1, None] + starting + follow - total[:, None, None]).exp()
    apart = (left[:, :-1] + alone + right[:, 1:] - total[:, None]).exp()
    return total.to(dtype), inside.to(dtype), apart.to(dtype)


def _followed(scores: Tensor, width: int) -> Tensor:
    """Append `width` columns of what cannot be to (B, T)."""
    return torch.cat([scores, scores.new_full((len(scores), width), NEVER)], dim=1)


def _by_end(segments: Tensor) -> Tensor:
    """Turn scores by first unit into scores by last unit: (B, T, L) to (B, T, L)."""
    result = torch.full_like(segments, NEVER)
    for size in range(min(segments.shape[1:])):
        result[:, size:, size] = segments[:, : segments.shape[1] - size, size]
    return result
