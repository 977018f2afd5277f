"""Walks are those of a plain enumeration, and a chain is a walk whose triples one can name."""

from collections import defaultdict

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from roots_kg.graph import paths as module
from roots_kg.graph.paths import neighbours, walk
from roots_kg.graph.triples import KnowledgeGraph

names = st.integers(0, 5).map(str)
graphs = st.lists(st.tuples(names, st.sampled_from("rs"), names), min_size=1, max_size=14).map(
    KnowledgeGraph.from_triples
)


def steps(graph, entity, direction, without=()):
    """The (triple, neighbour) pairs of an entity along a direction, written out plainly."""
    relation, backwards = direction % graph.num_relations, direction >= graph.num_relations
    near, far = (graph.tail_id, graph.head_id) if backwards else (graph.head_id, graph.tail_id)
    return [
        (triple, int(far[triple]))
        for triple in range(len(graph))
        if near[triple] == entity and graph.relation_id[triple] == relation and triple not in without
    ]


def enumerate_walks(graph, start, hops, returns=False, without=()):
    """{(path, end): mass} by following every walk one by one."""
    found = defaultdict(float)

    def follow(entity, path, mass):
        if len(path) == hops:
            return
        for direction in range(2 * graph.num_relations):
            edges = steps(graph, entity, direction, without)
            for _, neighbour in edges:
                if neighbour != start or returns:
                    found[(*path, direction), neighbour] += mass / len(edges)
                    follow(neighbour, (*path, direction), mass / len(edges))

    follow(start, (), 1.0)
    return dict(found)


def walked(paths):
    """The same from what `walk` returned, checking that nothing is listed twice."""
    found = {}
    for path, entity, mass in zip(paths.path, paths.entity, paths.mass, strict=True):
        directions = tuple(int(direction) for direction in paths.directions[path] if direction >= 0)
        assert (directions, int(entity)) not in found
        found[directions, int(entity)] = mass
    return found


@given(graphs, st.integers(1, 3), st.data())
@settings(max_examples=100, deadline=None)
def test_walks_are_those_of_an_enumeration(graph, hops, data):
    start = data.draw(st.integers(0, graph.num_entities - 1))
    without = data.draw(st.sets(st.integers(0, len(graph) - 1), max_size=3))
    returns = data.draw(st.booleans())
    found = walked(walk(graph, start, hops, returns=returns, without=without))
    assert found == pytest.approx(enumerate_walks(graph, start, hops, returns, without))


@given(graphs, st.data())
@settings(max_examples=50, deadline=None)
def test_neighbours_are_the_far_ends_of_the_edges_in_a_direction(graph, data):
    entity = data.draw(st.integers(0, graph.num_entities - 1))
    direction = data.draw(st.integers(0, 2 * graph.num_relations - 1))
    found = neighbours(graph, entity, direction).tolist()
    assert found == sorted(far for _, far in steps(graph, entity, direction))


def test_a_path_is_listed_once_and_short_ones_are_filled_up():
    graph = KnowledgeGraph.from_triples([("a", "r", "b"), ("a", "r", "c"), ("b", "s", "d"), ("c", "s", "d")])
    found = walk(graph, 0, 2)
    assert sorted(map(tuple, found.directions.tolist())) == [(0, -1), (0, 1)]
    assert walked(found)[(0, 1), graph.entity_id("d")] == pytest.approx(1.0)


def test_an_entity_with_nowhere_to_go_has_no_paths():
    graph = KnowledgeGraph.from_triples([("a", "r", "a"), ("b", "r", "c")])
    found = walk(graph, 0, 3)
    assert len(found.path) == len(found.entity) == len(found.mass) == 0
    assert found.directions.shape == (0, 3)


def test_where_there_is_too_much_to_look_at_the_likeliest_walks_are_followed(monkeypatch):
    lines = [("a", "r", "likely"), ("likely", "s", "x")]
    lines += [pair for i in range(9) for pair in (("a", "s", f"u{i}"), (f"u{i}", "s", f"v{i}"))]
    graph = KnowledgeGraph.from_triples(lines)
    everything = walked(walk(graph, 0, 2))
    monkeypatch.setattr(module, "MAX_EDGES", 10)
    some = walked(walk(graph, 0, 2))
    assert some.items() < everything.items()
    assert ((0, 1), graph.entity_id("x")) in some
