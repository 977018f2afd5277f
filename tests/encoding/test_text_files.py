import gzip
import lzma

import pytest
from hypothesis import given
from hypothesis import strategies as st

from roots_kg.encoding import text_files
from roots_kg.encoding.text_files import read_documents
from roots_kg.errors import DataError

TWO_PARAGRAPHS = "One.\nStill one.\n\nTwo.\n"


@pytest.fixture
def write(tmp_path):
    """A function that writes bytes or text to a file of this name."""

    def to(name, content):
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return to


@pytest.fixture
def small_limits(monkeypatch):
    """Pieces of at most ten characters, read in blocks of three bytes."""
    monkeypatch.setattr(text_files, "LONGEST", 10)
    monkeypatch.setattr(text_files, "BLOCK", 3)


def texts(*arguments, **options):
    return [piece.text for piece in read_documents(*arguments, **options)]


def test_a_file_is_read_by_paragraphs_and_its_end_is_marked(write):
    pieces = list(read_documents([write("a.txt", TWO_PARAGRAPHS), write("b.txt", "\n\n Three ")]))
    assert [piece.text for piece in pieces] == ["One.\nStill one.", "Two.", " Three "]
    assert [piece.ends_document for piece in pieces] == [False, True, True]
    assert [(piece.path.name, piece.line) for piece in pieces] == [("a.txt", 1), ("a.txt", 4), ("b.txt", 3)]


def test_a_line_can_be_a_document(write):
    pieces = list(read_documents([write("a.txt", TWO_PARAGRAPHS)], documents="line"))
    assert [(piece.text, piece.line) for piece in pieces] == [("One.", 1), ("Still one.", 2), ("Two.", 4)]
    assert all(piece.ends_document for piece in pieces)


@pytest.mark.parametrize("documents", ["file", "line"])
@pytest.mark.parametrize(("name", "compress"), [("a.txt.gz", gzip.compress), ("a.XZ", lzma.compress)])
def test_compressed_text_reads_as_plain_text(write, name, compress, documents):
    plain, compressed = write("a.txt", TWO_PARAGRAPHS), write(name, compress(TWO_PARAGRAPHS.encode()))
    assert texts([compressed], documents) == texts([plain], documents)


def test_compressed_files_in_one_file_are_all_read(write):
    content = gzip.compress(b"One.\n\n") + gzip.compress(b"Two.")
    assert texts([write("a.gz", content)]) == ["One.", "Two."]


@pytest.mark.usefixtures("small_limits")
def test_a_byte_order_mark_is_dropped_at_the_start_only(write):
    assert texts([write("a.txt", "\ufeffOne\n\n\ufeffTwo")]) == ["One", "\ufeffTwo"]


@pytest.mark.usefixtures("small_limits")
def test_every_end_of_a_line_is_one_line_feed(write):
    pieces = list(read_documents([write("a.txt", "a\r\nb\rc\nd\r\n\r\ne\x85f\u2028g\x0ch")]))
    assert [(piece.text, piece.line) for piece in pieces] == [("a\nb\nc\nd", 1), ("e\x85f\u2028g\x0ch", 6)]


@pytest.mark.usefixtures("small_limits")
def test_a_long_paragraph_is_cut_at_a_line(write):
    assert texts([write("a.txt", "abcd\nefgh\nijkl\n\nm")]) == ["abcd\nefgh", "ijkl", "m"]


@pytest.mark.usefixtures("small_limits")
@pytest.mark.parametrize("documents", ["file", "line"])
def test_a_long_line_is_cut_at_white_space_or_else_anywhere(write, documents):
    path = write("a.txt", "one two three\n" + 22 * "x" + "\nend")
    pieces = list(read_documents([path], documents))
    parts = ["one two", "three", 10 * "x", 10 * "x", "xx", "end"]
    if documents == "file":
        parts = ["one two", "three", 10 * "x", 10 * "x", "xx\nend"]
    assert [piece.text for piece in pieces] == parts
    ends = [index for index, piece in enumerate(pieces) if piece.ends_document]
    assert ends == ([1, 4, 5] if documents == "line" else [4])


@pytest.mark.usefixtures("small_limits")
@pytest.mark.parametrize("documents", ["file", "line"])
def test_reading_can_be_taken_up_after_any_piece(write, documents):
    paths = [write(f"{name}.txt", f"{name} is here and {name} is there\nx\n\n{name}\n") for name in "abc"]
    everything = list(read_documents(paths, documents))
    for index, piece in enumerate(everything):
        assert list(read_documents(paths, documents, piece.position)) == everything[index + 1 :]


