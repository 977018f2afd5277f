"""Delimited triples: what is read, what is refused, and that a refusal names file, line and reason."""

import contextlib
import gzip

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from roots_kg.errors import DataError, RootsError
from roots_kg.graph.readers import LONGEST_LINE, TripleReader, read_aliases, sniff

HINT = "(`--on-error quarantine` sets bad lines aside and goes on)"


@pytest.fixture
def write(tmp_path):
    def write(content, name="triples.txt"):
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return write


def read(path, **options):
    return list(TripleReader(path, **options).read())


def error_of(path, **options):
    with pytest.raises(DataError) as caught:
        read(path, **options)
    return str(caught.value)


@pytest.mark.parametrize(
    ("content", "name"),
    [
        ("a\tr, s\tb|c\n", "tab"),
        ("a|r, s|b\n", "pipe"),
        ("a,r|s,b\n", "comma"),
        ("a\tr\tb\n" * 3 + "x,y,z\n", "tab"),
        ("1,2\tr\t3,4\n", "tab"),
        ('"Bonn, Germany",r,b\n', "comma"),
    ],
)
def test_the_delimiter_is_the_one_that_cuts_most_lines_into_three(write, content, name):
    assert sniff(write(content)) == name


def test_naming_the_delimiter_overrules_the_first_lines(write):
    path = write("a|r|b,s,c\n")
    assert read(path) == [("a", "r", "b,s,c")]
    assert read(path, delimiter="comma") == [("a|r|b", "s", "c")]
    assert error_of(path, delimiter="tab") == f"{path}:1: expected 3 columns, found 1 {HINT}"


def test_a_file_that_no_delimiter_cuts_into_three_is_refused_with_the_way_out(write):
    path = write("a b c\nd;e;f\n")
    assert error_of(path) == (
        f"{path}: no line has three columns separated by tab, comma or | "
        "(name the delimiter with `--delimiter`, or `tab` to see what is wrong with each line)"
    )


@pytest.mark.parametrize("header", ["head\trelation\ttail", "Subject\tPredicate\tObject", "h\tr\tt"])
def test_a_first_line_of_column_names_is_no_triple(write, header):
    assert read(write(f"{header}\na\tr\tb\n")) == [("a", "r", "b")]
    assert len(read(write(f"a\tr\tb\n{header}\n"))) == 2


def test_only_comma_separated_columns_may_be_quoted(write):
    assert read(write('"Bonn, Germany","is ""in""",b\n')) == [("Bonn, Germany", 'is "in"', "b")]
    assert read(write('"a"\t6" pipe\t"b\n')) == [('"a"', '6" pipe', '"b')]
    assert read(write('"a"|r|"b\n')) == [('"a"', "r", '"b')]


def test_a_quote_that_is_not_closed_is_refused_with_its_line(write):
    path = write('a,r,b\n"c,r,d\n')
    assert error_of(path).startswith(f"{path}:2: not valid CSV: ")


