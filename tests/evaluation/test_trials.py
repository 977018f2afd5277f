from types import SimpleNamespace

import numpy as np
import pytest

from roots_kg.evaluation.trials import Trial, difference, estimate


def trial(predicted, right):
    """Return a trial of a head that is judged by accuracy."""

    def judge(predictions, targets):
        return {"accuracy": float(np.mean([p == t for p, t in zip(predictions, targets, strict=True)]))}

    head = SimpleNamespace(judge=judge, task=SimpleNamespace(metrics=()), default_metrics=("accuracy",))
    return Trial(head, predicted, right)


def test_several_draws_are_averaged_and_each_counts_its_own_members():
    trials = [trial("aabb", "aaaa"), trial("aaaa", "aaaa")]
    assert estimate(trials, [range(4), range(4)])["accuracy"].value == 0.75
    assert estimate(trials, [[0, 1], [3]])["accuracy"].value == 1
    assert estimate(trials, [[2], []])["accuracy"].value == 0
    assert estimate(trials, [[], []]) is None


def test_a_single_draw_has_an_interval_over_its_examples():
    found = estimate([trial("a" * 80 + "b" * 20, "a" * 100)], [range(100)])["accuracy"]
    assert found.value == pytest.approx(0.8)
    assert 0.68 < found.low < 0.76 < 0.84 < found.high < 0.92


def test_a_difference_is_one_of_pairs():
    right, better = "a" * 100, "a" * 80 + "b" * 20
    worse = "b" * 10 + better[10:]
    found = difference([trial(better, right)], [trial(worse, right)], [range(100)])["accuracy"]
    assert found.value == pytest.approx(0.1)
    assert found.low > 0.03  # unpaired, it would reach below zero
    same = difference([trial(better, right)], [trial(better, right)], [range(100)])["accuracy"]
    assert (same.value, same.low, same.high) == (0, 0, 0)


def test_a_difference_over_draws_takes_draw_from_draw():
    ours = [trial("aaab", "aaaa"), trial("aabb", "aaaa")]
    theirs = [trial("aabb", "aaaa"), trial("abbb", "aaaa")]
    found = difference(ours, theirs, [range(4)] * 2)["accuracy"]
    assert (found.value, found.low, found.high) == (0.25, 0.25, 0.25)
    assert difference(ours, theirs, [[], []]) is None


def test_what_could_not_be_adapted_counts_as_zero():
    found = estimate([trial(None, ""), trial("aaaa", "aaaa")], [range(4)] * 2)["accuracy"]
    assert found.value == 0.5
