"""Vectors of spelling are near where texts differ in a letter or in the order of words."""

import pytest
import torch

from roots_kg.graph.spelling import spelling_vectors


def cosine(first, second):
    one, other = spelling_vectors([first, second])
    return float(one @ other)


@pytest.mark.parametrize(
    ("variant", "least"),
    [
        ("Katharine Hepburn", 1.0),
        ("HEPBURN katharine", 1.0),
        ("Hepburn, Katharine", 1.0),
        ("Katharine Hepbrun", 0.85),
        ("Kathrine Hepburn", 0.85),
        ("the Katharine Hepburn", 0.9),
    ],
)
def test_a_variant_of_a_name_is_near_to_it(variant, least):
    assert cosine("Katharine Hepburn", variant) >= least - 1e-5
    assert cosine("Katharine Hepburn", "Burt Lancaster") < 0.3


def test_a_word_said_twice_is_not_a_word_said_once():
    assert cosine("movie", "Movie Movie") < 0.8


def test_rows_have_length_one_and_a_text_without_words_is_like_nothing():
    vectors = spelling_vectors(["Österreich", "日本", "?!", ""], 64)
    assert vectors.shape == (4, 64)
    assert vectors.norm(dim=1).tolist() == pytest.approx([1, 1, 0, 0])
    assert spelling_vectors([]).shape == (0, 512)
    assert torch.equal(spelling_vectors(["日本"], 64), vectors[1:2])
