import math
import sys

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torchmetrics.functional import classification as measures
from torchmetrics.functional.text import perplexity as torchmetrics_perplexity

from roots_kg.metrics import (
    CLASSIFICATION,
    TEXT,
    bits_per_byte,
    classification_metrics,
    extraction_metrics,
    perplexity,
    span_metrics,
    text_metrics,
)


def test_classification_by_hand():
    # Class 0: 1 of 2 found is right, and it is the only one; class 1: 1 of 1, and 1 of 2; class 2: 1 and 1.
    found = classification_metrics([0, 0, 1, 2], [0, 1, 1, 2], 4)
    assert found.keys() == set(CLASSIFICATION)
    assert found == pytest.approx(
        {
            "accuracy": 3 / 4,
            "precision_macro": (1 / 2 + 1 + 1) / 3,
            "precision_micro": 3 / 4,
            "recall_macro": (1 + 1 / 2 + 1) / 3,
            "recall_micro": 3 / 4,
            "f1_macro": (2 / 3 + 2 / 3 + 1) / 3,
            "f1_micro": 3 / 4,
        }
    )


@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), min_size=1))
def test_classification_is_what_torchmetrics_says(pairs):
    found, right = (torch.tensor(side) for side in zip(*pairs, strict=True))
    ours = classification_metrics(found.tolist(), right.tolist(), 5)
    for name in CLASSIFICATION:
        kind, _, average = name.partition("_")
        theirs = getattr(measures, f"multiclass_{'f1_score' if kind == 'f1' else kind}")
        assert ours[name] == pytest.approx(
            float(theirs(found, right, 5, average=average or "micro")), abs=1e-6
        )


def test_spans_by_hand():
    right = [[(0, 4, "a"), (5, 9, "b")], [(2, 3, "a")], []]
    found = [[(0, 4, "a"), (5, 9, "a")], [(2, 3, "a"), (4, 5, "b")], []]
    # 2 of 4 found, of 3 there; a: 2 of 3, of 2; b: none of 1, of 1; whatever the label, 3 of 4, of 3
    assert span_metrics(found, right) == pytest.approx(
        {
            "f1_micro": 4 / 7,
            "precision_micro": 2 / 4,
            "recall_micro": 2 / 3,
            "f1_macro": (4 / 5 + 0) / 2,
            "f1_unlabelled": 6 / 7,
        }
    )


def test_nothing_found_where_nothing_is_is_right():
    assert set(span_metrics([[]], [[]]).values()) == {1.0}
    assert span_metrics([[]], [[(0, 1, "a")]])["precision_micro"] == 0.0
    assert span_metrics([[(0, 1, "a")]], [[]])["recall_micro"] == 0.0


def test_the_same_span_of_another_text_is_another_span():
    assert span_metrics([[(0, 1, "a")], []], [[], [(0, 1, "a")]])["f1_micro"] == 0.0


def test_answers_by_hand():
    # as SQuAD has them: articles, capitals and punctuation do not count, and the best right answer does
    found = ["The Eiffel Tower!", "in Paris, France", "", "Rome", ""]
    right = [["eiffel tower"], ["Lyon", "Paris"], [], [], ["Bonn"]]
    metrics = extraction_metrics(found, right)
    assert metrics["exact_match"] == pytest.approx(2 / 5)
    assert metrics["f1"] == pytest.approx((1 + 2 * 1 / (3 + 1) + 1 + 0 + 0) / 5)


def test_bleu_by_hand():
    # 1-grams 5 of 6, 2-grams 3 of 5, 3-grams 2 of 4, 4-grams 1 of 3; both are six words long.
    value = text_metrics(["the cat sat on the mat"], [["the dog sat on the mat"]])["bleu"]
    assert value == pytest.approx((5 / 6 * 3 / 5 * 2 / 4 * 1 / 3) ** (1 / 4))


def test_a_text_that_is_too_short_is_punished_by_its_brevity():
    value = text_metrics(["the cat sat on"], [["the cat sat on the mat"]])["bleu"]
    assert value == pytest.approx(math.exp(1 - 6 / 4))


def test_rouge_by_hand():
    # Of 6 words 5 are shared, of 5 pairs 3, and "the … sat on the mat" is the longest common subsequence.
    found = text_metrics(["The cat sat on the mat."], [["the dog sat on the mat"]])
    assert found.keys() == set(TEXT)
    assert found["rouge1"] == pytest.approx(5 / 6)
    assert found["rouge2"] == pytest.approx(3 / 5)
    assert found["rougeL"] == pytest.approx(5 / 6)
    crossed = text_metrics(["mat the on"], [["on the mat"]])
    assert (crossed["rouge1"], crossed["rougeL"]) == (1.0, pytest.approx(1 / 3))


def test_the_best_reference_counts_and_texts_are_averaged():
    found = text_metrics(["one two", "three four"], [["nothing", "one two"], ["five six"]])
    assert found["rouge1"] == pytest.approx((1 + 0) / 2)


def test_words_of_any_script_count():
    assert text_metrics(["über Грац"], [["über Грац"]])["rouge2"] == 1.0
    assert text_metrics(["Грац"], [["Линц"]])["rouge1"] == 0.0


def test_an_empty_text_is_no_match_and_no_error():
    assert set(text_metrics([""], [["a text"]]).values()) == {0.0}


def test_no_sentence_splitter_is_needed(monkeypatch):
    monkeypatch.setitem(sys.modules, "nltk", None)
    assert text_metrics(["one two three four"], [["one two three four"]])["rougeL"] == 1.0


def test_perplexity_is_that_of_torchmetrics_and_of_an_even_guess():
    logits = torch.randn(2, 5, 7, generator=torch.Generator().manual_seed(0))
    labels = torch.arange(10).reshape(2, 5) % 7
    nats = torch.nn.functional.cross_entropy(logits.flatten(0, 1), labels.flatten(), reduction="sum")
    assert perplexity(float(nats), 10) == pytest.approx(float(torchmetrics_perplexity(logits, labels)))
    assert perplexity(3 * math.log(7), 3) == pytest.approx(7)


def test_bits_per_byte_of_an_even_guess_among_bytes_is_eight():
    assert bits_per_byte(100 * math.log(256), 100) == pytest.approx(8)
