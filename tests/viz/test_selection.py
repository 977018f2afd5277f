import networkx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from roots_kg.errors import GraphError
from roots_kg.graph.triples import KnowledgeGraph
from roots_kg.viz import neighbourhood, whole

names = st.sampled_from("abcdefghij")
graphs = st.lists(st.tuples(names, st.sampled_from("rst"), names), min_size=1, max_size=40).map(
    KnowledgeGraph.from_triples
)


@pytest.fixture(scope="module")
def hub():
    """An entity with 300 neighbours over one relation and 3 over others, one of which leads further."""
    crowd = [("hub", "knows", f"person {index}") for index in range(300)]
    few = [("hub", "born_in", "town"), ("hub", "works_at", "firm"), ("teacher", "taught", "hub")]
    return KnowledgeGraph.from_triples(
        [*crowd, *few, ("town", "lies_in", "land"), ("person 7", "likes", "tea")]
    )


def shown(found):
    return {found.graph.entities[entity] for entity in found.entities}


def test_everything_within_reach_is_shown_where_there_is_room(hub):
    found = neighbourhood(hub, ["town"], hops=1)
    assert shown(found) == {"town", "hub", "land"}
    assert found.left_out == 0
    assert [hub.triple(index) for index in found.triples] == [
        ("hub", "born_in", "town"),
        ("town", "lies_in", "land"),
    ]


def test_relations_take_turns_where_there_is_no_room(hub):
    found = neighbourhood(hub, ["hub"], max_nodes=6)
    assert {"hub", "town", "firm", "teacher"} < shown(found)
    assert len(found.entities) == 6
    assert found.left_out == 304 - 6


def test_of_one_relation_the_best_connected_come_first(hub):
    assert "person 7" in shown(neighbourhood(hub, ["hub"], max_nodes=5))


def test_a_further_hop_keeps_its_share_of_the_places(hub):
    found = neighbourhood(hub, ["hub"], hops=2, max_nodes=12)
    assert {"land", "tea"} < shown(found)
    assert len(found.entities) == 12


def test_named_entities_are_all_shown_even_where_they_are_more_than_the_places(hub):
    named = ["firm", "tea", "land"]
    found = neighbourhood(hub, named, max_nodes=2)
    assert [hub.entities[entity] for entity in found.entities] == named
    assert [hub.entities[centre] for centre in found.centres] == named


def test_without_a_name_the_most_connected_entities_are_in_the_middle(hub):
    found = neighbourhood(hub)
    assert hub.entities[found.centres[0]] == "hub"
    assert found.chosen
    assert "no entity was named, these are the most connected" in found.summary


def test_the_summary_counts_what_is_left_out(hub):
    assert neighbourhood(hub, ["hub"], max_nodes=6).summary == (
        "6 entities, 5 triples within 1 hop; 298 more entities there are left out"
    )
    assert neighbourhood(hub, ["tea"], hops=0).summary == "1 entity, 0 triples within 0 hops"
    assert whole(hub).summary == "306 entities, 305 triples"


def test_an_unknown_entity_is_an_error_that_names_the_nearest(hub):
    with pytest.raises(GraphError, match="did you mean 'town'"):
        neighbourhood(hub, ["twon"])


@settings(deadline=None)
@given(graphs, st.integers(0, 4), st.integers(1, 12))
def test_what_is_shown_lies_within_the_hops_and_what_is_not_is_counted(graph, hops, max_nodes):
    centre = graph.entities[0]
    distance = networkx.single_source_shortest_path_length(
        graph.to_networkx().to_undirected(), centre, cutoff=hops
    )
    found = neighbourhood(graph, [centre], hops=hops, max_nodes=max_nodes)
    assert shown(found) <= set(distance)
    assert len(found.entities) == len(shown(found)) == min(max_nodes, len(distance))
    assert found.left_out == len(distance) - len(found.entities)
    inside = np.isin(graph.head_id, found.entities) & np.isin(graph.tail_id, found.entities)
    assert found.triples.tolist() == np.flatnonzero(inside).tolist()
