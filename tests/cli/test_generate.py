import json
import re
from types import SimpleNamespace

import pytest
import torch

from roots_kg.encoding.hybrid import HybridEncoder
from roots_kg.encoding.language_model import LanguageModelHead
from roots_kg.encoding.text_encoder import TextEncoder
from roots_kg.encoding.tokenization import Tokenizer
from roots_kg.encoding.tokenizer_training import TokenizerConfig, train_tokenizer
from roots_kg.encoding.transformer import Transformer, TransformerConfig
from roots_kg.model import RootsModel

PROMPT = "The quick brown fox"


@pytest.fixture(scope="module")
def loaded(tmp_path_factory):
    """A model with a small random encoder that generates."""
    path = tmp_path_factory.mktemp("generate") / "tokenizer.json"
    tokenizer = train_tokenizer([f"{PROMPT} jumps over the dog."], TokenizerConfig(vocab_size=90))
    tokenizer.save(str(path))
    torch.manual_seed(0)
    config = TransformerConfig(
        vocab_size=tokenizer.get_vocab_size(),
        hidden_size=16,
        num_layers=2,
        num_heads=2,
        intermediate_size=32,
        max_positions=64,
    )
    trunk, head = Transformer(config), LanguageModelHead(16, config.vocab_size)
    for parameter in [*trunk.parameters(), *head.parameters()]:
        if parameter.dim() == 2:
            torch.nn.init.normal_(parameter, std=0.3)
    return RootsModel(TextEncoder(HybridEncoder(trunk), Tokenizer(path), head).eval())


@pytest.fixture(autouse=True)
def found(loaded, monkeypatch):
    """`roots` finds that model under any name but `roots-base`."""
    original = RootsModel.from_pretrained

    def from_pretrained(name, **rest):
        return original(name, **rest) if name == "roots-base" else loaded

    monkeypatch.setattr(RootsModel, "from_pretrained", from_pretrained)


def test_a_prompt_is_continued_as_in_python(roots, loaded):
    settings = ("--num-beams", 3, "--max-length", 30, "--repetition-penalty", 1.3, "--length-penalty", 0.5)
    result = roots("generate", "small", "--prompt", PROMPT, *settings)
    expected = loaded.generate(PROMPT, num_beams=3, max_length=30, repetition_penalty=1.3, length_penalty=0.5)
    assert result.out == f"{expected}\n"
    assert result.err == ""
    assert expected.startswith(PROMPT)
    assert expected != PROMPT


def test_sampling_and_several_sequences_are_printed_as_json(roots, loaded):
    settings = {"temperature": 1.5, "top_k": 20, "top_p": 0.9, "seed": 1, "num_return_sequences": 2}
    options = [part for name, value in settings.items() for part in ("--" + name.replace("_", "-"), value)]
    result = roots("generate", "small", "--prompt", PROMPT, "--sample", *options, "--json").json
    expected = loaded.generate(PROMPT, sample=True, **settings)
    assert result["generations"] == [{"prompt": PROMPT, "texts": expected}]
    assert result["seconds"]["wall"] > 0


def test_each_line_of_a_file_is_a_prompt_and_an_empty_one_begins_a_text(roots, loaded, tmp_path):
    path = tmp_path / "prompts.txt"
    path.write_bytes(b"\xef\xbb\xbfThe quick\r\n\r\nfox")
    result = roots("generate", "small", "--input", path, "--json").json
    prompts = ["The quick", "", "fox"]
    assert [row["prompt"] for row in result["generations"]] == prompts
    assert [row["texts"] for row in result["generations"]] == [[text] for text in loaded.generate(prompts)]


def test_a_stop_string_ends_the_text(roots, loaded):
    rest = loaded.generate(PROMPT).removeprefix(PROMPT)
    stop = rest[4:6]
    result = roots("generate", "small", "--prompt", PROMPT, "--stop", stop, "--stop", "§§")
    assert result.out == f"{PROMPT}{rest[: rest.index(stop)]}\n"


def test_a_block_list_keeps_words_out_of_the_text(roots, loaded, tmp_path):
    path = tmp_path / "blocked.txt"
    plain = loaded.generate(PROMPT)
    blocked = sorted(set(re.findall(r"\w+", plain.removeprefix(PROMPT))))[:5]
    path.write_text("# words\n" + "\n".join(blocked), encoding="utf-8")
    result = roots("generate", "small", "--prompt", PROMPT, "--block-list", path)
    assert result.out == f"{loaded.generate(PROMPT, block_list=blocked)}\n"
    assert not set(re.findall(r"\w+", result.out.removeprefix(PROMPT).lower())).intersection(blocked)
    assert result.out != f"{plain}\n"


def test_a_block_list_that_cannot_be_used_is_told_with_its_line(roots, tmp_path):
    path = tmp_path / "blocked.txt"
    path.write_bytes(b"dog\n\xff")
    result = roots("generate", "small", "--prompt", PROMPT, "--block-list", path)
    assert (result.code, result.out) == (1, "")
    assert f"{path}:2: not UTF-8" in result.err


def test_a_terminal_shows_pieces_as_they_come_and_in_the_end_the_same(roots, loaded, monkeypatch):
    terminal = SimpleNamespace(stdout=SimpleNamespace(isatty=lambda: True))
    monkeypatch.setattr("roots_kg.cli.generate.sys", terminal)
    asked = []
    stream = loaded.stream
    monkeypatch.setattr(loaded, "stream", lambda *args, **rest: asked.append(args) or stream(*args, **rest))
    result = roots("generate", "small", "--prompt", PROMPT)
    assert result.out == f"{loaded.generate(PROMPT)}\n"
    assert asked == [(PROMPT,)]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ((), "give either --prompt or --input"),
        (("--prompt", "a", "--input", "prompts.txt"), "give either --prompt or --input"),
        (("--prompt", "a", "--top-p", 0), "top_p must be above 0 and at most 1, found 0.0"),
        (("--prompt", "a", "--temperature", 0.5), "sampling only (turn sample on)"),
        (("--prompt", "a", "--num-beams", 0), "num_beams must be at least 1, found 0"),
        (("--prompt", "the " * 70), "this encoder has 64 positions"),
        (("--prompt", "the fox", "--max-length", 2), "max_length 2 leaves room for no more"),
        (("--prompt", "a\udcff"), "the prompt is not UTF-8"),
    ],
)
def test_wrong_use_ends_with_one_line_and_code_2(roots, options, message):
    result = roots("generate", "small", *options)
    assert result.code == 2
    assert result.out == ""
    assert message in result.err
    assert result.err.count("\n") == 1


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "there is no prompt in it"),
        (b"fine\n\xff\n", "prompts.txt:2: not UTF-8"),
        (None, "cannot be read"),
    ],
)
def test_a_file_that_holds_no_prompts_is_named(roots, tmp_path, content, message):
    path = tmp_path / "prompts.txt"
    if content is not None:
        path.write_bytes(content)
    result = roots("generate", "small", "--input", path)
    assert result.code == 1
    assert message in result.err
    assert json.dumps(str(path)).strip('"') in result.err
