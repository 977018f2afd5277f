"""Statements become distinct triples in order of appearance, and names and values of their entities."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from roots_kg.errors import DataError
from roots_kg.graph import assembly
from roots_kg.graph.assembly import first_statements
from roots_kg.graph.triples import KnowledgeGraph
from roots_kg.graph.values import Value

RDFS, SKOS = "http://www.w3.org/2000/01/rdf-schema#", "http://www.w3.org/2004/02/skos/core#"
small = st.integers(0, 3)


@given(st.lists(st.tuples(small, small, small), max_size=40), st.sampled_from([4, 1 << 40]))
@settings(max_examples=150, deadline=None)
def test_only_the_first_of_equal_triples_is_first(triples, sizes):
    """Both where a triple fits into one number and where it does not."""
    head, relation, tail = np.array(triples, dtype=np.int32).reshape(-1, 3).T
    expected = [triple not in triples[:at] for at, triple in enumerate(triples)]
    assert first_statements(head, relation, tail, sizes, sizes).tolist() == expected


letters = st.sampled_from("abcdefg")


@given(st.lists(st.tuples(letters, letters, letters), max_size=40), st.sampled_from([1, 3, 1 << 20]))
@settings(max_examples=100, deadline=None)
def test_ids_follow_the_order_of_appearance_also_of_names_that_are_both(triples, rows):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(assembly, "ROWS", rows)
        graph = KnowledgeGraph.from_triples(triples)
    assert graph.entities == tuple(dict.fromkeys(name for head, _, tail in triples for name in (head, tail)))
    assert graph.relations == tuple(dict.fromkeys(relation for _, relation, _ in triples))
    assert len(graph) == len(set(triples))


@pytest.fixture
def write(tmp_path):
    def write(name, *lines):
        path = tmp_path / name
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")
        return path

    return write


def nt(head, relation, tail):
    return f"<{head}> <{relation}> {tail if tail.startswith(('<', '_', chr(34))) else f'<{tail}>'} ."


def test_labels_become_names_in_the_wanted_language_first(write):
    path = write(
        "x.nt",
        nt("http://e/w", SKOS + "altLabel", '"Vindobona"'),
        nt("http://e/w", RDFS + "label", '"Wien"@de'),
        nt("http://e/w", RDFS + "label", '"Vienna"@en-GB'),
        nt("http://e/w", RDFS + "label", '" Wean "'),
        nt("http://e/w", SKOS + "prefLabel", '"Vienna"@fr'),
        nt("http://e/w", "http://schema.org/name", '"City of Vienna"@en'),
        nt("http://e/w", RDFS + "label", '" "'),
        nt("http://e/w", "http://e/in", "http://e/a"),
    )
    names = {
        language: KnowledgeGraph.from_file(path, language=language).aliases["http://e/w"]
        for language in ("en", "de", "EN-gb", "xx")
    }
    assert names["en"] == ("Vienna", "Wean", "Wien", "City of Vienna", "Vindobona")
    assert names["de"][:2] == ("Wien", "Wean")
    assert names["EN-gb"][0] == "Vienna"
    assert names["xx"][0] == "Wean"
    assert KnowledgeGraph.from_file(path).entity_id("City of Vienna") == 0


def test_labels_follow_the_names_of_an_aliases_file(write):
    path = write(
        "x.nt", nt("http://e/w", RDFS + "label", '"Wien"'), nt("http://e/w", "http://e/in", "http://e/a")
    )
    aliases = write("names.tsv", "http://e/w\tVienna", "http://e/w\tWien")
    assert KnowledgeGraph.from_file(path, aliases=aliases).aliases == {"http://e/w": ("Vienna", "Wien")}


def test_labels_may_come_before_the_triples_and_from_a_file_of_their_own(write):
    labels = write(
        "labels.nt", nt("http://e/w", RDFS + "label", '"Wien"'), nt("http://e/x", RDFS + "label", '"X"')
    )
    triples = write("triples.tsv", "http://e/w\tin\thttp://e/a")
    graph, report = KnowledgeGraph.read([labels, triples])
    assert graph.aliases == {"http://e/w": ("Wien",)}
    assert graph.sources[graph.source_id[0]] == str(triples)
    assert report.unused_values == 1
    with pytest.raises(DataError, match=r"labels.nt: holds no triple, only literals"):
        KnowledgeGraph.from_file(labels)


def test_values_stay_with_their_entity_each_once_in_order(write):
    path = write(
        "x.jsonl",
        '["Graz", "in", "Austria"]',
        '["Graz", "population", 302749]',
        '["Graz", "says", {"value": "Griaß di", "lang": "de-AT"}]',
        '["Graz", "population", 302749]',
        '["Austria", "founded", {"value": "1918-11-12", "type": "date"}]',
        '["Linz", "population", 213557]',
    )
    graph, report = KnowledgeGraph.read([path])
    assert graph.values == {
        "Graz": (
            Value("population", "302749", "http://www.w3.org/2001/XMLSchema#integer"),
            Value("says", "Griaß di", None, "de-AT"),
        ),
        "Austria": (Value("founded", "1918-11-12", "date"),),
    }
    assert (graph.entities, report.unused_values, report.ignored_literals) == (("Graz", "Austria"), 1, 0)
    assert graph.without([0]).values == graph.values
    bare, report = KnowledgeGraph.read([path], literals="ignore")
    assert (bare.values, report.unused_values, report.ignored_literals) == ({}, 0, 5)
    assert len(KnowledgeGraph.from_file(path, literals="entities")) == 5


def test_blank_nodes_of_two_files_are_two_entities(write):
    line = nt("http://e/a", "http://e/r", "_:b0")
    graph = KnowledgeGraph.from_file(write("x.nt", line), write("y.nt", line))
    assert graph.entities == ("http://e/a", "_:0.0", "_:1.0")


def test_several_aliases_files_are_taken_together(write):
    path = write("x.tsv", "a\tr\tb")
    first, second = write("1.tsv", "a\tA"), write("2.tsv", "b\tB", "a\tAlpha", "z\tZ")
    graph, report = KnowledgeGraph.read([path], aliases=[first, second])
    assert graph.aliases == {"a": ("A", "Alpha"), "b": ("B",)}
    assert report.unused_aliases == 1


def test_bad_lines_of_aliases_are_set_aside_too(write):
    path, aliases = write("x.tsv", "a\tr\tb"), write("names.tsv", "a\tA", "bad")
    with pytest.raises(DataError, match=r"names.tsv:2: expected entity<TAB>alias"):
        KnowledgeGraph.from_file(path, aliases=aliases)
    graph, report = KnowledgeGraph.read([path], aliases=aliases, on_error="quarantine")
    assert graph.aliases == {"a": ("A",)}
    assert [(reject.path, reject.line) for reject in report.rejects] == [(aliases, 2)]
