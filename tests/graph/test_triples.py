"""The knowledge graph keeps each fact once, knows what things are called, and can be looked at both ways."""

from dataclasses import replace

import networkx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from roots_kg.errors import DataError, GraphError
from roots_kg.graph.triples import KnowledgeGraph, read_ids
from roots_kg.graph.values import Value

TRIPLES = [
    ("Q40", "capital", "Q1741"),
    ("Q183", "capital", "Q64"),
    ("Q40", "borders", "Q183"),
    ("Q183", "borders", "Q40"),
    ("Q40", "borders", "Q40"),
]
ALIASES = {
    "Q40": ("Austria", "Österreich"),
    "Q183": ("Germany", "Deutschland"),
    "Q64": ("Berlin",),
    "Q1741": ("Vienna", "Berlin"),
}


@pytest.fixture
def graph():
    return KnowledgeGraph.from_triples(TRIPLES, aliases=ALIASES)


def triples_of(graph):
    ids = zip(graph.head_id, graph.relation_id, graph.tail_id, strict=True)
    return [
        (graph.entities[head], graph.relations[relation], graph.entities[tail])
        for head, relation, tail in ids
    ]


def test_ids_follow_the_order_in_which_names_appear(graph):
    assert graph.entities == ("Q40", "Q1741", "Q183", "Q64")
    assert graph.relations == ("capital", "borders")
    assert (graph.num_entities, graph.num_relations, len(graph)) == (4, 2, 5)
    assert triples_of(graph) == TRIPLES


def test_a_triple_stated_twice_is_kept_once():
    assert triples_of(KnowledgeGraph.from_triples([*TRIPLES, *TRIPLES[:2]])) == TRIPLES


def test_several_files_become_one_graph_and_each_triple_keeps_its_first_source(tmp_path):
    (tmp_path / "a.tsv").write_text("a\tr\tb\nb\tr\tc\n")
    (tmp_path / "b.csv").write_text("b,r,c\nc,s,a\nc,s,a\n")
    graph, report = KnowledgeGraph.read([tmp_path / "a.tsv", tmp_path / "b.csv"])
    assert triples_of(graph) == [("a", "r", "b"), ("b", "r", "c"), ("c", "s", "a")]
    assert graph.sources == (str(tmp_path / "a.tsv"), str(tmp_path / "b.csv"))
    assert graph.source_id.tolist() == [0, 0, 1]
    assert report.duplicates == 2


def test_quarantine_reports_the_bad_lines_of_every_file(tmp_path):
    for name in ("a.tsv", "b.tsv"):
        (tmp_path / name).write_text("a\tr\tb\nbroken\n")
    with pytest.raises(DataError, match=r"a.tsv:2"):
        KnowledgeGraph.from_file(tmp_path / "a.tsv", tmp_path / "b.tsv")
    graph, report = KnowledgeGraph.read([tmp_path / "a.tsv", tmp_path / "b.tsv"], on_error="quarantine")
    assert len(graph) == 1
    assert [(reject.path.name, reject.line) for reject in report.rejects] == [("a.tsv", 2), ("b.tsv", 2)]


def test_an_aliases_file_gives_names_and_counts_what_it_could_not_use(tmp_path):
    (tmp_path / "a.tsv").write_text("Q40\tr\tQ183\n")
    (tmp_path / "names.tsv").write_text("Q40\tAustria\nQ40\tÖsterreich\nQ40\tAustria\nQ7\tNobody\n", "utf-8")
    graph, report = KnowledgeGraph.read([tmp_path / "a.tsv"], aliases=tmp_path / "names.tsv")
    assert graph.aliases == {"Q40": ("Austria", "Österreich")}
    assert report.unused_aliases == 1
    (tmp_path / "names.tsv").write_text("Q7\tNobody\n")
    with pytest.raises(DataError, match=r"names.tsv: none of its entities is in the graph"):
        KnowledgeGraph.from_file(tmp_path / "a.tsv", aliases=tmp_path / "names.tsv")


