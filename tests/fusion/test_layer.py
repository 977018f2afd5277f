import numpy as np
import pytest
import torch

from roots_kg.fusion.layer import FusionConfig, FusionLayer
from roots_kg.graph.retrieval import Subgraph

SIZE, ENTITY_SIZE, RELATIONS = 8, 5, 2


@pytest.fixture(scope="module", autouse=True)
def _no_gradients():
    with torch.inference_mode():
        yield


def subgraph(mass, edges):
    """Return a subgraph with these masses and (source, target, direction) edges."""
    source, target, direction = np.array(edges, dtype=np.int64).reshape(-1, 3).T
    weights = np.array(mass, dtype=np.float32)
    return Subgraph(np.arange(len(mass)), weights, source, target, direction, np.arange(len(edges)))


BIG = subgraph([0.6, 0.3, 0.1], [(0, 1, 0), (1, 2, 3), (0, 2, 1)])
SMALL = subgraph([1.0], [])


@pytest.fixture
def layer():
    """A layer with random weights everywhere."""
    torch.manual_seed(0)
    made = FusionLayer(SIZE, ENTITY_SIZE, FusionConfig(steps=2)).eval()
    for parameter in made.parameters():
        parameter.add_(0.3 * torch.randn_like(parameter))
    return made


@pytest.fixture
def batch():
    """Two texts: five tokens with the big subgraph, three with the small one."""
    generator = torch.Generator().manual_seed(1)
    mask = torch.tensor([[True] * 5, [True] * 3 + [False] * 2])
    tokens = torch.randn(2, 5, SIZE, generator=generator)
    nodes = [torch.randn(count, SIZE, generator=generator) for count in (3, 1)]
    edges = torch.randn(2 * RELATIONS, SIZE, generator=generator)
    return tokens, mask, [BIG, SMALL], nodes, edges


def test_a_batch_gives_what_its_texts_give_alone(layer, batch):
    tokens, mask, subgraphs, features, edges = batch
    fused = layer(*batch)
    for index, (length, nodes) in enumerate([(5, 3), (3, 1)]):
        one = slice(index, index + 1)
        alone = layer(tokens[one, :length], mask[one, :length], subgraphs[one], features[one], edges)
        torch.testing.assert_close(fused.knowledge[one, :length], alone.knowledge, atol=1e-6, rtol=1e-5)
        torch.testing.assert_close(fused.gate[one, :length], alone.gate, atol=1e-6, rtol=1e-5)
        torch.testing.assert_close(
            fused.attention[one, :length, :nodes], alone.attention, atol=1e-6, rtol=1e-5
        )
    assert not fused.attention[1, :, 1:].any()


def test_features_are_names_and_vectors_that_are_mapped_and_added(layer):
    generator = torch.Generator().manual_seed(2)
    names, vectors = (torch.randn(4, size, generator=generator) for size in (SIZE, ENTITY_SIZE))
    moved = layer.config.entity_scale * vectors @ layer.entity_map.weight.T
    torch.testing.assert_close(layer.node_features(names, vectors), names @ layer.name_map.weight.T + moved)
    edges = names @ layer.relation_map.weight.T + moved
    torch.testing.assert_close(layer.edge_features(names, vectors), edges)


def test_untrained_edges_are_their_vectors_alone_whatever_they_are_called():
    made, vectors = FusionLayer(SIZE, ENTITY_SIZE), torch.ones(4, ENTITY_SIZE)
    assert torch.equal(
        made.edge_features(torch.ones(4, SIZE), vectors), made.edge_features(torch.zeros(4, SIZE), vectors)
    )


def test_weights_that_were_saved_before_edges_had_names_are_loaded(layer):
    saved = {name: weight for name, weight in layer.state_dict().items() if name != "relation_map.weight"}
    again = FusionLayer(SIZE, ENTITY_SIZE, FusionConfig(steps=2))
    again.relation_map.weight.fill_(1.0)
    again.load_state_dict(saved)
    assert not again.relation_map.weight.any()
    assert torch.equal(again.name_map.weight, layer.name_map.weight)


def test_the_layer_is_propagation_attention_and_gate_in_a_row(layer, batch):
    tokens, mask, _, (nodes, _), edges = batch
    far_to_near = torch.from_numpy(np.stack([BIG.target, BIG.source]))
    for step in layer.propagation:
        nodes = step(nodes, far_to_near, edges[torch.from_numpy(BIG.direction)])
    taken, weights = layer.attention(tokens[:1], mask[:1], nodes[None], torch.from_numpy(BIG.mass)[None])
    knowledge, gate = layer.gate(tokens[:1], taken)
    fused = layer(*batch)
    torch.testing.assert_close(fused.knowledge[:1], knowledge, atol=1e-6, rtol=1e-5)
    torch.testing.assert_close(fused.gate[:1], gate, atol=1e-6, rtol=1e-5)
    torch.testing.assert_close(fused.attention[:1, :, :3], weights, atol=1e-6, rtol=1e-5)


def test_two_layers_with_one_seed_are_the_same_whatever_the_global_random_state():
    torch.manual_seed(1)
    first = FusionLayer(SIZE, ENTITY_SIZE).state_dict()
    torch.manual_seed(2)
    second = FusionLayer(SIZE, ENTITY_SIZE).state_dict()
    assert all(torch.equal(first[name], second[name]) for name in first)
    other = FusionLayer(SIZE, ENTITY_SIZE, FusionConfig(seed=1)).state_dict()
    assert not torch.equal(first["entity_map.weight"], other["entity_map.weight"])


def test_the_untrained_projection_of_entity_vectors_keeps_their_distances():
    projection = FusionLayer(SIZE, ENTITY_SIZE).entity_map.weight
    torch.testing.assert_close(projection.T @ projection, torch.eye(ENTITY_SIZE), atol=1e-6, rtol=0)


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"steps": -1}, "steps must be from 0 to 100, found -1"),
        ({"relevance": -1.0}, "relevance must be from 0 to 100, found -1"),
    ],
)
def test_settings_out_of_range_are_refused(setting, message):
    with pytest.raises(ValueError, match=message):
        FusionConfig(**setting)
