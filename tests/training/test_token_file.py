from pathlib import Path

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer, models, pre_tokenizers

from roots_kg.encoding.text_files import read_documents
from roots_kg.errors import DataError
from roots_kg.training.token_file import ShuffledRows, TokenFile, open_tokens, write_tokens

WORDS = "a b c d e f g h i j".split()
END = 90


@pytest.fixture
def tokenizer():
    made = Tokenizer(
        models.WordLevel({word: number for number, word in enumerate([*WORDS, "?"])}, unk_token="?")
    )
    made.pre_tokenizer = pre_tokenizers.Whitespace()
    return made


def pieces(folder, *texts):
    paths = [folder / f"{number}.txt" for number in range(len(texts))]
    for path, text in zip(paths, texts, strict=True):
        path.write_text(text, encoding="utf-8")
    return read_documents(paths)


def test_tokens_of_all_texts_stand_one_after_the_other_with_an_end_after_each(tmp_path, tokenizer):
    path = tmp_path / "tokens"
    text_bytes = write_tokens(path, pieces(tmp_path, "a b\n\nc", "d é\n"), tokenizer, end_id=END)
    tokens = open_tokens(path, tokenizer)
    assert tokens.tolist() == [0, 1, 2, END, 3, 10, END]
    assert tokens.dtype == np.uint16
    assert text_bytes == len("a b") + len("c") + len("d é".encode())


def test_a_step_of_preprocessing_changes_pieces_and_leaves_some_out(tmp_path, tokenizer):
    def preprocess(text):
        return None if text == "c" else text.replace("a", "j")

    path = tmp_path / "tokens"
    write_tokens(path, pieces(tmp_path, "a b\n\nc"), tokenizer, preprocess=preprocess, end_id=END)
    assert open_tokens(path, tokenizer).tolist() == [9, 1, END]


def test_text_of_which_nothing_is_left_is_refused(tmp_path, tokenizer):
    with pytest.raises(DataError, match="no text is left"):
        write_tokens(tmp_path / "tokens", pieces(tmp_path, "a"), tokenizer, preprocess=lambda text: None)


def test_progress_counts_the_characters(tmp_path, tokenizer):
    seen = []
    write_tokens(tmp_path / "tokens", pieces(tmp_path, "a b\n\nc"), tokenizer, progress=seen.append)
    assert sum(seen) == 4


def test_rows_begin_with_the_start_token_and_cover_the_text_once():
    rows = TokenFile(np.arange(11, dtype=np.uint16), 4, start_id=99)
    assert len(rows) == 3
    assert rows.rows(torch.tensor([2, 0])).tolist() == [[99, 6, 7, 8], [99, 0, 1, 2]]


def test_without_a_start_token_rows_are_all_text():
    rows = TokenFile(np.arange(11, dtype=np.uint16), 4, start_id=None)
    assert rows.rows(torch.tensor([1])).tolist() == [[4, 5, 6, 7]]


def take(sampler, count):
    iterator = iter(sampler)
    return torch.cat([next(iterator) for _ in range(count)]).tolist()


def test_every_row_comes_once_before_any_comes_again_and_the_order_changes():
    numbers = take(ShuffledRows(10, 4, 0, lambda: 0), 5)
    assert sorted(numbers[:10]) == sorted(numbers[10:]) == list(range(10))
    assert numbers[:10] != numbers[10:]
    assert numbers != take(ShuffledRows(10, 4, 1, lambda: 0), 5)


def test_going_on_after_some_batches_gives_the_batches_that_would_have_come():
    whole = take(ShuffledRows(10, 4, 0, lambda: 0), 5)
    assert take(ShuffledRows(10, 4, 0, lambda: 3), 2) == whole[12:]


def test_the_text_is_read_from_the_file_and_not_held(tmp_path, tokenizer):
    write_tokens(tmp_path / "tokens", pieces(tmp_path, "a b c"), tokenizer)
    written = open_tokens(tmp_path / "tokens", tokenizer)
    assert isinstance(written, np.memmap)
    assert Path(written.filename) == tmp_path / "tokens"