def test_a_graph_that_is_read_again_is_the_same(tmp_path):
    (tmp_path / "a.tsv").write_text("a\tr\tb\nb\tr\tc\na\tr\tb\n")
    first, second = (KnowledgeGraph.from_file(tmp_path / "a.tsv") for _ in range(2))
    assert first.fingerprint == second.fingerprint


def test_what_is_known_beside_the_triples_does_not_change_the_fingerprint(graph):
    """Vectors belong to entities, relations and triples; a new name or value leaves them valid."""
    values = {"Q40": (Value("area", "83879"),)}
    assert replace(graph, values=values, aliases={}).fingerprint == graph.fingerprint


def test_no_file_is_no_graph():
    with pytest.raises(DataError, match="holds no triple"):
        KnowledgeGraph.from_file()


def test_test_triples_become_ids_of_the_graph_in_their_order(tmp_path, graph):
    (tmp_path / "test.csv").write_text(
        "Q64,capital,Q40\nQ40,borders,Atlantis\nQ40,likes,Q64\nQ64,capital,Q40\n"
    )
    head, relation, tail = read_ids(graph, tmp_path / "test.csv")
    assert (head.tolist(), relation.tolist(), tail.tolist()) == ([3, 0, 0, 3], [0, 1, -1, 0], [0, -1, 3, 0])
    assert {ids.dtype for ids in (head, relation, tail)} == {np.dtype(np.int64)}
    assert read_ids(graph, tmp_path / "test.csv", "comma")[0].tolist() == head.tolist()
    (tmp_path / "values.jsonl").write_text('["Q40", "area", 83879]\n')
    with pytest.raises(DataError, match="holds no triple, only literals"):
        read_ids(graph, tmp_path / "values.jsonl")


def test_a_blank_node_of_a_test_file_is_unknown_to_the_graph(tmp_path):
    (tmp_path / "x.nt").write_text("_:a <http://e/r> <http://e/b> .\n")
    graph = KnowledgeGraph.from_file(tmp_path / "x.nt")
    assert [ids.tolist() for ids in read_ids(graph, tmp_path / "x.nt")] == [[-1], [0], [1]]


def test_an_entity_is_called_by_its_first_alias_or_else_its_key(graph):
    assert graph.name(0) == "Austria"
    assert KnowledgeGraph.from_triples(TRIPLES).name(0) == "Q40"
    assert graph.triple(0) == ("Austria", "capital", "Vienna")


def test_a_label_adds_the_key_only_where_another_entity_has_the_name(graph):
    assert [graph.label(index) for index in range(4)] == ["Austria", "Vienna", "Germany", "Berlin [Q64]"]


def test_an_entity_is_found_by_key_and_by_any_name_that_only_it_has(graph):
    assert [graph.entity_id(name) for name in ("Q40", "Austria", "Österreich", "Vienna")] == [0, 0, 0, 1]


def test_a_key_is_found_even_where_it_is_anothers_name():
    graph = KnowledgeGraph.from_triples([("Georgia", "r", "US")], aliases={"US": ["Georgia"]})
    assert graph.entity_id("Georgia") == 0


def test_a_name_that_several_entities_have_is_refused_with_their_keys(graph):
    with pytest.raises(
        GraphError, match=r"several entities are called 'Berlin' \(use a key: 'Q1741', 'Q64'\)"
    ):
        graph.entity_id("Berlin")


def test_a_name_that_an_entity_has_twice_is_not_ambiguous():
    graph = KnowledgeGraph.from_triples([("Q40", "r", "Q1")], aliases={"Q40": ["Austria", "Austria"]})
    assert graph.entity_id("Austria") == 0


def test_unknown_names_are_refused_with_the_nearest(graph):
    with pytest.raises(GraphError, match=r"no entity 'Austia' \(did you mean 'Austria'\?\)"):
        graph.entity_id("Austia")
    with pytest.raises(GraphError, match=r"no relation 'capitol' \(did you mean 'capital'\?\)"):
        graph.relation("capitol")
    assert graph.relation("borders") == 1


