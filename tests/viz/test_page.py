import base64
import hashlib
import html
import json
import re
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from roots_kg.errors import DataError
from roots_kg.graph.triples import KnowledgeGraph
from roots_kg.graph.values import Value
from roots_kg.viz import neighbourhood, write_html

HOSTILE = [
    "</script><img src=x onerror=alert(1)>",
    '"><script>alert(1)</script>',
    "<!--<script>",
    "@@data@@",
    "\\u003c",
    "a\x1b[31m\0",
    "\u202etfel",
    "]]>&amp;",
]


def page(graph, tmp_path, *entities, **options):
    path = tmp_path / "page.html"
    write_html(neighbourhood(graph, entities, **options), path)
    return path.read_text(encoding="utf-8")


def data(text):
    (found,) = re.findall(r'<script type="application/json" id="data">(.*?)</script>', text, re.DOTALL)
    return json.loads(found)


def test_the_page_holds_the_entities_relations_and_triples(tmp_path, triples):
    graph = KnowledgeGraph.from_triples(triples, aliases={"Austria": ["Austria", "Österreich"]})
    text = page(graph, tmp_path, "Austria")
    found = data(text)
    names = [node["name"] for node in found["nodes"]]
    assert names[0] == "Austria"
    assert found["nodes"][0]["centre"]
    assert found["nodes"][0]["aliases"] == ["Österreich"]
    assert found["nodes"][0]["degree"] == 8
    relations = [relation["name"] for relation in found["relations"]]
    drawn = {(names[h], relations[r], names[t]) for h, t, r in found["edges"]}
    assert drawn == {triple for triple in triples if "Austria" in triple}
    assert "<title>Austria</title>" in text
    assert "<td><bdi>Graz</bdi></td><td><bdi>located_in</bdi></td><td><bdi>Austria</bdi></td>" in text
    assert "9 entities, 8 triples within 1 hop" in text


def test_the_page_may_run_its_own_script_and_style_only_and_fetch_nothing(tmp_path, triples):
    text = page(KnowledgeGraph.from_triples(triples), tmp_path)
    (policy,) = re.findall(r'Content-Security-Policy" content="([^"]*)"', text)
    assert policy.startswith("default-src 'none'; ")
    for name in ("script", "style"):
        (content,) = re.findall(rf"<{name}>(.*?)</{name}>", text, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()
        assert f"{name}-src 'sha256-{digest}'" in policy
    assert "unsafe" not in policy
    assert not re.search(r"(src|href)\s*=|url\(|@import|fetch\(|innerHTML", text)
    assert set(re.findall(r"https?://[^\"' ]*", text)) == {"http://www.w3.org/2000/svg"}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_name_is_text_and_nothing_else(tmp_path, name):
    harmless = page(KnowledgeGraph.from_triples([("hub", "relation", "name")]), tmp_path, "hub")
    text = page(KnowledgeGraph.from_triples([("hub", name, f"{name}!")]), tmp_path, "hub")
    assert re.findall(r"<[/!a-zA-Z]*", text) == re.findall(r"<[/!a-zA-Z]*", harmless)
    assert not {"\0", "\x1b", "\u202e"} & set(text)
    if name.isprintable():
        found = data(text)
        assert found["nodes"][1]["name"] == f"{name}!"
        assert found["relations"][0]["name"] == name
        assert html.escape(name) in text


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(*[st.text(min_size=1)] * 3), min_size=1, max_size=5))
def test_no_name_adds_an_element_to_the_page(tmp_path_factory, triples):
    text = page(KnowledgeGraph.from_triples(triples), tmp_path_factory.mktemp("page"), max_nodes=20)
    rows = len(data(text)["edges"])
    assert text.count("<script") == 2
    assert text.count("</script") == 2
    assert text.count("<tr>") == rows + 1
    assert text.count("<td>") == 3 * rows


def test_the_page_holds_what_is_said_of_an_entity(tmp_path):
    values = {"a": (Value("population", "1900000"), Value("motto", "ever", language="la"))}
    graph = replace(KnowledgeGraph.from_triples([("a", "r", "b")]), values=values)
    nodes = data(page(graph, tmp_path, "a"))["nodes"]
    assert nodes[0]["values"] == [["population", "1900000"], ["motto", "ever (la)"]]
    assert (nodes[0]["more_values"], nodes[1]["values"]) == (0, [])


def test_the_page_says_how_many_entities_are_left_out(tmp_path):
    graph = KnowledgeGraph.from_triples([("hub", "r", f"leaf {index}") for index in range(3000)])
    text = page(graph, tmp_path, "hub")
    assert len(data(text)["nodes"]) == 60
    assert "2,941 more entities there are left out" in text
    assert len(text) < 100_000


def test_a_triple_from_an_entity_to_itself_counts_once(tmp_path):
    found = data(page(KnowledgeGraph.from_triples([("a", "r", "a"), ("a", "r", "b")]), tmp_path, "a"))
    assert [node["degree"] for node in found["nodes"]] == [2, 1]


def test_the_same_graph_gives_the_same_page(tmp_path, triples):
    graph = KnowledgeGraph.from_triples(triples)
    assert page(graph, tmp_path) == page(graph, tmp_path)


def test_what_cannot_be_written_leaves_the_old_page(tmp_path, triples):
    (tmp_path / "file").write_text("a file")
    shown = neighbourhood(KnowledgeGraph.from_triples(triples))
    with pytest.raises(DataError, match="cannot be written"):
        write_html(shown, tmp_path / "file" / "page.html")
    write_html(shown, tmp_path / "new" / "page.html")
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["page.html"]
