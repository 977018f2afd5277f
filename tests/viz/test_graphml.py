import networkx
from hypothesis import given, settings
from hypothesis import strategies as st

from roots_kg.graph.triples import KnowledgeGraph
from roots_kg.viz import neighbourhood, whole, write_graphml


def written(shown, tmp_path):
    path = tmp_path / "graph.graphml"
    write_graphml(shown, path)
    return networkx.read_graphml(path, force_multigraph=True)


def facts(graph):
    return sorted((head, data["label"], tail) for head, tail, data in graph.edges(data=True))


def test_the_whole_graph_reads_back(tmp_path, triples):
    graph = KnowledgeGraph.from_triples(triples, aliases={"Graz": ["City of Graz"]}, source="towns.tsv")
    found = written(whole(graph), tmp_path)
    assert found.is_directed()
    assert facts(found) == sorted(triples)
    assert found.nodes["Graz"] == {"label": "City of Graz"}
    assert {data["file"] for _, _, data in found.edges(data=True)} == {"towns.tsv"}


def test_a_neighbourhood_is_written_alone(tmp_path, triples):
    found = written(neighbourhood(KnowledgeGraph.from_triples(triples), ["Austria"]), tmp_path)
    assert facts(found) == sorted(triple for triple in triples if "Austria" in triple)


def test_parallel_edges_and_self_loops_stay_apart(tmp_path):
    triples = [("a", "r", "b"), ("a", "s", "b"), ("b", "r", "a"), ("a", "r", "a"), ("a", "s", "a")]
    found = written(whole(KnowledgeGraph.from_triples(triples)), tmp_path)
    assert facts(found) == sorted(triples)
    text = (tmp_path / "graph.graphml").read_text(encoding="utf-8")
    assert len(set(found.edges(keys=True))) == text.count("<edge ") == 5


def test_what_xml_cannot_hold_is_escaped_and_keys_stay_apart(tmp_path):
    triples = [("a\x01", "r\x00", "a\\u0001"), ("<&\"'>", "\ufffe", "\uffff"), ("\r", "r", "ok\ttab\nline")]
    found = written(whole(KnowledgeGraph.from_triples(triples)), tmp_path)
    assert facts(found) == sorted(
        [
            ("a\\u0001", "r\\u0000", "a\\u0001\\"),
            ("<&\"'>", "\\ufffe", "\\uffff"),
            ("\\u000d", "r", "ok\ttab\nline"),
        ]
    )


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(*[st.text(min_size=1)] * 3), min_size=1, max_size=6))
def test_any_names_give_a_file_that_reads_back(tmp_path_factory, triples):
    graph = KnowledgeGraph.from_triples(triples)
    found = written(whole(graph), tmp_path_factory.mktemp("graphml"))
    assert found.number_of_nodes() == graph.num_entities
    assert found.number_of_edges() == len(graph)