@pytest.mark.parametrize(
    "content",
    [
        b"a\tr\tb\nc\tr\td\n",
        b"a\tr\tb\r\nc\tr\td\r\n",
        b"\xef\xbb\xbfa\tr\tb\nc\tr\td",
        b"\xef\xbb\xbfhead\trelation\ttail\na\tr\tb\nc\tr\td",
        b"\n\na\tr\tb\n   \n\nc\tr\td\n\n",
        b" a \tr\t b\nc\t r\td \n",
        b"a\tr\tb\nc\tr\td\n\x1a"[:-1],
    ],
    ids=["plain", "CRLF", "BOM", "BOM before a header", "blank lines", "spaces", "last line end"],
)
def test_what_editors_leave_in_a_file_makes_no_difference(write, content):
    expected = [("a", "r", "b"), ("c", "r", "d")]
    assert read(write(content)) == expected
    assert read(write(gzip.compress(content), "triples.txt.gz")) == expected


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b"a\tr", "expected 3 columns, found 2"),
        (b"a\tr\tb\tc", "expected 3 columns, found 4"),
        (b"a\tr\t", "the tail column is empty"),
        (b"a\t \tb", "the relation column is empty"),
        (b"\tr\tb", "the head column is empty"),
        (b"a\tr\tb\xff", "not UTF-8: byte 0xff at column 6"),
        (b"a\tr\t\xed\xa0\x80", "not UTF-8: byte 0xed at column 5"),
        (b"a\tr\tb\0c", "the line holds a NUL byte"),
        (b"a\tr\t" + b"b" * 2_000_000, "the line is 2,000,004 bytes long, the limit is 1,000,000"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_bad_line_stops_the_reading_with_file_line_and_reason(write, line, reason):
    path = write(b"x\tr\ty\n\n" + line + b"\nz\tr\tx\n")
    assert error_of(path) == f"{path}:3: {reason} {HINT}"


def test_quarantine_keeps_the_good_lines_and_lists_the_bad_with_their_reasons(write):
    content = b"a\tr\tb\nbroken\nc\tr\t\xff\nd\t\0\tb\nd\tr\tb\n" + b"x" * (LONGEST_LINE + 1) + b"\n"
    reader = TripleReader(write(content), on_error="quarantine")
    assert list(reader.read()) == [("a", "r", "b"), ("d", "r", "b")]
    assert [(reject.line, reject.reason) for reject in reader.rejects] == [
        (2, "expected 3 columns, found 1"),
        (3, "not UTF-8: byte 0xff at column 5"),
        (4, "the line holds a NUL byte"),
        (6, "the line is 1,000,001 bytes long, the limit is 1,000,000"),
    ]
    assert [reject.content[:9] for reject in reader.rejects] == [
        "broken",
        "c\tr\t\\xff",
        "d\t\\x00\tb",
        "x" * 9,
    ]
    assert all(reject.path == reader.path and len(reject.content) <= 1000 for reject in reader.rejects)


def test_a_file_of_nothing_but_bad_lines_is_refused_even_in_quarantine(write):
    assert "holds no triple" in error_of(write("a\nb\n"), delimiter="tab", on_error="quarantine")


@pytest.mark.parametrize("content", [b"", b"\n \n", b"\xef\xbb\xbf\n"])
def test_an_empty_file_is_refused(write, content):
    path = write(content)
    assert error_of(path) == f"{path}: the file is empty"
    assert error_of(path, delimiter="tab") == f"{path}: holds no triple"


def test_a_file_of_only_a_header_holds_no_triple(write):
    assert error_of(write("head,relation,tail\n")).endswith("holds no triple")


def test_a_missing_file_and_a_folder_are_refused_by_name(tmp_path):
    path = tmp_path / "nowhere.tsv"
    assert error_of(path) == f"{path}: there is no such file"
    assert error_of(tmp_path).startswith(f"{tmp_path}: cannot be read: ")


def damaged(content, position):
    return content[:position] + bytes([content[position] ^ 0xFF]) + content[position + 1 :]


GZIPPED = gzip.compress(b"".join(b"e%d\tr\te%d\n" % (i, i * i) for i in range(2000)), mtime=0)


@pytest.mark.parametrize(
    "content",
    [GZIPPED[:-9], GZIPPED[:200], b"a\tr\tb\n", damaged(GZIPPED, 15), damaged(GZIPPED, -6)],
    ids=["cut at the end", "cut early", "not gzip", "a changed byte", "a changed checksum"],
)
def test_a_damaged_gzip_file_is_refused_by_name(write, content):
    path = write(content, "triples.tsv.gz")
    assert error_of(path, delimiter="tab").startswith(f"{path}: cannot be read: ")


def test_aliases_are_read_with_their_lines(write):
    path = write("\ufeffQ1\tAustria\r\n\nQ1\t Österreich \n")
    assert list(read_aliases(path)) == [(1, "Q1", "Austria"), (3, "Q1", "Österreich")]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b"Q1", "expected entity<TAB>alias, found 1 columns"),
        (b"Q1\tA\tB", "expected entity<TAB>alias, found 3 columns"),
        (b"Q1\t\xff", "not UTF-8: byte 0xff"),
    ],
)
def test_a_bad_alias_line_is_refused_with_file_line_and_reason(write, line, reason):
    path = write(b"Q1\tAustria\n" + line + b"\n")
    with pytest.raises(DataError) as caught:
        list(read_aliases(path))
    assert str(caught.value) == f"{path}:2: {reason}"


def test_an_empty_alias_is_refused_for_being_empty(write):
    with pytest.raises(DataError) as caught:
        list(read_aliases(write("Q1\t \n")))
    assert "empty" in caught.value.message


delimited = st.lists(
    st.sampled_from([b"a", b"\t", b",", b"|", b"\n", b'"', b"\r", b"\0", b"\xc3", b"\xa4", b" "])
)


@given(st.binary(max_size=300) | delimited.map(b"".join), st.sampled_from([".txt", ".gz"]))
@example(b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff\xff", ".gz")
@settings(max_examples=150, deadline=None)
def test_no_bytes_make_the_reader_raise_anything_else(tmp_path_factory, content, suffix):
    path = tmp_path_factory.getbasetemp() / f"any{suffix}"
    path.write_bytes(content)
    for on_error in ("strict", "quarantine"):
        with contextlib.suppress(RootsError):
            triples = read(path, on_error=on_error)
            assert all(len(triple) == 3 and all(triple) for triple in triples)
    with contextlib.suppress(RootsError):
        assert all(entity and alias for _, entity, alias in read_aliases(path))


columns = st.text(st.characters(exclude_categories=["Cc", "Cs", "Zl", "Zp"]), min_size=1, max_size=8).filter(
    lambda text: text == text.strip() and not text.startswith("\ufeff")
)


@given(st.lists(st.tuples(columns, columns, columns), min_size=1, max_size=8))
@settings(max_examples=100, deadline=None)
def test_tab_separated_triples_of_any_text_are_read_back(tmp_path_factory, triples):
    path = tmp_path_factory.getbasetemp() / "written.tsv"
    lines = ["head\trelation\ttail", *map("\t".join, triples)]
    path.write_text("\n".join(lines), encoding="utf-8", newline="\n")
    assert read(path) == triples