def test_taking_up_a_file_that_became_shorter_is_an_error(write):
    path = write("a.txt", TWO_PARAGRAPHS)
    *_, last = read_documents([path])
    path.write_text("One.")
    with pytest.raises(DataError, match=r"a\.txt: .* after 2 pieces of text, and there are 1"):
        list(read_documents([path], start=last.position))


@given(st.text(st.sampled_from("ab \n\r\té\u3000"), max_size=60), st.sampled_from(["file", "line"]))
def test_no_text_is_lost_and_no_piece_is_long(tmp_path_factory, text, documents):
    path = tmp_path_factory.mktemp("any") / "a.txt"
    path.write_bytes((text + "\n\nend").encode())
    with pytest.MonkeyPatch.context() as patch:
        whole = texts([path], documents)
        patch.setattr(text_files, "LONGEST", 7)
        patch.setattr(text_files, "BLOCK", 5)
        pieces = texts([path], documents)
    assert all(0 < len(piece) <= 7 and piece.strip() for piece in pieces)
    assert (
        "".join("".join(pieces).split()) == "".join("".join(whole).split()) == "".join((text + "end").split())
    )


def test_missing_files_and_folders_are_noticed_before_anything_is_read(write, tmp_path):
    good = write("a.txt", "text")
    with pytest.raises(DataError, match=r"gone\.txt: there is no such file"):
        read_documents([good, tmp_path / "gone.txt"])
    with pytest.raises(DataError, match="this is a folder, not a file"):
        read_documents([good, tmp_path])


def test_no_text_in_any_file_is_an_error_but_one_empty_file_is_not(write):
    empty, blank, good = write("a.txt", ""), write("b.txt.gz", gzip.compress(b" \n\n")), write("c.txt", "x")
    assert texts([empty, good, blank]) == ["x"]
    with pytest.raises(DataError, match=r"a\.txt: there is no text in this file"):
        texts([empty])
    with pytest.raises(DataError, match="there is no text in any of the files"):
        texts([empty, blank])


@pytest.mark.usefixtures("small_limits")
@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"one\r\ntwo\r\ncaf\xe9 au lait", r"a\.txt:3: not UTF-8: byte 0xe9 .*save the file as UTF-8"),
        (b"one\ntwo\xc3", r"a\.txt:2: not UTF-8: byte 0xc3"),
        (b"one\ntwo \xed\xa0\x80", r"a\.txt:2: not UTF-8: byte 0xed"),
        (b"one\n\ntwo\0", r"a\.txt:3: .*a NUL byte"),
    ],
)
def test_what_is_not_text_is_an_error_that_names_line_and_byte(write, content, message):
    with pytest.raises(DataError, match=message):
        texts([write("a.txt", content)])


@pytest.mark.parametrize("content", [bytes(range(256)) * 20, b"\x7fELF\2\1\1" + 60 * b"\0" + b"text"])
def test_a_file_that_looks_binary_is_called_so(write, content):
    with pytest.raises(DataError, match="looks like a binary file, not text"):
        texts([write("a.txt", content)])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (gzip.compress(b"text"), "this is a gzip file .*let its name end in .gz"),
        (lzma.compress(b"text"), "this is an XZ file .*let its name end in .xz"),
        ("text".encode("utf-16"), "UTF-16"),
        (b"PK\x03\x04rest", "ZIP"),
        (b"%PDF-1.7", "PDF"),
    ],
)
def test_another_kind_of_file_is_named(write, content, message):
    with pytest.raises(DataError, match=message):
        texts([write("a.txt", content)])


@pytest.mark.parametrize(("name", "compress"), [("a.gz", gzip.compress), ("a.xz", lzma.compress)])
def test_damaged_and_cut_off_archives_are_errors(write, name, compress):
    noise = "".join(chr(33 + index * index % 89) + "\n" * (index % 7 == 0) for index in range(5000))
    content = compress(noise.encode())
    for broken, message in (
        (content[: len(content) // 2], "the compressed data end too early"),
        (content[:-200] + bytes([content[-200] ^ 255]) + content[-199:], "damaged"),
        (b"plain text", "damaged, or not compressed as its name says"),
    ):
        with pytest.raises(DataError, match=rf"{name}.*{message}"):
            texts([write(name, broken)])
