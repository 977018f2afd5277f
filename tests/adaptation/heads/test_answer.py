from functools import partial

import numpy as np
import pytest
import torch

from roots_kg.adaptation.few_shot import FewShotConfig
from roots_kg.adaptation.heads.answer import NOTHING, AnswerHead, _Moving
from roots_kg.adaptation.reasoning.flow import flow
from roots_kg.adaptation.task import Record, Task
from roots_kg.errors import GraphError, TaskError
from roots_kg.fusion.encoder import Knowledge, KnowledgeEncoder
from roots_kg.graph.store import GraphBundle
from roots_kg.graph.transe import TransE, TransEConfig
from roots_kg.graph.triples import KnowledgeGraph

TASK = Task("questions", "answer")


@pytest.fixture(scope="module")
def encode(layers):
    """Texts, and triples to treat as absent for each, to what the head reads."""
    return partial(layers, fuse=AnswerHead.reads_fusion, ask=AnswerHead.reads_questions)


@pytest.fixture(scope="module")
def make(encoder, knowledge):
    return partial(AnswerHead, TASK, encoder.hidden_size, knowledge)


@pytest.fixture(scope="module")
def read(tmp_path_factory):
    """A function that reads records as the head's examples."""
    path = tmp_path_factory.mktemp("answer") / "train.jsonl"

    def examples(head, records):
        return [head.example(Record(fields, path, line)) for line, fields in enumerate(records, start=1)]

    return examples


@pytest.fixture(scope="module")
def fitted(make, read, encode, examples):
    """The head, fitted to 24 questions over one and two relations that state neither topic nor path."""
    head = make()
    told = head.fit(head.sample(read(head, examples.questions.train), 24, 0), encode, FewShotConfig())
    return head.eval(), told


def triple_ids(graph, *triples):
    stated = list(
        zip(graph.head_id.tolist(), graph.relation_id.tolist(), graph.tail_id.tolist(), strict=True)
    )
    return [
        stated.index((graph.entity_id(head), graph.relation(relation), graph.entity_id(tail)))
        for head, relation, tail in triples
    ]


def answers(head, encode, texts, without=None):
    return [found.value for found in head.decode(encode(texts, without))]


def test_questions_about_unseen_entities_over_one_and_two_relations_are_answered(
    fitted, read, encode, examples
):
    head, told = fitted
    assert (told["hops"], told["examples_reached"]) == (2, 24)
    for kind in range(4):
        test = read(head, examples.questions.test[kind::4])
        predictions = head.decode(encode([example.text for example in test]))
        metrics = head.metrics(predictions, [example.target for example in test])
        assert metrics["hits@1"] >= 0.9, test[0].text
        assert metrics["answered"] == metrics["with_evidence"] == 1.0


def test_questions_over_one_relation_need_one_hop(make, read, encode, examples):
    head = make()
    one_hop = [record for record in examples.questions.train if "country" in record["text"]]
    assert head.fit(read(head, one_hop), encode, FewShotConfig())["hops"] == 1
    assert answers(head, encode, ["In which country is Calama?"]) == ["Chile"]


def test_a_relation_is_walked_from_tail_to_head_too(make, read, encode):
    head = make()
    records = [
        {"text": "Who pays with Swedish krona?", "answers": ["Sweden"]},
        {"text": "Who pays with sol?", "answers": ["Peru"]},
        {"text": "Who pays with euro?", "answers": ["Austria", "Germany"]},
        {"text": "In which region is Chile?", "answers": ["South America"]},
        {"text": "In which region is Austria?", "answers": ["Central Europe"]},
        {"text": "In which region is Norway?", "answers": ["Scandinavia"]},
    ]
    head.fit(read(head, records), encode, FewShotConfig())
    texts = ["Who pays with Chilean peso?", "In which region is Germany?"]
    assert answers(head, encode, texts) == ["Chile", "Central Europe"]


