import contextlib
import json
import re
import shutil
import tempfile
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file
from transformers import (
    BertConfig,
    BertForMaskedLM,
    BertForPreTraining,
    BertForSequenceClassification,
    BertModel,
    DistilBertConfig,
    DistilBertForMaskedLM,
    GPT2Config,
    GPT2LMHeadModel,
    GPT2Model,
    RobertaConfig,
    RobertaForMaskedLM,
)

from roots_kg.encoding import masks
from roots_kg.encoding.checkpoints import bert_trunk, load_checkpoint
from roots_kg.encoding.text_encoder import TextEncoder
from roots_kg.encoding.transformer import TransformerConfig
from roots_kg.errors import BundleError, UsageError, WeightsError

VOCABULARY, POSITIONS = 60, 24
ATTENTION = torch.arange(11)[None, :] < torch.tensor([11, 7, 1])[:, None]

SIZE = TransformerConfig(
    vocab_size=60,
    hidden_size=32,
    num_layers=4,
    num_heads=4,
    intermediate_size=48,
    max_positions=24,
    layer_norm_eps=1e-2,
)
BERT = {
    "vocab_size": 60,
    "hidden_size": 32,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "intermediate_size": 48,
    "max_position_embeddings": 24,
    "initializer_range": 0.3,
    "layer_norm_eps": 1e-2,
}
DISTILBERT = {
    "vocab_size": 60,
    "dim": 32,
    "n_layers": 4,
    "n_heads": 4,
    "hidden_dim": 48,
    "max_position_embeddings": 24,
    "initializer_range": 0.3,
}
GPT2 = {
    "vocab_size": 60,
    "n_embd": 32,
    "n_layer": 4,
    "n_head": 4,
    "n_positions": 24,
    "initializer_range": 0.2,
    "bos_token_id": 0,
    "eos_token_id": 0,
}


def random_model(kind, config):
    """A model of transformers with the same random weights each time, biases and norms too."""
    torch.manual_seed(0)
    model = kind(config).eval()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.endswith("bias") or "norm" in name.lower() or ".ln_" in name:
                parameter.add_(torch.randn_like(parameter) * 0.1)
    return model


@pytest.fixture(scope="module")
def write(letters, tmp_path_factory):
    """A function that writes a model of transformers and a tokenizer into a new folder."""

    def write(model, **options):
        folder = tmp_path_factory.mktemp("checkpoint")
        model.save_pretrained(folder, **options)
        shutil.copy(letters, folder)
        return folder

    return write


@pytest.fixture(scope="module")
def models():
    """Random models by name, each with what reads it and how its tokens see each other."""
    roberta = RobertaConfig(**{**BERT, "max_position_embeddings": POSITIONS + 2, "type_vocab_size": 1})
    return {
        "bert": random_model(BertModel, BertConfig(**BERT)),
        "bert with relu": random_model(BertModel, BertConfig(**BERT, hidden_act="relu")),
        "bert as a decoder": random_model(BertModel, BertConfig(**BERT, is_decoder=True)),
        "bert with a head": random_model(BertForMaskedLM, BertConfig(**BERT)),
        "bert with both heads": random_model(BertForPreTraining, BertConfig(**BERT)),
        "roberta with a head": random_model(RobertaForMaskedLM, roberta),
        "distilbert with a head": random_model(DistilBertForMaskedLM, DistilBertConfig(**DISTILBERT)),
        "gpt2": random_model(GPT2Model, GPT2Config(**GPT2)),
        "gpt2 with a head": random_model(GPT2LMHeadModel, GPT2Config(**GPT2)),
        "gpt2 with a wider inside": random_model(GPT2LMHeadModel, GPT2Config(**GPT2, n_inner=40)),
    }


@pytest.fixture(scope="module")
def folders(models, write):
    return {name: write(model) for name, model in models.items()}


@pytest.fixture
def copy(folders, tmp_path):
    """A function that copies a checkpoint, with other settings or tensors; None takes one away."""

    def copy(name, *, settings=None, tensors=None):
        folder = shutil.copytree(folders[name], tmp_path / "copy")
        config = json.loads((folder / "config.json").read_text()) | (settings or {})
        (folder / "config.json").write_text(json.dumps(config))
        if tensors is not None:
            stored = load_file(folder / "model.safetensors") | tensors
            kept = {key: value for key, value in stored.items() if value is not None}
            save_file(kept, folder / "model.safetensors", metadata={"format": "pt"})
        return folder

    return copy


