"""Every number is held against the sum, the best or the share among all segmentations, written out."""

import pytest
import torch

from roots_kg.adaptation.segmentation import (
    NEVER,
    best_segmentations,
    log_partition,
    segment_probabilities,
)


def scores(length, longest, seed):
    """Return scores of one sequence; what would reach beyond its end cannot be."""
    generator = torch.Generator().manual_seed(seed)
    segments = torch.randn(1, length, longest, generator=generator, dtype=torch.double)
    for start in range(length):
        segments[0, start, length - start :] = NEVER
    return segments, torch.randn(1, length, generator=generator, dtype=torch.double)


def every(length, longest):
    """Yield every segmentation as its segments."""
    if not length:
        yield []
        return
    for rest in every(length - 1, longest):
        yield rest
    for size in range(1, min(length, longest) + 1):
        for rest in every(length - size, longest):
            yield [*rest, (length - size, length)]


def score(segmentation, segments, outside):
    inside = {unit for first, after in segmentation for unit in range(first, after)}
    alone = sum(outside[0, unit] for unit in range(outside.shape[1]) if unit not in inside)
    return (
        sum((segments[0, first, after - first - 1] for first, after in segmentation), torch.zeros(())) + alone
    )


@pytest.mark.parametrize(("length", "longest"), [(1, 1), (1, 3), (4, 1), (5, 3), (6, 6)])
def test_sums_shares_and_the_best_are_those_of_all_segmentations(length, longest):
    segments, outside = scores(length, longest, seed=length)
    ways = list(every(length, longest))
    values = torch.stack([score(way, segments, outside) for way in ways])
    assert log_partition(segments, outside).item() == pytest.approx(values.logsumexp(0).item())
    assert best_segmentations(segments, outside) == [ways[int(values.argmax())]]
    shares, found = values.softmax(0), segment_probabilities(segments, outside)
    for first in range(length):
        for size in range(1, min(longest, length - first) + 1):
            there = torch.tensor([(first, first + size) in way for way in ways])
            assert found[0, first, size - 1].item() == pytest.approx(shares[there].sum().item())


def test_gradients_are_those_of_finite_differences():
    segments, outside = scores(5, 3, seed=1)
    segments = segments.clamp_min(-5)
    segments.requires_grad_(), outside.requires_grad_()
    assert torch.autograd.gradcheck(log_partition, (segments, outside))


def test_padding_changes_nothing():
    segments, outside = scores(4, 2, seed=2)
    longer = torch.cat([segments, torch.full((1, 3, 2), NEVER, dtype=torch.double)], dim=1)
    alone = torch.cat([outside, torch.zeros(1, 3, dtype=torch.double)], dim=1)
    assert torch.equal(log_partition(longer, alone), log_partition(segments, outside))
    assert best_segmentations(longer, alone) == best_segmentations(segments, outside)


def test_a_sequence_of_no_units_has_one_segmentation():
    nothing = torch.zeros(1, 0, 2), torch.zeros(1, 0)
    assert log_partition(*nothing).tolist() == [0.0]
    assert best_segmentations(*nothing) == [[]]
