"""What is known of each word of a context in the light of a question about it.

Beside its hidden states and its spelling (`word_features`), a word is known by how well it and its
neighbours match the question, in meaning and to the letter, and by how like it is to the answers of those
examples whose questions are most like this one: who asks for a person, when for a time.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn import functional

from roots_kg.adaptation.spans import words_of
from roots_kg.adaptation.word_features import SPELLING_SIZE, spelling, word_states
from roots_kg.fusion.texts import Span, TokenStates

__all__ = ["MATCHES", "Reading", "feature_size", "read_context", "with_memory"]

MATCHES = 7
"""How many features of a word say how it matches the question."""

SPELLING_WEIGHT = 0.2
"""How long a feature of spelling is, beside hidden states of length 1."""

DECAY = 0.8
"""How much less a match counts with every word that it is further away."""

SHARPNESS = 10.0
"""What the cosines of questions are multiplied by before they share out the weight of their answers."""

_SENTENCE_END = re.compile(r"[.!?。！？]|\n")


@dataclass(frozen=True)
class Reading:
    """A context as it was read with its question.

    Args:
        words: where its W words stand in the encoded text.
        features: (W, D), of each word, without and with the question, see `read_context`.
        question: (4d,), the mean hidden states of the question and those of its first word.
    """

    words: list[Span]
    features: Tensor
    question: Tensor


def read_context(text: str, context: Span, tokens: TokenStates) -> Reading:
    """Return the words of a context, with features that have gradients to the states of the tokens.

    A word's features are its hidden states, 2d; its spelling; and `MATCHES` numbers: whether the question
    has it too, how like it is to the most similar word of the question in both depths of the trunk, how many
    words of the question stand closely before and behind it, what share of them its sentence has, and how
    like its sentence is to the question.

    Args:
        text: the encoded text.
        context: where the context stands in it; the question stands before it.
        tokens: the tokens of the text.
    """
    start, end = context
    words = [(start + first, start + after) for first, after in words_of(text[start:end])]
    asked = [word for word in words_of(text[:start]) if any(map(str.isalnum, text[word[0] : word[1]]))]
    states = word_states(words, _between(tokens, start, end))
    asked_states = word_states(asked, _between(tokens, 0, start))
    size = states.shape[1] // 2
    if asked:
        mean = functional.normalize(asked_states.mean(dim=0).view(2, -1), dim=1).flatten()
        question = torch.cat([mean, asked_states[0]])
    else:
        question = states.new_zeros(4 * size)
    matches = _matches(text, words, asked, states, asked_states, question)
    return Reading(
        words, torch.cat([states, SPELLING_WEIGHT * spelling(text, words), matches], dim=1), question
    )


def with_memory(reading: Reading, questions: Tensor, answers: Tensor) -> Reading:
    """Return a reading whose features say, as the last of them, how like a word is to remembered answers.

    Args:
        reading: of a context and its question.
        questions: (N, 4d), of the examples that are remembered.
        answers: (N, D), the mean features of the words of their answers.
    """
    if not len(questions):
        like = reading.features.new_zeros(len(reading.words), 1)
    else:
        cosines = functional.normalize(questions, dim=1) @ functional.normalize(reading.question, dim=0)
        shares = (SHARPNESS * cosines).softmax(dim=0)
        wanted = functional.normalize(shares @ answers, dim=0)
        like = functional.normalize(reading.features[:, : len(wanted)], dim=1) @ wanted[:, None]
    return replace(reading, features=torch.cat([reading.features, like], dim=1))


def _matches(
    text: str,
    words: Sequence[Span],
    asked: Sequence[Span],
    states: Tensor,
    asked_states: Tensor,
    question: Tensor,
) -> Tensor:
    """Return the features of words that say how they match the question, (W, `MATCHES`)."""
    if not words or not asked:
        return states.new_zeros(len(words), MATCHES)
    wanted = {text[first:after].lower() for first, after in asked}
    written = [text[first:after].lower() for first, after in words]
    same = [float(word in wanted) for word in written]
    size = states.shape[1] // 2
    cosines = [states[:, half] @ asked_states[:, half].T for half in (slice(size), slice(size, None))]
    alike = torch.stack([found.max(dim=1).values for found in cosines], dim=1)
    behind = _decaying(same)
    ahead = _decaying(same[::-1])[::-1]
    sentences = _sentences(text, words)
    count = sentences[-1] + 1
    index = torch.tensor(sentences)
    share = [
        len({word for word, of in zip(written, sentences, strict=True) if of == number} & wanted)
        / len(wanted)
        for number in range(count)
    ]
    sums = states.new_zeros(count, 2 * size).index_add(0, index, states)
    like = functional.normalize(sums, dim=1) @ functional.normalize(question[: 2 * size], dim=0)
    known = torch.tensor([same, behind, ahead, [share[number] for number in sentences]]).T
    return torch.cat([known, alike, like[index, None]], dim=1)


def _decaying(values: Sequence[float]) -> list[float]:
    """Return for each place the sum of the values before it, each by how near it is."""
    result, total = [], 0.0
    for value in values:
        result.append(total)
        total = DECAY * (total + value)
    return result


def _sentences(text: str, words: Sequence[Span]) -> list[int]:
    """Return the number of the sentence that each word stands in."""
    result, number = [], 0
    for index, (start, _) in enumerate(words):
        if index and _SENTENCE_END.search(text[words[index - 1][0] : start]) and text[start].isalnum():
            number += 1
        result.append(number)
    return result


def _between(tokens: TokenStates, start: int, end: int) -> TokenStates:
    inside = (tokens.starts >= start) & (tokens.ends <= end)
    return TokenStates(tokens.starts[inside], tokens.ends[inside], tokens.states[inside])


def feature_size(size: int) -> int:
    """Return how many features a word has, with that of memory, where a hidden state has `size` numbers."""
    return 2 * size + SPELLING_SIZE + MATCHES + 1
