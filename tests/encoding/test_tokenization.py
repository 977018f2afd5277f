import json
from itertools import pairwise

import pytest

from roots_kg.encoding.tokenization import Tokenizer, library_tokenizer, tokenizer_errors
from roots_kg.errors import WeightsError
from roots_kg.weights import find_pretrained

TEXTS = ["", "one", "a few words of text", "word " * 40, "Zürich — Straße 東京 🙂", "x", "word " * 700]


@pytest.fixture(scope="module")
def tokenizer():
    return Tokenizer(find_pretrained().tokenizer)


def content(row):
    return row.text, tuple(row.input_ids)


def test_every_row_stands_in_one_batch_exactly_once(tokenizer):
    batched = [content(row) for batch in tokenizer.batches(TEXTS, 300) for row in batch.rows]
    assert sorted(batched) == sorted(map(content, tokenizer.rows(TEXTS)))
    assert {text for text, _ in batched} == set(range(len(TEXTS)))


def test_batches_run_from_long_rows_to_short_ones(tokenizer):
    lengths = [len(row.input_ids) for batch in tokenizer.batches(TEXTS, 300) for row in batch.rows]
    assert lengths == sorted(lengths, reverse=True)


def test_a_batch_holds_as_many_tokens_as_allowed_and_no_more(tokenizer):
    batches = list(tokenizer.batches([*TEXTS, *["ten words " * 5] * 30], 300))
    assert all(batch.input_ids.numel() <= 300 for batch in batches)
    for batch, following in pairwise(batches):
        rows, length = batch.input_ids.shape
        assert (rows + 1) * length > 300, f"{len(following.rows)} rows came too late"


def test_a_row_longer_than_a_batch_may_be_gets_a_batch_of_its_own(tokenizer):
    batches = list(tokenizer.batches(["word " * 50, "word " * 60], 20))
    assert [len(batch.rows) for batch in batches] == [1, 1]


def test_a_batch_is_its_rows_with_padding_that_the_mask_leaves_out(tokenizer):
    for batch in tokenizer.batches(TEXTS, 300):
        assert batch.input_ids.shape == batch.attention_mask.shape
        for row, ids, mask in zip(batch.rows, batch.input_ids, batch.attention_mask, strict=True):
            assert ids[mask].tolist() == row.input_ids
            assert not ids[~mask].any()
            assert mask.tolist() == sorted(mask.tolist(), reverse=True)


def test_offsets_cut_the_characters_of_each_token_out_of_the_text(tokenizer):
    text = "The Kassel-Office"
    (row,) = tokenizer.rows([text])
    first, *inner, last = row.offsets.tolist()
    assert first == last == [0, 0]
    pieces = [text[start:end] for start, end in inner]
    assert "".join(pieces) == "TheKassel-Office"
    assert pieces[0] == "The"
    assert pieces[-2:] == ["-", "Office"]


def test_offsets_count_characters_not_bytes(tokenizer):
    text = "🙂 Österreich grüßt"
    (row,) = tokenizer.rows([text])
    start, end = row.offsets[-2].tolist()
    assert end == len(text)
    assert text[start:end].strip() == text[start:end] != ""


def test_a_long_text_becomes_consecutive_windows_that_leave_nothing_out(tokenizer):
    text = " ".join(f"number{index}" for index in range(400))
    rows = tokenizer.rows([text])
    assert len(rows) > 2
    assert all(len(row.input_ids) <= tokenizer.max_length for row in rows)
    assert all(len(row.input_ids) == tokenizer.max_length for row in rows[:-1])
    covered = [text[start:end] for row in rows for start, end in row.offsets.tolist() if end > start]
    assert "".join(covered) == text.replace(" ", "")


def test_every_window_begins_and_ends_with_the_special_tokens(tokenizer):
    (empty,) = tokenizer.rows([""])
    begin, end = empty.input_ids
    for row in tokenizer.rows(["word " * 1000]):
        assert (row.input_ids[0], row.input_ids[-1]) == (begin, end)


def test_the_window_is_as_long_as_asked_for():
    tokenizer = Tokenizer(find_pretrained().tokenizer, max_length=8)
    assert [len(row.input_ids) for row in tokenizer.rows(["a b c d e f g h i"])] == [8, 5]


def test_no_text_gives_no_batch(tokenizer):
    assert list(tokenizer.batches([])) == []


def test_a_file_that_is_no_tokenizer_is_named(tmp_path):
    path = tmp_path / "tokenizer.json"
    path.write_text("{}")
    with pytest.raises(WeightsError, match=r"tokenizer\.json: cannot be read as a tokenizer"):
        Tokenizer(path)


@pytest.fixture
def spoilt(letters, tmp_path):
    """A function that writes a tokenizer with one of its parts changed."""

    def write(**parts):
        path = tmp_path / "tokenizer.json"
        path.write_text(json.dumps({**json.loads(letters.read_text("utf-8")), **parts}), "utf-8")
        return path

    return write


@pytest.mark.parametrize(
    "parts",
    [
        {"normalizer": {"type": "Precompiled", "precompiled_charsmap": "////////AAAA"}},
        {
            "post_processor": {
                "type": "TemplateProcessing",
                "single": [{"SpecialToken": {"id": "[CLS]", "type_id": 0}}],
                "pair": [],
                "special_tokens": {},
            }
        },
    ],
    ids=["while it is read", "around a text"],
)
def test_where_the_librarys_own_code_panics_the_file_is_named(spoilt, parts):
    path = spoilt(**parts)
    with pytest.raises(WeightsError) as caught:
        Tokenizer(path)
    assert caught.value.path == path


def test_a_tokenizer_that_fails_on_a_text_is_named(spoilt):
    path = spoilt(model={"type": "Unigram", "unk_id": None, "vocab": [["a", -1.0]]}, post_processor=None)
    tokenizer = Tokenizer(path)
    assert [row.input_ids for row in tokenizer.rows(["a"])] == [[0]]
    with pytest.raises(WeightsError, match=r"tokenizer\.json: this tokenizer fails: .*unknown"):
        tokenizer.rows(["b"])


def test_a_token_id_that_no_model_could_have_is_refused(spoilt):
    vocabulary = {"[UNK]": 1, "[CLS]": 2, "[SEP]": 3, "a": 2**32 - 1}
    path = spoilt(model={"type": "WordPiece", "vocab": vocabulary, "unk_token": "[UNK]",
                         "continuing_subword_prefix": "##", "max_input_chars_per_word": 100})  # fmt: skip
    with pytest.raises(WeightsError, match="token id 4,294,967,295"):
        Tokenizer(path)


def test_what_the_library_wrote_and_does_not_read_is_our_error():
    with pytest.raises(WeightsError, match="cannot be read as a tokenizer"):
        library_tokenizer("{}")


def test_an_interruption_is_no_error_of_a_tokenizer():
    with pytest.raises(KeyboardInterrupt), tokenizer_errors():
        raise KeyboardInterrupt
