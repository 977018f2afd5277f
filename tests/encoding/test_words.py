from itertools import pairwise

import pytest
from tokenizers import Tokenizer, models, pre_tokenizers

from roots_kg.encoding.tokenizer_training import SPECIAL_TOKENS, TokenizerConfig, train_tokenizer
from roots_kg.encoding.words import continues_word, special_tokens

TEXTS = ["the untied knots were retied and untied anew\nby sailors, then unloading"] * 5


@pytest.fixture(scope="module", params=["wordpiece", "bpe", "unigram"])
def tokenizer(request):
    return train_tokenizer(TEXTS, TokenizerConfig(kind=request.param, vocab_size=290))


def test_the_first_token_of_a_word_starts_it_and_all_others_continue_it(tokenizer):
    continues = continues_word(tokenizer)
    encoding = tokenizer.encode(" sailors unloaders knotting anew", add_special_tokens=False)
    same_word = [False, *(word == before for before, word in pairwise(encoding.word_ids))]
    assert continues[encoding.ids].tolist() == same_word
    assert any(same_word)


def test_a_line_end_starts_a_word(tokenizer):
    encoding = tokenizer.encode("anew\nby", add_special_tokens=False)
    ends = [token for token in encoding.ids if tokenizer.id_to_token(token) in ("\n", "Ċ", "▁\n")]
    assert not continues_word(tokenizer)[ends].any()


def test_special_tokens_are_the_five_and_never_continue(tokenizer):
    special = special_tokens(tokenizer)
    assert special.shape == continues_word(tokenizer).shape == (tokenizer.get_vocab_size(),)
    assert special.nonzero().flatten().tolist() == list(range(len(SPECIAL_TOKENS)))
    assert not continues_word(tokenizer)[special].any()


def test_where_tokens_are_words_none_continues():
    tokenizer = Tokenizer(models.WordLevel({"a": 0, "b": 1, "[UNK]": 2}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    assert not continues_word(tokenizer).any()
    assert not special_tokens(tokenizer).any()
