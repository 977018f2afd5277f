import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from roots_kg.config import from_mapping
from roots_kg.encoding.tokenizer_training import SPECIAL_TOKENS, TokenizerConfig, train_tokenizer
from roots_kg.errors import ConfigError, DataError, UsageError

KINDS = ["wordpiece", "bpe", "unigram"]
TEXTS = [
    "The harbour of Trieste was quiet, and the gulls were quiet too.",
    "Ships from Rijeka and Zadar came in before noon; nobody unloaded them.",
    "Was the harbour master asleep? He was not: he was counting gulls.",
    "Grüße aus Österreich, said the card,\nand the gulls went on being counted.",
] * 3


@pytest.fixture(scope="module", params=KINDS)
def kind(request):
    return request.param


@pytest.fixture(scope="module")
def tokenizer(kind):
    return train_tokenizer(TEXTS, TokenizerConfig(kind=kind, vocab_size=400))


@pytest.fixture(scope="module")
def byte_level():
    return train_tokenizer(TEXTS, TokenizerConfig(kind="bpe", vocab_size=300))


def test_special_tokens_have_the_first_ids_in_every_kind(tokenizer):
    assert [tokenizer.token_to_id(token) for token in SPECIAL_TOKENS] == [0, 1, 2, 3, 4]
    assert sorted(tokenizer.get_vocab().values()) == list(range(tokenizer.get_vocab_size()))


def test_a_text_and_a_pair_stand_between_their_special_tokens(tokenizer):
    single, pair = tokenizer.encode("gulls"), tokenizer.encode("gulls", "ships")
    assert (single.tokens[0], single.tokens[-1]) == ("[CLS]", "[SEP]")
    assert set(single.type_ids) == {0}
    first = pair.tokens.index("[SEP]")
    assert pair.tokens[: first + 1] == single.tokens
    assert pair.tokens[-1] == "[SEP]"
    assert set(pair.type_ids[first + 1 :]) == {1}


def test_frequent_words_become_one_token_and_the_vocabulary_stays_within_its_size(tokenizer):
    assert len(tokenizer.encode(" gulls", add_special_tokens=False).ids) == 1
    assert tokenizer.get_vocab_size() <= 400


@pytest.mark.parametrize("text", ["The gulls were counted, and the ships too.", "Was Österreich quiet?"])
def test_decoding_gives_the_text_back(tokenizer, text):
    assert tokenizer.decode(tokenizer.encode(text).ids) == text


@pytest.mark.parametrize("kind", ["bpe", "unigram"])
def test_lines_come_back_too(kind):
    trained = train_tokenizer(TEXTS, TokenizerConfig(kind=kind, vocab_size=400))
    for text in ("the card,\nand", "the\n\ngulls"):
        assert trained.decode(trained.encode(text).ids) == text


@given(st.text(max_size=40) | st.sampled_from(["[MASK] [CLS]", " a  b ", "\r\n\t", "\0"]))
def test_byte_level_bpe_gives_back_any_text_exactly(byte_level, text):
    ids = byte_level.encode(text, add_special_tokens=False).ids
    assert byte_level.decode(ids, skip_special_tokens=False) == text


def test_offsets_of_byte_level_bpe_leave_out_the_space(byte_level):
    encoding = byte_level.encode("no and no", add_special_tokens=False)
    assert (3, 6) in encoding.offsets


def test_lower_case_is_kept_apart_only_where_it_is_asked_for(kind):
    either = train_tokenizer(TEXTS, TokenizerConfig(kind=kind, vocab_size=400, lowercase=True))
    assert either.encode("HARBOUR Österreich").ids == either.encode("harbour österreich").ids
    assert either.encode("Öst").ids != either.encode("ost").ids
    exact = train_tokenizer(TEXTS, TokenizerConfig(kind=kind, vocab_size=400))
    assert exact.encode("The").ids != exact.encode("the").ids


def test_rare_neighbours_are_not_joined():
    often, rare = (
        train_tokenizer(["rare", *5 * ["often"]], TokenizerConfig(vocab_size=100, min_frequency=least))
        for least in (5, 1)
    )
    assert "often" in often.get_vocab()
    assert "rare" not in often.get_vocab()
    assert "rare" in rare.get_vocab()


SCRIPT = """
import sys
from roots_kg.encoding.tokenizer_training import TokenizerConfig, train_tokenizer
words = [[chr(97 + i * j % 26) * (i % 3 + 1) + chr(0x3b1 + i * i % 20) for i in range(40)] for j in range(30)]
texts = [" ".join(line) for line in words]
for kind in ("wordpiece", "bpe", "unigram"):
    print(train_tokenizer(texts, TokenizerConfig(kind=kind, vocab_size=330)).to_str())
"""


def test_the_same_texts_give_the_same_tokenizer_byte_for_byte_in_every_process():
    made = {
        subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, check=True).stdout
        for _ in range(3)
    }
    assert len(made) == 1


def test_a_character_may_continue_a_word_even_if_it_never_did():
    trained = train_tokenizer(["ab c", "c ab"], TokenizerConfig(vocab_size=50))
    assert "[UNK]" not in trained.encode("abc cab").tokens
    assert "##," not in train_tokenizer(["a,b"], TokenizerConfig(vocab_size=50)).get_vocab()


@pytest.mark.parametrize("texts", [[], ["", " \n\t"]])
def test_no_text_is_an_error(kind, texts):
    with pytest.raises(DataError, match="there is no text to train a tokenizer on"):
        train_tokenizer(texts, TokenizerConfig(kind=kind))


@pytest.mark.parametrize("kind", ["wordpiece", "unigram"])
def test_a_vocabulary_too_small_for_the_characters_is_an_error_that_says_how_many_are_enough(kind):
    with pytest.raises(ConfigError, match=r"vocab_size 10 is too small.*\(use at least (\d+)") as caught:
        train_tokenizer(TEXTS, TokenizerConfig(kind=kind, vocab_size=10))
    enough = int(str(caught.value.hint).split(",")[0].split()[-1])
    assert train_tokenizer(TEXTS, TokenizerConfig(kind=kind, vocab_size=enough)).get_vocab_size() <= enough


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"kind": "bpe", "vocab_size": 260}, "vocab_size of bpe must be at least 261, found 260"),
        ({"vocab_size": 0}, "vocab_size of wordpiece must be at least"),
        ({"min_frequency": 0}, "min_frequency must be at least 1"),
        ({"kind": "wordpeace"}, "did you mean 'wordpiece'"),
    ],
)
def test_impossible_settings_are_errors(settings, message):
    with pytest.raises(ConfigError, match=message):
        from_mapping(TokenizerConfig, settings)


def test_an_iterator_which_cannot_be_read_twice_is_refused(kind):
    with pytest.raises(UsageError, match="read twice"):
        train_tokenizer(iter(TEXTS), TokenizerConfig(kind=kind))


def test_an_error_in_the_texts_is_passed_on(kind):
    class Broken:
        def __iter__(self):
            yield "some text"
            raise DataError("the disk is gone")

    with pytest.raises(DataError, match="the disk is gone"):
        train_tokenizer(Broken(), TokenizerConfig(kind=kind))
