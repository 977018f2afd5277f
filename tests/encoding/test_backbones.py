import importlib
import json

import pytest
import tokenizers
import torch
import transformers
from safetensors.torch import load_file, save_file
from tokenizers import models, pre_tokenizers, processors, trainers

from roots_kg.encoding.backbones import TransformersEncoder
from roots_kg.encoding.text_encoder import TextEncoder
from roots_kg.errors import UsageError, WeightsError
from roots_kg.fusion.encoder import Knowledge, KnowledgeEncoder

SENTENCES = [
    "the parcel to graz never arrived.",
    "our office in kiruna needs a new invoice.",
    "playing players played a play in graz.",
]
LONG = " ".join(SENTENCES * 4)
TEXTS = [*SENTENCES, "", "graz", "grüße 🙂 naïve", LONG]
CAUSAL = ("gpt2", "gpt_neo", "bloom")


@pytest.fixture(scope="module")
def byte_pairs():
    """A tokenizer like GPT-2's, trained on a few sentences; an empty text has no token."""
    tokenizer = tokenizers.Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.post_processor = processors.ByteLevel(trim_offsets=True)
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=300, special_tokens=["<|endoftext|>"], initial_alphabet=alphabet)
    tokenizer.train_from_iterator(SENTENCES, trainer)
    return tokenizer


@pytest.fixture(scope="module")
def folder(letters, byte_pairs, tmp_path_factory):
    """A folder with small random models, each in a folder of its own."""
    folder = tmp_path_factory.mktemp("models")
    size, ids = byte_pairs.get_vocab_size(), {"bos_token_id": 0, "eos_token_id": 0}
    made = {
        "bert": transformers.BertModel(
            transformers.BertConfig(
                vocab_size=60,
                hidden_size=32,
                num_hidden_layers=2,
                num_attention_heads=4,
                intermediate_size=32,
                max_position_embeddings=40,
                initializer_range=0.2,
            )
        ),
        "roberta": transformers.RobertaModel(
            transformers.RobertaConfig(
                vocab_size=60,
                hidden_size=32,
                num_hidden_layers=2,
                num_attention_heads=4,
                intermediate_size=32,
                max_position_embeddings=42,
                pad_token_id=1,
                initializer_range=0.2,
            )
        ),
        "gpt2": transformers.GPT2LMHeadModel(
            transformers.GPT2Config(
                vocab_size=size, n_embd=32, n_layer=2, n_head=4, n_positions=64, initializer_range=0.2, **ids
            )
        ),
        "gpt_neo": transformers.GPTNeoModel(
            transformers.GPTNeoConfig(
                vocab_size=size,
                hidden_size=48,
                num_layers=2,
                num_heads=4,
                attention_types=[[["global", "local"], 1]],
                window_size=4,
                max_position_embeddings=48,
                initializer_range=0.2,
                **ids,
            )
        ),
        "bloom": transformers.BloomModel(
            transformers.BloomConfig(
                vocab_size=size, hidden_size=16, n_layer=2, n_head=4, initializer_range=0.2, **ids
            )
        ),
    }
    for name, model in made.items():
        own = tokenizers.Tokenizer.from_file(str(letters)) if name in ("bert", "roberta") else byte_pairs
        torch.manual_seed(0)
        model.apply(model._init_weights)
        model.save_pretrained(folder / name)
        transformers.PreTrainedTokenizerFast(tokenizer_object=own).save_pretrained(folder / name)
    return folder


@pytest.fixture(scope="module")
def load(folder):
    """A function that loads an encoder from the names of its models, once."""
    loaded = {}

    def load(bidirectional=None, causal=None):
        key = (bidirectional, causal)
        if key not in loaded:
            loaded[key] = TransformersEncoder.from_pretrained(
                bidirectional=bidirectional and folder / bidirectional, causal=causal and folder / causal
            )
        return loaded[key]

    return load


def states(encoder, text, reading):
    """Return the rows of a text, in order, with their last hidden states and without padding."""
    found = []
    with torch.inference_mode():
        for batch, last, middle in encoder.hidden_states([text], reading):
            assert last.shape == middle.shape == (*batch.input_ids.shape, encoder.hidden_size)
            found += [(row, last[place, : len(row.input_ids)]) for place, row in enumerate(batch.rows)]
    return sorted(found, key=lambda pair: pair[0].offsets.max())


@pytest.mark.parametrize("name", ["bert", *CAUSAL])
@torch.inference_mode()
def test_hidden_states_are_those_of_the_model_in_the_last_block_and_half_way_up(folder, load, name):
    encoder = load("bert") if name == "bert" else load(causal=name)
    model = transformers.AutoModel.from_pretrained(folder / name).eval()
    (batch, last, middle), *_ = encoder.hidden_states(SENTENCES[:1])
    expected = model(batch.input_ids, output_hidden_states=True)
    torch.testing.assert_close(last, expected.last_hidden_state, atol=1e-5, rtol=0)
    torch.testing.assert_close(middle, expected.hidden_states[1], atol=1e-5, rtol=0)


