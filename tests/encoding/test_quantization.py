import pytest
import torch
from torch import nn
from torch.nn import functional

from roots_kg.encoding import quantization
from roots_kg.encoding.adapters import LowRankAdapter
from roots_kg.encoding.hybrid import HybridEncoder
from roots_kg.encoding.quantization import Int8Linear, QuantizedEncoder
from roots_kg.encoding.text_encoder import TextEncoder
from roots_kg.encoding.transformer import Transformer, TransformerConfig
from roots_kg.errors import UsageError

TEXTS = [
    "",
    "a",
    "The parcel to Graz never arrived.",
    "Grüße aus Österreich, naïve café",
    "A sentence that is repeated until it needs two windows. " * 40,
]
SIZE = TransformerConfig(
    vocab_size=60, hidden_size=32, num_layers=2, num_heads=4, intermediate_size=48, max_positions=24
)
IDS = torch.arange(22).reshape(2, 11)
ATTENTION = torch.arange(11)[None, :] < torch.tensor([11, 7])[:, None]


@pytest.fixture(scope="module")
def int8(encoder):
    return encoder.to_precision("int8")


@pytest.fixture
def hybrid():
    """A small random encoder whose causal side has weights of its own, and whose gate is open."""
    torch.manual_seed(0)
    trunk = Transformer(SIZE)
    adapter = LowRankAdapter(trunk, rank=4)
    for weight in adapter.up.values():
        nn.init.normal_(weight, std=0.1)
    hybrid = HybridEncoder(trunk, adapter)
    nn.init.ones_(hybrid.gate.scale)
    for weight in trunk.parameters():
        if weight.dim() > 1:
            nn.init.normal_(weight, std=0.3)
    return hybrid.eval().requires_grad_(False)


def test_a_product_is_off_by_less_than_a_hundredth():
    torch.manual_seed(0)
    linear, states = nn.Linear(96, 40), torch.randn(3, 5, 96)
    expected = linear(states)
    error = Int8Linear(linear)(states) - expected
    assert 0 < error.norm() < 0.01 * expected.norm()


def test_each_row_of_a_weight_and_each_token_has_a_scale_of_its_own():
    torch.manual_seed(0)
    linear, states = nn.Linear(96, 40, bias=False), torch.randn(6, 96)
    linear.bias = nn.Parameter(torch.zeros(40))
    linear.weight.data *= torch.logspace(-3, 3, 40)[:, None]
    states *= torch.logspace(-4, 4, 6)[:, None]
    expected = linear(states)
    error = (Int8Linear(linear)(states) - expected) / (
        states.norm(dim=1, keepdim=True) * linear.weight.norm(dim=1)
    )
    assert error.abs().max() < 0.01


def test_zeros_give_the_bias_and_a_weight_of_zeros_too():
    linear = nn.Linear(8, 4)
    torch.testing.assert_close(Int8Linear(linear)(torch.zeros(1, 2, 8)), linear.bias.expand(1, 2, 4))
    nn.init.zeros_(linear.weight)
    torch.testing.assert_close(Int8Linear(linear)(torch.randn(2, 8)), linear.bias.expand(2, 4))


def test_vectors_in_int8_are_close_to_those_in_float32(encoder, int8):
    for reading in ("bidirectional", "causal", "hybrid"):
        texts = TEXTS if reading == "bidirectional" else TEXTS[:-1]
        expected, found = encoder.encode(texts, reading), int8.encode(texts, reading)
        assert not torch.equal(found, expected)
        assert functional.cosine_similarity(found, expected).min() > 0.97


def test_the_hidden_states_half_way_up_are_those_of_int8_too(encoder, int8):
    texts = TEXTS[:-1]
    (_, _, expected), (_, _, found) = next(encoder.hidden_states(texts)), next(int8.hidden_states(texts))
    assert not torch.equal(found, expected)
    assert functional.cosine_similarity(found, expected, dim=-1).mean() > 0.98


