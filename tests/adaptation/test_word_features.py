import torch
from hypothesis import given
from hypothesis import strategies as st

from roots_kg.adaptation.spans import words_of
from roots_kg.adaptation.word_features import SPELLING_SIZE, spelling, word_states
from roots_kg.fusion.texts import TokenStates


def tokens(*spans, states):
    starts, ends = torch.tensor(spans).T
    return TokenStates(starts, ends, torch.tensor(states))


def test_a_word_has_the_mean_of_its_tokens_with_both_halves_of_length_one():
    found = word_states([(0, 5), (6, 8)], tokens((0, 2), (2, 5), (6, 8), states=[[1.0, 2], [5, 6], [0, -3]]))
    assert torch.allclose(found, torch.tensor([[1.0, 1.0], [0.0, -1.0]]))


def test_a_word_without_a_token_gets_the_one_before_it():
    found = word_states([(0, 2), (2, 3)], tokens((0, 3), states=[[2.0, -2]]))
    assert torch.equal(found[0], found[1])


def test_tokens_before_the_first_word_belong_to_none():
    found = word_states([(4, 6)], tokens((0, 3), (4, 6), states=[[-9.0, -9], [1, 1]]))
    assert torch.equal(found, torch.tensor([[1.0, 1.0]]))


def test_without_tokens_states_are_zero():
    nothing = TokenStates(torch.zeros(0), torch.zeros(0), torch.zeros(0, 4))
    assert torch.equal(word_states([(0, 1)], nothing), torch.zeros(1, 4))


def test_states_have_gradients_to_the_tokens():
    states = torch.randn(2, 4, requires_grad=True)
    word_states([(0, 3)], TokenStates(torch.tensor([0, 1]), torch.tensor([1, 3]), states)).sum().backward()
    assert states.grad.abs().sum() > 0


def test_spelling_tells_capitals_digits_and_endings_apart():
    text = "berlin Berlin BERLIN dublin 1984"
    rows = spelling(text, words_of(text))
    assert len({tuple(row.tolist()) for row in rows}) == 5
    assert rows[0] @ rows[3] > rows[0] @ rows[4]


@given(st.text(max_size=20))
def test_any_text_has_a_row_for_each_word(text):
    words = words_of(text)
    rows = spelling(text, words)
    assert rows.shape == (len(words), SPELLING_SIZE)
    assert bool(rows.isfinite().all())
