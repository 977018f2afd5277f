import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from roots_kg.graph.triples import KnowledgeGraph
from roots_kg.viz import neighbourhood
from roots_kg.viz.drawing import draw, shorten, showable, text_width


def test_edges_name_entities_and_relations_by_their_places():
    triples = [("a", "r", "b"), ("b", "s", "c"), ("c", "s", "a"), ("d", "s", "b")]
    graph = KnowledgeGraph.from_triples(triples)
    drawing = draw(neighbourhood(graph, ["c"], hops=2))
    relations = [graph.relations[relation] for relation in drawing.relations]
    assert relations == ["s", "r"]
    assert drawing.counts == (3, 1)
    drawn = {(drawing.labels[h], relations[r], drawing.labels[t]) for h, t, r in drawing.edges.tolist()}
    assert drawn == set(triples)
    assert drawing.labels[0] == "c"


def test_relations_are_written_beside_few_edges_only():
    few = KnowledgeGraph.from_triples([("hub", "r", f"leaf {index}") for index in range(30)])
    many = KnowledgeGraph.from_triples([("hub", "r", f"leaf {index}") for index in range(50)])
    assert draw(neighbourhood(few, ["hub"])).names_edges
    assert not draw(neighbourhood(many, ["hub"])).names_edges


def test_a_label_has_room_in_its_box():
    graph = KnowledgeGraph.from_triples([("東京都" * 20, "r", "x")])
    drawing = draw(neighbourhood(graph))
    assert drawing.sizes[drawing.labels.index("x"), 0] < drawing.sizes[:, 0].max() < 250
    assert np.all(drawing.sizes > 20)


@pytest.mark.parametrize(
    ("text", "short"),
    [
        ("Austria", "Austria"),
        ("two\nli\t n  e", "two li n e"),
        ("x" * 50, "x" * 9 + "…"),
        ("東京都東京都", "東京都東…"),
        ("ooooooooe\u0301oo", "ooooooooe\u0301…"),
        ("ooooooo\U0001f469\u200d\U0001f469oo", "ooooooo…"),
        (" \u3000 ", "␣"),
        ("a\x1b[31mb", "a\\u001b[3…"),
        ("\ud800", "\\ud800"),
    ],
)
def test_labels_are_cut_between_whole_characters(text, short):
    assert shorten(text, 10) == short


@given(st.text(), st.integers(2, 40))
def test_a_shortened_text_fits_on_one_line(text, longest):
    short = shorten(text, longest)
    assert short
    assert "\n" not in short
    assert text_width(short) <= longest or len(short) <= 2


@given(st.text(st.characters()))
def test_a_printable_text_can_be_written_and_keeps_what_was_printable(text):
    shown = showable(text)
    shown.encode()
    assert not {"\0", "\x1b", "\u202e"} & set(shown)
    if text.isprintable():
        assert shown == text
