"""The index finds what comparing with every row finds."""

import sys

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from roots_kg.errors import GraphError, UsageError
from roots_kg.graph import index as module
from roots_kg.graph.index import VectorIndex


def whole_numbers(seed, rows, dimension):
    """Vectors whose distances are often exactly equal."""
    return torch.randint(-2, 3, (rows, dimension), generator=torch.Generator().manual_seed(seed)).float()


def brute_force(vectors, queries, k, norm):
    """The k nearest rows by a plain loop, of equal distances the lower row first."""
    found = []
    for query in queries.double().numpy():
        distances = np.linalg.norm(vectors.double().numpy() - query, ord=norm, axis=1)
        order = sorted(range(len(vectors)), key=lambda row: (distances[row].round(9), row))[:k]
        found.append([(row, pytest.approx(distances[row], abs=1e-5)) for row in order])
    return found


def pairs(found):
    return [
        list(zip(row.tolist(), distance.tolist(), strict=True)) for distance, row in zip(*found, strict=True)
    ]


@pytest.fixture
def narrow_blocks(monkeypatch):
    """96 rows at a time at most, so that a small table has many blocks."""
    monkeypatch.setattr(module, "BLOCK", 48)


@pytest.mark.usefixtures("narrow_blocks")
@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    rows=st.integers(1, 400),
    queries=st.integers(0, 55),
    dimension=st.integers(1, 5),
    k=st.integers(1, 500),
    norm=st.sampled_from([1, 2]),
)
def test_the_nearest_rows_are_those_of_a_plain_search_the_lower_first(
    seed, rows, queries, dimension, k, norm
):
    vectors, asked = whole_numbers(seed, rows, dimension), whole_numbers(seed + 1, queries, dimension)
    found = VectorIndex(vectors, norm=norm).search(asked, k)
    assert pairs(found) == brute_force(vectors, asked, k, norm)


@pytest.mark.parametrize("norm", [1, 2])
@pytest.mark.parametrize("queries", [1, 30, 500])
def test_of_rows_that_are_equal_the_lower_comes_first_wherever_they_stand(queries, norm):
    generator = torch.Generator().manual_seed(0)
    vectors = torch.randn(3000, 50, generator=generator)
    vectors[2000:] = vectors[:1000]
    asked = torch.randn(queries, 50, generator=generator)
    distances, rows = VectorIndex(vectors, norm=norm).search(asked, 101)
    place = torch.full((queries, 3000), 101).scatter(1, rows, torch.arange(101).expand_as(rows))
    lower, upper = place[:, :1000], place[:, 2000:]
    found = upper < 101
    assert found.sum() > 10 * queries
    assert (lower < upper)[found].all()
    distances = torch.cat([distances, torch.full((queries, 1), torch.nan)], dim=1)
    assert torch.equal(distances.gather(1, lower)[found], distances.gather(1, upper)[found])
    only_the_lower = (lower < 101) & ~found
    assert torch.equal(lower[only_the_lower], torch.full((int(only_the_lower.sum()),), 100))  # the last place


def test_rows_do_not_depend_on_the_other_queries_or_the_number_of_threads():
    generator = torch.Generator().manual_seed(0)
    vectors, queries = torch.randn(2000, 20, generator=generator), torch.randn(1000, 20, generator=generator)
    distances, rows = VectorIndex(vectors).search(queries, 7)
    torch.set_num_threads(3)
    try:
        assert torch.equal(VectorIndex(vectors).search(queries, 7)[1], rows)
    finally:
        torch.set_num_threads(1)
    alone = VectorIndex(vectors).search(queries[3:4], 7)
    assert torch.equal(alone[1][0], rows[3])
    assert torch.equal(alone[0][0], distances[3])


def test_a_vector_is_at_distance_0_from_itself():
    vectors = 100 + torch.randn(500, 20, generator=torch.Generator().manual_seed(0))
    distances, rows = VectorIndex(vectors).search(vectors, 1)
    assert rows[:, 0].tolist() == list(range(500))
    assert distances.eq(0).all()


def test_no_queries_give_no_rows():
    distances, rows = VectorIndex(torch.randn(5, 2)).search(torch.zeros(0, 2), 3)
    assert distances.shape == rows.shape == (0, 3)


