import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from roots_kg.viz.layout import place


def overlaps(sizes, positions):
    first, second = np.triu_indices(len(sizes), 1)
    free = np.abs(positions[first] - positions[second]) - (sizes[first] + sizes[second]) / 2
    return int((free < 0).all(axis=1).sum())


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 14), st.lists(st.tuples(st.integers(0, 13), st.integers(0, 13)), max_size=30))
def test_no_box_lies_on_another_and_none_outside(count, joined):
    edges = np.array([pair for pair in joined if max(pair) < count], dtype=np.int64).reshape(-1, 2)
    sizes = np.stack([np.linspace(30, 200, count), np.full(count, 26.0)], axis=1)
    positions = place(sizes, edges)
    assert np.isfinite(positions).all()
    assert (positions - sizes / 2 > -1e-6).all()
    assert overlaps(sizes, positions) == 0


def test_joined_boxes_leave_room_for_their_edge():
    sizes = np.array([[60.0, 26.0], [200.0, 26.0]])
    first, second = place(sizes, np.array([[0, 1]]), (110.0, 40.0))
    assert abs(first[0] - second[0]) >= 130 + 110 - 1


def test_a_star_has_its_centre_in_the_middle():
    sizes = np.full((40, 2), [80.0, 26.0])
    edges = np.array([[0, leaf] for leaf in range(1, 40)])
    positions = place(sizes, edges)
    assert np.abs(positions[0] - positions.mean(axis=0)).max() < 80
    assert overlaps(sizes, positions) == 0


def test_a_triangle_is_no_line():
    sizes = np.full((3, 2), [80.0, 26.0])
    positions = place(sizes, np.array([[0, 1], [1, 2], [2, 0]]))
    assert np.ptp(positions[:, 0]) > 50
    assert np.ptp(positions[:, 1]) > 50


def test_components_lie_beside_each_other():
    sizes = np.full((4, 2), [80.0, 26.0])
    positions = place(sizes, np.array([[0, 1], [2, 3]]))
    assert positions[:2, 0].max() < positions[2:, 0].min()


def test_the_same_graph_is_placed_the_same_way():
    sizes = np.full((20, 2), [80.0, 26.0])
    edges = np.random.default_rng(1).integers(0, 20, (40, 2))
    assert np.array_equal(place(sizes, edges), place(sizes, edges))


@pytest.mark.parametrize("edges", [np.zeros((0, 2), dtype=np.int64), np.array([[0, 0], [1, 1]])])
def test_entities_without_neighbours_have_a_place_too(edges):
    sizes = np.full((3, 2), [80.0, 26.0])
    assert overlaps(sizes, place(sizes, edges)) == 0


def test_nothing_is_placed_nowhere():
    assert place(np.zeros((0, 2)), np.zeros((0, 2), dtype=np.int64)).shape == (0, 2)
