"""Aliases: two columns a line, strict or with the bad lines set aside."""

import contextlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from roots_kg.errors import DataError, RootsError
from roots_kg.graph.readers import Source, read_aliases


def test_aliases_are_read_in_order(write):
    path = write("\ufeffQ1\tAustria\r\n\nQ1\t Österreich \n")
    assert list(read_aliases(path)) == [(1, "Q1", "Austria"), (3, "Q1", "Österreich")]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b"Q1", "expected entity<TAB>alias, found 1 columns"),
        (b"Q1\tA\tB", "expected entity<TAB>alias, found 3 columns"),
        (b"Q1\t ", "expected entity<TAB>alias, found an empty column"),
        (b"Q1\t\xff", "not UTF-8: byte 0xff at column 4"),
        (b"Q1\ta\0b", "the alias holds a NUL character"),
        (b"Q1\t" + b"a" * 1_000_000, "the line is 1,000,003 bytes long, the limit is 1,000,000"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_bad_line_is_refused_with_file_line_and_reason_or_set_aside(write, line, reason):
    path = write(b"Q1\tAustria\n" + line + b"\nQ2\tGraz\n")
    with pytest.raises(DataError) as caught:
        list(read_aliases(path))
    assert (caught.value.path, caught.value.line, caught.value.message) == (path, 2, reason)
    source = Source(path, on_error="quarantine")
    assert list(read_aliases(source)) == [(1, "Q1", "Austria"), (3, "Q2", "Graz")]
    assert [(reject.line, reject.reason) for reject in source.rejects] == [(2, reason)]


@given(st.binary(max_size=100))
@settings(max_examples=100, deadline=None)
def test_no_bytes_make_it_raise_anything_else(tmp_path_factory, content):
    path = tmp_path_factory.getbasetemp() / "aliases.tsv"
    path.write_bytes(content)
    with contextlib.suppress(RootsError):
        assert all(entity and alias for _, entity, alias in read_aliases(path))
