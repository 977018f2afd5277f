"""Episodes: small tasks drawn from larger ones, N classes with K support examples and a few queries each.

A pool is a task to draw from: labels, each with the examples that have it. Episodes are drawn without
replacement: labels go through a shuffled list before any comes again, and so do the examples of each label.
All of it follows from a seed, so that the episodes of a step are the same whenever it is run.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from roots_kg.errors import DataError

__all__ = ["Draw", "EpisodeConfig", "EpisodeSampler", "Pool", "held_out", "make_pool"]

Ids = NDArray[np.int64]

FEWEST = 2
"""An episode has at least two classes."""


@dataclass(frozen=True)
class EpisodeConfig:
    """How episodes are made.

    Args:
        way: N, how many classes; one is drawn for all episodes of a step, and less is taken where a pool has
            less.
        shots: K, how many support examples a class, likewise.
        examples: how many examples a class has in all; those that are no support are its queries.
    """

    way: tuple[int, ...] = (5, 10)
    shots: tuple[int, ...] = (1, 5)
    examples: int = 10

    def __post_init__(self) -> None:
        if not self.way or min(self.way) < FEWEST:
            raise ValueError(f"way needs numbers of classes, at least {FEWEST}, found {list(self.way)}")
        if not self.shots or not 1 <= min(self.shots) <= max(self.shots) < self.examples:
            raise ValueError(
                f"shots needs numbers from 1 to below examples, {self.examples}, found {list(self.shots)}"
            )


@dataclass(frozen=True, eq=False)
class Pool:
    """A task to draw episodes from.

    Args:
        name: what it is called.
        labels: its labels; only those with enough examples.
        members: for each label, the numbers of the examples that have it.
        skipped: how many labels had too few examples.
    """

    name: str
    labels: tuple[str, ...]
    members: tuple[Ids, ...]
    skipped: int = 0

    def of(self, labels: Sequence[int]) -> Pool:
        """Return the pool with some of its labels."""
        return Pool(
            self.name,
            tuple(self.labels[label] for label in labels),
            tuple(self.members[label] for label in labels),
            self.skipped,
        )


@dataclass(frozen=True, eq=False)
class Draw:
    """One episode, as numbers of examples.

    Args:
        pool: the number of the pool.
        classes: (N,), the places of its labels among those of the pool.
        support: (N, K).
        query: (N, Q).
    """

    pool: int
    classes: Ids
    support: Ids
    query: Ids


def make_pool(name: str, labels: Sequence[str], examples: int, first: int = 0) -> Pool:
    """Return a pool of labelled examples.

    Args:
        name: what it is called.
        labels: the label of each example.
        examples: labels with fewer examples are skipped, and counted.
        first: the number of the first example.
    """
    by_label: dict[str, list[int]] = {}
    for number, label in enumerate(labels, start=first):
        by_label.setdefault(label, []).append(number)
    kept = {label: numbers for label, numbers in sorted(by_label.items()) if len(numbers) >= examples}
    members = tuple(np.array(numbers, dtype=np.int64) for numbers in kept.values())
    return Pool(name, tuple(kept), members, len(by_label) - len(kept))


def held_out(pools: Sequence[Pool], share: float, seed: int) -> tuple[list[Pool], list[Pool]]:
    """Part pools into those to learn from and those to judge by, which have no label in common.

    Of each pool a share of its labels is held out, at least two; a pool that has too few for that is held
    out or kept as a whole, at that rate.

    Args:
        pools: the pools.
        share: of the labels, from 0 to below 1; 0 holds out nothing.
        seed: of the choice.
    """
    generator = np.random.default_rng(seed)
    kept: list[Pool] = []
    out: list[Pool] = []
    for pool in pools:
        count = len(pool.labels)
        order = generator.permutation(count)
        away = max(FEWEST, round(share * count)) if share else 0
        if share and count - away < max(FEWEST, away):
            away = count if generator.random() < share else 0
        for part, chosen in ((out, order[:away]), (kept, order[away:])):
            if len(chosen) >= FEWEST:
                part.append(pool.of(sorted(chosen.tolist())))
    return kept, out


class EpisodeSampler:
    """Draws the episodes of one step after the other.

    Args:
        pools: where from.
        config: how.
        seed: of all draws.
        weights: how often each pool is drawn from; by default as often as it has labels.

    Raises:
        DataError: if no pool has two labels.
    """

    def __init__(
        self, pools: Sequence[Pool], config: EpisodeConfig, seed: int, weights: Sequence[float] | None = None
    ) -> None:
        self.pools, self.config, self.seed = list(pools), config, seed
        if not any(len(pool.labels) >= FEWEST for pool in self.pools):
            raise DataError(
                f"there are no {FEWEST} labels with {config.examples} examples or more to draw episodes from",
                hint="give more examples, or lower `examples` in the config",
            )
        sizes = np.array([len(pool.labels) for pool in self.pools], dtype=float)
        self._weights = np.array(sizes if weights is None else weights, dtype=float) * (sizes >= FEWEST)
        self._weights /= self._weights.sum()
        self._steps, self._done = self._draws(), 0
        self._count = 1

    def step(self, number: int, count: int) -> list[Draw]:
        """Return `count` episodes of the step `number`, all of one way and one number of shots."""
        if number < self._done or count != self._count:
            self._steps, self._done, self._count = self._draws(), 0, count
        while self._done < number:
            next(self._steps)
            self._done += 1
        self._done += 1
        return next(self._steps)

    def _draws(self) -> Iterator[list[Draw]]:
        generator = np.random.default_rng(self.seed)
        labels = [_Cycle(np.arange(len(pool.labels)), generator) for pool in self.pools]
        members: Mapping[tuple[int, int], _Cycle] = {
            (place, label): _Cycle(numbers, generator)
            for place, pool in enumerate(self.pools)
            for label, numbers in enumerate(pool.members)
        }
        while True:
            chosen = generator.choice(len(self.pools), size=self._count, p=self._weights).tolist()
            way = int(generator.choice(self.config.way))
            way = min([way, *(len(self.pools[place].labels) for place in chosen)])
            shots = int(generator.choice(self.config.shots))
            drawn = []
            for place in chosen:
                classes = labels[place].take(way)
                examples = np.stack(
                    [members[place, label].take(self.config.examples) for label in classes.tolist()]
                )
                drawn.append(Draw(place, classes, examples[:, :shots], examples[:, shots:]))
            yield drawn


class _Cycle:
    """Goes through numbers in a shuffled order, then in another one, and never gives one twice at a time."""

    def __init__(self, numbers: Ids, generator: np.random.Generator) -> None:
        self._numbers, self._generator = numbers, generator
        self._left = numbers[:0]

    def take(self, count: int) -> Ids:
        """Return `count` different numbers."""
        taken = self._left[:count]
        self._left = self._left[count:]
        if len(taken) < count:
            order = self._generator.permutation(self._numbers)
            new = order[~np.isin(order, taken)]
            more, rest = new[: count - len(taken)], new[count - len(taken) :]
            repeated = order[np.isin(order, taken)]
            self._left = self._generator.permutation(np.concatenate([rest, repeated]))
            taken = np.concatenate([taken, more])
        return taken
