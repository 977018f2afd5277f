"""Prompts become texts: as typed, within the length, up to a stop, and in pieces the same as at once."""

import pytest
import torch

from roots_kg.encoding.adapters import LowRankAdapter
from roots_kg.encoding.generation import GenerationConfig, generate
from roots_kg.encoding.hybrid import HybridEncoder
from roots_kg.encoding.language_model import LanguageModelHead
from roots_kg.encoding.text_encoder import TextEncoder
from roots_kg.encoding.tokenization import Tokenizer
from roots_kg.encoding.tokenizer_training import TokenizerConfig, train_tokenizer
from roots_kg.encoding.transformer import Transformer, TransformerConfig
from roots_kg.errors import ConfigError, UsageError
from roots_kg.model import RootsModel

TEXTS = [
    "The quick brown fox jumps over the lazy dog.",
    "Größe, naïve café; 東京 🙂 and Ελλάδα 🙃 said the fox.",
]
PROMPTS = ["The quick brown  fox", "the LAZY", "", "It said the fox and the dog: the", "the"]


def small_encoder(kind, folder):
    """A small encoder with random weights, decided enough to generate something."""
    tokenizer = train_tokenizer(TEXTS, TokenizerConfig(kind=kind, vocab_size=330))
    tokenizer.save(str(folder / "tokenizer.json"))
    torch.manual_seed(0)
    config = TransformerConfig(
        vocab_size=tokenizer.get_vocab_size() + 3,
        hidden_size=32,
        num_layers=2,
        num_heads=4,
        intermediate_size=64,
        max_positions=64,
    )
    trunk, head = Transformer(config), LanguageModelHead(32, config.vocab_size)
    for parameter in [*trunk.parameters(), *head.parameters()]:
        if parameter.dim() == 2:
            torch.nn.init.normal_(parameter, std=0.15)
    return TextEncoder(HybridEncoder(trunk), Tokenizer(folder / "tokenizer.json"), head).eval()


@pytest.fixture(scope="module", params=["wordpiece", "bpe", "unigram"])
def small(request, tmp_path_factory):
    return small_encoder(request.param, tmp_path_factory.mktemp("small"))


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return RootsModel(small_encoder("bpe", tmp_path_factory.mktemp("model")))


SETTINGS = [
    {},
    {"num_beams": 3},
    {"sample": True, "seed": 3, "temperature": 1.5, "top_k": 50, "top_p": 0.95},
    {"repetition_penalty": 1.5, "no_repeat_ngram_size": 2, "stop": ("f", "the")},
    {"num_beams": 2, "stop": ("o", " d")},
]


@pytest.mark.parametrize("settings", SETTINGS)
def test_a_batch_gives_what_each_prompt_gives_alone_and_begins_with_the_prompt_as_typed(small, settings):
    config = GenerationConfig(max_new_tokens=12, **settings)
    together = small.generate(PROMPTS, config)
    assert together == [small.generate([prompt], config)[0] for prompt in PROMPTS]
    assert all(text.startswith(prompt) for prompt, (text,) in zip(PROMPTS, together, strict=True))
    assert any(len(text) > len(prompt) + 5 for prompt, (text,) in zip(PROMPTS, together, strict=True))
    for stop in config.stop:
        assert not any(stop in text[len(prompt) :] for prompt, (text,) in zip(PROMPTS, together, strict=True))
    assert not any(
        special in text for (text,) in together for special in ("[CLS]", "[PAD]", "[UNK]", "[SEP]")
    )


@pytest.mark.parametrize("settings", [settings for settings in SETTINGS if "num_beams" not in settings])
def test_pieces_that_are_streamed_make_up_the_text(small, settings):
    config = GenerationConfig(max_new_tokens=12, **settings)
    for prompt in PROMPTS:
        pieces = list(small.stream(prompt, config))
        assert pieces[0] == prompt
        assert all(pieces[1:])
        assert "".join(pieces) == small.generate([prompt], config)[0][0]


def test_a_stop_string_that_spans_tokens_ends_generation_there(model):
    whole = model.generate("the", max_new_tokens=12)
    rest = whole.removeprefix("the")
    stop = rest[3:6]
    assert model.generate("the", max_new_tokens=12, stop=[stop]) == "the" + rest[: rest.index(stop)]


