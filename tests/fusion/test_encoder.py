from dataclasses import replace

import pytest
import torch
from torch.nn import functional

from roots_kg.encoding.adapters import LowRankAdapter
from roots_kg.fusion.encoder import Knowledge, KnowledgeEncoder, MarkedText
from roots_kg.graph.retrieval import RetrievalConfig
from roots_kg.graph.store import GraphBundle
from roots_kg.graph.transe import TransE, TransEConfig
from roots_kg.graph.triples import KnowledgeGraph
from roots_kg.training.transe import train_transe

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


READINGS = ["bidirectional", "causal", "hybrid"]


@pytest.fixture
def trained(encoder, knowledge):
    """Layers whose fusion layer has moved away from where it started, everywhere."""
    made = KnowledgeEncoder(encoder, knowledge).eval()
    torch.manual_seed(0)
    with torch.no_grad():
        for parameter in made.fusion.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    return made


def token_states(layers, texts):
    """For each text, the fused state of each of its tokens, special ones included."""
    found = [[] for _ in texts]
    for batch, states in layers.states(texts):
        for row, state in zip(batch.rows, states, strict=True):
            found[row.text].append((int(row.offsets.max()), state[: len(row.input_ids)]))
    return [torch.cat([state for _, state in sorted(rows, key=lambda item: item[0])]) for rows in found]


@pytest.mark.parametrize("reading", READINGS)
def test_the_states_of_a_text_without_links_are_those_of_the_encoder_bit_for_bit(trained, encoder, reading):
    trained.reading = reading
    plain = [states for _, states, _ in encoder.hidden_states(TEXTS, reading)]
    same = [True] * len(TEXTS)
    for (batch, fused), states in zip(trained.states(TEXTS), plain, strict=True):
        for row, after, before in zip(batch.rows, fused, states, strict=True):
            same[row.text] &= torch.equal(after, before)
    assert same == [not linked for linked in IS_LINKED]


@pytest.mark.parametrize("reading", READINGS)
def test_a_graph_without_triples_is_no_graph_in_any_reading(encoder, bundle, reading):
    nothing = replace(bundle, graph=bundle.graph.without(range(len(bundle.graph))))
    with_graph = KnowledgeEncoder(encoder, Knowledge(nothing)).eval()
    without = KnowledgeEncoder(encoder).eval()
    with_graph.reading = without.reading = reading
    first, second = with_graph(TEXTS), without(TEXTS)
    assert torch.equal(first.features, second.features)
    assert not first.knowledge.any()
    assert first.subgraphs == second.subgraphs
    for (_, fused), (_, plain) in zip(with_graph.states(TEXTS), without.states(TEXTS), strict=True):
        assert torch.equal(fused, plain)


@pytest.mark.parametrize("reading", READINGS)
def test_every_reading_lets_knowledge_into_linked_texts(trained, reading):
    trained.reading = reading
    encoded = trained(TEXTS)
    assert encoded.knowledge.any(dim=1).tolist() == IS_LINKED
    for attention, part in zip(encoded.attention, encoded.subgraphs, strict=True):
        assert part is None or attention.shape == part.nodes.shape


LONG = "From Bergen the train goes to Graz. " + "We wait and wait. " * 60 + "Then on to Cusco, and to Graz."


@pytest.mark.parametrize(
    ("text", "read"),
    [
        ("From Bergen to Cusco by train, and back to Bergen.", "From Bergen to"),
        ("From Bergen to Cusco by train, and back to Bergen.", "From Bergen to Cusco by train"),
        (LONG, LONG[: LONG.index("Then")]),
        (LONG, LONG[: LONG.index(", and")]),
    ],
)
def test_read_causally_no_state_depends_on_what_follows_it(trained, text, read):
    trained.reading = "causal"
    whole, cut = token_states(trained, [text])[0], token_states(trained, [read])[0]
    changed = token_states(trained, [read + " everything else, from Kiruna to Wels, is another matter."])[0]
    length = len(cut) - 1  # without the token that closes a text
    torch.testing.assert_close(whole[:length], cut[:length], atol=2e-5, rtol=0)
    torch.testing.assert_close(changed[:length], cut[:length], atol=2e-5, rtol=0)


