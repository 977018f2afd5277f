import pytest
from hypothesis import given
from hypothesis import strategies as st

from roots_kg.adaptation.spans import joined_tokens, read_tagged, read_text, spans_of_tags, words_of
from roots_kg.adaptation.task import Record
from roots_kg.errors import TaskError
from roots_kg.fusion.encoder import MarkedText

TOKENS = st.lists(st.text(min_size=1).filter(str.strip), min_size=1, max_size=6)


def line(tmp_path, **fields):
    return Record(fields, tmp_path / "train.jsonl", 3)


def test_words_are_runs_of_letters_and_digits_and_single_marks():
    text = "It's U2, née 1976!"
    assert [text[start:end] for start, end in words_of(text)] == [
        *("It", "'", "s", "U2", ",", "née", "1976", "!")
    ]


def test_in_scripts_without_spaces_every_character_is_a_word():
    text = "東京に U2"
    assert [text[start:end] for start, end in words_of(text)] == ["東", "京", "に", "U2"]


@given(st.text())
def test_words_are_in_order_and_leave_out_white_space_only(text):
    words = words_of(text)
    ends = [0, *(end for _, end in words)]
    starts = [*(start for start, _ in words), len(text)]
    assert all(start < end for start, end in words)
    assert all(not text[end:start].strip() for end, start in zip(ends, starts, strict=True))


@given(TOKENS)
def test_tokens_are_found_again_in_the_text_that_they_make(tokens):
    text, spans = joined_tokens(tokens)
    assert [text[start:end] for start, end in spans] == tokens


def test_tags_by_hand():
    tags = ["B-a", "I-a", "O", "B-b", "B-b", "I-b"]
    assert spans_of_tags(tags) == [(0, 2, "a"), (3, 4, "b"), (4, 6, "b")]


def test_a_label_may_have_a_dash():
    assert spans_of_tags(["B-work-of-art", "I-work-of-art"]) == [(0, 2, "work-of-art")]


@given(st.lists(st.one_of(st.none(), st.tuples(st.integers(1, 3), st.sampled_from("ab"))), max_size=6))
def test_tags_and_spans_say_the_same(pieces):
    tags, spans = [], []
    for piece in pieces:
        if piece is None:
            tags.append("O")
        else:
            length, label = piece
            spans.append((len(tags), len(tags) + length, label))
            tags += [f"B-{label}", *[f"I-{label}"] * (length - 1)]
    assert spans_of_tags(tags) == spans


@given(st.lists(st.text(alphabet="BIO-ab", max_size=4), max_size=5))
def test_any_tags_are_read_or_refused_with_the_place(tags):
    try:
        spans = spans_of_tags(tags)
    except ValueError as error:
        index, _ = error.args
        assert 0 <= index < len(tags)
    else:
        assert all(0 <= first < after <= len(tags) and label for first, after, label in spans)


@pytest.mark.parametrize(
    ("tags", "message"),
    [
        (["O", "I-town"], r"train\.jsonl:3: tag 2, of the token 'Oslo', is 'I-town': it stands behind 'O'"),
        (["I-town", "O"], "tag 1, of the token 'in', is 'I-town': it is the first tag"),
        (["B-town", "I-person"], "it stands behind 'B-town'; a span begins with \"B-person\""),
        (["O", "S-town"], 'a tag is "O", or "B-" or "I-" and a label'),
        (["O", "B-"], 'a tag is "O", or "B-" or "I-" and a label'),
        (["O"], "2 tokens and 1 tags"),
    ],
)
def test_tags_that_break_the_scheme_are_refused_by_their_token(tmp_path, tags, message):
    with pytest.raises(TaskError, match=message):
        read_tagged(line(tmp_path, tokens=["in", "Oslo"], tags=tags))


def test_both_forms_of_a_line_say_the_same(tmp_path):
    by_tags = read_tagged(line(tmp_path, tokens=["to", "New", "York"], tags=["O", "B-town", "I-town"]))
    spans = [{"start": 3, "end": 11, "label": "town"}]
    by_spans = read_tagged(line(tmp_path, text="to New York", spans=spans))
    assert by_tags[1] == by_spans[1] == ((3, 11, "town"),)
    assert by_tags[0] == MarkedText("to New York", spans=((0, 2), (3, 6), (7, 11)))
    assert by_spans[0] == "to New York"


def test_spans_are_put_in_order(tmp_path):
    spans = [{"start": 5, "end": 6, "label": "x"}, {"start": 0, "end": 1, "label": "y"}]
    assert read_tagged(line(tmp_path, text="a b, c", spans=spans))[1] == ((0, 1, "y"), (5, 6, "x"))


@pytest.mark.parametrize(
    ("spans", "message"),
    [
        ([(0, 4), (2, 9)], r"the spans 0–4 \('Anna'\) and 2–9 \('na Berg'\) overlap"),
        ([(0, 4), (0, 4)], "overlap"),
        ([(5, 5)], "the span 5–5 is empty"),
        ([(5, 2)], "the span 5–2 is empty"),
        ([(5, 12)], "the span 5–12 lies outside of the text, which ends at 9"),
        ([(-4, 4)], "lies outside"),
        ([(4, 9)], r"begins or ends with white space \(5–9\)"),
        ([(0.0, 4)], "whole numbers"),
        ([(False, 4)], "whole numbers"),
    ],
)
def test_spans_that_cannot_be_are_refused(tmp_path, spans, message):
    spans = [{"start": start, "end": end, "label": "person"} for start, end in spans]
    with pytest.raises(TaskError, match=message):
        read_tagged(line(tmp_path, text="Anna Berg", spans=spans))


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"text": "a"}, "'spans' must be a list of spans, and is missing"),
        ({"text": "a", "spans": "x"}, "must be a list of spans, found 'x'"),
        ({"text": "a", "spans": [{"start": 0, "end": 1}]}, 'a span is {"start", "end", "label"}'),
        ({"text": "a", "spans": [{"start": 0, "end": 1, "label": " "}]}, "the label of a span is a text"),
        ({"text": " ", "spans": []}, "the text has no word"),
        ({"text": "a", "spans": [], "tags": []}, "'tags' belong to 'tokens'"),
        ({"text": "a", "tokens": ["a"], "tags": ["O"]}, "the line has 'tokens' already"),
        ({"tokens": ["a"], "tags": ["O"], "spans": []}, "'spans' belong to a 'text'"),
        ({"tokens": ["a", " "], "tags": ["O", "O"]}, "token 2 is empty"),
    ],
)
def test_lines_of_another_form_are_refused(tmp_path, fields, message):
    with pytest.raises(TaskError, match=message):
        read_tagged(line(tmp_path, **fields))


def test_a_line_without_what_is_right_can_be_read(tmp_path):
    assert read_text(line(tmp_path, text="Anna Berg")) == "Anna Berg"
    assert read_text(line(tmp_path, tokens=["Anna", "Berg"])).text == "Anna Berg"
