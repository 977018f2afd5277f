"""JSON Lines: objects and arrays, what is an entity and what a literal, and what is refused."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from roots_kg.errors import DataError

XSD = "http://www.w3.org/2001/XMLSchema#"


def write_lines(write, *lines):
    return write("\n".join(line if isinstance(line, str) else json.dumps(line) for line in lines), "x.jsonl")


def test_objects_and_arrays_are_triples_and_other_keys_are_left_out(write, read):
    path = write_lines(
        write,
        {"head": "Graz", "relation": "in", "tail": "Austria", "weight": 0.5},
        ["Linz", "in", "Austria"],
        "",
        {"subject": " Wien ", "predicate": "in", "object": "Austria"},
        {"h": "Ö", "r": "\u00fc", "t": "\U0001f600\n"},
    )
    assert read(path).triples == [
        ("Graz", "in", "Austria"),
        ("Linz", "in", "Austria"),
        ("Wien", "in", "Austria"),
        ("Ö", "ü", "😀"),
    ]


@pytest.mark.parametrize(
    ("tail", "value"),
    [
        ("42", ("42", XSD + "integer", "")),
        ("9" * 5000, ("9" * 5000, XSD + "integer", "")),
        ("1.50", ("1.50", XSD + "double", "")),
        ("-1e400", ("-1e400", XSD + "double", "")),
        ("true", ("true", XSD + "boolean", "")),
        ('{"value": "Wien", "lang": "de"}', ("Wien", "", "de")),
        ('{"value": " 1918 ", "type": "year"}', (" 1918 ", "year", "")),
        ('{"value": 7}', ("7", XSD + "integer", "")),
        ('{"value": 7, "type": "cm"}', ("7", "cm", "")),
        ('{"value": ""}', ("", "", "")),
    ],
)
def test_a_tail_that_is_not_text_is_a_value(write, read, tail, value):
    found = read(write('{"head": "a", "relation": "r", "tail": ' + tail + "}\n", "x.jsonl"))
    assert (found.triples, found.values) == ([], [("a", "r", *value)])


def test_literals_become_entities_or_nothing_where_that_is_asked_for(write, read):
    path = write_lines(write, ["a", "r", 4], ["a", "r", "b"], ["a", "r", {"value": "x"}])
    assert read(path, literals="entities").triples == [("a", "r", "4"), ("a", "r", "b"), ("a", "r", "x")]
    found = read(path, literals="ignore")
    assert (found.triples, found.values, found.source.ignored) == ([("a", "r", "b")], [], 2)


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ('["a", "r", "b"', "not JSON: Expecting ',' delimiter at column 15"),
        ("nonsense", "not JSON: Expecting value at column 1"),
        ('["a", "r", NaN]', "not JSON: NaN is no JSON number"),
        ('["a", "r"]', "expected 3 columns, found 2"),
        ('"a"', "expected an object or an array of three, found text"),
        ("3", "expected an object or an array of three, found the number 3"),
        (
            '{"head": "a", "tail": "b"}',
            "expected the keys 'head', 'relation' and 'tail', found 'head', 'tail'",
        ),
        ("{}", "expected the keys 'head', 'relation' and 'tail', found none"),
        ('[5, "r", "b"]', "the head is the number 5, not text"),
        ('["a", null, "b"]', "the relation is null, not text"),
        ('["a", "r", null]', "the tail is null, not text, a number or a value"),
        ('["a", "r", ["b"]]', "the tail is an array, not text, a number or a value"),
        ('["a", "r", {"id": "b"}]', "the tail is an object, not text, a number or a value"),
        ('["a", "r", {"value": {"value": 1}}]', "the value of the tail is an object, not text or a number"),
        ('["a", "r", {"value": 1, "unit": "cm"}]', "the tail has an unknown key 'unit'"),
        ('["a", "r", {"value": 1, "type": 3}]', "the type and the lang of the tail must be text"),
        ('["a", " ", "b"]', "the relation column is empty"),
        (r'["a", "r", "b\u0000"]', "the tail holds a NUL character"),
        (r'["a", "r", "\ud800"]', "it holds half of a surrogate pair"),
        ("[" * 100_000, "not JSON that can be read: nested too deep"),
        ('{"value":' * 100_000, "not JSON that can be read: nested too deep"),
        ('["a", "r", "' + "b" * 1_000_000 + '"]', "the line is 1,000,014 bytes long, the limit is 1,000,000"),
    ],
    ids=lambda value: value[:40],
)
def test_a_bad_line_is_refused_with_file_line_and_reason_or_set_aside(write, read, line, reason):
    path = write_lines(write, ["a", "r", "b"], line, ["c", "r", "d"])
    with pytest.raises(DataError) as caught:
        read(path)
    assert (caught.value.path, caught.value.line, caught.value.message) == (path, 2, reason)
    found = read(path, on_error="quarantine")
    assert found.triples == [("a", "r", "b"), ("c", "r", "d")]
    assert [(reject.line, reject.reason) for reject in found.rejects] == [(2, reason)]


def test_bytes_that_are_not_utf8_are_refused_with_their_place(write, read):
    with pytest.raises(DataError, match=r"x.jsonl:1: not UTF-8: byte 0xff at column 3"):
        read(write(b'["\xff", "r", "b"]', "x.jsonl"))


name = st.text(min_size=1, max_size=6).filter(lambda text: text.strip() and "\0" not in text)


@given(st.lists(st.tuples(name, name, name), min_size=1, max_size=5), st.booleans())
@settings(max_examples=80, deadline=None)
def test_names_of_any_kind_are_read_back(tmp_path_factory, read, triples, ascii_only):
    path = tmp_path_factory.getbasetemp() / "any.jsonl"
    lines = (json.dumps(triple, ensure_ascii=ascii_only) + "\n" for triple in triples)
    path.write_text("".join(lines), encoding="utf-8", newline="\n")
    assert read(path).triples == [tuple(text.strip() for text in triple) for triple in triples]