def test_read_causally_a_token_knows_of_a_mention_from_its_end_on(trained, encoder):
    trained.reading = "causal"
    text = "The parcel from Hamburg to Graz never arrived."
    fused = token_states(trained, [text])[0]
    plain = torch.cat([states[0] for _, states, _ in encoder.hidden_states([text], "causal")])
    ((batch, _),) = trained.states([text])
    moved = (fused != plain).any(dim=1).tolist()
    ends = batch.rows[0].offsets[:, 1].tolist()
    last = len(moved) - 1
    assert [found for found, end in zip(moved[:last], ends[:last], strict=True)] == [
        end >= text.index("Graz") + len("Graz") for end in ends[:last]
    ]


def test_read_causally_the_graph_around_a_mention_is_chosen_by_what_stands_before_it(encoder, bundle):
    layers = KnowledgeEncoder(encoder, Knowledge(bundle)).eval()
    layers.reading = "causal"
    first, second = layers(["Graz and its currency", "Graz and its region"]).subgraphs
    assert first.mass.tolist() == second.mass.tolist()
    first, second = layers(["The currency of Graz", "The region of Graz"]).subgraphs
    assert first.mass.tolist() != second.mass.tolist()


def test_what_a_text_asks_for_decides_what_is_retrieved(layers, knowledge):
    asked = layers(["Which currency is used in Austria?", "Which region is Austria in?"]).subgraphs
    money, region = (knowledge.graph.entity_id(name) for name in ("euro", "Central Europe"))
    for part, more, less in zip(asked, (money, region), (region, money), strict=True):
        mass = dict(zip(part.nodes.tolist(), part.mass.tolist(), strict=True))
        assert mass[more] > mass[less]


def test_in_training_gradients_reach_the_fusion_layer_and_nothing_of_the_encoder(encoder, bundle):
    layers = KnowledgeEncoder(encoder, Knowledge(bundle))
    layers.fusion.requires_grad_(True)
    direction = torch.linspace(-1, 1, encoder.hidden_size)
    for reading in READINGS:
        layers.zero_grad()
        layers.reading = reading
        knowledge = layers(TEXTS).knowledge
        (knowledge @ direction).sum().backward()
        for name, parameter in layers.fusion.named_parameters():
            assert parameter.grad.isfinite().all(), name
            assert parameter.grad.any(), name
        assert all(parameter.grad is None for parameter in encoder.parameters())


def test_in_training_gradients_reach_vectors_that_stand_in_for_those_of_the_graph(encoder, bundle):
    layers = KnowledgeEncoder(encoder, Knowledge(bundle)).eval()
    text = "The parcel to Graz never arrived."
    ((part, around),) = layers.surroundings([text])
    assert part == slice(0, 1)
    vectors = layers.knowledge.entities[around.nodes].clone().requires_grad_(True)
    for _, fused in layers.fuse(around, vectors):
        fused.knowledge[..., 0].sum().backward()
    assert vectors.grad.isfinite().all()
    assert vectors.grad.any(dim=1).sum() > 1


def test_what_was_filled_in_while_predicting_can_be_trained_on(encoder, bundle):
    layers = KnowledgeEncoder(encoder, Knowledge(bundle))
    with torch.inference_mode():
        layers(["The parcel to Graz never arrived."])
    layers.fusion.requires_grad_(True)
    layers(["The parcel to Graz never arrived.", "From Bergen to Cusco."]).knowledge.sum().backward()
    assert layers.fusion.name_map.weight.grad.any()


@pytest.fixture(scope="module")
def namesakes(encoder, triples):
    """Layers with a graph in which two towns of different countries have one name."""
    facts = [*triples, ("Q1", "located_in", "Chile"), ("Q2", "located_in", "Norway")]
    config = TransEConfig(dimension=16, epochs=2)
    graph = KnowledgeGraph.from_triples(facts, aliases={"Q1": ["Santa Lucia"], "Q2": ["Santa Lucia"]})
    return KnowledgeEncoder(
        encoder, Knowledge(GraphBundle(graph, train_transe(graph, config), config))
    ).eval()


SOUTH, NORTH = "In Chile, near Arica, lies Santa Lucia", "In Norway, near Bergen, lies Santa Lucia"


def meant(encoded, graph):
    return [graph.entities[mentions[-1].best.entity_id] for mentions in encoded.mentions]