@pytest.mark.parametrize("sides", [("bert", None), ("roberta", None), *((None, name) for name in CAUSAL)])
def test_a_text_has_the_same_vector_alone_as_in_a_padded_batch(load, sides):
    encoder = load(*sides)
    alone = torch.cat([encoder.encode([text]) for text in TEXTS])
    torch.testing.assert_close(encoder.encode(TEXTS), alone, atol=1e-5, rtol=0)


@pytest.mark.parametrize("name", CAUSAL)
@pytest.mark.parametrize("reading", ["causal", "hybrid"])
def test_aligned_texts_have_the_same_vectors_alone_as_in_a_batch(load, name, reading):
    encoder = load("bert", name)
    alone = torch.cat([encoder.encode([text], reading) for text in TEXTS])
    torch.testing.assert_close(encoder.encode(TEXTS, reading), alone, atol=1e-5, rtol=0)


@pytest.mark.parametrize("name", CAUSAL)
def test_an_untrained_hybrid_equals_the_bidirectional_side_exactly(load, name):
    encoder = load("bert", name)
    assert torch.equal(encoder.encode(TEXTS, "hybrid"), encoder.encode(TEXTS, "bidirectional"))
    assert torch.equal(encoder.encode(TEXTS), encoder.encode(TEXTS, "bidirectional"))
    assert not torch.allclose(encoder.encode(TEXTS[:1], "causal"), encoder.encode(TEXTS[:1]), atol=1e-2)


def test_a_trained_hybrid_fuses_both_sides_through_its_gate(folder, load):
    encoder = TransformersEncoder.from_pretrained(bidirectional=folder / "bert", causal=folder / "gpt2")
    torch.nn.init.normal_(encoder.gate.scale)
    (_, fused), *_ = states(encoder, SENTENCES[0], "hybrid")
    (_, both), *_ = states(encoder, SENTENCES[0], "bidirectional")
    (_, left), *_ = states(encoder, SENTENCES[0], "causal")
    read = left.any(dim=-1)
    assert not read[:3].any(), "no causal token has ended where the first word has not"
    assert read[4:].all()
    assert torch.equal(fused[~read], both[~read])
    torch.testing.assert_close(fused[read], encoder.gate(both, left)[read], atol=1e-5, rtol=0)
    assert not torch.allclose(fused[read], both[read], atol=1e-2)


