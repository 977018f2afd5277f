"""Names with a slip in them are found by the vectors of spans; ordinary text gives no link."""

from itertools import pairwise

import pytest
import torch

from roots_kg.errors import UsageError
from roots_kg.graph.dense_linking import DenseLinker
from roots_kg.graph.linking import NO_LINK
from roots_kg.graph.spelling import spelling_vectors
from roots_kg.graph.triples import KnowledgeGraph

NAMES = [
    "Katharine Hepburn",
    "The African Queen",
    "Humphrey Bogart",
    "New York City",
    "Österreichische Alpen",
]
GRAPH = KnowledgeGraph.from_triples(
    [(one, "r", other) for one, other in pairwise(NAMES)],
    aliases={"Humphrey Bogart": ["Humphrey Bogart", "Bogie the actor"]},
)


@pytest.fixture(scope="module")
def linker():
    return DenseLinker(GRAPH)


def found(linker, text):
    return [(mention.best.text, GRAPH.name(mention.best.entity_id)) for mention in linker.link(text)]


@pytest.mark.parametrize(
    ("text", "surface", "name"),
    [
        ("who is Katherine Hepburn?", "Katherine Hepburn", "Katharine Hepburn"),
        ("films with humphrey bogrt please", "humphrey bogrt", "Humphrey Bogart"),
        ("Was it Bogart, Humphrey?", None, None),
        ("see Hepburn Katharine act", "Hepburn Katharine", "Katharine Hepburn"),
        ("In African Quen he won", "African Quen", "The African Queen"),
        ("near the Österreichischen Alpen", "Österreichischen Alpen", "Österreichische Alpen"),
    ],
)
def test_a_name_with_a_slip_is_found_in_its_place(linker, text, surface, name):
    assert found(linker, text) == ([(surface, name)] if surface else [])


def test_a_mention_scores_its_cosine(linker):
    (mention,) = linker.link("so Katherine Hepburn")
    one, other = spelling_vectors(["Katherine Hepburn", "Katharine Hepburn"])
    assert mention.best.score == pytest.approx(float(one @ other), abs=1e-5)
    assert NO_LINK < mention.best.score < 1


@pytest.mark.parametrize(
    "text", ["", "a film that is long and dull", "the city", "queen", "?! ...", "of the a"]
)
def test_ordinary_text_gives_no_link(linker, text):
    assert linker.link(text) == []


def test_where_case_says_something_a_span_begins_with_a_capital(linker):
    assert found(linker, "I met katherine hepburn in Rome") == []
    assert found(linker, "i met katherine hepburn") != []


def test_of_overlapping_spans_the_nearest_is_kept_and_mentions_stand_in_order(linker):
    text = "tell of humphrey bogrt and katherine hepburn film"
    assert [name for _, name in found(linker, text)] == ["Humphrey Bogart", "Katharine Hepburn"]


def test_many_texts_give_what_each_gives_alone(linker):
    texts = ["Katherine Hepburn", "", "new york cty", "word " * 5000]
    assert linker.link_all(texts) == [linker.link(text) for text in texts]


def test_the_encoder_sees_all_names_once_and_few_spans():
    seen = []

    def encode(texts):
        seen.append(len(texts))
        return spelling_vectors(texts)

    linker = DenseLinker(GRAPH, encode)
    linker.link_all([" ".join(f"word{number}" for number in range(1000))])
    linker.link("a the of")
    assert seen == [len(NAMES) + 1, 64]


def test_an_encoder_of_meaning_can_be_used(encoder):
    found = DenseLinker(GRAPH, encoder.encode, threshold=0.9).link("about Queen African")
    assert [mention.best.text for mention in found] in ([], ["Queen African"])


def test_a_graph_without_names_links_nothing():
    assert DenseLinker(KnowledgeGraph.from_triples([])).link("New York Cty") == []
    assert DenseLinker(KnowledgeGraph.from_triples([("?", "r", "!")])).link("New York Cty") == []


@pytest.mark.parametrize("threshold", [0.1, 1.2, float("nan")])
def test_a_threshold_that_is_no_cosine_above_no_link_is_refused(threshold):
    with pytest.raises(UsageError, match="threshold"):
        DenseLinker(GRAPH, threshold=threshold)


def test_vectors_of_zeros_are_like_nothing():
    assert DenseLinker(GRAPH, lambda texts: torch.zeros(len(texts), 3)).link("Katherine Hepburn") == []
