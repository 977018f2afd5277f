import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from roots_kg.adaptation.calibration import (
    FOLDS,
    calibrate,
    calibration_error,
    folds,
    scope_auroc,
    scope_scores,
)


def sample(count, size, sharpness, seed=0):
    """Return logits and labels that are drawn from the probabilities which logits / sharpness give."""
    generator = torch.Generator().manual_seed(seed)
    logits = 2 * torch.randn(count, size, generator=generator)
    labels = torch.multinomial(logits.softmax(dim=1), 1, generator=generator).squeeze(1)
    return sharpness * logits, labels


@pytest.mark.parametrize("sharpness", [0.5, 1.0, 3.0])
def test_the_temperature_is_that_by_which_logits_are_too_sharp(sharpness):
    found = calibrate(*sample(4000, 5, sharpness), torch.zeros(4000))
    assert found.temperature == pytest.approx(sharpness, rel=0.12)
    assert found.threshold is None


def test_calibrated_probabilities_are_as_often_right_as_they_say():
    logits, labels = sample(4000, 5, 3.0)
    temperature = calibrate(logits[:2000], labels[:2000], torch.zeros(2000)).temperature

    def error(logits):
        chance, chosen = logits.softmax(dim=1).max(dim=1)
        return calibration_error(chance.tolist(), (chosen == labels[2000:]).tolist())

    assert error(logits[2000:] / temperature) < 0.04 < 0.1 < error(logits[2000:])


def test_a_few_examples_that_are_all_right_do_not_make_a_model_sure_of_everything():
    logits = torch.eye(4) * 3
    assert 0.5 < calibrate(logits, torch.arange(4), torch.zeros(4)).temperature < 1


def test_the_share_that_is_rejected_is_the_one_asked_for():
    logits, labels = sample(1000, 5, 1.0)
    common = torch.linspace(0, 3, 1000)
    found = calibrate(logits, labels, common, reject=0.1)
    rejected = scope_scores(logits / found.temperature, common / found.temperature) < found.threshold
    assert rejected.float().mean() == pytest.approx(0.1, abs=0.002)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(0, 3), min_size=1, max_size=40))
def test_folds_leave_out_each_example_once_and_deal_out_every_class(labels):
    found = [fold.tolist() for fold in folds(torch.tensor(labels))]
    assert sorted(number for fold in found for number in fold) == list(range(len(labels)))
    assert len(found) == min(FOLDS, len(labels))
    for label in set(labels):
        counts = [sum(labels[number] == label for number in fold) for fold in found]
        assert max(counts) - min(counts) <= 1


def test_of_many_examples_no_more_are_left_out_than_tell_enough():
    assert sum(len(fold) for fold in folds(torch.arange(6000) % 50)) == 1200


def test_the_calibration_error_is_the_gap_between_chance_and_share():
    assert calibration_error([0.9] * 10, [True] * 9 + [False]) == pytest.approx(0.0, abs=1e-9)
    assert calibration_error([0.9] * 10, [True] * 5 + [False] * 5) == pytest.approx(0.4)
    assert calibration_error([0.6] * 2 + [0.9] * 2, [True] * 4) == pytest.approx(0.25)
    assert calibration_error([], []) == 0.0


@settings(max_examples=50, deadline=None)
@given(
    st.lists(st.integers(0, 5), min_size=1, max_size=12), st.lists(st.integers(0, 5), min_size=1, max_size=12)
)
def test_the_auroc_is_the_share_of_pairs_in_the_right_order(inside, outside):
    pairs = [(one > other) + 0.5 * (one == other) for one in inside for other in outside]
    assert scope_auroc(inside, outside) == pytest.approx(sum(pairs) / len(pairs))
