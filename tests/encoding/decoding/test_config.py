import re

import pytest

from roots_kg.encoding.decoding.config import DEFAULT_NEW_TOKENS, GenerationConfig
from roots_kg.errors import UsageError


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"max_length": 0}, "max_length must be at least 1, found 0"),
        ({"max_new_tokens": -3}, "max_new_tokens must be at least 1, found -3"),
        ({"min_length": -1}, "min_length must be at least 0, found -1"),
        ({"num_beams": 0}, "num_beams must be at least 1, found 0"),
        ({"top_k": 0}, "top_k must be at least 1, found 0"),
        ({"num_return_sequences": 0}, "num_return_sequences must be at least 1"),
        ({"no_repeat_ngram_size": -1}, "no_repeat_ngram_size must be at least 0"),
        ({"temperature": 0.0}, "temperature must be above 0, found 0.0"),
        ({"temperature": float("nan")}, "temperature must be above 0, found nan"),
        ({"temperature": float("inf")}, "temperature must be above 0, found inf"),
        ({"repetition_penalty": -1.0}, "repetition_penalty must be above 0, found -1.0"),
        ({"top_p": 0.0}, "top_p must be above 0 and at most 1, found 0.0"),
        ({"top_p": 1.1}, "top_p must be above 0 and at most 1, found 1.1"),
        ({"top_p": float("nan")}, "top_p must be above 0 and at most 1"),
        ({"length_penalty": float("nan")}, "length_penalty must be a finite number, found nan"),
        ({"seed": -1}, "seed must be at least 0"),
        ({"seed": 2**63}, "seed must be at least 0 and below"),
        ({"stop": ("a", "")}, "a stop string is empty"),
        ({"max_length": 5, "max_new_tokens": 5}, "give max_length or max_new_tokens, not both"),
        ({"max_length": 5, "min_length": 6}, "min_length 6 is above max_length 5"),
        ({"num_beams": 2, "sample": True}, "beam search does not sample"),
        ({"temperature": 0.5}, "have a part in sampling only (turn sample on)"),
        ({"top_k": 5}, "have a part in sampling only"),
        ({"top_p": 0.5, "num_beams": 3}, "have a part in sampling only"),
        ({"num_return_sequences": 2}, "2 sequences are wanted of 1 that are followed"),
        ({"num_return_sequences": 4, "num_beams": 3}, "4 sequences are wanted of 3"),
    ],
)
def test_a_value_out_of_range_or_one_that_excludes_another_is_refused(settings, message):
    with pytest.raises(UsageError, match=re.escape(message)):
        GenerationConfig(**settings)


def test_several_sequences_may_be_drawn_or_taken_from_the_beams():
    assert GenerationConfig(sample=True, num_return_sequences=9).num_return_sequences == 9
    assert GenerationConfig(num_beams=3, num_return_sequences=3).num_return_sequences == 3


def test_the_length_counts_the_prompt_and_new_tokens_do_not():
    assert GenerationConfig(max_length=20).new_tokens(5) == 15
    assert GenerationConfig(max_new_tokens=20).new_tokens(5) == 20
    assert GenerationConfig().new_tokens(500) == DEFAULT_NEW_TOKENS
    assert GenerationConfig(max_length=20).new_tokens(25) < 1
