"""The vocabulary gives equal names one id and different names different ids, however they hash."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from roots_kg.graph import vocabulary
from roots_kg.graph.cells import Cells
from roots_kg.graph.vocabulary import Vocabulary


def ids_of(known, names):
    return known.ids(Cells.of(names, 1))[:, 0].tolist()


def assert_consistent(known, names, ids):
    of_all = known.names()
    assert [of_all[number] for number in ids] == names
    assert known.names_of(np.array(ids, dtype=np.int64)) == names
    assert len(set(ids)) == len(set(names))
    assert len(known) == max(ids, default=-1) + 1


short = st.text(st.sampled_from("ab\0é😀"), max_size=4)
long = st.builds(lambda text, times: text * times, short, st.integers(1, 90))


@given(
    st.lists(st.lists(short | long | st.text(), max_size=20), max_size=5), st.sampled_from([1, 3, 1 << 17])
)
@settings(max_examples=150, deadline=None)
def test_names_and_ids_are_one_to_one_over_many_calls(batches, part):
    known = Vocabulary()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(vocabulary, "PART", part)
        given_ids = [ids_of(known, names) for names in batches]
        names = [name for batch in batches for name in batch]
        assert_consistent(known, names, [number for batch in given_ids for number in batch])


@given(st.lists(short | long, min_size=1, max_size=30))
@settings(max_examples=60, deadline=None)
def test_names_of_equal_hash_stay_apart(names):
    """Names beyond eight bytes are compared byte by byte, so that no hash, however bad, merges them."""
    names = ["x" * 8 + name for name in names]
    known = Vocabulary()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            vocabulary, "_fingerprints", lambda text, start, length: np.full(len(start), 7, dtype=np.uint64)
        )
        assert_consistent(known, names, ids_of(known, names))


def test_the_table_grows_with_its_names():
    known = Vocabulary()
    names = [f"name {number * 7919}" for number in range(20_000)]
    first = ids_of(known, names)
    assert_consistent(known, names, first)
    assert ids_of(known, names[::-1]) == first[::-1]
    assert len(known) == 20_000


def test_long_names_that_differ_only_at_their_end_stay_apart():
    known = Vocabulary()
    names = ["x" * 100_000 + end for end in ("", "a", "b")] * 2
    ids = ids_of(known, names)
    assert ids[:3] == ids[3:]
    assert len(set(ids)) == 3


def test_cells_in_several_columns_keep_their_shape():
    known = Vocabulary()
    ids = known.ids(Cells.of(["a", "r", "b", "b", "r", "a"], 3))
    assert ids.shape == (2, 3)
    assert ids[0].tolist() == ids[1, ::-1].tolist()
    assert known.ids(Cells.of([], 3)).shape == (0, 3)
