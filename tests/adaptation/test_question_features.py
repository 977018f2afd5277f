import pytest
import torch

from roots_kg.adaptation.question_features import MATCHES, feature_size, read_context, with_memory
from roots_kg.adaptation.spans import words_of
from roots_kg.fusion.texts import TokenStates

SIZE = 4
QUESTION, CONTEXT = "Who runs the mill?", "It is old. Anna runs the mill."
SAME, BEHIND, AHEAD, SHARE = range(4)


@pytest.fixture
def read():
    """A function that reads a context, with random states of one token a word."""

    def reading(question=QUESTION, context=CONTEXT):
        text = f"{question}\n{context}"
        starts, ends = torch.tensor(words_of(text) or [(0, 0)]).T
        states = torch.randn(len(starts), 2 * SIZE, generator=torch.Generator().manual_seed(0))
        start = len(question) + 1
        found = read_context(text, (start, len(text)), TokenStates(starts, ends, states))
        return text, found

    return reading


def matches(reading):
    return reading.features[:, -MATCHES:]


def test_words_are_those_of_the_context(read):
    text, reading = read()
    assert [text[start:end] for start, end in reading.words][:5] == ["It", "is", "old", ".", "Anna"]
    assert reading.features.shape == (len(reading.words), feature_size(SIZE) - 1)


def test_words_of_the_question_are_known_again_and_seen_from_their_neighbours(read):
    _, reading = read()
    found = matches(reading)
    assert found[:, SAME].tolist() == [0, 0, 0, 0, 0, 1, 1, 1, 0]
    assert found[4, BEHIND] == 0
    assert found[4, AHEAD].item() == pytest.approx(0.8 + 0.8**2 + 0.8**3)
    assert found[8, BEHIND] == found[4, AHEAD]


def test_a_sentence_has_a_share_of_the_words_of_the_question(read):
    _, reading = read()
    assert matches(reading)[:, SHARE].tolist() == [0.0] * 4 + [0.75] * 5


@pytest.mark.parametrize("question", ["", "?!"])
def test_without_a_question_nothing_matches(read, question):
    _, reading = read(question)
    assert not matches(reading).any()
    assert not reading.question.any()


def test_a_context_without_words_has_no_features(read):
    _, reading = read(context="")
    assert reading.features.shape == (0, feature_size(SIZE) - 1)


def test_memory_likes_the_words_that_were_answers_to_such_questions(read):
    _, reading = read()
    answers = torch.stack([reading.features[4], reading.features[2]])
    questions = torch.stack([reading.question, -reading.question])
    like = with_memory(reading, questions, answers).features[:, -1]
    assert int(like.argmax()) == 4


def test_without_memory_nothing_is_like_it(read):
    _, reading = read()
    nothing = with_memory(reading, torch.zeros(0, 4 * SIZE), torch.zeros(0, feature_size(SIZE) - 1))
    assert nothing.features.shape[1] == feature_size(SIZE)
    assert not nothing.features[:, -1].any()
