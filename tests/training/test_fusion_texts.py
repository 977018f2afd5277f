import numpy as np
import pytest

from roots_kg.fusion.encoder import MarkedText
from roots_kg.graph.linking import Linker
from roots_kg.training.fusion_config import Mixture
from roots_kg.training.fusion_texts import STAND_IN, FusionTexts

LINES = ["We took the train from Graz to Bergen.", "The office in Kiruna is closed."]
ONLY = {
    "triples": Mixture(1, 0, 0, 0),
    "descriptions": Mixture(0, 1, 0, 0),
    "names": Mixture(0, 0, 1, 0),
    "lines": Mixture(0, 0, 1e-9, 1),
}


@pytest.fixture
def draw(bundle):
    """A function that draws texts of one kind."""
    linker = Linker(bundle.graph)
    lines = [MarkedText(line, tuple(linker.link(line))) for line in LINES]

    def drawn(kind, count=200, seed=0, **rates):
        rates = {"removed": 0.0, "wrong": 0.0, "dropped": 0.0, **rates}
        texts = FusionTexts(bundle.graph, ONLY[kind], lines=lines, **rates)
        return texts, texts.batch(count, np.random.default_rng(seed))

    return drawn


def connected(graph, text):
    """Whether a triple connects the entity that is kept with the answer."""
    answers = graph.adjacency.neighbour[
        graph.adjacency.start[text.kept] : graph.adjacency.start[text.kept + 1]
    ]
    return text.answer in answers


@pytest.mark.parametrize("kind", ONLY)
def test_what_is_linked_stands_where_the_text_says_it(draw, bundle, kind):
    for text in draw(kind)[1]:
        assert text.text.mentions
        for mention in text.text.mentions:
            link = mention.best
            assert text.text.text[link.start : link.end] == link.text == bundle.graph.name(link.entity_id)


@pytest.mark.parametrize("kind", ["triples", "descriptions"])
def test_the_answer_is_masked_and_a_triple_connects_it_with_what_is_kept(draw, bundle, kind):
    for text in draw(kind)[1]:
        start, end = text.masked
        assert text.text.text[start:end] == STAND_IN
        assert connected(bundle.graph, text)
        assert text.answer not in [mention.best.entity_id for mention in text.text.mentions]
        assert text.kept in [mention.best.entity_id for mention in text.text.mentions]


def test_sentences_fit_the_names_of_relations(draw):
    texts = {text.text.text for text in draw("triples", 400)[1]}
    assert "Graz is located in this." in texts
    assert {"the currency of Sweden is this.", "Sweden: currency this."} & texts


def test_a_description_tells_more_than_one_triple(draw):
    assert np.mean([text.text.text.count(".") for text in draw("descriptions")[1]]) > 1.5


def test_a_bare_name_asks_for_a_neighbour(draw, bundle):
    for text in draw("names")[1]:
        assert text.text.text == bundle.graph.name(text.kept)
        assert text.masked is None
        assert connected(bundle.graph, text)


def test_a_line_of_the_user_has_one_of_its_names_masked_or_asks_for_a_neighbour(draw, bundle):
    texts = draw("lines")[1]
    assert {text.text.text for text in texts} == {
        *LINES,
        "We took the train from this to Bergen.",
        "We took the train from Graz to this.",
    }
    for text in texts:
        if text.masked is None:
            assert connected(bundle.graph, text)
        else:
            assert text.text.text[slice(*text.masked)] == STAND_IN


def test_of_a_triple_that_end_is_asked_for_which_the_other_tells_more_about(draw, bundle):
    located = bundle.graph.relation("located_in")
    directions = [text.direction for text in draw("triples", 400)[1]]
    assert directions.count(located) > 3 * directions.count(bundle.graph.opposite(located))


def test_the_triples_that_tell_the_answer_are_taken_out_as_often_as_is_said(draw, bundle):
    graph = bundle.graph
    texts = draw("triples", 400, removed=0.5)[1]
    assert 0.4 < np.mean([bool(text.without) for text in texts]) < 0.6
    for text in texts:
        for triple in text.without:
            assert {graph.head_id[triple], graph.tail_id[triple]} == {text.kept, text.answer}


def test_links_are_wrong_as_often_as_is_said_and_are_marked(draw, bundle):
    texts = draw("triples", 400, wrong=0.25)[1]
    assert 0.15 < np.mean([text.wrong for text in texts]) < 0.35
    for text in texts:
        right = [
            mention.best.text == bundle.graph.name(mention.best.entity_id) for mention in text.text.mentions
        ]
        assert text.wrong or all(right)


def test_a_mention_may_be_dropped_but_not_the_one_that_tells(draw):
    whole, fewer = (draw("descriptions", 200, dropped=rate)[1] for rate in (0.0, 1.0))
    assert sum(len(text.text.mentions) for text in fewer) < sum(len(text.text.mentions) for text in whole)
    assert all(text.kept in [mention.best.entity_id for mention in text.text.mentions] for text in fewer)


def test_negatives_are_of_the_answers_kind(draw, bundle):
    texts, _ = draw("triples", 1)
    graph, generator = bundle.graph, np.random.default_rng(0)
    located = graph.relation("located_in")
    countries = {graph.tail_id[index] for index in np.flatnonzero(graph.relation_id == located)}
    assert set(texts.negatives(located, 100, generator).tolist()) == countries
    assert not set(texts.negatives(graph.opposite(located), 100, generator).tolist()) & countries
    graz = graph.entity_id("Graz")
    assert [graph.name(index) for index in texts.answers(graz, located)] == ["Austria"]


def test_relations_that_every_entity_has_an_own_end_of_are_left_out(draw):
    from roots_kg.graph.triples import KnowledgeGraph

    facts = [(f"e{number}", "code", f"c{number}") for number in range(20)]
    facts += [(f"e{number}", "part_of", f"g{number % 2}") for number in range(20)]
    graph = KnowledgeGraph.from_triples(facts)
    rates = {"removed": 0.0, "wrong": 0.0, "dropped": 0.0}
    drawn = FusionTexts(graph, ONLY["triples"], **rates).batch(50, np.random.default_rng(0))
    assert {text.direction % 2 for text in drawn} == {graph.relation("part_of")}
    codes = KnowledgeGraph.from_triples(facts[:20])
    assert len(FusionTexts(codes, ONLY["triples"], **rates).batch(5, np.random.default_rng(0))) == 5


def test_the_same_seed_draws_the_same_texts(draw):
    rates = {"removed": 0.5, "wrong": 0.2, "dropped": 0.2}
    first, second = (draw("descriptions", 20, **rates)[1] for _ in range(2))
    assert first == second
    assert first != draw("descriptions", 20, seed=1, **rates)[1]
