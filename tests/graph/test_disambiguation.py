"""Which of the entities that share a name a text means is seen from what it says besides."""

import pytest
import torch
from torch.nn import functional

from roots_kg.graph.disambiguation import Disambiguator, context
from roots_kg.graph.linking import NO_LINK, Link, Linker, Mention
from roots_kg.graph.triples import KnowledgeGraph

TRIPLES = [
    ("country", "capital", "Tbilisi"),
    ("country", "borders", "Armenia"),
    ("country", "borders", "Azerbaijan"),
    ("state", "capital", "Atlanta"),
    ("state", "borders", "Alabama"),
    ("state", "borders", "Florida"),
    ("Dante", "wrote", "Inferno"),
    ("Homer", "wrote", "Odyssey"),
]
GRAPH = KnowledgeGraph.from_triples(TRIPLES, aliases={"country": ["Georgia"], "state": ["Georgia"]})


def words_as_vectors(texts):
    """A stand-in for an encoder: every word has a direction of its own, and a bit is common to all."""
    vectors = torch.zeros(len(texts), 64)
    vocabulary = {}
    for entity in sorted({word for name in GRAPH.entities for word in name.lower().split()} | {"georgia"}):
        vocabulary[entity] = len(vocabulary) + 1
    for row, text in enumerate(texts):
        vectors[row, 0] = 0.5
        for word in text.lower().split():
            vectors[row, vocabulary.get(word, 63)] += 1
    return functional.normalize(vectors, dim=-1)


class Names:
    """The names of a graph's entities, encoded, and which were asked for."""

    def __init__(self, graph, encode):
        self.graph, self.encode, self.asked = graph, encode, []

    def __call__(self, entity_ids):
        assert len(set(entity_ids)) == len(entity_ids)
        self.asked += entity_ids
        return self.encode([self.graph.name(entity) for entity in entity_ids])


def choose(texts, graph=GRAPH, encode=words_as_vectors):
    """Link texts and disambiguate."""
    mentions = Linker(graph).link_all(texts)
    return Disambiguator(graph).choose(mentions, encode(texts), Names(graph, encode))


def best(mentions, graph=GRAPH):
    return [graph.entities[mention.best.entity_id] for mention in mentions]


def test_two_entities_of_one_name_are_told_apart_by_their_neighbours():
    first, second = choose(["from Armenia to Georgia", "from Alabama to Georgia"])
    assert best(first) == ["Armenia", "country"]
    assert best(second) == ["Alabama", "state"]
    assert all(NO_LINK < link.score <= 1 for mention in first for link in mention.candidates)


def test_the_pretrained_encoder_tells_two_entities_of_one_name_apart(encoder):
    texts = [
        "We flew to Tbilisi and drove through Georgia to the border of Armenia.",
        "Peaches from Georgia are sold in Atlanta and all over Alabama.",
    ]
    first, second = choose(texts, encode=encoder.encode)
    assert "country" in best(first)
    assert "state" not in best(first)
    assert "state" in best(second)
    assert "country" not in best(second)


def test_where_the_context_says_nothing_the_entity_with_more_edges_comes_first():
    graph = KnowledgeGraph.from_triples(
        [("few", "r", "a"), ("many", "r", "b"), ("many", "r", "c"), ("many", "r", "d")],
        aliases={"few": ["Georgia"], "many": ["Georgia"]},
    )

    def same(texts):
        return torch.ones(len(texts), 4)

    ((mention,),) = choose(["Georgia"], graph, same)
    assert [graph.entities[link.entity_id] for link in mention.candidates] == ["many", "few"]
    assert mention.best.score == pytest.approx(0.97)  # a plain mention is one, whatever the context


def test_a_word_that_may_be_a_name_is_no_link_where_the_text_is_about_something_else():
    about, elsewhere = choose(["homer odyssey", "a homer and x x x x x x x Florida"])
    assert "Homer" in best(about)
    assert best(elsewhere) == ["Florida"]


def test_a_plain_mention_stays_as_it_is_and_nothing_is_encoded():
    mentions = Linker(GRAPH).link_all(["Atlanta and Florida", "nothing"])
    disambiguator = Disambiguator(GRAPH)
    assert not any(map(disambiguator.is_needed, mentions))

    def never(entity_ids):
        raise AssertionError(entity_ids)

    assert disambiguator.choose(mentions, torch.zeros(2, 4), never) == mentions
    assert disambiguator.choose([], torch.zeros(0, 4), never) == []


def test_a_text_is_judged_alone():
    texts = ["from Armenia to Georgia", "from Alabama to Georgia", "homer"]
    assert choose(texts) == [choose([text])[0] for text in texts]


def test_the_score_follows_the_formula():
    link = Link(0, 5, "homer", GRAPH.entity_id("Homer"), 0.8)
    text = words_as_vectors(["homer odyssey"])
    ((mention,),) = Disambiguator(GRAPH).choose(
        [[Mention((link,))]], text, lambda ids: words_as_vectors([GRAPH.name(one) for one in ids])
    )
    names = words_as_vectors([GRAPH.name(entity) for entity in range(GRAPH.num_entities)]) @ text[0]
    expected, name, neighbour = names.mean(), names[link.entity_id], names[GRAPH.entity_id("Odyssey")]
    logit = torch.tensor(0.8).logit() + 8 * (name - expected - 0.45) + 12 * (neighbour - expected)
    assert mention.best.score == pytest.approx(float(logit.sigmoid()), abs=1e-5)


def test_an_entity_without_neighbours_is_judged_by_its_name():
    text = torch.tensor([1.0, 0.0])
    evidence = context(text, torch.eye(2), [torch.zeros(0, 2), torch.zeros(0, 2)], torch.tensor(0.2))
    assert evidence.tolist() == pytest.approx([8 * 0.35, -8 * 0.65])


def test_neighbours_are_few_of_every_relation_and_not_those_that_a_file_states_first():
    triples = [("hub", "r", f"e{number}") for number in range(2000)]
    triples += [(f"f{number}", "s", "hub") for number in range(3)]
    forwards, backwards = (
        KnowledgeGraph.from_triples(part) for part in (triples, [("hub", "r", "hub"), *triples[::-1]])
    )
    around = [
        [graph.entities[entity] for entity in Disambiguator(graph).neighbours(graph.entity_id("hub"))]
        for graph in (forwards, backwards)
    ]
    assert set(around[0]) == set(around[1])
    assert len(around[0]) == 16
    assert {"f0", "f1", "f2"} < set(around[0])