@pytest.fixture
def input_ids():
    return torch.randint(4, VOCABULARY, ATTENTION.shape, generator=torch.Generator().manual_seed(1))


def read(found, input_ids):
    mask = masks.causal if found.reading == "causal" else masks.bidirectional
    return found.trunk(input_ids, mask(ATTENTION))


def close(found, expected):
    torch.testing.assert_close(found[ATTENTION], expected[ATTENTION], atol=1e-5, rtol=0)


ALL = [
    "bert",
    "bert with relu",
    "bert as a decoder",
    "bert with a head",
    "bert with both heads",
    "roberta with a head",
    "distilbert with a head",
    "gpt2",
    "gpt2 with a head",
    "gpt2 with a wider inside",
]
CAUSAL = [name for name in ALL if "gpt2" in name or "decoder" in name]
WITH_HEAD = [name for name in ALL if "head" in name or "wider" in name]


@pytest.mark.parametrize("name", ALL)
@torch.inference_mode()
def test_the_trunk_equals_the_model_in_its_last_block_and_half_way_up(models, folders, input_ids, name):
    found = load_checkpoint(folders[name])
    assert found.reading == ("causal" if name in CAUSAL else "bidirectional")
    states = models[name].base_model(
        input_ids, attention_mask=ATTENTION.long(), output_hidden_states=True, return_dict=True
    )
    last, middle = read(found, input_ids)
    close(last, states.last_hidden_state)
    close(middle, states.hidden_states[2])


@pytest.mark.parametrize("name", ALL)
@torch.inference_mode()
def test_the_head_equals_that_of_the_model(models, folders, input_ids, name):
    found = load_checkpoint(folders[name])
    if name not in WITH_HEAD:
        assert found.head is None
        return
    output = models[name](input_ids, attention_mask=ATTENTION.long())
    expected = output.prediction_logits if name == "bert with both heads" else output.logits
    logits = found.head(read(found, input_ids)[0], found.trunk.token_embedding.weight)
    torch.testing.assert_close(logits[ATTENTION], expected[ATTENTION], atol=1e-5, rtol=0)


@torch.inference_mode()
def test_a_bert_read_causally_equals_bert_as_a_decoder(models, folders, input_ids):
    last, _ = load_checkpoint(folders["bert"]).trunk(input_ids, masks.causal(ATTENTION))
    decoder = random_model(BertModel, BertConfig(**BERT, is_decoder=True))
    close(last, decoder(input_ids, attention_mask=ATTENTION.long(), use_cache=False).last_hidden_state)


@torch.inference_mode()
def test_no_mask_lets_every_token_see_every_token(folders, input_ids):
    trunk = load_checkpoint(folders["bert"]).trunk
    everything = masks.bidirectional(torch.ones_like(ATTENTION))
    torch.testing.assert_close(trunk(input_ids)[0], trunk(input_ids, everything)[0], atol=1e-5, rtol=0)


def same(first, second):
    first, second = first.state_dict(), second.state_dict()
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


@pytest.mark.parametrize(("name", "prefix"), [("bert", "bert."), ("gpt2", "transformer.")])
def test_names_with_and_without_the_prefix_of_the_model_load_alike(folders, tmp_path, name, prefix):
    folder = shutil.copytree(folders[name], tmp_path / "prefixed")
    tensors = load_file(folder / "model.safetensors")
    save_file({prefix + key: value for key, value in tensors.items()}, folder / "model.safetensors")
    assert same(load_checkpoint(folder).trunk, load_checkpoint(folders[name]).trunk)


def test_the_names_that_norms_once_had_load_alike(folders, tmp_path):
    folder = shutil.copytree(folders["bert with a head"], tmp_path / "old")
    tensors = {
        key.replace("LayerNorm.weight", "LayerNorm.gamma").replace("LayerNorm.bias", "LayerNorm.beta"): value
        for key, value in load_file(folder / "model.safetensors").items()
    }
    save_file(tensors, folder / "model.safetensors")
    first, second = load_checkpoint(folder), load_checkpoint(folders["bert with a head"])
    assert same(first.trunk, second.trunk)
    assert same(first.head, second.head)


def test_buffers_and_layers_of_no_use_are_let_be(copy, models):
    extra = {
        "bert.embeddings.position_ids": torch.arange(24)[None],
        "cls.predictions.decoder.weight": models["bert with both heads"]
        .get_input_embeddings()
        .weight.clone(),
        "cls.predictions.decoder.bias": models["bert with both heads"].cls.predictions.bias.clone(),
    }
    assert load_checkpoint(copy("bert with both heads", tensors=extra)).head is not None


