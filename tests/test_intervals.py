import numpy as np
import pytest

from roots_kg.intervals import (
    RESAMPLES,
    bootstrap,
    over_draws,
    percentiles,
    t_quantile,
    wilson,
)


@pytest.mark.parametrize(
    ("degrees", "quantile"), [(1, 12.7062), (2, 4.3027), (3, 3.1824), (4, 2.7764), (9, 2.2622), (199, 1.9720)]
)
def test_quantiles_are_those_of_the_tables(degrees, quantile):
    assert t_quantile(degrees) == pytest.approx(quantile, abs=1e-4)


def test_the_interval_over_draws_is_the_mean_plus_and_minus_t_standard_errors():
    found = over_draws([1, 2, 3, 4, 5])
    reach = 2.7764 * 2.5**0.5 / 5**0.5
    assert (found.value, found.low, found.high) == pytest.approx((3, 3 - reach, 3 + reach), abs=1e-4)


def test_draws_that_agree_have_no_spread_and_one_draw_has_none_either():
    assert over_draws([0.5, 0.5, 0.5]).low == over_draws([0.5]).high == 0.5


@pytest.mark.parametrize(
    ("hits", "trials", "ends"),
    [(0, 10, (0.0, 0.2775)), (10, 10, (0.7225, 1.0)), (9, 10, (0.5958, 0.9821)), (50, 100, (0.4038, 0.5962))],
)
def test_the_interval_of_a_share_is_wilsons(hits, trials, ends):
    found = wilson(hits, trials)
    assert found.value == hits / trials
    assert (found.low, found.high) == pytest.approx(ends, abs=1e-4)


def test_percentiles_leave_two_and_a_half_percent_on_each_side():
    found = percentiles(0.5, np.linspace(0, 1, 1001))
    assert (found.low, found.high) == pytest.approx((0.025, 0.975))


def test_the_bootstrap_of_a_mean_does_not_judge_every_resample():
    right = np.array([1.0, 0, 1, 1, 0, 1, 1, 1, 0, 1] * 10)
    calls = []

    def score(positions):
        calls.append(len(positions))
        return {"accuracy": float(right[list(positions)].mean())}

    resampled = bootstrap(score, range(100))["accuracy"]
    assert len(calls) < 110
    assert resampled.shape == (RESAMPLES,)
    assert resampled.std() == pytest.approx((0.7 * 0.3 / 100) ** 0.5, rel=0.15)


def test_of_many_examples_each_resample_is_judged_and_no_single_one():
    right = np.arange(2 * RESAMPLES) % 10 > 2
    calls = []

    def score(positions):
        calls.append(len(positions))
        return {"accuracy": float(right[list(positions)].mean())}

    resampled = bootstrap(score, range(len(right)))["accuracy"]
    assert calls == [len(right)] * RESAMPLES
    assert resampled.mean() == pytest.approx(0.7, abs=0.01)


def test_the_bootstrap_of_what_is_no_mean_judges_every_resample():
    values = np.arange(20.0)

    def score(positions):
        chosen = values[list(positions)]
        return {"largest": float(chosen.max()), "mean": float(chosen.mean())}

    resampled = bootstrap(score, range(20))
    assert list(resampled) == ["largest", "mean"]
    assert 10 < resampled["largest"].min() < resampled["largest"].max() == 19


def test_resamples_hold_members_only_and_are_the_same_for_all_who_are_judged():
    values = np.arange(10.0)
    first = bootstrap(lambda positions: {"mean": float(values[list(positions)].mean())}, [2, 3])
    second = bootstrap(lambda positions: {"mean": float(values[list(positions)].mean()) + 1}, [2, 3])
    assert set(first["mean"]) == {2.0, 2.5, 3.0}
    assert np.allclose(second["mean"] - first["mean"], 1)