def test_the_evidence_is_the_path_from_the_question_to_the_answer(fitted, encode, knowledge):
    head, _ = fitted
    texts = ["Which country does Kalmar belong to?", "What money do people use in Kalmar?"]
    one, two = head.decode(encode(texts))
    shown = [[knowledge.graph.triple(triple) for triple, _ in found.evidence] for found in (one, two)]
    assert shown[0] == [("Kalmar", "located_in", "Sweden")]
    assert shown[1] == [("Kalmar", "located_in", "Sweden"), ("Sweden", "currency", "Swedish krona")]


@pytest.mark.parametrize(
    "triple", [("Kalmar", "located_in", "Sweden"), ("Sweden", "currency", "Swedish krona")]
)
def test_without_a_cited_triple_the_answer_loses_its_support(fitted, encode, knowledge, triple):
    head, _ = fitted
    text = "What money do people use in Kalmar?"
    absent = triple_ids(knowledge.graph, triple)
    encoded = encode([text, text], [[], absent])
    whole, part = head.support_of(encoded, "Swedish krona")
    assert whole > 0.5
    assert part < 0.05
    kept, lost = head.decode(encoded)
    assert kept.value == "Swedish krona" != lost.value
    assert not set(absent) & {found for found, _ in lost.evidence}


def test_without_another_triple_the_support_stays(fitted, encode, knowledge):
    head, _ = fitted
    text = "What money do people use in Kalmar?"
    absent = triple_ids(knowledge.graph, ("Peru", "currency", "sol"))
    whole, part = head.support_of(encode([text, text], [[], absent]), "Swedish krona")
    assert part == pytest.approx(whole, abs=1e-6)


def test_a_question_that_mentions_nothing_of_the_graph_has_no_answer(fitted, encode):
    head, _ = fitted
    encoded = encode(["In which country is Atlantis?", ""])
    for index, found in enumerate(head.decode(encoded)):
        assert (found.value, found.probability, found.evidence) == (NOTHING, 1.0, ())
        assert head.support_of(encoded, NOTHING)[index] == 1.0
    assert NOTHING == "(no answer)"


def test_an_entity_without_any_triple_left_leads_to_no_answer(fitted, encode, knowledge):
    head, _ = fitted
    absent = triple_ids(knowledge.graph, ("Kalmar", "located_in", "Sweden"))
    assert answers(head, encode, ["In which country is Kalmar?"], [absent]) == [NOTHING]


def test_no_answer_counts_as_a_mistake(fitted, encode):
    head, _ = fitted
    predictions = head.decode(encode(["In which country is Atlantis?", "In which country is Kalmar?"]))
    sweden = frozenset([head.graph.entity_id("Sweden")])
    metrics = head.metrics(predictions, [sweden, sweden])
    assert (metrics["hits@1"], metrics["answered"], metrics["with_evidence"]) == (0.5, 0.5, 0.5)


def test_an_answer_may_be_given_by_another_name(make, read):
    head = make()
    (example,) = read(head, [{"text": "Where is Graz?", "answers": ["Österreich"]}])
    assert example.target == {head.graph.entity_id("Austria")}


def test_an_answer_that_the_graph_does_not_have_is_an_error_that_names_the_nearest(make, read):
    records = [{"text": "a", "answers": ["Peru"]}, {"text": "Where is Lund?", "answers": ["Swedn"]}]
    with pytest.raises(TaskError, match=r"train\.jsonl:2: the graph has no entity 'Swedn'.*'Sweden'"):
        read(make(), records)


def test_questions_whose_answers_cannot_be_reached_are_refused(make, read, encode):
    head = make()
    support = read(head, [{"text": "Nothing mentioned", "answers": ["Peru"]}])
    with pytest.raises(TaskError, match=r"train\.jsonl: no answer can be reached"):
        head.fit(support, encode, FewShotConfig())


def test_a_graph_is_needed(encoder):
    with pytest.raises(TaskError, match="the head 'answer' needs a graph"):
        AnswerHead(TASK, encoder.hidden_size, None)


