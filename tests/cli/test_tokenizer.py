import gzip

import pytest
from tokenizers import Tokenizer

TEXT = "The gulls of Trieste were counted.\nThe ships were counted too.\n\nNobody slept.\n"


@pytest.fixture
def text(tmp_path):
    path = tmp_path / "text.txt"
    path.write_text(TEXT, encoding="utf-8")
    return path


@pytest.mark.parametrize(("kind", "size"), [("wordpiece", 80), ("bpe", 300), ("unigram", 60)])
def test_a_tokenizer_is_trained_and_its_numbers_are_told(roots, text, tmp_path, kind, size):
    other, out = tmp_path / "other.txt.gz", tmp_path / "new" / "tokenizer.json"
    other.write_bytes(gzip.compress(b"More gulls."))
    found = roots(
        "tokenizer", "train", text, other, "--kind", kind, "--vocab-size", size, "--out", out, "--json"
    ).json
    tokenizer = Tokenizer.from_file(str(out))
    assert found["metrics"]["tokens"] == tokenizer.get_vocab_size() <= size
    assert found["metrics"]["files"] == 2
    pieces = [
        "The gulls of Trieste were counted.\nThe ships were counted too.",
        "Nobody slept.",
        "More gulls.",
    ]
    assert found["metrics"]["characters"] == sum(map(len, pieces))
    tokens = sum(len(tokenizer.encode(piece, add_special_tokens=False)) for piece in pieces)
    assert found["metrics"]["characters_per_token"] == pytest.approx(sum(map(len, pieces)) / tokens)
    assert found["config"]["kind"] == kind


def test_a_person_sees_the_numbers(roots, text, tmp_path):
    out = tmp_path / "tokenizer.json"
    result = roots("tokenizer", "train", text, "--vocab-size", "100", "--lowercase", "--out", out)
    assert result.code == 0, result.err
    assert "characters per token" in result.out
    assert (
        Tokenizer.from_file(str(out)).encode("GULLS").ids == Tokenizer.from_file(str(out)).encode("gulls").ids
    )


def test_an_older_tokenizer_is_replaced_by_the_same_bytes(roots, text, tmp_path):
    out = tmp_path / "tokenizer.json"
    command = ("tokenizer", "train", text, "--vocab-size", "100", "--out", out)
    assert roots(*command).code == 0
    before = out.read_bytes()
    assert roots(*command).code == 0
    assert out.read_bytes() == before
    assert sorted(tmp_path.iterdir()) == [text, out]


def test_another_file_is_not_replaced(roots, text, tmp_path):
    precious = tmp_path / "precious.json"
    precious.write_text('{"notes": 1}', encoding="utf-8")
    result = roots("tokenizer", "train", text, "--out", precious)
    assert (result.code, precious.read_text(encoding="utf-8")) == (2, '{"notes": 1}')
    assert "precious.json: this file is no tokenizer, and it would be lost" in result.err


@pytest.mark.parametrize(
    ("options", "code", "message"),
    [
        (["gone.txt"], 1, "gone.txt: there is no such file"),
        (["empty.txt"], 1, "empty.txt: there is no text"),
        (["latin.txt"], 1, "latin.txt:1: not UTF-8"),
        (["text.txt", "--vocab-size", 10], 2, "vocab_size 10 is too small"),
        (["text.txt", "--kind", "bpe", "--vocab-size", 100], 2, "vocab_size of bpe must be at least 261"),
        (["text.txt", "--min-frequency", 0], 2, "min_frequency must be at least 1"),
        (["text.txt", "--out", "text.txt"], 2, "this file is read by the same command"),
        (["text.txt", "--out", "."], 2, "this is a folder"),
        (["text.txt", "--kind", "letters"], 2, "letters"),
    ],
)
def test_what_cannot_be_done_is_said_and_leaves_nothing_behind(roots, text, tmp_path, options, code, message):
    (tmp_path / "empty.txt").write_text("")
    (tmp_path / "latin.txt").write_bytes(b"caf\xe9")
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    out = [] if "--out" in options else ["--out", "tokenizer.json"]
    result = roots("tokenizer", "train", *options, *out, cwd=tmp_path)
    assert result.code == code
    assert message in result.err
    assert "Traceback" not in result.err
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before
