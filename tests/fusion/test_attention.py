import pytest
import torch
from torch.nn import functional

from roots_kg.fusion.attention import InteractiveAttention

TOKENS, NODES, SIZE = 5, 4, 8


@pytest.fixture(scope="module", autouse=True)
def _no_gradients():
    with torch.inference_mode():
        yield


@pytest.fixture
def attention():
    """Attention with random weights everywhere."""
    torch.manual_seed(0)
    layer = InteractiveAttention(SIZE)
    for parameter in layer.parameters():
        parameter.add_(0.3 * torch.randn_like(parameter))
    return layer


@pytest.fixture
def inputs():
    """One text: its tokens, which of them are real, the nodes of its subgraph, and their mass."""
    generator = torch.Generator().manual_seed(1)
    tokens = torch.randn(1, TOKENS, SIZE, generator=generator)
    nodes = torch.randn(1, NODES, SIZE, generator=generator)
    return tokens, torch.ones(1, TOKENS, dtype=torch.bool), nodes, torch.tensor([[0.5, 0.3, 0.15, 0.05]])


def softmax_with_null(logits, null):
    return functional.softmax(torch.cat([null.reshape(1), logits]), dim=0)


def test_attention_is_its_two_equations_token_by_token(attention, inputs):
    (tokens,), _, (nodes,), (mass,) = inputs
    temperature = attention.log_temperature.exp()
    updated, relevance = [], []
    for node in nodes:
        query = attention.node_query.weight @ node
        cosines = torch.stack([functional.cosine_similarity(query, token, dim=0) for token in tokens])
        heard = softmax_with_null(temperature * cosines, attention.node_null)
        total = sum(weight * token for weight, token in zip(heard[1:], tokens, strict=True))
        updated.append(node + attention.node_update.weight @ total)
        relevance.append(1 - heard[0])
    prior = (mass * torch.stack(relevance)).log()
    expected, expected_weights = [], []
    for token in tokens:
        query = attention.token_query.weight @ token
        cosines = torch.stack([functional.cosine_similarity(query, node, dim=0) for node in updated])
        weights = softmax_with_null(temperature * cosines + prior, attention.token_null)[1:]
        pairs = zip(weights, updated, strict=True)
        expected.append(sum(weight * (attention.value.weight @ node) for weight, node in pairs))
        expected_weights.append(weights)
    taken, weights = attention(*inputs)
    torch.testing.assert_close(weights[0], torch.stack(expected_weights), atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(taken[0], torch.stack(expected), atol=1e-5, rtol=1e-4)


def test_the_null_slot_always_keeps_a_part(attention, inputs):
    for layer in (attention, InteractiveAttention(SIZE)):
        shares = layer(*inputs)[1].sum(dim=-1)
        assert (shares < 1).all()
        assert (shares > 0).all()


def test_a_text_that_needs_no_node_takes_nothing(attention, inputs):
    attention.token_null.fill_(1e4)
    taken, weights = attention(*inputs)
    assert not weights.any()
    assert not taken.any()


def test_a_node_that_concerns_no_token_is_taken_less(inputs):
    tokens, mask, _, _ = inputs
    attention = InteractiveAttention(SIZE)
    nodes = torch.stack([tokens[0, 0], -tokens[0].mean(dim=0)])[None]
    weights = attention(tokens, mask, nodes, torch.tensor([[0.5, 0.5]]))[1][0]
    assert weights[0, 0] > 10 * weights[0, 1]


def test_more_mass_on_a_node_means_more_attention_to_it(attention, inputs):
    tokens, mask, nodes, mass = inputs
    heavier = mass.clone()
    heavier[0, 3] *= 10
    before, after = (attention(tokens, mask, nodes, amount)[1] for amount in (mass, heavier))
    assert (after[..., 3] > before[..., 3]).all()


def test_what_stands_in_padded_tokens_changes_nothing(attention, inputs):
    tokens, mask, nodes, mass = inputs
    mask = mask.clone()
    mask[0, 3:] = False
    other = tokens.clone()
    other[0, 3:] = 99.0
    for before, after in zip(
        attention(tokens, mask, nodes, mass), attention(other, mask, nodes, mass), strict=True
    ):
        assert torch.equal(before[:, :3], after[:, :3])


def test_padded_tokens_leave_a_text_as_it_is_without_them(attention, inputs):
    tokens, mask, nodes, mass = inputs
    mask = mask.clone()
    mask[0, 3:] = False
    padded = attention(tokens, mask, nodes, mass)
    alone = attention(tokens[:, :3], mask[:, :3], nodes, mass)
    for first, second in zip(padded, alone, strict=True):
        torch.testing.assert_close(first[:, :3], second, atol=1e-6, rtol=1e-5)


def test_a_padded_node_receives_exactly_nothing_and_leaves_the_others_as_they_are(attention, inputs):
    tokens, mask, nodes, mass = inputs
    more_nodes = torch.cat([nodes, torch.full((1, 2, SIZE), 5.0)], dim=1)
    more_mass = torch.cat([mass, torch.zeros(1, 2)], dim=1)
    taken, weights = attention(tokens, mask, more_nodes, more_mass)
    expected_taken, expected_weights = attention(tokens, mask, nodes, mass)
    assert not weights[..., NODES:].any()
    torch.testing.assert_close(weights[..., :NODES], expected_weights, atol=1e-6, rtol=1e-5)
    torch.testing.assert_close(taken, expected_taken, atol=1e-6, rtol=1e-5)


def left_to_right(attention, tokens, nodes, mass, since):
    """What each token takes by the equations, one token at a time, with only what was read so far."""
    temperature = attention.log_temperature.exp()
    taken = []
    for last, token in enumerate(tokens):
        updated, logits = [], []
        for node, first, weight in zip(nodes, since, mass, strict=True):
            if first > last:
                continue
            query = attention.node_query.weight @ node
            read = tokens[: last + 1]
            cosines = torch.stack([functional.cosine_similarity(query, other, dim=0) for other in read])
            heard = softmax_with_null(temperature * cosines, attention.node_null)
            updated.append(node + attention.node_update.weight @ (heard[1:] @ read))
            asked = functional.cosine_similarity(attention.token_query.weight @ token, updated[-1], dim=0)
            there = sum(amount for amount, start in zip(mass, since, strict=True) if start <= last)
            logits.append(temperature * asked + (weight / there * (1 - heard[0])).log())
        if not updated:
            taken.append(torch.zeros(SIZE))
            continue
        weights = softmax_with_null(torch.stack(logits), attention.token_null)[1:]
        taken.append(attention.value.weight @ (weights @ torch.stack(updated)))
    return torch.stack(taken)


def test_from_left_to_right_attention_is_its_equations_with_what_was_read_so_far(attention, inputs):
    tokens, mask, nodes, mass = inputs
    since = torch.tensor([[1, 1, 3, 9]])
    taken, weights = attention(tokens, mask, nodes, mass, since)
    expected = left_to_right(attention, tokens[0], nodes[0], mass[0], since[0].tolist())
    torch.testing.assert_close(taken[0], expected, atol=1e-5, rtol=1e-4)
    assert not weights[0, 0].any()
    assert not weights[0, :3, 2].any()
    assert weights[0, 3:, 2].all()
    assert not weights[..., 3].any()


@pytest.mark.parametrize("length", range(1, TOKENS))
def test_from_left_to_right_nothing_that_follows_a_token_counts_for_it(attention, inputs, length):
    tokens, mask, nodes, mass = inputs
    since = torch.tensor([[0, 1, 1, 4]])
    other = tokens.clone()
    other[:, length:] = 7.0
    moved = nodes.clone()
    moved[since >= length] = -3.0
    before, after = attention(tokens, mask, nodes, mass, since), attention(other, mask, moved, mass, since)
    for first, second in zip(before, after, strict=True):
        torch.testing.assert_close(first[:, :length], second[:, :length], atol=1e-6, rtol=1e-5)


def test_from_left_to_right_the_last_token_knows_what_it_does_in_a_text_read_as_a_whole(attention, inputs):
    tokens, mask, nodes, mass = inputs
    whole = attention(tokens, mask, nodes, mass)
    last = attention(tokens, mask, nodes, mass, torch.zeros(1, NODES, dtype=torch.long))
    for first, second in zip(whole, last, strict=True):
        torch.testing.assert_close(first[:, -1], second[:, -1], atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("since", [None, torch.tensor([[0, 2, 9, 9]])])
def test_gradients_stay_finite_where_nodes_are_padded(inputs, since):
    with torch.inference_mode(mode=False):
        layer = InteractiveAttention(SIZE)
        tokens, mask, nodes, _ = (part.clone() for part in inputs)
        mass = torch.tensor([[0.6, 0.4, 0.0, 0.0]])
        layer(tokens, mask, nodes, mass, since)[0].sum().backward()
        assert all(parameter.grad.isfinite().all() for parameter in layer.parameters())
