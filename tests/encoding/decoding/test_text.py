"""Prompts become tokens as in training, and tokens become text that never changes."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from tokenizers.processors import TemplateProcessing

from roots_kg.encoding.decoding.text import Continuation, TextCodec
from roots_kg.encoding.tokenizer_training import TokenizerConfig, train_tokenizer
from roots_kg.errors import UsageError

TEXTS = [
    "The quick brown fox jumps over the lazy dog. It didn't care: the dog slept on.",
    "Größe, Übermut and naïve café owners - 東京 and Ελλάδα 🙂🙃 are here, said the fox.",
]


def codec(kind):
    return TextCodec(train_tokenizer(TEXTS, TokenizerConfig(kind=kind, vocab_size=400)).to_str())


WORDPIECE, BYTES, UNIGRAM = codec("wordpiece"), codec("bpe"), codec("unigram")


def gpt2_like():
    """A byte-level tokenizer that puts nothing around a text, with one token for its start and its end."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=300, special_tokens=["<|endoftext|>"], initial_alphabet=alphabet)
    tokenizer.train_from_iterator(TEXTS, trainer)
    return tokenizer


def continuation(codec, prompt, rest, stop=()):
    """Return the pieces that the tokens of `rest` give after a prompt, with what is held back as the last."""
    (ids,) = codec.encode([prompt])
    (whole,) = codec.encode([prompt + rest])
    assert whole[: len(ids)] == ids
    text = Continuation(codec, prompt, ids, stop)
    return [*[text.add(token) for token in whole[len(ids) :]], text.finish()]


@pytest.mark.parametrize("codec", [WORDPIECE, BYTES, UNIGRAM])
def test_a_prompt_begins_with_the_start_and_has_no_end(codec):
    start = codec._tokenizer.token_to_id("[CLS]")
    for prompt in TEXTS:
        (ids,) = codec.encode([prompt])
        assert ids[0] == start
        assert codec.end_id not in ids
        assert len(ids) > 5
    assert codec.encode([""]) == [[start]]


def test_a_prompt_is_not_cut_and_not_padded():
    tokenizer = train_tokenizer(TEXTS, TokenizerConfig(vocab_size=400))
    tokenizer.enable_truncation(4)
    tokenizer.enable_padding(length=8)
    short, long = TextCodec(tokenizer.to_str()).encode(["fox", TEXTS[0]])
    assert len(short) < 4
    assert len(long) > 8


def test_where_nothing_is_put_in_front_of_a_text_the_start_stands_for_an_empty_prompt_only():
    tokenizer = gpt2_like()
    codec, token = TextCodec(tokenizer.to_str()), tokenizer.token_to_id("<|endoftext|>")
    assert codec.end_id == token
    empty, fox = codec.encode(["", "the fox"])
    assert empty == [token]
    assert fox == tokenizer.encode("the fox").ids


def test_without_a_start_an_empty_prompt_is_refused():
    tokenizer = Tokenizer(models.WordLevel({"fox": 0, "[UNK]": 1}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    codec = TextCodec(tokenizer.to_str())
    assert codec.end_id is None
    assert codec.encode(["fox fox"]) == [[0, 0]]
    with pytest.raises(UsageError, match="the prompt is empty, and this tokenizer has no token that starts"):
        codec.encode(["fox", ""])


def test_special_tokens_but_the_end_are_forbidden_and_so_are_unused_and_unknown_ones():
    vocabulary = {
        "[PAD]": 0,
        "[UNK]": 1,
        "[CLS]": 2,
        "[SEP]": 3,
        "[MASK]": 4,
        "[unused0]": 5,
        "fox": 6,
        "##es": 7,
    }
    tokenizer = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
    tokenizer.add_special_tokens(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"])
    tokenizer.post_processor = TemplateProcessing("[CLS] $0 [SEP]", None, [("[CLS]", 2), ("[SEP]", 3)])
    codec = TextCodec(tokenizer.to_str())
    assert codec.end_id == 3
    allowed = torch.nonzero(~codec.forbidden(10)).flatten()
    assert allowed.tolist() == [3, 6, 7]
    assert torch.nonzero(~codec.forbidden(7)).flatten().tolist() == [3, 6]


@pytest.mark.parametrize("codec", [BYTES, UNIGRAM])
def test_text_comes_back_as_it_was_cut_at_any_place(codec):
    for text in TEXTS:
        for cut in range(text.index(" "), len(text), 7):
            if text[cut] == " ":
                assert "".join(continuation(codec, text[:cut], text[cut:])) == text[cut:]


def test_wordpiece_text_is_readable():
    text = TEXTS[0]
    assert "".join(continuation(WORDPIECE, text[:19], text[19:])) == text[19:]


def test_no_piece_holds_half_a_character():
    rest = " 🙂 東京 ✓"
    pieces = continuation(BYTES, "here", rest)
    assert "".join(pieces) == rest
    assert not any("�" in piece for piece in pieces)
    assert "" in pieces[:-1]


def test_bytes_that_never_become_a_character_are_shown_at_the_end():
    (ids,) = BYTES.encode(["fox"])
    (emoji,) = BYTES.encode(["🙂"])
    text = Continuation(BYTES, "fox", ids, ())
    assert text.add(emoji[1]) == ""
    assert "�" in text.finish()


@pytest.mark.parametrize(
    ("stop", "rest"),
    [
        ((".",), " jumps over the lazy dog"),
        (("zy d",), " jumps over the la"),
        (("s over", "over"), " jump"),
        (("lazy cat",), " jumps over the lazy dog. It didn't care:"),
        (("e", " "), ""),
    ],
)
@pytest.mark.parametrize("codec", [WORDPIECE, BYTES, UNIGRAM])
def test_text_ends_before_the_first_stop_string_even_if_it_spans_tokens(codec, stop, rest):
    assert "".join(continuation(codec, TEXTS[0][:19], TEXTS[0][19:60], stop)) == rest


def test_a_stop_string_in_the_prompt_does_not_count():
    assert "".join(continuation(BYTES, "the fox.", " the dog", ("fox",))) == " the dog"


@settings(max_examples=60, deadline=None)
@given(
    tokens=st.lists(st.integers(5, 399), min_size=1, max_size=10),
    stop=st.lists(st.text("the ox.", min_size=1, max_size=4), max_size=2),
    which=st.sampled_from([WORDPIECE, BYTES, UNIGRAM]),
)
def test_pieces_given_out_early_are_what_is_given_out_late(tokens, stop, which):
    size = which._tokenizer.get_vocab_size()
    tokens = [token % (size - 5) + 5 for token in tokens]
    (ids,) = which.encode(["the fox"])
    whole = Continuation(which, "the fox", ids, ())
    text = "".join([*[whole.add(token) for token in tokens], whole.finish()])
    early = Continuation(which, "the fox", ids, stop)
    pieces = "".join([*[early.add(token) for token in tokens], early.finish()])
    met = [text.find(one) for one in stop if one in text]
    assert early.stopped == bool(met)
    if len(stop) < 2 or not met:
        assert pieces == (text[: min(met)] if met else text)
    assert text.startswith(pieces)
    assert not any(one in pieces for one in stop)
