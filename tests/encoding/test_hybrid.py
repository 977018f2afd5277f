import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch

from roots_kg.encoding.adapters import LowRankAdapter
from roots_kg.encoding.hybrid import HybridEncoder
from roots_kg.encoding.transformer import Transformer, TransformerConfig

SIZE = TransformerConfig(
    vocab_size=40, hidden_size=24, num_layers=4, num_heads=3, intermediate_size=32, max_positions=16
)
READINGS = ("bidirectional", "causal", "prefix", "hybrid")
LENGTH = 9


@pytest.fixture(scope="module", autouse=True)
def _no_gradients():
    with torch.inference_mode():
        yield


@pytest.fixture(scope="module")
def untrained():
    torch.manual_seed(0)
    return HybridEncoder(Transformer(SIZE)).eval()


@pytest.fixture(scope="module")
def trained():
    """An encoder whose gate no longer stands where it started."""
    torch.manual_seed(0)
    model = HybridEncoder(Transformer(SIZE)).eval()
    model.gate.scale.normal_()
    return model


@pytest.fixture
def input_ids():
    return torch.randint(40, (2, LENGTH), generator=torch.Generator().manual_seed(3))


def read(model, input_ids, reading, *, attention=None, prefix=4):
    attention = torch.ones_like(input_ids, dtype=torch.bool) if attention is None else attention
    prefix_lengths = torch.full((len(input_ids),), prefix)
    return torch.stack(model(input_ids, attention, reading, prefix_lengths))


def changed_positions(model, input_ids, reading, position):
    """Return where the outputs, last and middle together, differ when one token of the first text does."""
    other = input_ids.clone()
    other[0, position] = (other[0, position] + 1) % SIZE.vocab_size
    before, after = read(model, input_ids, reading), read(model, other, reading)
    assert torch.equal(before[:, 1], after[:, 1]), "another text of the batch changed"
    return {place for place in range(LENGTH) if not torch.equal(before[:, 0, place], after[:, 0, place])}


@pytest.mark.parametrize("position", range(LENGTH))
def test_read_causally_a_token_changes_itself_and_what_follows_and_nothing_before(
    untrained, input_ids, position
):
    changed = changed_positions(untrained, input_ids, "causal", position)
    assert changed == set(range(position, LENGTH))


@pytest.mark.parametrize("position", range(LENGTH))
def test_read_bidirectionally_any_token_changes_every_output(untrained, input_ids, position):
    assert changed_positions(untrained, input_ids, "bidirectional", position) == set(range(LENGTH))


@pytest.mark.parametrize("position", range(LENGTH))
def test_read_with_a_prefix_the_prefix_is_bidirectional_and_the_rest_causal(untrained, input_ids, position):
    first = 0 if position < 4 else position
    assert changed_positions(untrained, input_ids, "prefix", position) == set(range(first, LENGTH))


@pytest.mark.parametrize("reading", READINGS)
def test_what_stands_in_the_padding_changes_no_output(trained, input_ids, reading):
    attention = torch.arange(LENGTH)[None, :] < torch.tensor([LENGTH, 6])[:, None]
    other = input_ids.clone()
    other[1, 6:] = (other[1, 6:] + 7) % SIZE.vocab_size
    before = read(trained, input_ids, reading, attention=attention)
    after = read(trained, other, reading, attention=attention)
    assert torch.equal(before[:, attention], after[:, attention])


@pytest.mark.parametrize("reading", READINGS)
def test_padding_leaves_a_text_as_it_is_alone(trained, input_ids, reading):
    attention = torch.arange(LENGTH)[None, :] < torch.tensor([LENGTH, 6])[:, None]
    padded = read(trained, input_ids, reading, attention=attention)[:, 1, :6]
    alone = read(trained, input_ids[1:, :6], reading)[:, 0]
    torch.testing.assert_close(padded, alone, atol=1e-5, rtol=0)


def test_an_untrained_hybrid_equals_the_bidirectional_reading_exactly(untrained, input_ids):
    assert torch.equal(read(untrained, input_ids, "hybrid"), read(untrained, input_ids, "bidirectional"))


def test_a_trained_hybrid_fuses_both_passes_through_its_gate(trained, input_ids):
    both, left = (read(trained, input_ids, reading) for reading in ("bidirectional", "causal"))
    expected = trained.gate(both, left)
    fused = read(trained, input_ids, "hybrid")
    torch.testing.assert_close(fused, expected, atol=1e-5, rtol=0)
    assert not torch.allclose(fused, both, atol=1e-2)


def test_the_prefix_reading_asks_for_the_prefixes(untrained, input_ids):
    with pytest.raises(ValueError, match="prefix_lengths"):
        untrained(input_ids, torch.ones_like(input_ids, dtype=torch.bool), "prefix")


def adapted():
    torch.manual_seed(5)
    trunk = Transformer(SIZE)
    adapter = LowRankAdapter(trunk, 3)
    with torch.no_grad():
        for weight in adapter.parameters():
            weight.normal_(std=0.2)
    return HybridEncoder(trunk, adapter).eval()


def test_an_adapter_changes_the_causal_and_the_prefix_reading_and_not_the_bidirectional_one(input_ids):
    model = adapted()
    plain = HybridEncoder(model.trunk).eval()
    assert torch.equal(read(model, input_ids, "bidirectional"), read(plain, input_ids, "bidirectional"))
    merged = HybridEncoder(model.adapter.merged(model.trunk)).eval()
    assert torch.equal(read(model, input_ids, "causal"), read(merged, input_ids, "causal"))
    assert not torch.allclose(read(model, input_ids, "causal"), read(plain, input_ids, "causal"), atol=1e-2)


def test_the_hybrid_reading_fuses_the_adapted_causal_pass(input_ids):
    model = adapted()
    both = read(model, input_ids, "bidirectional")
    assert torch.equal(read(model, input_ids, "hybrid"), both)
    torch.nn.init.normal_(model.gate.scale)
    expected = model.gate(both, read(model, input_ids, "causal"))
    torch.testing.assert_close(read(model, input_ids, "hybrid"), expected)


def test_the_merged_trunk_is_no_part_of_the_state_and_is_made_anew_on_demand(input_ids):
    model = adapted()
    before = read(model, input_ids, "causal")
    assert not any("merged" in name for name in model.state_dict())
    assert model.causal_trunk is model.causal_trunk
    with torch.no_grad():
        model.trunk.norm.weight.mul_(2)
    model.merge_again()
    assert not torch.allclose(read(model, input_ids, "causal"), before)


def test_of_trunks_that_two_threads_merge_at_once_one_is_kept(monkeypatch):
    model, both = adapted(), threading.Barrier(2, timeout=30)
    merge = model.adapter.merged

    def merged_together(trunk):
        both.wait()
        return merge(trunk)

    monkeypatch.setattr(model.adapter, "merged", merged_together)
    with ThreadPoolExecutor(2) as threads:
        made = list(threads.map(lambda _: model.causal_trunk, range(2)))
    assert model._merged == [model.causal_trunk]
    assert model.causal_trunk in made
