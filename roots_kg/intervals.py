"""How sure a number is: intervals over draws, over test examples, and of shares.

Each kind is for what varies: Student's t over repeated draws of the support set, the percentile bootstrap
over test examples where there is one draw, and Wilson's interval for a share of independent trials.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "CONFIDENCE",
    "RESAMPLES",
    "Estimate",
    "bootstrap",
    "over_draws",
    "percentiles",
    "t_quantile",
    "wilson",
]

CONFIDENCE = 0.95
RESAMPLES = 500
"""How often the test examples are drawn anew by the bootstrap."""

SURELY_ABOVE = 1e6
"""More than any quantile that is asked for; for one degree of freedom and 95% it is 12.7."""

Scores = dict[str, float]
Score = Callable[[Sequence[int]], Scores]


@dataclass(frozen=True)
class Estimate:
    """A number and the ends of its 95% interval."""

    value: float
    low: float
    high: float


def over_draws(values: Sequence[float]) -> Estimate:
    """Return the mean of repeated draws, and Student's interval: mean ± t · s / √n.

    Args:
        values: n numbers, at least one; of a single one, the interval is that number.
    """
    mean = float(np.mean(values))
    if len(values) < 2:
        return Estimate(mean, mean, mean)
    reach = t_quantile(len(values) - 1) * float(np.std(values, ddof=1)) / math.sqrt(len(values))
    return Estimate(mean, mean - reach, mean + reach)


def percentiles(value: float, resampled: NDArray[np.float64]) -> Estimate:
    """Return a number with the middle 95% of what resampling gave for it (Efron 1979)."""
    low, high = np.quantile(resampled, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    return Estimate(value, float(low), float(high))


def wilson(hits: int, trials: int) -> Estimate:
    """Return a share and its interval by the score test (Wilson 1927), which is sound near 0 and 1.

    Args:
        hits: how many trials came out so.
        trials: n, at least 1.
    """
    z, share = NormalDist().inv_cdf((1 + CONFIDENCE) / 2), hits / trials
    middle = (share + z * z / (2 * trials)) / (1 + z * z / trials)
    reach = z / (1 + z * z / trials) * math.sqrt(share * (1 - share) / trials + (z / (2 * trials)) ** 2)
    return Estimate(share, max(0.0, min(share, middle - reach)), min(1.0, max(share, middle + reach)))


def bootstrap(score: Score, members: Sequence[int], seed: int = 0) -> dict[str, NDArray[np.float64]]:
    """Judge test examples that are drawn anew, with replacement, `RESAMPLES` times.

    The same members and seed give the same draws, so that the difference of two results is one of pairs.

    Args:
        score: positions of examples to metrics; positions may be repeated.
        members: the positions to draw from, at least one.
        seed: of the draws.

    Returns:
        For each metric, (RESAMPLES,).
    """
    positions = np.asarray(members)
    generator = np.random.default_rng(seed)
    drawn = generator.integers(0, len(positions), (RESAMPLES, len(positions)))
    if len(positions) > RESAMPLES:  # then to judge each draw is less work than to judge each example
        rows = [score(positions[row].tolist()) for row in drawn]
        return {name: np.array([row[name] for row in rows]) for name in rows[0]}
    single = [score([position]) for position in positions.tolist()]
    each = {name: np.array([scores[name] for scores in single]) for name in single[0]}
    means = set(each)
    for probe in (np.arange(len(positions)), drawn[0], drawn[1]):
        for name, value in score(positions[probe].tolist()).items():
            if not math.isclose(each[name][probe].mean(), value, abs_tol=1e-6):
                means.discard(name)
    found = {name: each[name][drawn].mean(axis=1) for name in means}
    if means != each.keys():  # such as F1, which is no mean over examples
        rows = [score(positions[row].tolist()) for row in drawn]
        found.update({name: np.array([row[name] for row in rows]) for name in each.keys() - means})
    return {name: found[name] for name in each}


def t_quantile(degrees: int, confidence: float = CONFIDENCE) -> float:
    """Return t such that Student's variable with these degrees of freedom lies within ± t that often."""
    low, high = 0.0, SURELY_ABOVE
    for _ in range(100):
        middle = (low + high) / 2
        if _within(middle, degrees) < confidence:
            low = middle
        else:
            high = middle
    return high


def _within(t: float, degrees: int) -> float:
    """Return P(|T| ≤ t), by the series for whole degrees of freedom (Abramowitz and Stegun, 26.7.3-4)."""
    angle = math.atan(t / math.sqrt(degrees))
    cosine, sine = math.cos(angle), math.sin(angle)
    odd = degrees % 2
    term, total = (cosine if odd else 1.0), 0.0
    for step in range(1 + odd, degrees, 2):
        total += term
        term *= cosine * cosine * step / (step + 1)
    return 2 / math.pi * (angle + sine * total) if odd else sine * total
