import pytest
import torch

from roots_kg.encoding import objectives
from roots_kg.encoding.language_model import IGNORE
from roots_kg.encoding.objectives import Masking

VOCABULARY, MASK, START, SEPARATOR = 60, 4, 2, 3
# ids from 40 on continue a word; the first five are special
CONTINUES = torch.arange(VOCABULARY) >= 40
SPECIAL = torch.arange(VOCABULARY) < 5
MASKING = Masking(MASK, VOCABULARY, CONTINUES, SPECIAL, rate=0.3)


@pytest.fixture
def rows():
    """Rows of words of one to three tokens, each after a start token."""
    generator = torch.Generator().manual_seed(3)
    rows = torch.randint(5, VOCABULARY, (200, 30), generator=generator)
    rows[:, 0] = START
    return rows


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def test_causal_predicts_the_next_token_everywhere_but_at_the_end(rows):
    targets = objectives.causal(rows)
    assert targets.causal
    assert torch.equal(targets.input_ids, rows)
    assert torch.equal(targets.labels[:, :-1], rows[:, 1:])
    assert (targets.labels[:, -1] == IGNORE).all()


def test_masked_predicts_hidden_tokens_where_they_stood_and_leaves_the_others(rows):
    targets = objectives.masked(rows, MASKING, generator())
    hidden = targets.labels != IGNORE
    assert not targets.causal
    assert torch.equal(targets.labels[hidden], rows[hidden])
    assert torch.equal(targets.input_ids[~hidden], rows[~hidden])


def test_words_are_hidden_whole_and_special_tokens_never(rows):
    hidden = objectives.masked(rows, MASKING, generator()).labels != IGNORE
    continuing = CONTINUES[rows[:, 1:]] & ~SPECIAL[rows[:, :-1]]
    assert continuing.any()
    assert torch.equal(hidden[:, 1:][continuing], hidden[:, :-1][continuing])
    assert not hidden[SPECIAL[rows]].any()
    assert not hidden[:, 0].any()


def test_so_many_are_hidden_and_eight_in_ten_of_them_become_the_mask(rows):
    targets = objectives.masked(rows, MASKING, generator())
    hidden = targets.labels != IGNORE
    assert float(hidden[:, 1:].float().mean()) == pytest.approx(0.3, abs=0.03)
    read, meant = targets.input_ids[hidden], targets.labels[hidden]
    assert float((read == MASK).float().mean()) == pytest.approx(0.8, abs=0.03)
    assert float((read == meant).float().mean()) == pytest.approx(0.1, abs=0.03)


def test_masked_next_hides_the_same_tokens_and_predicts_them_one_position_earlier(rows):
    where, before = (make(rows, MASKING, generator()) for make in (objectives.masked, objectives.masked_next))
    assert torch.equal(where.input_ids, before.input_ids)
    assert torch.equal(where.labels[:, 1:], before.labels[:, :-1])
    assert not before.causal


def test_the_same_generator_hides_the_same_tokens_and_another_one_others(rows):
    first, again, other = (objectives.masked(rows, MASKING, generator(seed)).labels for seed in (0, 0, 1))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


@pytest.mark.parametrize("length", [30, 31])
def test_next_sentence_pairs_half_of_the_rows_with_a_segment_of_another(rows, length):
    rows = torch.randint(5, VOCABULARY, (200, length), generator=generator())
    targets = objectives.next_sentence(rows, START, SEPARATOR, generator())
    half = (length - 2) // 2
    assert targets.input_ids.shape == (200, length)
    read, follows = targets.input_ids, targets.follows.bool()
    assert (read[:, 0] == START).all()
    assert (read[:, half + 1] == SEPARATOR).all()
    assert (read[:, -1] == SEPARATOR).all()
    second = rows[:, 1 + half : length - 2]
    assert torch.equal(read[follows][:, half + 2 : -1], second[follows])
    assert torch.equal(read[~follows][:, half + 2 : -1], second.roll(1, dims=0)[~follows])
    assert float(follows.float().mean()) == pytest.approx(0.5, abs=0.15)
    assert targets.token_types[0].tolist() == [0] * (half + 2) + [1] * (read.shape[1] - half - 2)
    assert (targets.labels == IGNORE).all()


def test_a_single_row_has_no_other_to_take_a_segment_from(rows):
    assert objectives.next_sentence(rows[:1], START, SEPARATOR, generator()).follows.tolist() == [1]
