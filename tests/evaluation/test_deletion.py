from types import SimpleNamespace

import pytest

from roots_kg.adaptation.heads.base import Prediction
from roots_kg.evaluation.deletion import check_deletions
from roots_kg.graph.triples import KnowledgeGraph

FACTS = [
    ("Graz", "located_in", "Austria"),
    ("Graz", "twin", "Ulm"),
    ("Bergen", "located_in", "Norway"),
    ("Bergen", "twin", "Lund"),
]


@pytest.fixture(scope="module")
def walking(questions_model, questions):
    """A function that checks the evidence of the answering model's first predictions."""
    model, head = questions_model, questions_model.head
    texts = [head.example(record).text for record in questions]

    def encode(texts, without=None):
        return model.layers(texts, without, read=head.reads_texts, fuse=False, ask=True)

    graph, subgraphs = model.knowledge.graph, model.layers(texts).subgraphs
    predictions = model.predict(texts)

    def check(**options):
        return check_deletions(head, encode, graph, texts, predictions, subgraphs, **options)

    return check


def test_an_answer_changes_without_its_path_and_stays_without_anything_else(walking):
    found = walking()
    assert found.with_evidence == found.heaviest.tried == found.strongest.tried == 24
    assert found.heaviest.share.value >= 0.9
    assert found.heaviest.fall.value > 0.5
    assert found.other.tried >= 20
    assert found.other.share.value <= 0.1
    assert abs(found.other.fall.value) < 0.1


def test_the_sample_bounds_what_is_tried_and_depends_on_the_seed(walking):
    found = walking(sample=3)
    assert (found.with_evidence, found.heaviest.tried, len(found.shown)) == (24, 3, 3)
    assert walking(sample=3) == found
    assert {deleted.text for deleted in walking(sample=3, seed=1).shown} != {d.text for d in found.shown}
    nothing = walking(sample=0)
    assert (nothing.heaviest.tried, nothing.heaviest.share, nothing.shown) == (0, None, ())


def test_a_text_is_shown_with_the_triple_and_both_answers(walking):
    deleted = walking(sample=1).shown[0]
    assert "located_in" in deleted.triple
    assert deleted.before != deleted.after


class Stub:
    """A head that answers "yes" with probability 0.9, or "no" if its key triple, number 0, is absent."""

    def __init__(self, weights):
        self.weights = weights

    def decode(self, encoded):
        return [
            Prediction(value, share, ((value, share),), tuple(self.weights.items()))
            for absent in encoded.without
            for value, share in [("no", 0.8) if 0 in absent else ("yes", 0.9)]
        ]

    def support_of(self, encoded, value):
        return [0.2 if 0 in absent else 0.9 - 0.1 * (1 in absent) for absent in encoded.without]

    def display(self, value):
        return value.upper()


def checked(layers, weights, retrieved):
    """Check the evidence of a stub for one text, for which these triples were retrieved."""
    head = Stub(weights)

    def encode(texts, without=None):
        return layers(texts, without, read=False, fuse=False)

    triples = SimpleNamespace(triple=SimpleNamespace(tolist=lambda: retrieved)) if retrieved else None
    predictions = head.decode(encode(["Graz"]))
    return check_deletions(head, encode, KnowledgeGraph.from_triples(FACTS), ["Graz"], predictions, [triples])


def test_the_strongest_triple_is_the_one_that_costs_most_not_the_one_with_most_weight(text_layers):
    found = checked(text_layers, {1: 0.9, 0: 0.5}, [0, 1, 2])
    assert (found.heaviest.changed, found.strongest.changed, found.other.changed) == (0, 1, 0)
    assert found.heaviest.fall.value == pytest.approx(0.1)
    assert found.strongest.fall.value == pytest.approx(0.7)
    assert found.other.fall.value == pytest.approx(0)
    (deleted,) = found.shown
    assert (deleted.triple, deleted.before, deleted.after) == (FACTS[0], "YES", "NO")


def test_no_other_triple_is_tried_where_all_are_evidence(text_layers):
    assert checked(text_layers, {0: 0.9, 1: 0.9}, [0, 1]).other.tried == 0
    assert checked(text_layers, {0: 0.9}, None).other.tried == 0
    assert checked(text_layers, {}, [0, 1]).with_evidence == 0
