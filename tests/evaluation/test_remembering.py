import pytest
import torch

from roots_kg.evaluation.remembering import RememberingEncoder, rows

TEXTS = ["The parcel to Graz never arrived.", "Nothing is known here.", "From Bergen to Cusco", ""]


class Counting(torch.nn.Module):
    """Layers that count the texts they are asked for."""

    def __init__(self, layers):
        super().__init__()
        self.layers, self.count, self.reading = layers, 0, None
        self.encoder, self.knowledge, self.fusion = layers.encoder, layers.knowledge, layers.fusion

    def forward(self, texts, without=None, **options):
        self.count += len(texts)
        return self.layers(texts, without, **options)


@pytest.fixture
def remembering(layers):
    return RememberingEncoder(Counting(layers))


def assert_same(found, expected):
    assert found.texts == expected.texts
    torch.testing.assert_close(found.features, expected.features)
    torch.testing.assert_close(found.knowledge, expected.knowledge)
    assert found.mentions == expected.mentions
    assert [part is None for part in found.subgraphs] == [part is None for part in expected.subgraphs]


def test_each_text_is_encoded_once_whatever_it_is_asked_together_with(remembering, layers):
    first = remembering(TEXTS)
    again = remembering([*reversed(TEXTS), TEXTS[0]])
    assert remembering.layers.count == len(TEXTS)
    assert_same(first, layers(TEXTS))
    assert_same(again, layers([*reversed(TEXTS), TEXTS[0]]))


def test_other_options_and_absent_triples_are_other_questions(remembering, bundle):
    remembering(TEXTS)
    assert not remembering(TEXTS[:1], fuse=False).knowledge.any()
    located = bundle.graph.adjacency.triple[bundle.graph.adjacency.start[bundle.graph.entity_id("Graz")]]
    absent = remembering(TEXTS[:1], [{int(located)}])
    assert remembering.layers.count == len(TEXTS) + 2
    assert not torch.equal(absent.knowledge, remembering(TEXTS[:1]).knowledge)


def test_another_way_of_reading_is_another_question_and_leaves_the_layers_as_they_are(layers):
    remembering = RememberingEncoder(layers)
    both = remembering(TEXTS[:1]).features
    remembering.reading = "causal"
    assert not torch.allclose(remembering(TEXTS[:1]).features, both)
    assert layers.reading is None


def test_no_text_gives_none(remembering):
    assert remembering([]).texts == []


def test_rows_are_some_of_the_texts_in_the_given_order(layers):
    assert_same(rows(layers(TEXTS), [2, 0]), layers([TEXTS[2], TEXTS[0]]))