@pytest.mark.parametrize("reading", ["bidirectional", "hybrid"])
def test_what_a_text_says_chooses_among_entities_of_one_name(namesakes, reading):
    namesakes.reading = reading
    graph = namesakes.knowledge.graph
    assert meant(namesakes([SOUTH, NORTH, "Bergen"]), graph)[:2] == ["Q1", "Q2"]
    assert meant(namesakes([SOUTH, NORTH], fuse=False), graph) == ["Q1", "Q2"]
    unread = namesakes([SOUTH, NORTH], read=False)
    assert [len(mentions[-1].candidates) for mentions in unread.mentions] == [2, 2]


def test_read_causally_what_follows_a_mention_does_not_choose_what_it_means(namesakes):
    namesakes.reading = "causal"
    texts = [
        f"Santa Lucia{rest}" for rest in (", which is in Chile, near Arica", ", in Norway, near Bergen", "")
    ]
    first, *others = (mentions[0] for mentions in namesakes(texts).mentions)
    for other in others:
        for one, two in zip(first.candidates, other.candidates, strict=True):
            assert one.entity_id == two.entity_id
            assert one.score == pytest.approx(two.score, abs=1e-4)


def test_mentions_that_are_given_are_used_as_they_are(layers, knowledge):
    found = layers(["The parcel to Graz."]).mentions[0]
    given = MarkedText("The parcel to it.", tuple(found))
    encoded = layers([given, "The parcel to it."])
    assert encoded.mentions == [found, []]
    assert encoded.knowledge.any(dim=1).tolist() == [True, False]
    assert knowledge.graph.entity_id("Graz") in encoded.subgraphs[0].nodes


def test_misspelt_names_are_looked_for_where_that_is_wanted_and_nothing_else_is_linked(encoder, bundle):
    texts = ["the office in South Amerca", "the office in Kalmar", "nothing of the kind"]
    plain = KnowledgeEncoder(encoder, Knowledge(bundle))(texts).mentions
    wanted = KnowledgeEncoder(encoder, Knowledge(bundle, RetrievalConfig(misspelt=True)))(texts).mentions
    assert not plain[0]
    assert [mention.best.text for mention in wanted[0]] == ["South Amerca"]
    assert bundle.graph.entities[wanted[0][0].best.entity_id] == "South America"
    assert wanted[1:] == plain[1:]


def test_tokens_stand_where_they_are_in_the_text(layers):
    long = "filler words " * 300 + "and at the very end Kiruna."
    found = layers(["The parcel to Graz never arrived.", "", long], tokens=True)
    first, empty, windows = found.tokens
    words = [found.texts[0][start:end] for start, end in zip(first.starts, first.ends, strict=True)]
    assert words == ["The", "parcel", "to", "Graz", "never", "arrived", "."]
    assert first.states.shape == (len(words), 2 * layers.encoder.hidden_size)
    assert not len(empty.starts)
    assert windows.starts.tolist() == sorted(windows.starts.tolist())
    assert windows.ends[-1] == len(long)
    assert not len(layers(["a text"]).tokens[0].starts)


def test_spans_come_back_and_a_second_text_is_encoded_on_its_own(layers):
    pair = MarkedText("The parcel to Graz", spans=((4, 10), (14, 18)), second="From Bergen")
    found = layers([pair, "Kiruna"])
    assert found.spans == [((4, 10), (14, 18)), ()]
    assert found.mentions[0][0].best.text == "Graz"  # the linker was asked
    assert found.second.texts == ["From Bergen", ""]
    torch.testing.assert_close(found.second.features[:1], layers(["From Bergen"]).features)
    assert found.second.mentions[0][0].best.text == "Bergen"
    assert layers(["Kiruna"]).second is None
    assert layers([found.marked(0)]).second.texts == ["From Bergen"]


def test_gradients_reach_an_encoder_that_asks_for_them(encoder, knowledge):
    adapter = LowRankAdapter(encoder.encoder.trunk, 2, 0).train()
    found = KnowledgeEncoder(encoder.with_adapter(adapter), knowledge)(["The parcel to Graz"], tokens=True)
    (found.features.sum() + found.tokens[0].states.sum()).backward()
    assert adapter.up["blocks/0/output/weight"].grad.any()
