"""Delimited triples: what is read, what is refused, and that a refusal names file, line and reason."""

import csv
import gzip
import io

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from roots_kg.errors import DataError, UsageError
from roots_kg.graph.readers import LONGEST_LINE, Source, contract, delimited, files, format_of

HINT = "(`--on-error quarantine` sets bad lines aside and goes on)"


@pytest.fixture
def error_of(read):
    def error_of(path, format=None, **options):
        with pytest.raises(DataError) as caught:
            read(path, format, **options)
        return str(caught.value)

    return error_of


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
    assert format_of(Source(write(content))) == name


def test_naming_the_format_overrules_the_first_lines(write, read, error_of):
    path = write("a|r|b,s,c\n")
    assert read(path).triples == [("a", "r", "b,s,c")]
    assert read(path, "comma").triples == [("a|r|b", "s", "c")]
    assert error_of(path, "tab") == f"{path}:1: expected 3 columns, found 1 {HINT}"


def test_an_unknown_format_is_refused_with_the_nearest(write, read):
    with pytest.raises(UsageError, match=r"unknown format 'comm' \(did you mean 'comma'\?\)"):
        read(write("a,r,b\n"), "comm")


def test_unknown_ways_to_treat_what_is_found_are_refused(write, read):
    with pytest.raises(UsageError, match="unknown way to treat errors: 'lax'"):
        read(write("a,r,b\n"), on_error="lax")
    with pytest.raises(UsageError, match="unknown way to treat literals: 'value'"):
        read(write("a,r,b\n"), literals="value")


def test_a_file_that_no_delimiter_cuts_into_three_is_refused_with_the_way_out(write, error_of):
    path = write("a b c\nd;e;f\n")
    assert error_of(path) == (
        f"{path}: no line has three columns separated by tab, comma or | "
        "(name the format with `--format`, or `tab` to see what is wrong with each line)"
    )


@pytest.mark.parametrize("header", ["head\trelation\ttail", "Subject\tPredicate\tObject", "h\tr\tt"])
def test_a_first_line_of_column_names_is_no_triple(write, read, header):
    assert read(write(f"{header}\na\tr\tb\n")).triples == [("a", "r", "b")]
    assert len(read(write(f"a\tr\tb\n{header}\n")).triples) == 2


def test_only_comma_separated_columns_may_be_quoted(write, read):
    assert read(write('"Bonn, Germany","is ""in""",b\n')).triples == [("Bonn, Germany", 'is "in"', "b")]
    assert read(write('"a"\t6" pipe\t"b\n')).triples == [('"a"', '6" pipe', '"b')]
    assert read(write('"a"|r|"b\n')).triples == [('"a"', "r", '"b')]


def test_a_quote_that_is_not_closed_costs_its_line_and_no_other(write, read, error_of):
    path = write('a,r,b\n"c,r,d\ne,r,f\n')
    assert error_of(path) == f"{path}:2: not valid CSV: a quote is not closed on its line {HINT}"
    found = read(path, on_error="quarantine")
    assert found.triples == [("a", "r", "b"), ("e", "r", "f")]
    assert [reject.line for reject in found.rejects] == [2]


quoted = st.lists(
    st.tuples(*[st.text(st.sampled_from('ab ",\u00e4\u3000'), min_size=1, max_size=5)] * 3),
    min_size=1,
    max_size=6,
)


@given(quoted, st.sampled_from([csv.QUOTE_ALL, csv.QUOTE_MINIMAL]), st.sampled_from(["\n", "\r\n"]))
@settings(max_examples=200, deadline=None)
def test_what_a_csv_writer_writes_is_read_back(tmp_path_factory, read, triples, quoting, line_end):
    triples = [triple for triple in triples if all(map(str.strip, triple))] or [("a", "b", "c")]
    stream = io.StringIO(newline="")
    csv.writer(stream, quoting=quoting, lineterminator=line_end).writerows(triples)
    path = tmp_path_factory.getbasetemp() / "quoted.csv"
    path.write_bytes(stream.getvalue().encode())
    assert read(path, "comma").triples == [tuple(map(str.strip, triple)) for triple in triples]


