from collections import Counter
from itertools import islice

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from roots_kg.adaptation.episodes import EpisodeConfig, EpisodeSampler, held_out, make_pool
from roots_kg.errors import DataError

CONFIG = EpisodeConfig(way=(2, 3), shots=(1, 2), examples=4)


def pool_of(labels, each=6, name="pool", first=0):
    return make_pool(name, [label for label in labels for _ in range(each)], 4, first)


def plain(draws):
    return [(d.pool, d.classes.tolist(), d.support.tolist(), d.query.tolist()) for d in draws]


def test_labels_with_too_few_examples_are_skipped_and_counted():
    pool = make_pool("mail", ["a", "b", "a", "c", "a", "b"], examples=2, first=10)
    assert (pool.labels, pool.skipped) == (("a", "b"), 1)
    assert [members.tolist() for members in pool.members] == [[10, 12, 14], [11, 15]]


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32), st.integers(1, 4), st.integers(2, 7))
def test_an_episode_has_distinct_classes_and_distinct_examples_of_them(seed, count, labels):
    pools = [pool_of("abcdefg"[:labels]), pool_of("xyz", name="other", first=100)]
    sampler = EpisodeSampler(pools, CONFIG, seed)
    for step in range(6):
        draws = sampler.step(step, count)
        assert len({draw.support.shape for draw in draws}) == 1
        for draw in draws:
            way, shots = draw.support.shape
            assert way in (2, 3)
            assert shots in (1, 2)
            assert draw.query.shape == (way, 4 - shots)
            assert len(set(draw.classes.tolist())) == way
            together = np.concatenate([draw.support, draw.query], axis=1)
            assert len(np.unique(together)) == together.size
            for label, members in zip(draw.classes.tolist(), together, strict=True):
                assert set(members.tolist()) <= set(pools[draw.pool].members[label].tolist())


def test_every_label_and_every_example_comes_once_before_any_comes_twice():
    sampler = EpisodeSampler([pool_of("abcd", each=8)], EpisodeConfig((2,), (1,), 4), 0)
    draws = [sampler.step(step, 1)[0] for step in range(4)]
    assert Counter(label for draw in draws[:2] for label in draw.classes.tolist()) == Counter(range(4))
    taken = Counter(n for draw in draws for part in (draw.support, draw.query) for n in part.ravel().tolist())
    assert taken == Counter(range(32))


def test_the_episodes_of_a_step_follow_from_the_seed_whenever_they_are_drawn():
    pools = [pool_of("abcd"), pool_of("xyz", name="other", first=100)]
    through = [
        plain(sampler.step(step, 3)) for sampler in [EpisodeSampler(pools, CONFIG, 5)] for step in range(9)
    ]
    late = EpisodeSampler(pools, CONFIG, 5)
    assert plain(late.step(7, 3)) == through[7]
    assert plain(late.step(2, 3)) == through[2]
    assert plain(EpisodeSampler(pools, CONFIG, 6).step(7, 3)) != through[7]


def test_a_step_takes_fewer_classes_where_a_pool_has_fewer():
    sampler = EpisodeSampler([pool_of("abc")], EpisodeConfig((20,), (1,), 4), 0)
    assert all(len(draw.classes) == 3 for draw in sampler.step(0, 5))


def test_weights_say_which_pools_are_drawn_from():
    pools = [pool_of("abcd"), pool_of("xyz", name="other"), pool_of("q", name="one label")]
    never = EpisodeSampler(pools, CONFIG, 0, [1.0, 0.0, 1.0])
    assert {draw.pool for step in range(5) for draw in never.step(step, 4)} == {0}


def test_pools_without_two_labels_are_refused():
    with pytest.raises(DataError, match="no 2 labels with 4 examples"):
        EpisodeSampler([pool_of("a")], CONFIG, 0)


def test_labels_are_held_out_that_nothing_is_learned_from():
    kept, out = held_out([pool_of("abcdefghij")], 0.3, seed=1)
    assert len(out[0].labels) == 3
    assert sorted(kept[0].labels + out[0].labels) == list("abcdefghij")
    assert held_out([pool_of("abc")], 0.0, seed=1)[1] == []


def test_small_pools_are_held_out_or_kept_as_a_whole():
    pools = [pool_of("abc", name=str(number)) for number in range(40)]
    kept, out = held_out(pools, 0.25, seed=0)
    assert len(kept) + len(out) == 40
    assert 4 <= len(out) <= 16
    assert all(len(pool.labels) == 3 for pool in islice((*kept, *out), 40))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"way": (1,)}, "at least 2"),
        ({"way": ()}, "at least 2"),
        ({"shots": (10,)}, "below examples"),
        ({"shots": ()}, "from 1"),
    ],
)
def test_settings_that_make_no_episode_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        EpisodeConfig(**settings)
