"""Files that are missing, of another kind, or break off are named, and what came before is not lost."""

import gzip
import zipfile

import pytest

from roots_kg.errors import DataError

KEEPS = "(`--on-error quarantine` keeps what comes before)"
LINES = [b"e%d\tr\te%d\n" % (number, number * number) for number in range(2000)]
GZIPPED = gzip.compress(b"".join(LINES), mtime=0)


def damaged(content, position):
    return content[:position] + bytes([content[position] ^ 0xFF]) + content[position + 1 :]


def test_a_missing_file_and_a_folder_are_refused_by_name(tmp_path, read):
    path = tmp_path / "nowhere.tsv"
    with pytest.raises(DataError) as caught:
        read(path)
    assert str(caught.value) == f"{path}: there is no such file"
    with pytest.raises(DataError) as caught:
        read(tmp_path)
    assert str(caught.value) == f"{tmp_path}: this is a folder, not a file"


def test_a_name_that_no_file_can_have_is_refused(tmp_path, read):
    for name, reason in (
        ("a\0b", "no file can have this name"),
        ("x" * 300, "cannot be read: File name too"),
    ):
        with pytest.raises(DataError, match=reason):
            read(tmp_path / name, "tab")


@pytest.mark.parametrize(
    "content",
    [GZIPPED[:-9], GZIPPED[: len(GZIPPED) // 2], damaged(GZIPPED, -6), GZIPPED + b"more"],
    ids=["cut at the end", "cut in the middle", "a changed checksum", "something behind it"],
)
def test_a_gzip_file_that_breaks_off_keeps_in_quarantine_what_came_before(write, read, content):
    path = write(content, "triples.tsv.gz")
    with pytest.raises(
        DataError, match=r"triples.tsv.gz:\d+: the compressed data (end too early|are damaged)"
    ) as caught:
        read(path)
    assert str(caught.value).endswith(KEEPS)
    found = read(path, on_error="quarantine")
    assert 500 < len(found.triples) <= 2000
    assert found.triples == [tuple(line.decode().split()) for line in LINES[: len(found.triples)]]
    assert [reject.line for reject in found.rejects] == [len(found.triples) + 1] == [caught.value.line]


@pytest.mark.parametrize(
    "content", [b"a\tr\tb\n", GZIPPED[:5], b"", b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff\xff"]
)
@pytest.mark.parametrize("on_error", ["strict", "quarantine"])
def test_a_file_that_only_says_that_it_is_gzip_is_refused_by_name(write, read, content, on_error):
    path = write(content, "triples.tsv.gz")
    with pytest.raises(DataError) as caught:
        read(path, on_error=on_error)
    assert str(caught.value).startswith(f"{path}: ")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (GZIPPED, "this is a gzip file (let its name end in .gz)"),
        ("a\tr\tb\n".encode("utf-16"), "this is UTF-16 text (save it as UTF-8)"),
        (b"PAR1\x15\x04", "this is a Parquet file (let its name end in .parquet, or use `--format parquet`)"),
        (b"PK\x03\x04", "this is a ZIP file (unpack it first; only gzip is read as it is)"),
    ],
)
def test_a_file_of_another_kind_is_recognised(write, read, content, message):
    path = write(content, "triples.tsv")
    for options in (
        {},
        {"format": "tab"},
        {"format": "jsonl", "on_error": "quarantine"},
        {"format": "turtle"},
    ):
        with pytest.raises(DataError) as caught:
            read(path, **options)
        assert str(caught.value) == f"{path}: {message}"


def test_several_compressed_parts_are_one_file(write, read):
    content = b"".join(gzip.compress(line) for line in LINES[:3])
    assert len(read(write(content, "triples.tsv.gz")).triples) == 3


def test_a_zip_file_is_not_taken_for_text(tmp_path, read):
    path = tmp_path / "triples.tsv"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("triples.tsv", "a\tr\tb\n")
    with pytest.raises(DataError, match="ZIP"):
        read(path)