def test_the_vector_of_a_text_in_int8_does_not_depend_on_the_texts_beside_it(int8):
    together = int8.encode([*TEXTS[:-1], "outliers " * 30, "!!!!!"])
    for index, text in enumerate(TEXTS[:-1]):
        torch.testing.assert_close(int8.encode([text])[0], together[index], atol=1e-3, rtol=0)


def test_every_reading_of_an_encoder_with_an_adapter_is_imitated(hybrid):
    quantized = QuantizedEncoder(hybrid)
    for reading in ("bidirectional", "causal", "hybrid"):
        for found, expected in zip(
            quantized(IDS, ATTENTION, reading), hybrid(IDS, ATTENTION, reading), strict=True
        ):
            error = (found - expected)[ATTENTION]
            assert 0 < error.norm() < 0.1 * expected[ATTENTION].norm(), reading
    last, prefix = torch.tensor([3, 3]), "prefix"
    expected = hybrid(IDS, ATTENTION, prefix, last)[0][ATTENTION]
    assert (quantized(IDS, ATTENTION, prefix, last)[0][ATTENTION] - expected).norm() < 0.1 * expected.norm()


def test_the_encoder_that_is_imitated_stays_as_it_is_and_shares_its_embeddings(hybrid):
    before = {name: value.clone() for name, value in hybrid.state_dict().items()}
    quantized = QuantizedEncoder(hybrid)
    assert hybrid.state_dict().keys() == before.keys()
    assert all(torch.equal(hybrid.state_dict()[name], value) for name, value in before.items())
    assert quantized.trunk.token_embedding.weight is hybrid.trunk.token_embedding.weight
    kinds = {type(part) for part in hybrid.trunk.blocks.modules()}
    assert nn.Linear in kinds
    assert Int8Linear not in kinds
    assert not any(type(part) is nn.Linear for part in quantized.trunk.modules())


def test_another_precision_leaves_the_encoder_and_its_saved_weights_alone(encoder, int8):
    assert (encoder.precision, int8.precision) == ("float32", "int8")
    int8.encode(["a"])
    assert int8.state_dict().keys() == encoder.state_dict().keys()
    assert int8.pretrained_name == encoder.pretrained_name == "roots-base"
    torch.testing.assert_close(int8.to_precision("float32").encode(TEXTS), encoder.encode(TEXTS))


def test_an_encoder_can_be_loaded_in_int8(int8):
    texts = TEXTS[:-1]
    assert torch.equal(TextEncoder.from_pretrained(precision="int8").encode(texts), int8.encode(texts))


def test_weights_that_were_changed_are_quantized_again(hybrid, encoder):
    changed = TextEncoder(hybrid, encoder.tokenizer, precision="int8").eval()
    before = changed._int8()(IDS, ATTENTION)[0]
    with torch.no_grad():
        hybrid.trunk.blocks[0].output.weight.neg_()
    changed.train().eval()
    assert not torch.allclose(changed._int8()(IDS, ATTENTION)[0], before, atol=0.1)


def test_an_unknown_precision_is_an_error_that_names_the_nearest(encoder):
    with pytest.raises(UsageError, match=r"no precision 'int9' \(did you mean 'int8'\?\)"):
        encoder.to_precision("int9")


def test_a_processor_on_which_products_overflow_is_refused(hybrid, monkeypatch):
    quantization._multiplies_exactly.cache_clear()
    with monkeypatch.context() as patch:
        patch.setattr(torch, "_int_mm", lambda left, right: (left.int() @ right.int()).clamp(max=195_840))
        with pytest.raises(UsageError, match=r"without overflow \(use the precision float32\)"):
            QuantizedEncoder(hybrid)
    quantization._multiplies_exactly.cache_clear()
    QuantizedEncoder(hybrid)


def test_an_encoder_on_another_device_is_refused(hybrid):
    with pytest.raises(UsageError, match="is for the processor, the encoder is on meta"):
        QuantizedEncoder(hybrid.to("meta"))