def test_a_graph_with_other_relations_is_refused(fitted, encoder):
    head, _ = fitted
    graph = KnowledgeGraph.from_triples([("Graz", "lies_in", "Austria"), ("Austria", "currency", "euro")])
    other = Knowledge(GraphBundle(graph, TransE(3, 2, 4), TransEConfig(dimension=4)))
    with pytest.raises(GraphError, match=r"relations are not those .*located_in.*adapt the task again"):
        AnswerHead(TASK, encoder.hidden_size, other, head.settings())


def test_a_graph_with_its_relations_in_another_order_and_new_ones_is_answered_from(
    fitted, encoder, encode, triples
):
    """Which is what a graph becomes whose triples are read in another order, or to which facts are added."""
    head, _ = fitted
    graph = KnowledgeGraph.from_triples([("Graz", "twin_of", "Bergen"), *reversed(triples)])
    assert graph.relations[1:] != head.graph.relations
    vectors = TransE(graph.num_entities, graph.num_relations, 16)
    knowledge = Knowledge(GraphBundle(graph, vectors, TransEConfig(dimension=16)))
    other = AnswerHead(TASK, encoder.hidden_size, knowledge, head.settings())
    other.load_state_dict(head.state_dict())
    encode_other = partial(KnowledgeEncoder(encoder, knowledge).eval(), fuse=False, ask=True)
    questions = ["In which country is Kalmar?", "What money do people use in Cusco?"]
    before, after = head.decode(encode(questions)), other.decode(encode_other(questions))
    assert [found.value for found in after] == ["Sweden", "sol"]
    assert [found.probability for found in after] == pytest.approx([found.probability for found in before])


def test_shots_are_drawn_in_all(make, read, examples):
    head = make()
    found = read(head, examples.questions.train)
    assert len(head.sample(found, 7, 0)) == 7
    assert len(head.sample(found, 10_000, 0)) == len(found)


def test_a_given_topic_is_what_the_question_is_about(fitted, encode, read):
    head, _ = fitted
    records = [
        {"text": "In which country is Kalmar?", "answers": ["Peru"], "topic": "Cusco"},
        {"text": "In which country is KALMAR or Cusco?", "answers": ["Sweden"], "topic": "Kalmar"},
    ]
    unnamed, named = (example.text for example in read(head, records))
    assert [(link.start, link.end) for mention in unnamed.mentions for link in mention.candidates] == [(0, 0)]
    assert [mention.best.text for mention in named.mentions] == ["KALMAR"]
    assert answers(head, encode, [unnamed, named]) == ["Peru", "Sweden"]


def test_a_topic_that_the_graph_does_not_have_is_an_error_that_names_the_line(make, read):
    records = [{"text": "Where is Lund?", "answers": ["Sweden"], "topic": "Lundd"}]
    with pytest.raises(TaskError, match=r"train\.jsonl:1: the graph has no entity 'Lundd'.*'Lund'"):
        read(make(), records)


def test_paths_come_back_to_their_topic_if_training_questions_do(make, read, encode):
    spouses = [("Ann", "Bob"), ("Cid", "Dee"), ("Eve", "Fay"), ("Gil", "Hal")]
    records = [
        {"text": f"Who is the spouse of the spouse of {one}?", "answers": [one], "topic": one}
        for one, _ in spouses[:3]
    ]
    triples = [(one, "spouse", other) for one, other in spouses] + [("Ann", "lives_in", "Rome")]
    graph = KnowledgeGraph.from_triples(triples)
    knowledge = Knowledge(GraphBundle(graph, TransE(graph.num_entities, 2, 4), TransEConfig(dimension=4)))
    head = make.func(TASK, 384, knowledge)
    head.fit(read(head, records), encode, FewShotConfig())
    assert head.returns
    (last,) = read(head, [{**records[0], "answers": ["Gil"], "topic": "Gil"}])
    assert answers(head, encode, [last.text]) == ["Gil"]


