"""Texts are cut into normalised words whose places in the text are kept, by tables or one by one alike."""

import unicodedata

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from roots_kg.graph import words
from roots_kg.graph.words import _MARKS, BREAK, MARK, cut, has_case


def cut_one(text):
    """The normalised words of a text."""
    return [word.decode() for word in cut([text]).haystack.split(MARK)[1:-1]]


def test_words_signs_and_characters_of_scripts_without_spaces_are_apart():
    assert cut_one("Man's New_York, x2!") == ["man", "'", "s", "new", "_", "york", ",", "x2", "!"]
    assert cut_one("日本へ ﬁn Straße") == ["日", "本", "へ", "fin", "strasse"]


def test_a_word_keeps_its_place_in_its_text():
    texts = ["New  York.", "", "ﬁn Straße"]
    found = cut(texts)
    normal = found.haystack.split(MARK)[1:-1]
    places = zip(normal, found.text.tolist(), found.start.tolist(), found.end.tolist(), strict=True)
    assert [texts[text][start:end] for word, text, start, end in places if word != BREAK] == [
        "New",
        "York",
        ".",
        "ﬁn",
        "Straße",
    ]


@given(st.lists(st.text(st.characters(max_codepoint=127), max_size=20), min_size=1, max_size=5))
@example([""])
@example(["", "a", ""])
def test_ascii_texts_are_cut_by_tables_as_word_by_word(texts):
    fast, slow = words._cut_ascii(texts), words._cut_unicode(texts)
    assert fast.haystack == slow.haystack
    is_word = [word != BREAK for word in fast.haystack.split(MARK)[1:-1]]
    assert np.array_equal(fast.mark, slow.mark)
    for column in ("text", "start", "end"):
        assert np.array_equal(getattr(fast, column)[is_word], getattr(slow, column)[is_word])


@given(st.text(st.characters(), max_size=20))
@example("\udc80a")
def test_any_text_can_be_cut(text):
    found = cut([text])
    assert len(found.mark) == len(found.start) + 1 == len(found.haystack.split(MARK)) - 1
    assert all(0 <= start < end <= len(text) for start, end in zip(found.start, found.end, strict=True))


@pytest.mark.parametrize(
    ("text", "expected"),
    [("in Rome", True), ("In rome", False), ("IN ROME", False), ("", False), ("日本", False), ("42", False)],
)
def test_case_says_something_where_there_are_capitals_and_small_letters(text, expected):
    assert has_case(text) is expected


def test_marks_are_looked_for_wherever_unicode_has_them():
    marks = [code for code in range(0x300, 0x1E900) if unicodedata.category(chr(code))[0] == "M"]
    missed = [hex(code) for code in marks if not any(begin <= code < end for begin, end in _MARKS)]
    assert missed == []
