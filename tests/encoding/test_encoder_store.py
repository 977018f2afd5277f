import json
import re
import shutil

import pytest
import torch

from roots_kg.encoding.adapters import LowRankAdapter
from roots_kg.encoding.encoder_store import load_encoder, save_encoder
from roots_kg.encoding.hybrid import HybridEncoder
from roots_kg.encoding.text_encoder import TextEncoder
from roots_kg.encoding.tokenization import Tokenizer
from roots_kg.encoding.transformer import Transformer, TransformerConfig
from roots_kg.errors import BundleError

TEXTS = ["the parcel to graz never arrived", "", "a", "one two three four five six seven"]
READINGS = ("bidirectional", "causal", "hybrid")


@pytest.fixture(scope="module")
def saved(small_encoder, tmp_path_factory):
    path = tmp_path_factory.mktemp("saved") / "encoder"
    save_encoder(small_encoder, path)
    return path


@pytest.fixture
def copy(saved, tmp_path):
    return shutil.copytree(saved, tmp_path / "copy")


def change(path, key, value):
    """Write another setting into a saved encoder."""
    config = json.loads((path / "config.json").read_text())
    config["settings"][key] = value
    (path / "config.json").write_text(json.dumps(config))


@pytest.mark.parametrize("reading", READINGS)
def test_an_encoder_comes_back_with_bit_identical_vectors(small_encoder, saved, reading):
    restored = load_encoder(saved)
    assert torch.equal(restored.encode(TEXTS, reading), small_encoder.encode(TEXTS, reading))


def test_an_encoder_keeps_its_head_its_window_and_its_reading(small_encoder, saved):
    restored = load_encoder(saved)
    hidden, embedding = torch.randn(2, 32), small_encoder.encoder.trunk.token_embedding.weight
    assert torch.equal(restored.head(hidden, embedding), small_encoder.head(hidden, embedding))
    assert restored.head.norm.eps == small_encoder.head.norm.eps
    assert (restored.tokenizer.max_length, restored.reading) == (20, "hybrid")
    assert torch.equal(restored.encode(TEXTS), small_encoder.encode(TEXTS, "hybrid"))


def test_a_loaded_encoder_is_in_evaluation_mode_and_frozen_and_has_no_name(saved):
    restored = load_encoder(saved)
    assert not restored.training
    assert not any(parameter.requires_grad for parameter in restored.parameters())
    assert restored.pretrained_name is None


def test_the_tokenizer_is_kept_byte_for_byte_though_its_file_is_gone(letters, tmp_path, small_encoder):
    original = tmp_path / "tokenizer.json"
    original.write_bytes(letters.read_bytes() + b"\n \n")
    encoder = TextEncoder(small_encoder.encoder, Tokenizer(original, 20))
    content = original.read_bytes()
    original.unlink()
    save_encoder(encoder, tmp_path / "encoder")
    assert (tmp_path / "encoder" / "tokenizer.json").read_bytes() == content


def test_an_encoder_without_a_head_stays_without_one(small_encoder, tmp_path):
    save_encoder(TextEncoder(small_encoder.encoder, small_encoder.tokenizer), tmp_path / "encoder")
    restored = load_encoder(tmp_path / "encoder")
    assert restored.head is None
    assert restored.reading == "bidirectional"


@pytest.mark.parametrize("ranks", [(3, 2), (5, None), (100, 7)])
def test_an_adapter_of_the_causal_reading_comes_back(letters, tmp_path, ranks):
    shape = TransformerConfig(60, 16, 2, 2, 24, 24, token_types=2)
    trunk = Transformer(shape)
    adapter = LowRankAdapter(trunk, *ranks)
    for parameter in adapter.parameters():
        torch.nn.init.normal_(parameter, std=0.1)
    encoder = TextEncoder(HybridEncoder(trunk, adapter).eval(), Tokenizer(letters, 20))
    save_encoder(encoder, tmp_path / "encoder")
    restored = load_encoder(tmp_path / "encoder")
    for reading in READINGS:
        assert torch.equal(restored.encode(TEXTS, reading), encoder.encode(TEXTS, reading))
    assert not torch.allclose(restored.encode(TEXTS, "causal"), unadapted(restored), atol=1e-2)