def test_the_buffers_of_an_old_gpt2_and_its_output_embedding_are_let_be(copy, models):
    extra = {
        "transformer.h.0.attn.bias": torch.ones(1, 1, 24, 24).tril(),
        "transformer.h.0.attn.masked_bias": torch.tensor(-1e4),
        "lm_head.weight": models["gpt2 with a head"].get_input_embeddings().weight.clone(),
    }
    assert load_checkpoint(copy("gpt2 with a head", tensors=extra)).head is not None


@pytest.mark.parametrize(
    ("name", "tensor"),
    [("gpt2 with a head", "lm_head.weight"), ("bert with a head", "cls.predictions.decoder.weight")],
)
def test_an_output_embedding_of_its_own_is_refused(copy, name, tensor):
    with pytest.raises(WeightsError, match=f"{re.escape(tensor)} differs from the input embedding"):
        load_checkpoint(copy(name, tensors={tensor: torch.randn(60, 32)}))


@pytest.mark.parametrize("name", ["bert with a head", "gpt2 with a head"])
def test_a_checkpoint_in_shards_loads_alike(models, folders, write, name):
    folder = write(models[name], max_shard_size="20KB")
    assert not (folder / "model.safetensors").exists()
    first, second = load_checkpoint(folder), load_checkpoint(folders[name])
    assert same(first.trunk, second.trunk)
    assert same(first.head, second.head)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_narrow_weights_are_widened(folders, copy, dtype):
    tensors = load_file(folders["bert"] / "model.safetensors")
    found = load_checkpoint(copy("bert", tensors={key: value.to(dtype) for key, value in tensors.items()}))
    assert {parameter.dtype for parameter in found.trunk.parameters()} == {torch.float32}
    expected = tensors["embeddings.word_embeddings.weight"].to(dtype).float()
    assert torch.equal(found.trunk.token_embedding.weight, expected)


def test_weights_that_are_no_floating_point_numbers_are_refused(copy):
    quantised = {"encoder.layer.1.output.dense.weight": torch.zeros(32, 48, dtype=torch.int8)}
    with pytest.raises(WeightsError, match=r"encoder\.layer\.1\.output\.dense\.weight holds torch\.int8"):
        load_checkpoint(copy("bert", tensors=quantised))


def test_what_is_loaded_is_in_evaluation_mode_and_frozen(folders):
    found = load_checkpoint(folders["gpt2 with a head"])
    for module in (found.trunk, found.head):
        assert not module.training
        assert not any(parameter.requires_grad for parameter in module.parameters())


@pytest.mark.parametrize(
    ("name", "tensor"),
    [
        ("bert", "embeddings.word_embeddings.weight"),
        ("bert", "encoder.layer.2.attention.self.key.bias"),
        ("bert with a head", "cls.predictions.transform.LayerNorm.weight"),
        ("gpt2", "h.3.mlp.c_fc.weight"),
    ],
)
def test_a_missing_tensor_is_named(copy, name, tensor):
    with pytest.raises(
        WeightsError, match=rf"model\.safetensors: the tensor {re.escape(repr(tensor))} is missing"
    ):
        load_checkpoint(copy(name, tensors={tensor: None}))


def test_of_several_missing_tensors_the_first_is_named(folders, copy):
    names = load_file(folders["bert"] / "model.safetensors")
    damaged = copy("bert", tensors={name: None for name in names if "intermediate" in name})
    with pytest.raises(WeightsError, match=r"encoder\.layer\.0\.intermediate\.dense\.weight"):
        load_checkpoint(damaged)


def test_a_tensor_of_another_shape_is_named_with_both_shapes(copy):
    damaged = copy("bert", tensors={"encoder.layer.1.output.dense.weight": torch.zeros(3, 48)})
    with pytest.raises(
        WeightsError,
        match=r"encoder\.layer\.1\.output\.dense\.weight has shape \(3, 48\), expected \(32, 48\)",
    ):
        load_checkpoint(damaged)


def test_the_shape_of_a_map_that_is_stored_transposed_is_told_as_it_is_stored(copy):
    damaged = copy("gpt2", tensors={"h.0.attn.c_attn.weight": torch.zeros(96, 32)})
    with pytest.raises(
        WeightsError, match=r"h\.0\.attn\.c_attn\.weight has shape \(96, 32\), expected \(32, 96\)"
    ):
        load_checkpoint(damaged)


