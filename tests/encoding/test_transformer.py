import re

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import BertConfig, BertModel

from roots_kg.encoding import masks
from roots_kg.encoding.transformer import Transformer, TransformerConfig
from roots_kg.errors import WeightsError

SIZE = TransformerConfig(
    vocab_size=60, hidden_size=32, num_layers=4, num_heads=4, intermediate_size=48, max_positions=24
)
ATTENTION = torch.arange(11)[None, :] < torch.tensor([11, 7, 1])[:, None]


@pytest.fixture(scope="module")
def bert():
    """A function that makes a BERT of transformers with the same random weights each time."""

    def make(**options):
        torch.manual_seed(0)
        config = BertConfig(
            vocab_size=60,
            hidden_size=32,
            num_hidden_layers=4,
            num_attention_heads=4,
            intermediate_size=48,
            max_position_embeddings=24,
            initializer_range=0.3,
            layer_norm_eps=1e-12,
            **options,
        )
        return BertModel(config, add_pooling_layer=False).eval()

    return make


@pytest.fixture(scope="module")
def checkpoint(bert, tmp_path_factory):
    path = tmp_path_factory.mktemp("bert") / "model.safetensors"
    save_file({name: value.contiguous() for name, value in bert().state_dict().items()}, path)
    return path


@pytest.fixture
def input_ids():
    return torch.randint(60, ATTENTION.shape, generator=torch.Generator().manual_seed(1))


@torch.inference_mode()
def test_the_trunk_equals_bert_in_its_last_block_and_half_way_up(bert, checkpoint, input_ids):
    trunk = Transformer.from_bert(checkpoint, SIZE)
    last, middle = trunk(input_ids, masks.bidirectional(ATTENTION))
    expected = bert()(input_ids, attention_mask=ATTENTION.long(), output_hidden_states=True).hidden_states
    torch.testing.assert_close(last[ATTENTION], expected[4][ATTENTION], atol=1e-5, rtol=0)
    torch.testing.assert_close(middle[ATTENTION], expected[2][ATTENTION], atol=1e-5, rtol=0)


@torch.inference_mode()
def test_the_trunk_read_causally_equals_bert_as_a_decoder(bert, checkpoint, input_ids):
    trunk = Transformer.from_bert(checkpoint, SIZE)
    last, _ = trunk(input_ids, masks.causal(ATTENTION))
    decoder = bert(is_decoder=True)
    expected = decoder(input_ids, attention_mask=ATTENTION.long(), use_cache=False).last_hidden_state
    torch.testing.assert_close(last[ATTENTION], expected[ATTENTION], atol=1e-5, rtol=0)


@torch.inference_mode()
def test_no_mask_lets_every_token_see_every_token(checkpoint, input_ids):
    trunk = Transformer.from_bert(checkpoint, SIZE)
    everything = masks.bidirectional(torch.ones_like(ATTENTION))
    torch.testing.assert_close(trunk(input_ids)[0], trunk(input_ids, everything)[0], atol=1e-5, rtol=0)


def test_a_checkpoint_whose_names_begin_with_bert_loads_alike(checkpoint, tmp_path):
    prefixed = tmp_path / "model.safetensors"
    save_file({f"bert.{name}": value for name, value in load_file(checkpoint).items()}, prefixed)
    plain, other = (Transformer.from_bert(path, SIZE).state_dict() for path in (checkpoint, prefixed))
    assert all(torch.equal(plain[name], other[name]) for name in plain)


def test_a_loaded_trunk_is_in_evaluation_mode_and_frozen(checkpoint):
    trunk = Transformer.from_bert(checkpoint, SIZE)
    assert not trunk.training
    assert not any(parameter.requires_grad for parameter in trunk.parameters())


@pytest.mark.parametrize(
    "name", ["embeddings.word_embeddings.weight", "encoder.layer.2.attention.self.key.bias"]
)
def test_a_missing_tensor_is_named(checkpoint, tmp_path, name):
    damaged = tmp_path / "model.safetensors"
    save_file({key: value for key, value in load_file(checkpoint).items() if key != name}, damaged)
    with pytest.raises(WeightsError, match=f"model.safetensors: the tensor {re.escape(repr(name))}"):
        Transformer.from_bert(damaged, SIZE)


def test_of_several_missing_tensors_the_first_is_named(checkpoint, tmp_path):
    damaged = tmp_path / "model.safetensors"
    kept = {key: value for key, value in load_file(checkpoint).items() if "intermediate" not in key}
    save_file(kept, damaged)
    with pytest.raises(WeightsError, match=r"encoder\.layer\.0\.intermediate\.dense\.weight"):
        Transformer.from_bert(damaged, SIZE)


def test_a_tensor_of_another_shape_is_named_with_both_shapes(checkpoint, tmp_path):
    damaged = tmp_path / "model.safetensors"
    save_file(load_file(checkpoint) | {"encoder.layer.1.output.dense.weight": torch.zeros(3, 48)}, damaged)
    with pytest.raises(WeightsError, match=r"blocks\.1\.output\.weight .*\(3, 48\), expected \(32, 48\)"):
        Transformer.from_bert(damaged, SIZE)


@pytest.mark.parametrize("content", [b"", b"not safetensors at all", None])
def test_a_file_that_is_not_safetensors_is_named(tmp_path, content):
    path = tmp_path / "model.safetensors"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(WeightsError, match=re.escape(str(path))):
        Transformer.from_bert(path, SIZE)


def test_heads_must_divide_the_hidden_size():
    with pytest.raises(ValueError, match="30 is not a multiple of num_heads 4"):
        TransformerConfig(hidden_size=30, num_heads=4)
