import pytest
import torch
from torch.nn import functional

from roots_kg.fusion.propagation import RelationalPropagation

# node 0 hears from 1 and 2, node 1 from 2 twice over different relations, node 3 hears from none
EDGES = torch.tensor([[1, 2, 2, 2], [0, 0, 1, 1]])


@pytest.fixture(scope="module", autouse=True)
def _no_gradients():
    with torch.inference_mode():
        yield


@pytest.fixture
def inputs():
    generator = torch.Generator().manual_seed(0)
    return torch.randn(4, 6, generator=generator), torch.randn(4, 6, generator=generator)


def test_a_step_is_its_equation_node_by_node(inputs):
    nodes, edge_vectors = inputs
    torch.manual_seed(1)
    layer = RelationalPropagation(6)
    layer.update_map.weight.normal_()
    layer.mixing.fill_(0.7)
    weight = torch.sigmoid(layer.mixing)
    expected = torch.zeros_like(nodes)
    for node in range(len(nodes)):
        heard = [
            layer.update_map.weight @ (nodes[start] + edge_vectors[edge])
            for edge, (start, end) in enumerate(EDGES.T.tolist())
            if end == node
        ]
        mean = torch.stack(heard).mean(dim=0) if heard else torch.zeros(6)
        expected[node] = (nodes[node] + weight * mean) / (1 + weight)
    torch.testing.assert_close(layer(nodes, EDGES, edge_vectors), expected, atol=1e-6, rtol=0)


def test_an_untrained_step_hears_its_neighbours_half_as_loud_as_itself(inputs):
    nodes, _ = inputs
    stepped = RelationalPropagation(6)(nodes, EDGES, torch.zeros(4, 6))
    torch.testing.assert_close(stepped[1], (nodes[1] + 0.5 * nodes[2]) / 1.5)


def test_a_node_that_hears_nothing_keeps_its_direction(inputs):
    nodes, edge_vectors = inputs
    stepped = RelationalPropagation(6)(nodes, EDGES, edge_vectors)
    torch.testing.assert_close(functional.normalize(stepped[3], dim=0), functional.normalize(nodes[3], dim=0))


def test_a_graph_without_edges_can_be_stepped_through(inputs):
    nodes, _ = inputs
    none = torch.zeros(2, 0, dtype=torch.long), torch.zeros(0, 6)
    assert RelationalPropagation(6)(nodes, *none).isfinite().all()


def test_the_order_of_the_edges_does_not_matter(inputs):
    nodes, edge_vectors = inputs
    layer, order = RelationalPropagation(6), torch.tensor([3, 1, 0, 2])
    shuffled = layer(nodes, EDGES[:, order], edge_vectors[order])
    torch.testing.assert_close(shuffled, layer(nodes, EDGES, edge_vectors))