def test_a_tensor_that_has_no_place_is_named(copy):
    extra = {"encoder.layer.4.output.dense.bias": torch.zeros(32), "zzz": torch.zeros(1)}
    with pytest.raises(WeightsError, match=r"the tensor 'encoder\.layer\.4\.output\.dense\.bias' is unknown"):
        load_checkpoint(copy("bert", tensors=extra))


def test_the_layer_of_a_task_is_refused_with_the_way_out(write):
    folder = write(random_model(BertForSequenceClassification, BertConfig(**BERT)))
    with pytest.raises(
        WeightsError, match=r"'classifier\.(bias|weight)' is unknown.*save the base model alone"
    ):
        load_checkpoint(folder)


@pytest.mark.parametrize(
    ("name", "settings", "told"),
    [
        ("bert", {"position_embedding_type": "relative_key"}, "position_embedding_type is 'relative_key'"),
        ("bert", {"hidden_act": "mish"}, "hidden_act is 'mish', which the trunk cannot express"),
        ("bert", {"add_cross_attention": True}, "add_cross_attention is True"),
        ("bert with a head", {"hidden_act": "relu"}, "activation of the head is 'relu'"),
        ("bert", {"num_attention_heads": 5}, "not a multiple of num_heads 5"),
        ("bert", {"num_attention_heads": "4"}, "num_attention_heads must be a whole number .*, found '4'"),
        ("bert", {"intermediate_size": 10**30}, "must be a whole number up to 16,777,216, found 1000"),
        ("bert", {"hidden_size": None}, "the key 'hidden_size' is missing"),
        ("bert", {"layer_norm_eps": "tiny"}, "layer_norm_eps must be a number"),
        ("bert", {"layer_norm_eps": float("nan")}, "layer_norm_eps must be a number"),
        ("roberta with a head", {"max_position_embeddings": 2}, "max_positions must be at least 1"),
        ("gpt2", {"activation_function": ["gelu"]}, r"activation_function is \['gelu'\]"),
        ("gpt2", {"scale_attn_by_inverse_layer_idx": True}, "scale_attn_by_inverse_layer_idx is True"),
        ("gpt2", {"scale_attn_weights": False}, "scale_attn_weights is False"),
        ("gpt2", {"reorder_and_upcast_attn": True}, "reorder_and_upcast_attn is True"),
        ("bert", {"model_type": "brt"}, r"model_type is 'brt'.*did you mean 'bert'"),
        ("bert", {"model_type": ["bert"]}, "model_type is"),
    ],
)
def test_a_shape_that_the_trunk_cannot_express_is_refused(copy, name, settings, told):
    with pytest.raises(WeightsError, match=rf"config\.json: .*{told}"):
        load_checkpoint(copy(name, settings=settings))


@pytest.mark.parametrize(
    ("name", "key", "expected"), [("bert", "layer_norm_eps", 1e-12), ("gpt2", "layer_norm_epsilon", 1e-5)]
)
def test_what_the_settings_leave_out_is_as_in_the_first_models_of_the_family(
    folders, copy, name, key, expected
):
    folder = copy(name)
    config = json.loads((folder / "config.json").read_text())
    del config[key]
    (folder / "config.json").write_text(json.dumps(config))
    assert load_checkpoint(folder).trunk.config.layer_norm_eps == expected


@pytest.mark.parametrize(
    ("layers", "reason"),
    [
        (1_000, r"there are to be 1000 layers, and there are \d+ tensors"),
        (16_000_000, "num_layers must be at most 1,000, found 16,000,000"),
    ],
)
def test_more_layers_than_tensors_are_refused_before_they_are_made(copy, layers, reason):
    with pytest.raises(WeightsError, match=reason):
        load_checkpoint(copy("bert", settings={"num_hidden_layers": layers}))


VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=5),
    st.lists(st.integers(), max_size=2),
)
KEYS = st.sampled_from(
    ["model_type", "hidden_size", "is_decoder", "pad_token_id", *BERT, *GPT2, "architectures"]
)


@settings(max_examples=60, deadline=None)
@given(
    name=st.sampled_from(["bert", "roberta with a head", "gpt2"]),
    changes=st.dictionaries(KEYS, VALUES, max_size=2),
)
def test_whatever_stands_in_the_settings_a_checkpoint_loads_or_is_refused(folders, name, changes):
    with tempfile.TemporaryDirectory() as parent:
        folder = Path(parent) / "copy"
        shutil.copytree(folders[name], folder)
        config = json.loads((folder / "config.json").read_text()) | changes
        (folder / "config.json").write_text(json.dumps(config))
        with contextlib.suppress(WeightsError):
            load_checkpoint(folder)


