"""Hostile RDF that would end the process or eat its memory is refused before the parser sees it."""

import pytest

from roots_kg.errors import DataError
from roots_kg.graph.readers.guards import BracketDepth, QuotedTriples

RDF = 'xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#" xmlns:e="http://e/"'
DEEP = 30_000


def nested_triples(depth):
    return (
        "<http://a> <http://b> " + "<<( <http://a> <http://b> " * depth + "<http://c>" + " )>>" * depth + " ."
    )


@pytest.mark.parametrize(
    ("content", "name", "message"),
    [
        (nested_triples(DEEP), "x.ttl", "more than 1,000 quoted triples are open"),
        (nested_triples(DEEP), "x.nt", "its quoted triples are nested too deep"),
        (
            '{"@id":"http://a","http://b":' * DEEP + "1" + "}" * DEEP,
            "x.jsonld",
            "nested more than 500 levels deep",
        ),
        ("[" * DEEP, "x.jsonld", "nested more than 500 levels deep"),
        (f"<rdf:RDF {RDF}>" + "<rdf:Description><e:p>" * DEEP, "x.rdf", "nested more than 500 levels deep"),
    ],
    ids=["Turtle", "N-Triples", "objects", "arrays", "elements"],
)
@pytest.mark.parametrize("on_error", ["strict", "quarantine"])
def test_what_is_nested_thousands_of_levels_deep_is_refused(write, read, content, name, message, on_error):
    with pytest.raises(DataError, match=message):
        read(write(content, name), on_error=on_error)


def xml(doctype, text):
    return (
        f"<?xml version='1.0'?><!DOCTYPE x [{doctype}]><rdf:RDF {RDF}>"
        f"<rdf:Description rdf:about='http://a'><e:p>{text}</e:p></rdf:Description></rdf:RDF>"
    )


BOMB = '<!ENTITY a0 "ha">' + "".join(f'<!ENTITY a{level + 1} "{f"&a{level};" * 10}">' for level in range(12))


@pytest.mark.parametrize(
    "doctype",
    [
        BOMB,
        f"<!ENTITY a12 '{'a' * 2000}'>",
        '<!ENTITY a12 SYSTEM "file:///etc/passwd">',
        f"<!-- {BOMB} -->",
        f"<?x {BOMB}?>",
    ],
    ids=["nested", "long", "external", "in a comment", "in an instruction"],
)
@pytest.mark.parametrize("on_error", ["strict", "quarantine"])
def test_an_entity_that_could_grow_is_refused(write, read, doctype, on_error):
    with pytest.raises(DataError, match="entity"):
        read(write(xml(doctype, "&a12;"), "x.rdf"), on_error=on_error)


def test_the_short_entities_of_ontologies_are_read(write, read):
    found = read(write(xml('<!ENTITY owl "http://www.w3.org/2002/07/owl#" >', "&owl;Thing"), "x.owl"))
    assert found.values[0][2] == "http://www.w3.org/2002/07/owl#Thing"


def test_brackets_in_strings_do_not_count_wherever_the_pieces_end():
    text = b'{"a\\"[[[": ["{{{{", "\\\\"]}' * 3
    for size in range(1, 20):
        guard = BracketDepth()
        pieces = [text[at : at + size] for at in range(0, len(text), size)]
        assert [guard(piece) for piece in pieces] == [None] * len(pieces)
        assert guard._depth == 0


def test_a_string_without_an_end_is_not_collected_for_ever():
    guard = BracketDepth()
    guard(b'["')
    assert any(guard(b"x" * 100_000) for _ in range(20))


def test_quoted_triples_beside_each_other_are_no_depth():
    guard = QuotedTriples()
    assert [guard(b"<<( :a :b :c )>> . " * 2000)] == [None]
    assert guard(b"<<( " * 2000) is not None
