import sys
import warnings

import pytest

from roots_kg.errors import UsageError
from roots_kg.graph.triples import KnowledgeGraph
from roots_kg.viz import neighbourhood, picture, write_png

HOSTILE = [
    ("$a$_{b}^", "has $math$ \\frac", "hub"),
    ("a\0b\x1b", "\uffff", "hub"),
    ("ירושלים", "位于", "hub"),
    ("👩‍👩‍👧‍👦", "\u202eleft", "hub"),
    ("hub", "self", "hub"),
    ("hub", "self again", "hub"),
    ("hub", "x" * 200, "y" * 200),
    ("hub", "back", "$a$_{b}^"),
]


def size(path):
    """The width and height that a PNG file states."""
    head = path.read_bytes()[:24]
    assert head[:8] == b"\x89PNG\r\n\x1a\n"
    return int.from_bytes(head[16:20]), int.from_bytes(head[20:24])


def test_a_picture_is_a_png_whatever_the_screen(tmp_path, triples, monkeypatch):
    pytest.importorskip("matplotlib")
    monkeypatch.setenv("MPLBACKEND", "TkAgg")
    path = tmp_path / "new" / "towns.png"
    write_png(neighbourhood(KnowledgeGraph.from_triples(triples), ["Austria"]), path)
    width, height = size(path)
    assert 800 < width < 3000
    assert 500 < height < 3000
    assert [entry.name for entry in path.parent.iterdir()] == ["towns.png"]


def test_no_label_breaks_a_picture_or_warns(tmp_path):
    pytest.importorskip("matplotlib")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        write_png(neighbourhood(KnowledgeGraph.from_triples(HOSTILE), ["hub"]), tmp_path / "a.png")
    assert size(tmp_path / "a.png") > (600, 300)


def test_a_large_picture_is_kept_to_a_size_that_opens(tmp_path, monkeypatch):
    pytest.importorskip("matplotlib")
    monkeypatch.setattr(picture, "LARGEST", 700)
    graph = KnowledgeGraph.from_triples([("hub", f"r{index % 40}", f"leaf {index}") for index in range(60)])
    write_png(neighbourhood(graph, ["hub"], max_nodes=300), tmp_path / "a.png")
    assert 690 < max(size(tmp_path / "a.png")) <= 701


def test_without_matplotlib_the_error_names_the_extra(tmp_path, triples, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(UsageError, match=r"pip install 'roots-kg\[viz\]'"):
        write_png(neighbourhood(KnowledgeGraph.from_triples(triples)), tmp_path / "a.png")
    assert not list(tmp_path.iterdir())
