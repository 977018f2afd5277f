"""A graph is edited without moving what was there, and edits can be taken back."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from roots_kg.errors import GraphError
from roots_kg.graph.editing import _compared, add_triples, remove_triples, similar_names
from roots_kg.graph.store import GraphBundle
from roots_kg.graph.transe import TransE, TransEConfig
from roots_kg.graph.triples import KnowledgeGraph
from roots_kg.graph.values import Value

FACTS = [
    ("Graz", "located_in", "Q40"),
    ("Wels", "located_in", "Q40"),
    ("Q40", "currency", "euro"),
    ("Kiruna", "located_in", "Sweden"),
    ("Springfield (Ohio)", "located_in", "USA"),
    ("Springfield (Oregon)", "located_in", "USA"),
]
NAMES = {
    "Q40": ("Austria", "Österreich"),
    "Springfield (Ohio)": ("Springfield",),
    "Springfield (Oregon)": ("Springfield",),
}


def bundle_of(triples, *, aliases=None, reciprocal=True, norm=2):
    graph = KnowledgeGraph.from_triples(triples, aliases=aliases, source="facts.tsv")
    config = TransEConfig(dimension=4, reciprocal=reciprocal, norm=norm)
    generator = torch.Generator().manual_seed(0)
    sizes = (graph.num_entities, graph.num_relations, 4)
    transe = TransE(*sizes, reciprocal=reciprocal, norm=norm, generator=generator)
    return GraphBundle(graph, transe.requires_grad_(False), config)


@pytest.fixture
def bundle():
    return bundle_of(FACTS, aliases=NAMES)


def stated(graph):
    """The triples of a graph, by key."""
    columns = zip(graph.head_id, graph.relation_id, graph.tail_id, strict=True)
    return [(graph.entities[h], graph.relations[r], graph.entities[t]) for h, r, t in columns]


def assert_kept(before, after):
    """Everything that was there has its place and its vector, bit for bit."""
    entities, relations = before.graph.num_entities, before.graph.num_relations
    assert after.graph.entities[:entities] == before.graph.entities
    assert after.graph.relations[:relations] == before.graph.relations
    for name, table in before.transe.state_dict().items():
        rows = entities if name.startswith("entity") else relations
        assert torch.equal(after.transe.state_dict()[name][:rows], table)


def test_a_triple_between_known_entities_is_added_and_nothing_else_changes(bundle):
    edited, report = add_triples(bundle, [("Wels", "currency", "euro")])
    assert stated(edited.graph) == [*stated(bundle.graph), ("Wels", "currency", "euro")]
    assert (report.triples.tolist(), report.known, report.entities, report.relations) == ([6], 0, (), ())
    assert edited.transe is bundle.transe
    assert edited.graph.entities == bundle.graph.entities
    assert len(bundle.graph) == len(FACTS)


def test_what_is_there_already_is_counted_and_not_stated_again(bundle):
    facts = [FACTS[0], ("Wels", "currency", "euro"), ("Graz", "located_in", "Österreich")]
    edited, report = add_triples(bundle, facts)
    assert len(edited.graph) == len(FACTS) + 1
    assert report.known == 2


@pytest.mark.parametrize("facts", [[], [FACTS[0]]])
def test_adding_nothing_new_gives_the_same_bundle(bundle, facts):
    edited, report = add_triples(bundle, facts)
    assert edited is bundle
    assert (len(report.triples), report.known) == (0, len(facts))


@pytest.mark.parametrize("name", ["Q40", "Austria", "Österreich"])
def test_an_entity_is_found_by_its_key_and_by_its_names(bundle, name):
    edited, report = add_triples(bundle, [("Linz", "located_in", name)])
    assert stated(edited.graph)[-1] == ("Linz", "located_in", "Q40")
    assert report.entities == ("Linz",)


def test_a_name_that_several_entities_have_is_refused_with_their_keys(bundle):
    for edit in (add_triples, remove_triples):
        with pytest.raises(GraphError, match=r"several.*'Springfield'.*\(Ohio\).*\(Oregon\)"):
            edit(bundle, [("Springfield", "located_in", "USA")])


def test_new_entities_and_relations_come_after_those_that_were_there(bundle):
    edited, report = add_triples(bundle, [("Linz", "twin_town", "Graz"), ("Linz", "located_in", "Q40")])
    assert_kept(bundle, edited)
    assert (report.entities, report.relations) == (("Linz",), ("twin_town",))
    assert edited.graph.entities == (*bundle.graph.entities, "Linz")
    assert edited.transe.num_entities == edited.graph.num_entities
    assert edited.transe.num_relations == edited.graph.num_relations
    assert edited.graph.entity_id("Linz") == bundle.graph.num_entities


def test_new_names_are_refused_where_they_must_be_known(bundle):
    with pytest.raises(GraphError, match=r"no entity 'Grazz'.*did you mean 'Graz'"):
        add_triples(bundle, [("Grazz", "located_in", "Q40")], new=False)
    with pytest.raises(GraphError, match=r"no relation 'located-in'.*did you mean 'located_in'"):
        add_triples(bundle, [("Graz", "located-in", "Q40")], new=False)
    assert len(add_triples(bundle, [("Graz", "currency", "euro")], new=False)[1].triples) == 1


def test_an_added_triple_says_where_it_comes_from(bundle):
    for source in ("facts.tsv", "more.tsv"):
        facts = KnowledgeGraph.from_triples([("Linz", "located_in", "Q40"), FACTS[0]], source=source)
        graph = add_triples(bundle, facts)[0].graph
        assert graph.sources == tuple(dict.fromkeys(["facts.tsv", source]))
        assert [graph.sources[index] for index in graph.source_id] == ["facts.tsv"] * 6 + [source]


def test_new_entities_bring_their_names_and_known_ones_keep_theirs(bundle):
    aliases = {"Q41": ("Linz", "Lentia"), "Q40": ("Republic of Austria",)}
    facts = KnowledgeGraph.from_triples([("Q41", "located_in", "Q40")], aliases=aliases)
    graph = add_triples(bundle, facts)[0].graph
    assert graph.triple(6) == ("Linz", "located_in", "Austria")
    assert graph.aliases["Q40"] == NAMES["Q40"]
    assert graph.entity_id("Lentia") == graph.entity_id("Q41")


def test_literals_are_added_once_under_the_key_of_their_entity(bundle):
    area, founded = Value("area", "83871"), Value("founded", "799")
    values = {"Austria": (area,), "Linz": (founded,), "elsewhere": (area,)}
    facts = replace(KnowledgeGraph.from_triples([("Linz", "located_in", "Austria")]), values=values)
    edited, report = add_triples(bundle, facts)
    assert edited.graph.values == {"Q40": (area,), "Linz": (founded,)}
    assert report.values == 2
    again, report = add_triples(edited, facts)
    assert again is edited
    assert (report.values, report.known) == (0, 1)


def test_a_removed_triple_is_gone_and_its_entities_stay(bundle):
    edited, report = remove_triples(bundle, [("Kiruna", "located_in", "Sweden")])
    assert stated(edited.graph) == [fact for fact in stated(bundle.graph) if fact[0] != "Kiruna"]
    assert report.triples.tolist() == [3]
    assert sorted(report.left_bare) == ["Kiruna", "Sweden"]
    assert edited.graph.entities == bundle.graph.entities
    assert edited.transe is bundle.transe


def test_a_removed_triple_may_be_named_by_aliases(bundle):
    edited, report = remove_triples(bundle, [("Graz", "located_in", "Österreich"), FACTS[0]])
    assert FACTS[0] not in stated(edited.graph)
    assert (len(report.triples), report.left_bare) == (1, ("Graz",))


def test_a_triple_that_is_not_there_is_an_error_that_shows_near_ones(bundle):
    more, _ = add_triples(bundle, [("Graz", "currency", "euro"), ("Graz", "located_in", "Styria")])
    with pytest.raises(GraphError) as caught:
        remove_triples(more, [FACTS[1], ("Graz", "located_in", "euro"), ("Wels", "currency", "Q40")])
    assert caught.value.message == "the graph does not hold Graz · located_in · euro, nor 1 more of them"
    near = caught.value.hint.removeprefix("it holds ").split("; ")
    assert sorted(near) == [
        "Graz · currency · euro",
        "Graz · located_in · Austria",
        "Graz · located_in · Styria",
    ]


@pytest.mark.parametrize(
    ("fact", "message"),
    [
        (("Gras", "located_in", "Q40"), "no entity 'Gras'.*did you mean 'Graz'"),
        (("Graz", "locatedin", "Q40"), "no relation 'locatedin'.*did you mean 'located_in'"),
        (("euro", "located_in", "Q40"), "does not hold euro · located_in · Austria.*none with the head euro"),
    ],
)
def test_a_triple_of_unknown_names_is_not_removed(bundle, fact, message):
    with pytest.raises(GraphError, match=message):
        remove_triples(bundle, [FACTS[0], fact])
    assert len(bundle.graph) == len(FACTS)


def test_of_many_triples_around_a_head_the_most_like_are_shown(bundle):
    more, _ = add_triples(bundle, [("Graz", f"r{number}", "euro") for number in range(20)])
    with pytest.raises(GraphError, match=r"holds Graz · located_in · Austria; .*; and 15 more"):
        remove_triples(more, [("Graz", "located_in", "Sweden")])


def test_a_graph_that_lost_all_its_triples_takes_new_ones(bundle):
    empty, _ = remove_triples(bundle, FACTS)
    assert len(empty.graph) == 0
    edited, report = add_triples(empty, [("Linz", "located_in", "Q40")])
    assert stated(edited.graph) == [("Linz", "located_in", "Q40")]
    assert report.unplaced == ()
    assert_kept(bundle, edited)


def test_names_that_look_misspelt_are_found():
    known = ["Graz", "Sweden", "Österreich", "Apollo 11", "Q1741001", "Wien", "Lund"]
    misspelt = {
        "Grazz": "Graz",
        "sweden": "Sweden",
        "O\u0308sterreich": "Österreich",
        "apollo 11": "Apollo 11",
        "Wein": "Wien",
    }
    others = ["Apollo 12", "Q1741002", "Swedes of Finland", "Linz", "Lind", "raGz", ""]
    assert similar_names([*misspelt, *others], known) == misspelt


def test_triples_whose_ids_would_not_fit_one_number_are_told_apart():
    count = 1 << 30  # entities × relations × entities is far above 64 bits
    facts = np.array([[1, 1, 1, 5], [0, count, count, 0], [2, 2, count, 2]])
    ids = range(count + 1)
    graph = KnowledgeGraph(ids, ids, head_id=facts[0], relation_id=facts[1], tail_id=facts[2])
    near, known, codes = _compared(graph, np.array([[1, 1], [count, count], [2, count - 1]]))
    assert near.tolist() == [0, 1, 2]
    assert np.flatnonzero(np.isin(known, codes)).tolist() == [1]


names = st.sampled_from("abcdefgh")
graphs = st.lists(st.tuples(names, st.sampled_from("rst"), names), min_size=1, max_size=12)
edits = st.lists(st.tuples(st.sampled_from("abcdxyz"), st.sampled_from("rsu"), st.sampled_from("abcdxyz")))
quick = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@given(graphs, edits, st.booleans(), st.sampled_from([1, 2]))
@quick
def test_removing_what_was_added_gives_the_triples_that_were_there(triples, facts, reciprocal, norm):
    bundle = bundle_of(triples, reciprocal=reciprocal, norm=norm)
    edited, report = add_triples(bundle, facts)
    assert_kept(bundle, edited)
    assert set(stated(edited.graph)) == set(triples) | set(facts)
    assert len(edited.graph) == len(set(triples) | set(facts))
    assert all(bool(table.isfinite().all()) for table in edited.transe.state_dict().values())
    added = [fact for fact in set(facts) if fact not in set(triples)]
    assert len(report.triples) == len(added)
    back, _ = remove_triples(edited, added)
    assert stated(back.graph) == stated(bundle.graph)
    assert_kept(edited, back)


@given(graphs, st.data())
@quick
def test_adding_what_was_removed_gives_the_triples_that_were_there(triples, data):
    bundle = bundle_of(triples)
    taken = data.draw(st.lists(st.sampled_from(triples), unique=True))
    edited, _ = remove_triples(bundle, taken)
    assert set(stated(edited.graph)) == set(triples) - set(taken)
    back, report = add_triples(edited, taken)
    assert (report.entities, report.relations, report.known) == ((), (), 0)
    assert set(stated(back.graph)) == set(triples)
    assert back.transe is bundle.transe


@given(graphs, edits)
@settings(quick, max_examples=15)
def test_an_edited_bundle_comes_back_from_disk_as_it_was(tmp_path_factory, triples, facts):
    edited, _ = add_triples(bundle_of(triples), facts)
    path = tmp_path_factory.getbasetemp() / "edited"
    edited.save(path)
    loaded = GraphBundle.load(path)
    assert loaded.graph.fingerprint == edited.graph.fingerprint
    assert loaded.graph.sources == edited.graph.sources
    assert np.array_equal(loaded.graph.source_id, edited.graph.source_id)
    written = edited.transe.state_dict()
    assert all(torch.equal(table, written[name]) for name, table in loaded.transe.state_dict().items())


@given(graphs, edits)
@quick
def test_an_edit_gives_the_same_vectors_every_time(triples, facts):
    first, second = (add_triples(bundle_of(triples), facts)[0].transe.state_dict() for _ in range(2))
    assert all(torch.equal(first[name], second[name]) for name in first)