def test_a_graph_without_some_triples_keeps_its_ids_and_the_first_graph(graph):
    less = graph.without([0, 2])
    assert triples_of(less) == [TRIPLES[1], TRIPLES[3], TRIPLES[4]]
    assert (less.entities, less.relations, less.aliases) == (graph.entities, graph.relations, graph.aliases)
    assert less.source_id.tolist() == [0, 0, 0]
    assert len(graph) == 5
    assert triples_of(graph.without([])) == TRIPLES
    assert len(graph.without(range(5))) == 0


def test_a_graph_with_other_triples_keeps_its_ids(graph):
    turned = graph.with_triples(graph.tail_id, graph.relation_id, graph.head_id)
    assert triples_of(turned) == [(tail, relation, head) for head, relation, tail in TRIPLES]
    assert turned.entity_id("Austria") == 0


def test_a_graph_built_from_its_parts_can_lose_triples(graph):
    bare = KnowledgeGraph(graph.entities, graph.relations, graph.head_id, graph.relation_id, graph.tail_id)
    assert triples_of(bare.without([0])) == TRIPLES[1:]


names = st.sampled_from("abcdef")
some_triples = st.lists(st.tuples(names, st.sampled_from("rst"), names), max_size=20)


@given(some_triples)
@settings(max_examples=100, deadline=None)
def test_every_triple_is_an_edge_at_both_of_its_ends(triples):
    graph = KnowledgeGraph.from_triples(triples)
    edges, count = graph.adjacency, graph.num_relations
    found = [
        (entity, edges.direction[at], edges.neighbour[at], edges.triple[at])
        for entity in range(graph.num_entities)
        for at in range(edges.start[entity], edges.start[entity + 1])
    ]
    expected = []
    for triple, (head, relation, tail) in enumerate(
        zip(graph.head_id, graph.relation_id, graph.tail_id, strict=True)
    ):
        expected += [(head, relation, tail, triple), (tail, relation + count, head, triple)]
    assert found == sorted(expected)


def test_networkx_gets_every_edge_with_its_relation_and_every_name(graph):
    other = graph.to_networkx()
    assert isinstance(other, networkx.MultiDiGraph)
    assert sorted(other.edges(keys=True)) == sorted(
        (head, tail, relation) for head, relation, tail in TRIPLES
    )
    assert dict(other.nodes(data="name")) == {
        "Q40": "Austria",
        "Q1741": "Vienna",
        "Q183": "Germany",
        "Q64": "Berlin",
    }


def test_two_relations_between_the_same_entities_stay_two_edges():
    graph = KnowledgeGraph.from_triples([("a", "r", "b"), ("a", "s", "b")]).to_networkx()
    assert graph.number_of_edges("a", "b") == 2


def test_pyg_gets_heads_tails_and_relations_of_its_own(graph):
    data = graph.to_pyg()
    data.validate()
    assert data.edge_index.tolist() == [graph.head_id.tolist(), graph.tail_id.tolist()]
    assert data.edge_type.tolist() == graph.relation_id.tolist()
    assert data.num_nodes == 4
    data.edge_index.zero_()
    data.edge_type.zero_()
    assert triples_of(graph) == TRIPLES


def test_the_fingerprint_changes_with_any_triple_or_name_and_with_nothing_else(graph):
    changes = [
        graph.without([0]),
        graph.with_triples(graph.tail_id, graph.relation_id, graph.head_id),
        graph.with_triples(graph.head_id, 1 - graph.relation_id, graph.tail_id),
        replace(graph, entities=("Q41", *graph.entities[1:])),
        replace(graph, relations=("capital city", "borders")),
        replace(graph, relations=("borders", "capital")),
    ]
    prints = {other.fingerprint for other in [graph, *changes]}
    assert len(prints) == 1 + len(changes)
    same = KnowledgeGraph.from_triples(TRIPLES, source="elsewhere")
    assert same.fingerprint == graph.fingerprint


def test_a_graph_of_no_triples_is_a_graph():
    graph = KnowledgeGraph.from_triples([])
    assert (len(graph), graph.num_entities, graph.adjacency.start.tolist()) == (0, 0, [0])
    assert np.array_equal(graph.to_pyg().edge_index.shape, (2, 0))