@pytest.mark.parametrize("text", [SENTENCES[2], "grüße 🙂 naïve", LONG], ids=["plain", "unicode", "long"])
def test_a_token_has_the_state_of_the_last_causal_token_that_ends_no_later(load, text):
    encoder = load("bert", "gpt2")
    causal = [
        (end, state)
        for row, last in states(load(causal="gpt2"), text, "causal")
        for (start, end), state in zip(row.offsets.tolist(), last, strict=True)
        if end > start
    ]
    rows = states(encoder, text, "causal")
    assert len(rows) > (1 if text == LONG else 0)
    for row, last in rows:
        read = 0
        for (_, end), state in zip(row.offsets.tolist(), last, strict=True):
            read = max(read, end)
            before = [found for ended, found in causal if ended <= read]
            expected = before[-1] if before else torch.zeros(32)
            torch.testing.assert_close(state, expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize("name", CAUSAL)
def test_read_causally_no_token_sees_what_stands_behind_it(load, name):
    encoder = load("bert", name)
    text, cut = SENTENCES[2], SENTENCES[2].index("played") + len("play")
    ((row, before),) = states(encoder, text, "causal")
    ((other, after),) = states(encoder, text[:cut] + "fully some other words", "causal")
    kept = [place for place, (start, end) in enumerate(row.offsets.tolist()) if start < end <= cut]
    assert row.input_ids[: kept[-1] + 1] == other.input_ids[: kept[-1] + 1]
    # the causal tokens of this word may be cut elsewhere where the text goes on, those before it are the same
    sure = [place for place in kept if row.offsets[place, 1] <= text.index("played")]
    torch.testing.assert_close(before[sure], after[sure], atol=1e-5, rtol=0)
    assert not torch.allclose(before[kept[-1] + 3], after[kept[-1] + 3], atol=1e-3)


def test_causal_states_of_another_size_are_projected_alike_each_time(folder, load):
    encoder = load("bert", "gpt_neo")
    again = TransformersEncoder.from_pretrained(bidirectional=folder / "bert", causal=folder / "gpt_neo")
    assert torch.equal(encoder.encode(TEXTS, "causal"), again.encode(TEXTS, "causal"))
    weight = load("bert", "bloom").projection.weight
    torch.testing.assert_close(weight.T @ weight, torch.eye(16), atol=1e-5, rtol=0)


def test_windows_are_as_long_as_the_positions_of_each_model_allow(load):
    def length(side):
        return side.tokenizer.max_length

    assert length(load("bert").bidirectional) == 40
    assert length(load("roberta").bidirectional) == 40
    assert [length(load(causal=name).causal) for name in CAUSAL] == [64, 48, 512]


def test_an_empty_text_and_no_text_can_be_encoded(load):
    for sides in (("bert", "gpt2"), (None, "gpt2")):
        encoder = load(*sides)
        assert encoder.encode([]).shape == (0, 32)
        assert torch.equal(encoder.encode([""], "causal"), torch.zeros(1, 32))


def test_a_side_that_is_not_there_is_refused_by_name(load):
    with pytest.raises(UsageError, match=r"no causal reading \(it has: bidirectional\)"):
        load("bert").encode(["a"], "causal")
    with pytest.raises(UsageError, match="no bidirectional reading"):
        load(causal="gpt2").encode(["a"], "bidirectional")
    with pytest.raises(UsageError, match="no hybrid reading"):
        load(causal="gpt2").encode(["a"], "hybrid")
    with pytest.raises(UsageError, match="needs a bidirectional or a causal side"):
        TransformersEncoder.from_pretrained()


@pytest.mark.parametrize(
    ("sides", "told"),
    [
        ({"causal": "bert"}, "sees what follows it.*as the bidirectional side"),
        *(({"bidirectional": name}, "sees its left only.*as the causal side") for name in CAUSAL),
    ],
)
def test_a_model_on_the_wrong_side_is_refused(folder, sides, told):
    with pytest.raises(UsageError, match=told):
        TransformersEncoder.from_pretrained(**{side: folder / name for side, name in sides.items()})


def test_a_model_without_a_tensor_is_refused_and_the_tensor_named(folder, tmp_path):
    copy_folder(folder / "gpt2", tmp_path)
    tensors = load_file(tmp_path / "model.safetensors")
    del tensors["transformer.h.1.ln_1.weight"]
    save_file(tensors, tmp_path / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(WeightsError, match=r"the tensor 'h\.1\.ln_1\.weight' is missing"):
        TransformersEncoder.from_pretrained(causal=tmp_path)


def test_a_pickle_is_not_read(folder, tmp_path):
    copy_folder(folder / "gpt2", tmp_path)
    (tmp_path / "model.safetensors").unlink()
    torch.save(Payload(tmp_path / "trap"), tmp_path / "pytorch_model.bin")
    with pytest.raises(WeightsError, match="cannot be loaded"):
        TransformersEncoder.from_pretrained(causal=tmp_path)
    assert not (tmp_path / "trap").exists()


class Payload:
    """What is unpickled into a file on the disk."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (str(self.path), "w")


def copy_folder(source, target):
    for path in source.iterdir():
        (target / path.name).write_bytes(path.read_bytes())


def test_code_that_comes_with_a_model_is_not_run(folder, tmp_path):
    copy_folder(folder / "gpt2", tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    config |= {"model_type": "own", "auto_map": {"AutoConfig": "own.Config", "AutoModel": "own.Model"}}
    (tmp_path / "config.json").write_text(json.dumps(config))
    (tmp_path / "own.py").write_text(f"open({str(tmp_path / 'trap')!r}, 'w')")
    with pytest.raises(WeightsError, match="cannot be loaded"):
        TransformersEncoder.from_pretrained(causal=tmp_path)
    assert not (tmp_path / "trap").exists()


def test_a_tokenizer_with_more_tokens_than_the_model_is_refused(folder, tmp_path):
    copy_folder(folder / "bert", tmp_path)
    (tmp_path / "tokenizer.json").write_bytes((folder / "gpt2" / "tokenizer.json").read_bytes())
    with pytest.raises(WeightsError, match=r"token ids up to \d+, the embedding has 60 rows"):
        TransformersEncoder.from_pretrained(bidirectional=tmp_path)


def test_a_folder_that_is_not_there_is_named(tmp_path):
    with pytest.raises(WeightsError, match="none: there is no such folder"):
        TransformersEncoder.from_pretrained(bidirectional=tmp_path / "none")


def test_without_the_package_the_error_tells_how_to_install_it(folder, monkeypatch):
    def missing(name):
        raise ImportError(name)

    monkeypatch.setattr(importlib, "import_module", missing)
    with pytest.raises(UsageError, match=r'pip install "roots-kg\[transformers\]"'):
        TransformersEncoder.from_pretrained(bidirectional=folder / "bert")


def test_the_layers_above_use_it_like_a_text_encoder(folder, load, bundle):
    found = KnowledgeEncoder(load("bert", "gpt2"), Knowledge(bundle)).eval()(
        ["Our office in Graz", "nothing"]
    )
    same = KnowledgeEncoder(TextEncoder.from_pretrained(folder / "bert"), Knowledge(bundle)).eval()(
        ["Our office in Graz"]
    )
    assert found.features.shape == (2, 64)
    torch.testing.assert_close(found.features[:1], same.features, atol=1e-5, rtol=0)
    assert found.mentions[0]
    assert found.gates[0]