@pytest.fixture(scope="module")
def incomplete(make, read, encode, triples):
    """A head fitted to questions about towns, a part of which the graph does not place in any country."""
    towns = [(head, tail) for head, relation, tail in triples if relation == "located_in"]
    kept = [triple for triple in triples if triple[1] != "located_in" or triple[0] not in dict(towns[::3])]
    kept += [(town, "twin_of", town) for town, _ in towns[::3]]
    graph = KnowledgeGraph.from_triples(kept)
    transe = TransE(graph.num_entities, graph.num_relations, 8, generator=torch.Generator().manual_seed(0))
    table, relation = transe.entity.weight.data, transe.relation.weight.data[graph.relation("located_in")]
    for town, country in towns:
        table[graph.entity_id(town)] = table[graph.entity_id(country)] - relation
    knowledge = Knowledge(GraphBundle(graph, transe.requires_grad_(False), TransEConfig(dimension=8)))
    head = make.func(TASK, 384, knowledge)
    records = [
        {"text": f"In which country is {town}?", "answers": [country], "topic": town}
        for town, country in towns
    ]
    missing, there = records[::3], [record for index, record in enumerate(records) if index % 3]
    told = head.fit(read(head, [*missing[1:], *there]), encode, FewShotConfig())
    return head.eval(), told, missing[0]


def test_where_the_graph_lacks_edges_they_are_completed_and_said_to_be_inferred(incomplete, read, encode):
    head, told, asked = incomplete
    assert told["missing_edges_completed"]
    (example,) = read(head, [asked])
    (found,) = head.decode(encode([example.text]))
    assert found.value == asked["answers"][0]
    assert not found.evidence
    ((one, relation, other, weight),) = found.inferred
    assert (head.graph.entities[one], head.graph.relations[relation]) == (asked["topic"], "located_in")
    assert head.graph.entities[other] == found.value
    assert 0 < weight <= 1


def test_a_completing_head_is_restored_as_it_was(incomplete, read, encode, make):
    head, _, asked = incomplete
    restored = make.func(TASK, 384, head.knowledge, head.settings())
    restored.load_state_dict(head.state_dict())
    (example,) = read(head, [asked])
    encoded = encode([example.text])
    assert restored.decode(encoded)[0].value == head.decode(encoded)[0].value
    assert torch.allclose(restored(encoded), head(encoded), atol=1e-3)


def test_a_graph_that_holds_what_is_asked_is_not_completed(fitted):
    head, told = fitted
    assert head.completion is None
    assert not told["missing_edges_completed"]


def test_vectors_are_read_only_to_complete_edges(fitted, incomplete):
    assert not fitted[0].reads_vectors
    assert incomplete[0].reads_vectors


def test_an_augmentation_changes_how_missing_edges_are_completed_and_nothing_else(
    incomplete, make, read, encode, triples
):
    head, _, asked = incomplete
    towns = [(town, country) for town, relation, country in triples if relation == "located_in"]
    records = [
        {"text": f"In which country is {town}?", "answers": [country], "topic": town}
        for town, country in towns
        if town != asked["topic"]
    ]
    weights = {}
    for augmentation in ("none", "fgm"):
        again = make.func(TASK, 384, head.knowledge)
        again.fit(read(again, records), encode, FewShotConfig(augmentation=augmentation))
        weights[augmentation] = again
    assert torch.equal(weights["none"].policy.direction_weight, weights["fgm"].policy.direction_weight)
    assert not torch.equal(weights["none"].completion.weight, weights["fgm"].completion.weight)


def test_an_answer_too_unlikely_for_its_score_to_show_has_its_way_all_the_same(fitted, knowledge):
    head, _ = fitted
    graph = knowledge.graph
    direction = np.full((1, 2 * graph.num_relations), 1 / (2 * graph.num_relations))
    towns = [graph.entity_id(town) for town in ("Lund", "Cusco")]
    flows = [_Moving(flow(graph, town, direction, np.ones(1)), 0.0) for town in towns]
    found = head._decode(flows)
    assert found.value in {"Sweden", "Peru"}
    assert len(found.evidence) == 1
