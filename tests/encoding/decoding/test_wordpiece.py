"""WordPiece tokens become the English they were made of."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from roots_kg.encoding.decoding.wordpiece import WordPieceText


def read(before, tokens):
    text = WordPieceText(before)
    return before + "".join([text.add(token) for token in tokens.split()])


@pytest.mark.parametrize(
    ("before", "tokens", "text"),
    [
        ("The quick brown fox", "jump ##s over it .", "The quick brown fox jumps over it."),
        ("The quick brown fox", "##es run", "The quick brown foxes run"),
        ("", "once upon a time", "once upon a time"),
        ("Once ", "upon", "Once upon"),
        ("Well", ", yes ; no : why ? oh !", "Well, yes; no: why? oh!"),
        ("I", "don ' t , you ' ll , we ’ ve", "I don't, you'll, we’ve"),
        ("I don", "' t know", "I don't know"),
        ("I don'", "t know", "I don't know"),
        ("It is the boys", "' turn", "It is the boys' turn"),
        ("at five o", "' clock", "at five o'clock"),
        ("He said ,", '" come in . " and left', 'He said , "come in." and left'),
        ('He said "', 'come in " and left', 'He said "come in" and left'),
        ('He said "come', 'in . " she left', 'He said "come in." she left'),
        ("The fox ran.", '" " oh , " he said . " yes', 'The fox ran. " "oh," he said. "yes'),
        ("He said", "“ come in , ” and left", "He said “come in,” and left"),
        ("He said,", "' i don ' t know , ' and left", "He said, 'i don't know,' and left"),
        ("a", "well - known man - - or not", "a well-known man--or not"),
        ("a house", "— his — burned", "a house—his—burned"),
        ("it", "( the cat ) [ 1 ] slept", "it (the cat) [1] slept"),
        ("it cost", "$ 3 . 50 , or 1 , 000 at 10 : 30", "it cost $3.50, or 1,000 at 10:30"),
        ("in 1805", ", 12 ships", "in 1805, 12 ships"),
        ("wait", ". . . what", "wait... what"),
        ("it was", "_ very _ good", "it was _very_ good"),
        ("see", "# 5 &", "see #5 &"),
    ],
)
def test_spaces_stand_where_english_has_them(before, tokens, text):
    assert read(before, tokens) == text


@given(
    before=st.text(max_size=8),
    tokens=st.lists(
        st.sampled_from(["word", "##ing", '"', "'", "t", "-", "(", ".", "5", ",", "_"]), max_size=12
    ),
)
def test_the_text_holds_every_token_in_order_and_one_space_at_most_between_them(before, tokens):
    text = WordPieceText(before)
    for token in tokens:
        piece = text.add(token)
        assert piece in (token, f" {token}", token.removeprefix("##"))
