import pytest
import torch
from torch.nn import functional

from roots_kg.fusion.encoder import Knowledge, KnowledgeEncoder
from roots_kg.graph.store import GraphBundle
from roots_kg.graph.transe import TransE, TransEConfig
from roots_kg.graph.triples import KnowledgeGraph

UNLINKED = ["", "Nothing here is known.", "The invoice is wrong. " * 40]
LINKED = [
    "The parcel to Graz never arrived.",
    "From Bergen to Cusco by train, and back to Bergen.",
    "filler words " * 200 + "and at the very end Kiruna.",
    "Österreich",
]
TEXTS = [UNLINKED[0], LINKED[0], UNLINKED[1], *LINKED[1:3], UNLINKED[2], LINKED[3]]
IS_LINKED = [text in LINKED for text in TEXTS]


@pytest.fixture(scope="module")
def encoded(layers):
    return layers(TEXTS)


@pytest.fixture(scope="module")
def text_only(text_layers):
    return text_layers(TEXTS)


def triple_id(graph, head, relation, tail):
    wanted = (graph.entity_id(head), graph.relation(relation), graph.entity_id(tail))
    found = zip(graph.head_id.tolist(), graph.relation_id.tolist(), graph.tail_id.tolist(), strict=True)
    return list(found).index(wanted)


def test_the_graph_has_no_part_in_the_features_bit_for_bit(encoded, text_only):
    assert torch.equal(encoded.features, text_only.features)


def test_a_text_without_links_has_exactly_no_knowledge_and_any_other_has_some(encoded):
    assert encoded.knowledge.any(dim=1).tolist() == IS_LINKED
    assert [part is not None for part in encoded.subgraphs] == IS_LINKED
    assert [part is not None for part in encoded.attention] == IS_LINKED
    assert [bool(gates) for gates in encoded.gates] == IS_LINKED


def test_without_a_graph_there_is_no_knowledge_at_all(text_only):
    assert not text_only.knowledge.any()
    assert text_only.subgraphs == text_only.attention == [None] * len(TEXTS)
    assert text_only.gates == text_only.mentions == [[] for _ in TEXTS]


def test_an_empty_graph_is_no_graph(encoder, text_only):
    config = TransEConfig(dimension=8)
    empty = GraphBundle(KnowledgeGraph.from_triples([]), TransE(0, 0, 8), config)
    encoded = KnowledgeEncoder(encoder, Knowledge(empty)).eval()(TEXTS)
    assert torch.equal(encoded.features, text_only.features)
    assert torch.equal(encoded.knowledge, text_only.knowledge)
    assert encoded.subgraphs == text_only.subgraphs


def test_features_are_two_unit_halves_of_a_unit_vector(encoded, encoder):
    last, middle = encoded.features.chunk(2, dim=1)
    ones = torch.ones(len(TEXTS))
    torch.testing.assert_close(encoded.features.norm(dim=1), ones)
    torch.testing.assert_close(last.norm(dim=1), middle.norm(dim=1))
    torch.testing.assert_close(functional.normalize(last, dim=1), encoder.encode(TEXTS), atol=1e-5, rtol=0)


def test_knowledge_has_length_one_where_there_is_any(encoded):
    torch.testing.assert_close(encoded.knowledge.norm(dim=1), torch.tensor(IS_LINKED, dtype=torch.float))


def test_encoding_twice_gives_the_same_bits(layers, encoded):
    again = layers(TEXTS)
    assert torch.equal(encoded.features, again.features)
    assert torch.equal(encoded.knowledge, again.knowledge)


def test_several_texts_give_what_each_gives_alone(layers, encoded):
    for index, text in enumerate(TEXTS):
        alone = layers([text])
        torch.testing.assert_close(encoded.features[[index]], alone.features, atol=1e-5, rtol=0)
        torch.testing.assert_close(encoded.knowledge[[index]], alone.knowledge, atol=1e-5, rtol=0)
        if IS_LINKED[index]:
            torch.testing.assert_close(encoded.attention[index], alone.attention[0], atol=1e-5, rtol=0)


def test_attention_is_shared_out_among_the_nodes_of_the_subgraph(encoded):
    for part, attention in zip(encoded.subgraphs, encoded.attention, strict=True):
        if part is not None:
            assert attention.shape == part.nodes.shape
            torch.testing.assert_close(attention.sum(), torch.tensor(1.0))


def test_gates_lie_between_zero_and_one_and_cover_the_text(encoded):
    for text, gates, linked in zip(TEXTS, encoded.gates, IS_LINKED, strict=True):
        assert all(0 < gate < 1 for _, _, gate in gates)
        if linked:
            covered = "".join(text[start:end] for start, end, _ in sorted(gates))
            assert covered == text.replace(" ", "")


def test_knowledge_tells_places_apart_by_what_the_graph_says_of_them(layers):
    texts = ["The parcel to Graz is late.", "The parcel to Wels is late.", "The parcel to Lund is late."]
    graz, wels, lund = layers(texts).knowledge
    assert graz @ wels > graz @ lund + 0.05


def test_a_triple_taken_out_changes_the_knowledge_of_that_text_alone(layers, knowledge, encoded):
    triple = triple_id(knowledge.graph, "Graz", "located_in", "Austria")
    without = [[triple] if text == LINKED[0] else [] for text in TEXTS]
    changed = layers(TEXTS, without)
    same = [torch.equal(*pair) for pair in zip(encoded.knowledge, changed.knowledge, strict=True)]
    assert same == [text != LINKED[0] for text in TEXTS]
    assert torch.equal(encoded.features, changed.features)
    position = TEXTS.index(LINKED[0])
    assert triple in encoded.subgraphs[position].triple
    assert triple not in changed.subgraphs[position].triple


def test_a_triple_that_a_text_does_not_reach_changes_nothing(layers, knowledge, encoded):
    triple = triple_id(knowledge.graph, "Arica", "located_in", "Chile")
    index = TEXTS.index(LINKED[0])
    assert torch.equal(layers(TEXTS, [[triple]] * len(TEXTS)).knowledge[index], encoded.knowledge[index])


def test_with_all_its_triples_gone_a_linked_entity_still_has_its_name(layers, knowledge):
    everything = range(len(knowledge.graph))
    alone = layers(["The parcel to Graz."], [everything])
    assert alone.subgraphs[0].nodes.tolist() == [knowledge.graph.entity_id("Graz")]
    assert alone.knowledge.any()


def test_without_fusion_mentions_are_found_and_knowledge_stays_zero(layers, encoded):
    plain = layers(TEXTS, fuse=False)
    assert plain.mentions == encoded.mentions
    assert torch.equal(plain.features, encoded.features)
    assert not plain.knowledge.any()
    assert plain.subgraphs == [None] * len(TEXTS)


def test_what_is_asked_of_a_mention_does_not_depend_on_its_name(layers):
    texts = ["Where is Graz?", "Where is Bergen?", "From Bergen to Cusco", "Where is it?"]
    encoded = layers(texts, ask=True)
    assert [len(questions) for questions in encoded.questions] == [1, 1, 2, 0]
    torch.testing.assert_close(encoded.questions[0], encoded.questions[1], atol=1e-5, rtol=0)
    expected = layers(["Where is this?", "From this to Cusco", "From Bergen to this"]).features
    asked = torch.cat([encoded.questions[0], encoded.questions[2]])
    torch.testing.assert_close(asked, expected, atol=1e-5, rtol=0)


def test_no_text_gives_no_row(layers):
    encoded = layers([], ask=True)
    assert encoded.features.shape[0] == encoded.knowledge.shape[0] == 0
