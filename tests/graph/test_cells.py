"""Cells of text are trimmed like strings, and rows from two places come together in order."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from roots_kg.graph.cells import Cells, merged, trim

spaces = st.sampled_from(
    [" ", "\t", "\x0b", "\x1c", "\u0085", "\u00a0", "\u1680", "\u2003", "\u2028", "\u205f", "\u3000"]
)
letters = st.sampled_from(["a", "é", "Â", "“", "」", "か", "\u200b", "\u20ac", "😀"])
cell = st.lists(spaces | letters, max_size=9).map("".join)


def text_of(cells):
    pairs = zip(cells.start.ravel().tolist(), cells.length.ravel().tolist(), strict=True)
    return [cells.text[at : at + size].tobytes().decode() for at, size in pairs]


@given(st.lists(st.tuples(cell, cell), max_size=6))
@settings(max_examples=150, deadline=None)
def test_what_trimming_does_not_call_doubtful_is_stripped_as_python_strips(rows):
    flat = [text for row in rows for text in row]
    cells = Cells.of(flat, 2)
    begin, end = cells.start.copy(), cells.start + cells.length
    text = np.concatenate([cells.text, np.zeros(1, dtype=np.uint8)])
    doubtful = trim(text, begin, end)
    trimmed = text_of(Cells(text, begin, end - begin))
    for row, doubt in enumerate(doubtful.tolist()):
        if not doubt:
            assert trimmed[2 * row : 2 * row + 2] == [name.strip() for name in rows[row]]
            assert all(trimmed[2 * row : 2 * row + 2])


def test_plain_rows_are_not_doubtful():
    cells = Cells.of(["  Graz ", "in\t", "か", "Österreich", "a b", "é"], 3)
    text = np.concatenate([cells.text, np.zeros(1, dtype=np.uint8)])
    assert trim(text, cells.start.copy(), cells.start + cells.length).tolist() == [False, False]


def test_a_cell_that_begins_within_a_character_is_doubtful():
    text = np.frombuffer("aé ".encode(), dtype=np.uint8)
    begin, end = np.array([[0], [2]]), np.array([[1], [3]])
    assert trim(text, begin, end).tolist() == [False, True]


def test_rows_come_together_in_the_order_of_the_table():
    cells = Cells.of(["a", "b", "é", "f"], 2)
    both = merged(cells, np.array([0, 3]), {1: ("x", "yy"), 4: ("ö", "z")})
    assert text_of(both) == ["a", "b", "x", "yy", "é", "f", "ö", "z"]
    assert merged(cells, np.array([0, 3]), {}) is cells


def test_columns_can_be_picked():
    assert text_of(Cells.of(["a", "r", "b", "c", "s", "d"], 3).columns(0, 2)) == ["a", "b", "c", "d"]
