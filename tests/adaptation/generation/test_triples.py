"""Triples as lines: what is written is read back, and nothing else is taken for a triple."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from roots_kg.adaptation.generation.triples import (
    read_triples,
    relation_words,
    surface,
    write_triple,
    write_triples,
)

NAMES = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=12).filter(str.strip)
TRIPLES = st.lists(st.tuples(NAMES, NAMES, NAMES), max_size=4)


def in_one_line(name):
    return " ".join(name.split())


@given(TRIPLES)
def test_what_is_written_is_read_back(triples):
    rest, found = read_triples(write_triples("", triples))
    assert found == [tuple(map(in_one_line, triple)) for triple in triples]
    assert rest == ""


@given(TRIPLES, st.text(st.characters(exclude_categories=["Cs"], exclude_characters="|"), max_size=40))
def test_text_in_front_of_them_stays(triples, text):
    rest, found = read_triples(write_triples(text, triples))
    assert rest == text
    assert len(found) == len(triples)


def test_a_person_can_type_them():
    text = "Tell me about it.\n  Graz | located_in | Austria \nGraz | population | 290,000"
    assert read_triples(text) == (
        "Tell me about it.",
        [("Graz", "located_in", "Austria"), ("Graz", "population", "290,000")],
    )


@pytest.mark.parametrize("line", ["a | b", "a | b | c | d", "a|b|c", " | b | c", "a | b | ", "a || b"])
def test_other_lines_with_bars_are_text(line):
    assert read_triples(line) == (line, [])


def test_bars_and_backslashes_in_names_are_escaped():
    triple = ("a|b", "c\\d", "e | f")
    assert write_triple(triple) == "a\\|b | c\\\\d | e \\| f"
    assert read_triples(write_triple(triple)) == ("", [triple])


@pytest.mark.parametrize(
    ("name", "written"),
    [
        ("New_York_City", "New York City"),
        ('"Aarhus, Denmark"', "Aarhus, Denmark"),
        ('"chat"@en-GB', "chat"),
        ('"25"^^xsd:integer', "25"),
        ("25.0", "25.0"),
        ('He said "no" twice', 'He said "no" twice'),
        ("_", "_"),
        ('""', '""'),
    ],
)
def test_names_as_they_stand_in_a_sentence(name, written):
    assert surface(name) == written


@pytest.mark.parametrize("relation", ["cityServed", "city_served", "City Served"])
def test_relations_as_words(relation):
    assert relation_words(relation) == "city served"