def test_length_counts_the_prompt_and_its_start(model):
    prompt = "The quick brown fox"
    length = len(model.layers.encoder.codec.encode([prompt])[0])
    exact = model.generate(prompt, max_length=length + 6, min_length=length + 6)
    assert exact == model.generate(prompt, max_new_tokens=6, min_length=length + 6)
    assert model.generate(prompt) == model.generate(prompt, max_new_tokens=20)
    with pytest.raises(UsageError, match=f"the prompt has {length} tokens, and max_length {length} leaves"):
        model.generate(prompt, max_length=length)
    with pytest.raises(UsageError, match=f"prompt 2 has {length} tokens, and max_length 5"):
        model.generate(["the", prompt], max_length=5)


def test_more_tokens_than_positions_are_refused_with_both_numbers(model):
    assert model.generate("", max_length=64, num_beams=2)
    with pytest.raises(UsageError, match=r"has 1 tokens, which with 64 new ones is 65; .* has 64 positions"):
        model.generate("", max_new_tokens=64)
    with pytest.raises(UsageError, match="positions"):
        model.generate("the fox " * 40)
    with pytest.raises(UsageError, match="positions"):
        model.stream("the fox " * 40)


def test_one_prompt_gives_a_text_several_a_list_and_several_sequences_lists_of_them(model):
    one = model.generate("the fox")
    assert isinstance(one, str)
    assert model.generate(["the fox", "a"])[0] == one
    assert model.generate([]) == []
    beams = model.generate("the fox", num_beams=3, num_return_sequences=3)
    assert len(set(beams)) == 3
    assert model.generate("the fox", num_beams=3) == beams[0]
    assert model.generate(["the fox"], num_beams=3, num_return_sequences=3) == [beams]


def test_what_the_adapter_changes_is_generated_with(small):
    trunk = small.encoder.trunk
    adapter = LowRankAdapter(trunk, rank=4)
    for name in adapter.up:
        torch.nn.init.normal_(adapter.up[name], std=0.2)
    adapted = TextEncoder(HybridEncoder(trunk, adapter), small.tokenizer, small.head).eval()
    config = GenerationConfig(max_new_tokens=8)
    expected = generate(adapter.merged(trunk), small.head, small.codec, PROMPTS, config)
    assert adapted.generate(PROMPTS, config) == expected
    assert expected != small.generate(PROMPTS, config)


def test_an_encoder_without_a_head_says_so(encoder):
    plain = TextEncoder(encoder.encoder, encoder.tokenizer)
    for ask in (plain.generate, plain.stream):
        with pytest.raises(UsageError, match="no trained language-model head"):
            ask(["the"], GenerationConfig())


def test_wrong_settings_are_named(model):
    with pytest.raises(ConfigError, match=r"unknown key 'num_beam'.*did you mean 'num_beams'"):
        model.generate("the", num_beam=3)
    with pytest.raises(ConfigError, match="temperature: expected float, found 'hot'"):
        model.generate("the", temperature="hot")
    with pytest.raises(UsageError, match="top_p must be above 0"):
        model.stream("the", top_p=2.0)
    with pytest.raises(UsageError, match="one text is streamed, and not by beam search"):
        model.stream("the", num_beams=2)


def test_many_prompts_are_read_in_parts_and_come_back_in_their_order(small, monkeypatch):
    config, done = GenerationConfig(max_new_tokens=5), []
    expected = small.generate(PROMPTS * 2, config)
    monkeypatch.setattr("roots_kg.encoding.generation.TOKENS_AT_A_TIME", 40)
    assert small.generate(PROMPTS * 2, config, done.append) == expected
    assert len(done) > 3
    assert sum(done) == 10


def test_a_tokenizer_of_fewer_tokens_than_the_model_never_meets_the_others(small):
    size = small.codec._tokenizer.get_vocab_size()
    forbidden = small.codec.forbidden(small.encoder.trunk.config.vocab_size)
    assert forbidden[size:].all()
    assert len(forbidden) == size + 3


def test_generating_leaves_the_windows_of_encoding_as_they_are(small):
    before = len(small.tokenizer.rows(["the fox " * 300]))
    small.generate(["the"], GenerationConfig())
    assert len(small.tokenizer.rows(["the fox " * 300])) == before > 1
