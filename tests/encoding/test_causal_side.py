import pytest
import torch
from safetensors.torch import load_file, save_file

from roots_kg.encoding.adapters import LowRankAdapter
from roots_kg.encoding.causal_side import read_causal_side, write_causal_side
from roots_kg.encoding.decoding.config import GenerationConfig
from roots_kg.encoding.language_model import LanguageModelHead
from roots_kg.encoding.transformer import Transformer, TransformerConfig
from roots_kg.errors import WeightsError

SIZE = TransformerConfig(
    vocab_size=50, hidden_size=12, num_layers=2, num_heads=3, intermediate_size=20, max_positions=10
)


@pytest.fixture
def trunk():
    torch.manual_seed(0)
    return Transformer(SIZE)


@pytest.fixture
def written(trunk, tmp_path):
    adapter, head = LowRankAdapter(trunk, 3, 2), LanguageModelHead(12, 50)
    with torch.no_grad():
        for weight in (*adapter.parameters(), *head.parameters()):
            weight.copy_(torch.randn(weight.shape).half())
    write_causal_side(adapter, head, tmp_path / "causal.safetensors")
    return adapter, head, tmp_path / "causal.safetensors"


def test_what_half_precision_holds_is_read_back_exactly_and_in_single(trunk, written):
    adapter, head, path = written
    assert {tensor.dtype for tensor in load_file(path).values()} == {torch.float16}
    for before, after in zip((adapter, head), read_causal_side(path, trunk), strict=True):
        for name, weight in before.state_dict().items():
            assert torch.equal(after.state_dict()[name], weight)
        assert not any(weight.requires_grad for weight in after.parameters())


def test_a_file_that_does_not_fit_the_trunk_is_refused_by_name(written):
    other = Transformer(TransformerConfig(50, 12, 1, 3, 20, 10))
    with pytest.raises(WeightsError, match="do not fit the trunk"):
        read_causal_side(written[2], other)


def test_a_file_without_an_adapter_is_refused(trunk, tmp_path):
    save_file({"head.bias": torch.zeros(50)}, tmp_path / "other.safetensors")
    with pytest.raises(WeightsError, match="holds no adapter"):
        read_causal_side(tmp_path / "other.safetensors", trunk)


def test_a_file_that_is_no_safetensors_is_refused(trunk, tmp_path):
    (tmp_path / "other.safetensors").write_bytes(b"\x80\x04K\x01.")
    with pytest.raises(WeightsError, match="cannot be read as safetensors"):
        read_causal_side(tmp_path / "other.safetensors", trunk)


def test_roots_base_has_a_trained_causal_side_in_at_most_16_megabytes(encoder):
    from roots_kg.weights import CAUSAL, SHIPPED

    assert (SHIPPED / "roots-base" / CAUSAL).stat().st_size <= 16e6
    (texts,) = encoder.generate(["It was a dark and"], GenerationConfig(max_new_tokens=12))
    words = texts[0].split()[5:]
    assert len(set(words)) > len(words) / 2, texts
    assert texts == encoder.generate(["It was a dark and"], GenerationConfig(max_new_tokens=12))[0]


def test_the_causal_side_of_roots_base_tells_english_from_words_in_disorder(encoder):
    tokens = encoder.tokenizer.rows(["She opened the door and looked into the room, but there was nobody."])
    ids = torch.tensor([tokens[0].input_ids[:-1]])
    mixed = ids.clone()
    mixed[0, 1:] = ids[0, 1:][torch.randperm(ids.shape[1] - 1, generator=torch.Generator().manual_seed(0))]
    trunk, head = encoder.encoder.causal_trunk, encoder.head
    losses = []
    for row in (ids, mixed):
        hidden = trunk(row, causal=True)[0]
        losses.append(head.loss(hidden[:, :-1], trunk.token_embedding.weight, row[:, 1:]).item())
    assert losses[0] < 5.5
    assert losses[0] < losses[1] - 1
