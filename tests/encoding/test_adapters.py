import torch
from torch.func import functional_call

from roots_kg.encoding.adapters import AdaptedTransformer, AdapterShape, LowRankAdapter
from roots_kg.encoding.transformer import Transformer, TransformerConfig

SIZE = TransformerConfig(
    vocab_size=50, hidden_size=12, num_layers=2, num_heads=3, intermediate_size=20, max_positions=10
)
INPUT_IDS = torch.arange(8).view(1, 8)


def trunk():
    torch.manual_seed(0)
    return Transformer(SIZE).eval()


def disturbed(adapter):
    with torch.no_grad():
        for weight in adapter.parameters():
            weight.normal_(std=0.3)
    return adapter


def test_an_untrained_adapter_changes_nothing():
    plain = trunk()
    adapted = LowRankAdapter(plain, 3).merged(plain)
    assert torch.equal(adapted(INPUT_IDS)[0], plain(INPUT_IDS)[0])


def test_merged_weights_are_the_sum_of_the_matrix_and_a_product_of_the_rank():
    plain = trunk()
    adapter = disturbed(LowRankAdapter(plain, 3))
    before, after = plain.state_dict(), adapter.merged(plain).state_dict()
    difference = after["blocks.1.intermediate.weight"] - before["blocks.1.intermediate.weight"]
    assert torch.linalg.matrix_rank(difference, rtol=1e-4) == 3
    name = "blocks/1/intermediate/weight"
    torch.testing.assert_close(difference, adapter.up[name] @ adapter.down[name])
    vector = after["blocks.0.output.bias"] - before["blocks.0.output.bias"]
    torch.testing.assert_close(vector, adapter.difference["blocks/0/output/bias"].detach())


def test_merging_leaves_the_module_as_it_is_and_gives_weights_of_its_own():
    plain = trunk()
    before = {name: weight.clone() for name, weight in plain.state_dict().items()}
    merged = disturbed(LowRankAdapter(plain, 3)).merged(plain)
    assert all(torch.equal(weight, before[name]) for name, weight in plain.state_dict().items())
    assert not any(weight.requires_grad for weight in merged.parameters())


def test_embeddings_may_have_a_rank_of_their_own_and_no_rank_exceeds_its_matrix():
    adapter = LowRankAdapter(trunk(), 4, embedding_rank=2)
    assert adapter.up["blocks/0/query_key_value/weight"].shape == (36, 4)
    assert adapter.up["token_embedding/weight"].shape == (50, 2)
    assert LowRankAdapter(trunk(), 100).up["type_embedding/weight"].shape == (2, 2)


def test_gradients_reach_every_part_of_the_adapter_and_training_it_changes_the_output():
    plain = trunk().requires_grad_(False)
    adapter = disturbed(LowRankAdapter(plain, 3))
    hidden = functional_call(plain, adapter.weights(plain), (INPUT_IDS,), {"causal": True})[0]
    hidden.square().sum().backward()
    without = {name for name, weight in adapter.named_parameters() if weight.grad is None}
    assert without == set()
    assert not torch.allclose(hidden, plain(INPUT_IDS, causal=True)[0])


def test_an_adapter_that_is_not_merged_reads_as_the_merged_one_and_gets_gradients():
    plain = trunk().requires_grad_(False)
    adapter = disturbed(LowRankAdapter(plain, 3, 0))
    live = AdaptedTransformer(plain, adapter)
    states = live(INPUT_IDS)[0]
    torch.testing.assert_close(states, adapter.merged(plain)(INPUT_IDS)[0])
    states.sum().backward()
    assert all(weight.grad is not None for weight in adapter.down.values())
    assert all(weight.grad is None for weight in plain.parameters())
    assert not list(live.parameters())


def test_embeddings_of_rank_0_stay_as_they_are():
    plain = trunk()
    adapter = disturbed(LowRankAdapter(plain, 3, 0))
    assert adapter.shape == AdapterShape(3, 0)
    assert torch.equal(adapter.merged(plain).token_embedding.weight, plain.token_embedding.weight)
