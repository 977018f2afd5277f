"""What every augmentation promises, checked for each in the registry; a new one needs a sample here."""

from dataclasses import dataclass

import pytest
import torch
from torch.nn import functional

from roots_kg.fusion.augmentation import AUGMENTATIONS, Linked, make_augmentation


@dataclass(frozen=True)
class Sample:
    """What is true of an augmentation.

    Args:
        adds: whether it makes virtual examples.
        swaps: whether their vectors are those of other examples.
    """

    adds: bool = True
    swaps: bool = False


SAMPLES = {
    "none": Sample(adds=False),
    "noise": Sample(),
    "mix": Sample(),
    "fgm": Sample(),
    "generator": Sample(),
    "counterfactual": Sample(swaps=True),
}
SIZE, LABELS = 8, 3
TABLE = torch.randn(30, SIZE, generator=torch.Generator().manual_seed(0))
WEIGHT = torch.randn(SIZE, LABELS, generator=torch.Generator().manual_seed(1))


def loss(examples):
    return functional.cross_entropy(examples.vectors @ WEIGHT, examples.targets)


def linked(count=9):
    ids = torch.arange(count)
    return Linked(TABLE[ids].clone(), ids % LABELS, entity_ids=ids)


@pytest.fixture(params=sorted(AUGMENTATIONS))
def name(request):
    assert request.param in SAMPLES, f"add a sample for the augmentation {request.param!r} to this file"
    return request.param


def test_every_augmentation_has_a_sample():
    assert SAMPLES.keys() == AUGMENTATIONS.keys()


@pytest.mark.parametrize("table", [TABLE, None], ids=["table", "batch"])
def test_there_are_as_many_virtual_examples_finite_and_without_a_gradient(name, table):
    virtual = make_augmentation(name, table).virtual(linked(), loss)
    assert (virtual is not None) == SAMPLES[name].adds
    if virtual is not None:
        assert virtual.vectors.shape == linked().vectors.shape
        assert virtual.targets.shape == linked().targets.shape
        assert virtual.vectors.isfinite().all()
        assert not virtual.vectors.requires_grad
        assert not torch.equal(virtual.vectors, linked().vectors)


def test_targets_move_only_where_it_says_so(name):
    virtual = make_augmentation(name, TABLE).virtual(linked(), loss)
    if virtual is not None:
        assert AUGMENTATIONS[name].moves_targets == (not torch.equal(virtual.targets, linked().targets))
        assert AUGMENTATIONS[name].moves_targets == SAMPLES[name].swaps
        known = (torch.cdist(virtual.vectors, linked().vectors) < 1e-4).any(dim=1)
        assert known.all() if SAMPLES[name].swaps else not known.any()


def test_the_examples_themselves_stay_what_they_are(name):
    given = linked()
    make_augmentation(name, TABLE).virtual(given, loss)
    assert torch.equal(given.vectors, linked().vectors)
    assert not given.vectors.requires_grad


def test_one_seed_gives_one_result(name):
    first, second = (make_augmentation(name, TABLE, seed=3).virtual(linked(), loss) for _ in range(2))
    if first is not None:
        assert torch.equal(first.vectors, second.vectors)
        assert torch.equal(first.targets, second.targets)


def test_an_example_without_a_link_stays_as_it_is(name):
    given = linked()
    given.vectors[4] = 0
    virtual = make_augmentation(name).virtual(given, loss)
    if virtual is not None:
        assert not virtual.vectors[4].any()
        assert virtual.targets[4] == given.targets[4]


def test_a_single_example_is_no_error(name):
    virtual = make_augmentation(name).virtual(linked(1), loss)
    if virtual is not None:
        assert torch.equal(virtual.vectors, linked(1).vectors)


def test_it_works_where_gradients_are_off(name):
    with torch.no_grad():
        virtual = make_augmentation(name, TABLE).virtual(linked(), loss)
    assert (virtual is not None) == SAMPLES[name].adds
