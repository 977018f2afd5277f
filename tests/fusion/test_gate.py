import pytest
import torch

from roots_kg.fusion.gate import KnowledgeGate


@pytest.fixture(scope="module", autouse=True)
def _no_gradients():
    with torch.inference_mode():
        yield


@pytest.fixture
def inputs():
    generator = torch.Generator().manual_seed(0)
    return torch.randn(2, 3, 4, generator=generator), torch.randn(2, 3, 4, generator=generator)


def test_the_gate_is_its_formula(inputs):
    tokens, knowledge = inputs
    torch.manual_seed(1)
    layer = KnowledgeGate(4)
    for parameter in layer.parameters():
        parameter.normal_()
    both = torch.cat([tokens, knowledge], dim=-1)
    expected = torch.sigmoid(both @ layer.gate.weight.T + layer.gate.bias)
    added, gate = layer(tokens, knowledge)
    torch.testing.assert_close(gate, expected)
    torch.testing.assert_close(added, expected * (knowledge @ layer.value.weight.T))


def test_an_untrained_gate_stands_half_open(inputs):
    tokens, knowledge = inputs
    added, gate = KnowledgeGate(4)(tokens, knowledge)
    assert (gate == 0.5).all()
    assert torch.equal(added, 0.5 * knowledge)


def test_where_there_is_no_knowledge_exactly_nothing_is_added(inputs):
    tokens, _ = inputs
    torch.manual_seed(1)
    layer = KnowledgeGate(4)
    for parameter in layer.parameters():
        parameter.normal_()
    added, _ = layer(tokens, torch.zeros_like(tokens))
    assert torch.equal(tokens + added, tokens)


def test_a_closed_gate_lets_nothing_in_whatever_the_knowledge(inputs):
    layer = KnowledgeGate(4)
    layer.gate.bias.fill_(-200.0)
    assert not layer(*inputs)[0].any()
