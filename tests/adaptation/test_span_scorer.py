import math

import pytest
import torch

from roots_kg.adaptation.span_scorer import SpanScorer

SIZE, LABELS = 6, 2


@pytest.fixture
def scorer():
    """A scorer with random weights."""
    scorer = SpanScorer(SIZE, LABELS, 3)
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(0)
        for parameter in scorer.parameters():
            parameter.normal_(std=0.2)
        scorer.centre.normal_()
    return scorer


def texts(*lengths):
    generator = torch.Generator().manual_seed(1)
    return [torch.randn(length, SIZE, generator=generator) for length in lengths]


def test_the_score_of_a_span_is_that_of_the_formula(scorer):
    (words,) = texts(5)
    centred = words - scorer.centre
    weights = 8 * (scorer.own + scorer.common[:, :, None])
    inside, first, last, before, after = (centred @ weights[role] for role in range(5))
    expected = inside[1:4].sum(0) / math.sqrt(3) + first[1] + last[3] + before[0] + after[4]
    found = scorer([words])[0][0, 1, 2]
    assert torch.allclose(found, expected + scorer.length[2], atol=1e-5)


def test_probabilities_of_all_segmentations_add_up_to_one(scorer):
    ways = [[]] + [[(first, after, k)] for first, after in ((0, 1), (1, 2), (0, 2)) for k in range(LABELS)]
    ways += [[(0, 1, one), (1, 2, two)] for one in range(LABELS) for two in range(LABELS)]
    chances = scorer.log_probabilities(texts(2) * len(ways), ways)
    assert sum(map(math.exp, chances)) == pytest.approx(1, abs=1e-5)


def test_the_best_spans_are_more_probable_than_none(scorer):
    words = texts(4, 7)
    found = scorer.best(words)
    best = scorer.log_probabilities(words, [[span.segment for span in own] for own in found])
    none = scorer.log_probabilities(words, [[], []])
    assert all(one >= other for one, other in zip(best, none, strict=True))
    assert all(0 <= span.probability <= 1 for own in found for span in own)


def test_texts_do_not_change_each_other(scorer):
    words = texts(2, 8, 0, 5)
    together = [[span.segment for span in own] for own in scorer.best(words)]
    assert together == [[span.segment for span in scorer.best([own])[0]] for own in words]


def test_many_texts_are_scored_in_parts_with_the_same_result(scorer, monkeypatch):
    words, gold = texts(3, 6, 4), [[(0, 1, 0)], [(2, 4, 1)], []]
    whole = scorer.log_probabilities(words, gold)
    monkeypatch.setattr("roots_kg.adaptation.span_scorer.SCORES_TOGETHER", 1)
    assert scorer.log_probabilities(words, gold) == pytest.approx(whole, abs=1e-5)


def test_fitting_learns_which_words_are_spans_and_of_which_label():
    generator = torch.Generator().manual_seed(2)
    words, gold = [], []
    for label in [0, 1] * 10:
        own = 0.1 * torch.randn(6, SIZE, generator=generator)
        own[2:4, label] += 1
        words.append(own)
        gold.append([(2, 4, label)])
    scorer = SpanScorer(SIZE, LABELS, 2)
    scorer.fit(words[:16], gold[:16], 0.003, 40)
    assert [[span.segment for span in own] for own in scorer.best(words[16:])] == gold[16:]


def test_no_texts_have_no_spans(scorer):
    assert scorer.best([]) == []
