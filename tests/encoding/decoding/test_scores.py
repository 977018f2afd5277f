"""The rules on scores equal transformers' processors on the same scores."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import (
    MinLengthLogitsProcessor,
    NoRepeatNGramLogitsProcessor,
    RepetitionPenaltyLogitsProcessor,
    TemperatureLogitsWarper,
    TopKLogitsWarper,
    TopPLogitsWarper,
)

from roots_kg.encoding.decoding.config import GenerationConfig
from roots_kg.encoding.decoding.scores import (
    Copied,
    NextTokenRules,
    keep_top_k,
    keep_top_p,
    penalise_repetition,
    rule_out_repeated_ngrams,
)

ROWS, VOCAB = 4, 50
NOTHING = torch.zeros(VOCAB, dtype=torch.bool)


@pytest.fixture
def scores():
    return 3 * torch.randn(ROWS, VOCAB, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def sequences():
    """Few different tokens, so that runs of them repeat."""
    return torch.randint(6, (ROWS, 30), generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("penalty", [1.3, 0.8])
def test_the_repetition_penalty_equals_transformers(scores, sequences, penalty):
    expected = RepetitionPenaltyLogitsProcessor(penalty)(sequences, scores.clone())
    assert not torch.equal(expected, scores)
    torch.testing.assert_close(penalise_repetition(scores, sequences, penalty), expected)


@pytest.mark.parametrize("size", [1, 2, 3, 40])
def test_repeated_ngrams_are_ruled_out_as_in_transformers(scores, sequences, size):
    expected = NoRepeatNGramLogitsProcessor(size)(sequences, scores.clone())
    assert torch.equal(rule_out_repeated_ngrams(scores, sequences, size), expected)
    assert torch.equal(expected, scores) == (size == 40)


@pytest.mark.parametrize("k", [1, 7, VOCAB, VOCAB + 1])
def test_the_k_highest_scores_are_kept_as_in_transformers(scores, k):
    assert torch.equal(keep_top_k(scores, k), TopKLogitsWarper(k)(None, scores))


@pytest.mark.parametrize("p", [1e-6, 0.2, 0.5, 0.9, 0.999])
def test_the_likeliest_tokens_up_to_p_are_kept_as_in_transformers(scores, p):
    assert torch.equal(keep_top_p(scores, p), TopPLogitsWarper(p)(None, scores))


def test_all_rules_together_equal_transformers_in_the_usual_order(scores, sequences):
    config = GenerationConfig(
        sample=True,
        temperature=0.7,
        top_k=12,
        top_p=0.8,
        repetition_penalty=1.5,
        no_repeat_ngram_size=2,
        min_length=31,
    )
    expected = scores.clone()
    end_id = int(scores[0].argmax())
    for processor in (
        RepetitionPenaltyLogitsProcessor(1.5),
        NoRepeatNGramLogitsProcessor(2),
        MinLengthLogitsProcessor(31, end_id),
        TemperatureLogitsWarper(0.7),
        TopKLogitsWarper(12),
        TopPLogitsWarper(0.8),
    ):
        expected = processor(sequences, expected)
    lengths = torch.full((ROWS,), 30)
    torch.testing.assert_close(NextTokenRules(config, end_id, NOTHING)(scores, sequences, lengths), expected)


@settings(max_examples=40, deadline=None)
@given(
    tokens=st.lists(st.integers(0, 3), min_size=1, max_size=12),
    padding=st.integers(0, 5),
    size=st.integers(1, 4),
)
def test_padding_on_the_left_changes_nothing(tokens, padding, size):
    scores = torch.linspace(-2, 2, 8)[None]
    plain, padded = torch.tensor([tokens]), torch.tensor([[-1] * padding + tokens])
    for rule in (
        lambda sequences: penalise_repetition(scores, sequences, 1.5),
        lambda sequences: rule_out_repeated_ngrams(scores, sequences, size),
    ):
        assert torch.equal(rule(plain), rule(padded))


def test_each_text_may_end_once_it_is_long_enough_itself(scores, sequences):
    rules = NextTokenRules(GenerationConfig(min_length=20), 3, NOTHING)
    ruled = rules(scores, sequences, torch.tensor([19, 20, 5, 30]))
    assert ruled[:, 3].isneginf().tolist() == [True, False, True, False]
    assert not scores.isinf().any()


def test_the_end_is_not_put_off_because_it_stands_in_front_of_the_text(scores, sequences):
    sequences[:, 0] = 40
    ruled = NextTokenRules(GenerationConfig(repetition_penalty=2.0), 40, NOTHING)(
        scores, sequences, torch.full((ROWS,), 30)
    )
    assert torch.equal(ruled[:, 40], scores[:, 40])
    assert not torch.equal(ruled, scores)


def test_without_rules_scores_stay_as_they_are(scores, sequences):
    rules = NextTokenRules(GenerationConfig(), None, NOTHING)
    assert rules(scores, sequences, torch.full((ROWS,), 30)) is scores


def test_a_token_of_the_prompt_that_should_be_copied_is_likelier_until_it_is_there(scores):
    copied = Copied(torch.tensor([7, 8, 9]), prompt=3, bonus=2.0)
    rules = NextTokenRules(GenerationConfig(), 1, NOTHING, copied)
    sequences = torch.tensor(
        [
            [7, 8, 2, 5, 6],  # neither of two is there
            [7, 7, 2, 8, 5],  # one of one is not there; the other was not asked for
            [-1, 8, 9, 9, 8],  # all are there
            [4, 5, 6, 7, 4],  # none was asked for
        ]
    )
    missing = [[True, True, False], [True, False, False], [False] * 3, [False] * 3]
    assert copied.missing(sequences).tolist() == missing
    found = rules(scores, sequences, torch.tensor([5, 5, 4, 5]))
    expected = scores.clone()
    expected[:, [7, 8, 9]] += 2.0 * torch.tensor(missing)
    torch.testing.assert_close(found, expected)