@pytest.mark.parametrize(
    "content",
    [
        b"a\tr\tb\nc\tr\td\n",
        b"a\tr\tb\r\nc\tr\td\r\n",
        b"\xef\xbb\xbfa\tr\tb\nc\tr\td",
        b"\xef\xbb\xbfhead\trelation\ttail\na\tr\tb\nc\tr\td",
        b"\n\na\tr\tb\n   \n\nc\tr\td\n\n",
        b" a \tr\t b\nc\t r\td \n",
        b"       a\tr       \t\x0b b\nc\t\x1cr\x1f\td       \n",
        "\u3000a\tr\u00a0\t\u2003b\nc\u1680\t\u0085r\td\u205f\n".encode(),
        b"a\tr\tb\r\r\nc\tr\td\r",
    ],
    ids=[
        "plain",
        "CRLF",
        "BOM",
        "BOM before a header",
        "blank lines",
        "spaces",
        "many spaces",
        "spaces beyond ASCII",
        "more carriage returns",
    ],
)
def test_what_editors_leave_in_a_file_makes_no_difference(write, read, content):
    expected = [("a", "r", "b"), ("c", "r", "d")]
    assert read(write(content)).triples == expected
    assert read(write(gzip.compress(content), "triples.txt.gz")).triples == expected


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b"a\tr", "expected 3 columns, found 2"),
        (b"a\tr\tb\tc", "expected 3 columns, found 4"),
        (b"a\tr\t", "the tail column is empty"),
        (b"a\t \tb", "the relation column is empty"),
        (b"a\t\xc2\xa0\tb", "the relation column is empty"),
        (b"\tr\tb", "the head column is empty"),
        (b"a\tr\tb\xff", "not UTF-8: byte 0xff at column 6"),
        (b"a\tr\t\xed\xa0\x80", "not UTF-8: byte 0xed at column 5"),
        (b"a\xc3\tr\tb", "not UTF-8: byte 0xc3 at column 2"),
        (b"a\tr\tb\0c", "the line holds a NUL byte"),
        (b"a\tr\tb\rc\tr\td", "the line holds a carriage return that does not end it"),
        (b"a\tr\t" + b"b" * 2_000_000, "the line is 2,000,004 bytes long, the limit is 1,000,000"),
        (b"a\tr\t" + b"b" * 10_000_000, "the line is 10,000,004 bytes long, the limit is 1,000,000"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_bad_line_stops_the_reading_with_file_line_and_reason(write, error_of, line, reason):
    path = write(b"x\tr\ty\n\n" + line + b"\nz\tr\tx\n")
    assert error_of(path) == f"{path}:3: {reason} {HINT}"


def test_quarantine_keeps_the_good_lines_and_lists_the_bad_with_their_reasons(write, read):
    content = b"a\tr\tb\nbroken\nc\tr\t\xff\nd\t\0\tb\nd\tr\tb\n" + b"x" * (LONGEST_LINE + 1) + b"\n"
    found = read(write(content), on_error="quarantine")
    assert found.triples == [("a", "r", "b"), ("d", "r", "b")]
    assert [(reject.line, reject.reason) for reject in found.rejects] == [
        (2, "expected 3 columns, found 1"),
        (3, "not UTF-8: byte 0xff at column 5"),
        (4, "the line holds a NUL byte"),
        (6, "the line is 1,000,001 bytes long, the limit is 1,000,000"),
    ]
    assert [reject.content[:9] for reject in found.rejects] == [
        "broken",
        "c\tr\t\\xff",
        "d\t\\x00\tb",
        "x" * 9,
    ]
    assert all(reject.path == found.source.path and len(reject.content) <= 1000 for reject in found.rejects)


def test_control_characters_reach_no_terminal(write, read):
    found = read(write("a\tr\tb\nc\x1b[31mred\u2028\u202e\n"), "tab", on_error="quarantine")
    assert found.rejects[0].content == r"c\x1b[31mred\u2028\u202e"


@pytest.mark.parametrize("size", [8, 9, 10, 13, 64])
def test_lines_keep_their_order_and_number_wherever_blocks_end(write, read, monkeypatch, size):
    monkeypatch.setattr(files, "BLOCK", size)
    monkeypatch.setattr(files, "LONGEST_LINE", 30)
    monkeypatch.setattr(delimited, "LONGEST_LINE", 30)
    content = '\ufeffa,r,b\r\n\n"x, y",r,é\n bad\n' + "z" * 31 + '\n c ,r,d\n"open,r,d\ne,r,f'
    found = read(write(content), "comma", on_error="quarantine")
    assert found.triples == [("a", "r", "b"), ("x, y", "r", "é"), ("c", "r", "d"), ("e", "r", "f")]
    assert [(reject.line, reject.reason[:15]) for reject in found.rejects] == [
        (4, "expected 3 colu"),
        (5, "the line is 31 "),
        (7, "not valid CSV: "),
    ]


def test_the_first_long_line_of_many_does_not_hide_the_next(write, read, monkeypatch):
    monkeypatch.setattr(files, "BLOCK", 8)
    monkeypatch.setattr(files, "LONGEST_LINE", 20)
    found = read(write("x" * 50 + "\n" + "y" * 60 + "\na,r,b\n" + "z" * 70), "comma", on_error="quarantine")
    assert found.triples == [("a", "r", "b")]
    assert [(reject.line, reject.reason[:14]) for reject in found.rejects] == [
        (1, "the line is 50"),
        (2, "the line is 60"),
        (4, "the line is 70"),
    ]


def test_a_file_of_nothing_but_bad_lines_is_refused_even_in_quarantine(write, error_of):
    path = write("a\nb\n")
    message = f"{path}:1: holds no triple: expected 3 columns, found 1"
    assert error_of(path, "tab", on_error="quarantine") == message


def test_millions_of_bad_lines_end_the_reading(write, error_of, monkeypatch):
    monkeypatch.setattr(contract, "MOST_REJECTS", 2)
    path = write("a\tr\tb\n" + "bad\n" * 5)
    assert error_of(path, "tab", on_error="quarantine") == (
        f"{path}:4: more than 2 bad lines; the last: expected 3 columns, found 1 "
        "(is this the right format? name it with `--format`)"
    )


@pytest.mark.parametrize("content", [b"", b"\n \n", b"\xef\xbb\xbf\n"])
def test_an_empty_file_is_refused(write, error_of, content):
    path = write(content)
    assert error_of(path) == f"{path}: the file is empty"
    assert error_of(path, "tab") == f"{path}: holds no triple"


def test_a_file_of_only_a_header_holds_no_triple(write, error_of):
    assert error_of(write("head,relation,tail\n")).endswith("holds no triple")


def test_a_file_with_the_line_ends_of_old_macs_is_refused_for_that(write, error_of):
    path = write("a\tr\tb\rc\tr\td\r")
    assert error_of(path).startswith(f"{path}: its lines end in a carriage return alone, as on old Macs (")
    assert "holds a carriage return" in error_of(path, "tab")


columns = st.text(st.characters(exclude_categories=["Cc", "Cs", "Zl", "Zp"]), min_size=1, max_size=8).filter(
    lambda text: text == text.strip() and not text.startswith("\ufeff")
)


@given(st.lists(st.tuples(columns, columns, columns), min_size=1, max_size=8))
@settings(max_examples=100, deadline=None)
def test_tab_separated_triples_of_any_text_are_read_back(tmp_path_factory, read, triples):
    path = tmp_path_factory.getbasetemp() / "written.tsv"
    lines = ["head\trelation\ttail", *map("\t".join, triples)]
    path.write_text("\n".join(lines), encoding="utf-8", newline="\n")
    assert read(path).triples == triples


pieces = st.sampled_from(
    [b"a", b"r", b"\t", b"\t", b"\t", b"\n", b"\r", b" ", b'"', b"\0", b"\xc2", b"\xa0", b"\xe3\x80\x80"]
)


@given(st.lists(pieces, max_size=60).map(b"".join))
@settings(max_examples=300, deadline=None)
def test_whole_blocks_are_read_as_line_by_line(tmp_path_factory, read, content):
    """The slow and plain way, written down once more, gives the same triples and the same bad lines."""
    good, bad = [], []
    for number, line in enumerate(content.split(b"\n"), start=1):
        line = line.rstrip(b"\r")
        if not line.strip():
            continue
        try:
            cells = [cell.strip() for cell in line.decode().split("\t")]
        except UnicodeDecodeError:
            cells = []
        if len(cells) == 3 and all(cells) and b"\0" not in line and b"\r" not in line:
            good.append(tuple(cells))
        else:
            bad.append(number)
    path = tmp_path_factory.getbasetemp() / "pieces.tsv"
    path.write_bytes(content)
    if not good:
        with pytest.raises(DataError):
            read(path, "tab", on_error="quarantine")
        return
    found = read(path, "tab", on_error="quarantine")
    assert found.triples == good
    assert [reject.line for reject in found.rejects] == bad