@pytest.mark.parametrize("name", ["config.json", "model.safetensors", "tokenizer.json"])
def test_a_missing_file_is_named(copy, name):
    folder = copy("bert")
    (folder / name).unlink()
    with pytest.raises(WeightsError, match=re.escape(f"{folder}: this folder has no {name}")):
        load_checkpoint(folder)


def test_a_file_in_place_of_a_folder_is_refused(folders):
    with pytest.raises(WeightsError, match="this is not a folder"):
        load_checkpoint(folders["bert"] / "model.safetensors")


def test_a_tokenizer_with_more_tokens_than_the_model_is_refused_with_both_numbers(encoder, copy):
    folder = copy("bert")
    (folder / "tokenizer.json").write_bytes(encoder.tokenizer.content)
    with pytest.raises(
        WeightsError, match=r"tokenizer\.json: .*ids up to 30521, the model's embedding has 60"
    ):
        load_checkpoint(folder)


def test_a_tokenizer_with_fewer_tokens_than_the_model_is_used(write):
    padded = random_model(GPT2LMHeadModel, GPT2Config(**{**GPT2, "vocab_size": 64}))
    assert load_checkpoint(write(padded)).trunk.config.vocab_size == 64


@pytest.mark.parametrize(
    ("files", "window"),
    [
        ({}, 24),
        ({"tokenizer_config.json": {"model_max_length": 16}}, 16),
        ({"tokenizer_config.json": {"model_max_length": 10**30}}, 24),
        ({"sentence_bert_config.json": {"max_seq_length": 12}, "tokenizer_config.json": {}}, 12),
        ({"sentence_bert_config.json": {"max_seq_length": None}}, 24),
        ({"sentence_bert_config.json": {"max_seq_length": 99}}, 24),
    ],
)
def test_a_window_is_as_long_as_the_folder_says_and_the_positions_allow(copy, files, window):
    folder = copy("bert")
    for name, content in files.items():
        (folder / name).write_text(json.dumps(content))
    assert load_checkpoint(folder).tokenizer.max_length == window


@torch.inference_mode()
def test_a_trunk_of_a_known_shape_is_read_from_its_file_alone(folders, input_ids):
    trunk = bert_trunk(folders["bert"] / "model.safetensors", SIZE)
    assert same(trunk, load_checkpoint(folders["bert"]).trunk)


@pytest.mark.parametrize("name", ["bert", "gpt2 with a head"])
def test_a_checkpoint_gives_a_text_encoder_that_reads_as_it_was_trained(models, folders, name):
    encoder = TextEncoder.from_pretrained(folders[name])
    causal = name in CAUSAL
    assert encoder.reading == ("causal" if causal else "bidirectional")
    assert (encoder.head is not None) == causal
    assert torch.equal(encoder.encode(["a parcel", ""]), encoder.encode(["a parcel", ""], encoder.reading))
    (batch,) = encoder.tokenizer.batches(["a parcel"])
    expected = models[name].base_model(batch.input_ids).last_hidden_state.sum(dim=1)
    found = encoder.encode(["a parcel"])
    torch.testing.assert_close(found, torch.nn.functional.normalize(expected).detach(), atol=1e-5, rtol=0)
    assert torch.equal(TextEncoder.from_pretrained(str(folders[name])).encode(["a"]), encoder.encode(["a"]))


def test_a_text_without_tokens_is_zero_alone_and_among_others(folders, tmp_path):
    folder = shutil.copytree(folders["gpt2"], tmp_path / "bare")
    tokenizer = json.loads((folder / "tokenizer.json").read_text()) | {"post_processor": None}
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer))
    encoder = TextEncoder.from_pretrained(folder)
    assert torch.equal(encoder.encode([""]), torch.zeros(1, 32))
    both = encoder.encode(["", "a parcel"])
    assert torch.equal(both[0], torch.zeros(32))
    torch.testing.assert_close(both[1:], encoder.encode(["a parcel"]), atol=1e-5, rtol=0)


def test_neither_a_name_nor_a_folder_is_a_checkpoint(tmp_path, bundle):
    with pytest.raises(UsageError, match="there is no pretrained model"):
        TextEncoder.from_pretrained(tmp_path / "nothing")
    with pytest.raises(WeightsError, match=r"has no config\.json"):
        TextEncoder.from_pretrained(tmp_path)
    bundle.save(tmp_path / "graph")
    with pytest.raises(BundleError, match="this is a 'graph' bundle, expected 'encoder'"):
        TextEncoder.from_pretrained(tmp_path / "graph")