def unadapted(encoder):
    """Return the causal vectors without the adapter."""
    return TextEncoder(HybridEncoder(encoder.encoder.trunk), encoder.tokenizer).eval().encode(TEXTS, "causal")


def test_the_card_tells_the_sizes_and_how_to_use_it(saved):
    card = (saved / "README.md").read_text()
    assert "2 blocks of size 32 with 4 attention heads, 60 tokens, 24 positions" in card
    assert "windows of 20 tokens" in card
    assert "roots adapt TASK --encoder FOLDER" in card


def test_saving_replaces_an_older_encoder_and_nothing_else(small_encoder, saved, tmp_path):
    for _ in range(2):
        save_encoder(small_encoder, tmp_path / "encoder")
    assert sorted(path.name for path in (tmp_path / "encoder").iterdir()) == sorted(
        path.name for path in saved.iterdir()
    )
    (tmp_path / "notes.txt").write_text("kept")
    with pytest.raises(BundleError, match="holds something that is not a saved encoder"):
        save_encoder(small_encoder, tmp_path)
    assert (tmp_path / "notes.txt").read_text() == "kept"


@pytest.mark.parametrize("name", ["encoder.safetensors", "head.safetensors", "tokenizer.json", "README.md"])
def test_a_file_with_another_hash_is_refused(copy, name):
    content = bytearray((copy / name).read_bytes())
    content[-1] ^= 1
    (copy / name).write_bytes(content)
    with pytest.raises(BundleError, match=rf"{re.escape(name)}.*its SHA-256 does not match"):
        load_encoder(copy)


def test_another_tokenizer_is_refused(copy, encoder):
    (copy / "tokenizer.json").write_bytes(encoder.tokenizer.content)
    with pytest.raises(BundleError, match=r"tokenizer\.json.*its SHA-256 does not match"):
        load_encoder(copy)


def test_a_tokenizer_with_more_tokens_than_the_encoder_is_refused(small_encoder, encoder, tmp_path):
    (tmp_path / "tokenizer.json").write_bytes(encoder.tokenizer.content)
    other = Tokenizer(tmp_path / "tokenizer.json", 20)
    save_encoder(TextEncoder(small_encoder.encoder, other), tmp_path / "encoder")
    with pytest.raises(BundleError, match=r"token ids up to 30521, the model's embedding has 60 rows"):
        load_encoder(tmp_path / "encoder")


def test_tensors_that_do_not_fit_the_stated_shape_are_named(copy):
    trunk = json.loads((copy / "config.json").read_text())["settings"]["trunk"]
    change(copy, "trunk", {**trunk, "intermediate_size": 40})
    with pytest.raises(
        BundleError, match=r"trunk\.blocks\.0\.intermediate\.weight has shape \(48, 32\), expected \(40, 32\)"
    ):
        load_encoder(copy)
    change(copy, "trunk", {**trunk, "num_layers": 3})
    with pytest.raises(BundleError, match=r"the tensor 'trunk\.blocks\.2\..*' is missing"):
        load_encoder(copy)
    change(copy, "trunk", {**trunk, "num_layers": 1})
    with pytest.raises(BundleError, match=r"the tensor 'trunk\.blocks\.1\..*' is unknown"):
        load_encoder(copy)


@pytest.mark.parametrize(
    ("key", "value", "told"),
    [
        ("reading", "prefix", "cannot have the reading 'prefix'"),
        ("reading", "casual", "did you mean 'causal'"),
        ("max_length", "long", "expected int"),
        ("max_length", -1, "must be from 1 to max_positions, 24, found -1"),
        ("max_length", 25, "must be from 1 to max_positions, 24, found 25"),
        ("colour", "red", "unknown key 'colour'"),
        ("trunk", {"num_heads": 5}, "not a multiple of num_heads 5"),
    ],
)
def test_damaged_settings_are_refused(copy, key, value, told):
    change(copy, key, value)
    with pytest.raises(BundleError, match=rf"config\.json: .*{told}"):
        load_encoder(copy)


def test_a_bundle_of_another_kind_is_refused(bundle, tmp_path):
    bundle.save(tmp_path / "graph")
    with pytest.raises(BundleError, match="this is a 'graph' bundle, expected 'encoder'"):
        load_encoder(tmp_path / "graph")