@pytest.mark.parametrize("value", [torch.nan, torch.inf])
def test_vectors_that_are_no_numbers_are_an_error(value):
    with pytest.raises(GraphError, match="not finite"):
        VectorIndex(torch.tensor([[0.0], [value]]))
    with pytest.raises(GraphError, match="not finite"):
        VectorIndex(torch.zeros(3, 1)).search(torch.tensor([[value]]), 1)


def test_an_unknown_index_is_an_error_that_names_the_nearest():
    with pytest.raises(UsageError, match="no index 'hsnw' \\(did you mean 'hnsw'\\?\\)"):
        VectorIndex(torch.zeros(3, 1), "hsnw")


@pytest.mark.parametrize("kind", ["ivf", "hnsw"])
def test_an_approximate_index_refuses_the_norm_it_does_not_know(kind):
    with pytest.raises(UsageError, match=r"norm 1 \(use the exact index\)"):
        VectorIndex(torch.zeros(3, 1), kind, norm=1)


@pytest.mark.parametrize("kind", ["ivf", "hnsw"])
def test_without_faiss_the_error_says_how_to_get_it(kind, monkeypatch):
    monkeypatch.setitem(sys.modules, "faiss", None)
    with pytest.raises(UsageError, match="pip install 'roots-kg\\[faiss\\]'"):
        VectorIndex(torch.zeros(3, 1), kind)


@pytest.fixture
def clustered():
    generator = torch.Generator().manual_seed(0)
    centres = torch.randn(30, 16, generator=generator)
    vectors = centres.repeat(100, 1) + 0.3 * torch.randn(3000, 16, generator=generator)
    return vectors, centres.repeat(4, 1) + 0.3 * torch.randn(120, 16, generator=generator)


def test_ivf_that_looks_into_every_cluster_finds_what_the_exact_index_finds(clustered):
    pytest.importorskip("faiss")
    vectors, queries = clustered
    found, exact = (VectorIndex(vectors, *kind) for kind in (("ivf",), ()))
    assert (found.search(queries, 10)[1] == exact.search(queries, 10)[1]).double().mean() > 0.7
    every = VectorIndex(vectors, "ivf", effort=len(vectors)).search(queries, 10)
    assert torch.equal(every[0], exact.search(queries, 10)[0])
    assert torch.equal(every[1], exact.search(queries, 10)[1])


def test_hnsw_finds_most_of_what_the_exact_index_finds(clustered):
    pytest.importorskip("faiss")
    vectors, queries = clustered
    rows = VectorIndex(vectors, "hnsw").search(queries, 10)[1]
    assert (rows == VectorIndex(vectors).search(queries, 10)[1]).double().mean() > 0.9


@pytest.mark.parametrize("kind", ["ivf", "hnsw"])
def test_an_approximate_index_says_so_where_it_finds_no_more(kind, clustered):
    pytest.importorskip("faiss")
    vectors, queries = clustered
    distances, rows = VectorIndex(vectors, kind, effort=1).search(queries, 2000)
    missing = rows == -1
    assert missing.any() == (kind == "ivf")
    assert torch.equal(missing, distances.isinf())
    assert (distances.diff(dim=1).nan_to_num() >= 0).all()  # what is missing comes last


@pytest.mark.parametrize("kind", ["ivf", "hnsw"])
def test_a_small_table_can_have_an_approximate_index(kind, capfd):
    pytest.importorskip("faiss")
    vectors = torch.tensor([[0.0, 1.0], [5.0, 5.0], [0.0, 2.0]])
    distances, rows = VectorIndex(vectors, kind, effort=10).search(torch.zeros(1, 2), 10)
    assert (rows.tolist(), distances[0, :2].tolist()) == ([[0, 2, 1]], [1, 2])
    assert capfd.readouterr() == ("", "")  # faiss says nothing about few rows


def test_ivf_is_put_on_the_gpus_that_faiss_finds(clustered, monkeypatch):
    faiss = pytest.importorskip("faiss")
    moved = []
    monkeypatch.setattr(faiss, "get_num_gpus", lambda: 1)
    monkeypatch.setattr(
        faiss, "index_cpu_to_all_gpus", lambda index: moved.append(index) or index, raising=False
    )
    vectors, queries = clustered
    index = VectorIndex(vectors, "ivf", effort=len(vectors))
    assert [type(index) for index in moved] == [faiss.IndexIVFFlat]
    assert torch.equal(index.search(queries, 5)[1], VectorIndex(vectors).search(queries, 5)[1])
    with pytest.raises(UsageError, match="at most 2,048"):
        index.search(queries, 2049)
