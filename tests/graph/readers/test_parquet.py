"""Parquet: which columns are read, what their types mean, and what is refused."""

import datetime
import decimal
import gzip

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from roots_kg.errors import DataError
from roots_kg.graph.readers import parquet

XSD = "http://www.w3.org/2001/XMLSchema#"
TEXT = {"head": ["Graz", " Linz "], "relation": ["in", "in"], "tail": ["Österreich", "Austria\n"]}


@pytest.fixture
def table(tmp_path):
    def table(columns, name="x.parquet", **options):
        pq.write_table(pa.table(columns), tmp_path / name, **options)
        return tmp_path / name

    return table


def test_columns_are_found_by_name_whatever_their_case_and_place(table, read):
    expected = [("Graz", "in", "Österreich"), ("Linz", "in", "Austria")]
    assert read(table(TEXT)).triples == expected
    turned = {
        "weight": [1, 2],
        "Object": TEXT["tail"],
        "PREDICATE": TEXT["relation"],
        "Subject": TEXT["head"],
    }
    assert read(table(turned)).triples == expected


def test_without_known_names_the_first_three_columns_are_meant(table, read):
    assert read(table({"a": ["x"], "b": ["r"], "c": ["y"], "head": ["?"]})).triples == [("x", "r", "y")]


@pytest.mark.parametrize(
    "kind",
    [pa.string(), pa.large_string(), pa.binary(), pa.large_binary(), pa.dictionary(pa.int32(), pa.string())],
    ids=str,
)
def test_text_of_every_kind_is_read(table, read, kind):
    columns = {name: pa.array(values, pa.string()).cast(kind) for name, values in TEXT.items()}
    assert read(table(columns)).triples == [("Graz", "in", "Österreich"), ("Linz", "in", "Austria")]


def test_a_compressed_file_is_unpacked(table, read, write):
    content = gzip.compress(table(TEXT).read_bytes())
    assert len(read(write(content, "x.parquet.gz")).triples) == 2
    with pytest.raises(DataError, match=r"x.parquet.gz: the compressed data end too early"):
        read(write(content[:-20], "x.parquet.gz"))


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (pa.array([1, -2]), [("1", XSD + "integer"), ("-2", XSD + "integer")]),
        (pa.array([1.5, 2.0]), [("1.5", XSD + "double"), ("2", XSD + "double")]),
        (pa.array([True, False]), [("true", XSD + "boolean"), ("false", XSD + "boolean")]),
        (pa.array([decimal.Decimal("1.50")] * 2), [("1.50", XSD + "decimal")] * 2),
        (pa.array([datetime.date(1918, 11, 11)] * 2), [("1918-11-11", XSD + "date")] * 2),
        (pa.array([datetime.time(12, 30)] * 2), [("12:30:00.000000", XSD + "time")] * 2),
        (
            pa.array([datetime.datetime(1918, 11, 11, 11)] * 2, pa.timestamp("ms")),
            [("1918-11-11T11:00:00.000", XSD + "dateTime")] * 2,
        ),
    ],
    ids=lambda value: str(value.type) if isinstance(value, pa.Array) else "",
)
def test_a_tail_of_numbers_or_dates_is_a_value(table, read, values, expected):
    path = table({**TEXT, "tail": values})
    found = read(path)
    assert found.triples == []
    assert found.values == [
        (head, "in", *value, "") for head, value in zip(("Graz", "Linz"), expected, strict=True)
    ]
    as_entities = read(path, literals="entities").triples
    assert [tail for _, _, tail in as_entities] == [text for text, _ in expected]


def test_bad_rows_are_refused_by_number_or_set_aside(table, read, monkeypatch):
    monkeypatch.setattr(parquet, "ROWS", 2)
    bad = [None, b"", b"\xa0", b"x\0", b"\xff", b"b" * 1_000_001, b"\xc3", b"\xa4"]
    columns = {
        "head": pa.array([b"a"] * 9 + [b"\xc3\xa4"], pa.binary()),
        "relation": pa.array([b"r"] * 10, pa.binary()),
        "tail": pa.array([b"b", *bad, b"c"], pa.binary()),
    }
    path = table(columns)
    with pytest.raises(DataError, match=r"x.parquet:2: the tail column is empty"):
        read(path)
    found = read(path, on_error="quarantine")
    assert found.triples == [("a", "r", "b"), ("ä", "r", "c")]
    assert [(reject.line, reject.reason) for reject in found.rejects] == [
        (2, "the tail column is empty"),
        (3, "the tail column is empty"),
        (4, "not UTF-8: byte 0xa0"),
        (5, "the tail holds a NUL character"),
        (6, "not UTF-8: byte 0xff"),
        (7, "the tail is 1,000,001 characters long, the limit is 1,000,000"),
        (8, "not UTF-8: byte 0xc3"),
        (9, "not UTF-8: byte 0xa4"),
    ]


def test_a_value_that_is_missing_is_a_bad_row(table, read):
    found = read(table({**TEXT, "tail": pa.array([None, 3])}), on_error="quarantine")
    assert [reject.line for reject in found.rejects] == [1]
    assert len(found.values) == 1


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"a": ["x"], "b": ["y"]}, "expected the columns head, relation and tail, found 'a', 'b'"),
        ({**TEXT, "head": [1, 2]}, "the column 'head' holds int64, which is no head (write names as text)"),
        ({**TEXT, "tail": [["b"], []]}, "the column 'tail' holds list<element: string>, which is no tail"),
    ],
)
def test_columns_that_hold_no_triples_are_refused(table, read, columns, message):
    path = table(columns)
    with pytest.raises(DataError) as caught:
        read(path)
    assert str(caught.value).startswith(f"{path}: {message}")


def test_a_truncated_file_and_one_of_another_kind_are_refused(table, read, write):
    whole = table(TEXT).read_bytes()
    for content in (whole[:-20], whole[20:], whole[:30], b"a\tr\tb\n", b"", b"PAR1" * 3):
        path = write(content, "broken.parquet")
        for on_error in ("strict", "quarantine"):
            with pytest.raises(DataError) as caught:
                read(path, on_error=on_error)
            assert str(caught.value).startswith(f"{path}: cannot be read as Parquet: ")
            assert "\n" not in str(caught.value)


def test_a_table_of_no_rows_holds_no_triple(table, read):
    with pytest.raises(DataError, match="holds no triple"):
        read(table({name: pa.array([], pa.string()) for name in TEXT}))
