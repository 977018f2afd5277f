import torch

from roots_kg.encoding.gate import FusionGate


def states():
    generator = torch.Generator().manual_seed(0)
    return torch.randn(2, 3, 5, 8, generator=generator)


def test_an_untrained_gate_gives_the_bidirectional_states_exactly():
    bidirectional, causal = states()
    assert torch.equal(FusionGate(8)(bidirectional, causal), bidirectional)


def test_a_trained_gate_lets_in_its_share_of_the_difference():
    bidirectional, causal = states()
    gate = FusionGate(8)
    torch.nn.init.normal_(gate.scale)
    opened = torch.sigmoid(torch.cat([bidirectional, causal], dim=-1) @ gate.gate.weight.T + gate.gate.bias)
    expected = bidirectional + gate.scale * opened * (causal - bidirectional)
    torch.testing.assert_close(gate(bidirectional, causal), expected)
