from functools import partial

import pytest

from roots_kg.adaptation.task import Task
from roots_kg.explain import MEASURED
from roots_kg.model import RootsModel

TICKET = "The parcel to Wels never arrived."
QUESTION = "What money do people use in Kalmar?"


@pytest.fixture(scope="module", params=["routing", "questions"])
def case(request, encoder, bundle, routing_folder, questions_folder):
    """An adapted model and a text it can explain, for each of the two heads."""
    folder, text = {"routing": (routing_folder, TICKET), "questions": (questions_folder, QUESTION)}[
        request.param
    ]
    model = RootsModel(encoder, graph=bundle)
    model.adapt(Task.load(folder), shots=24 if request.param == "questions" else None)
    return model, text


@pytest.fixture(scope="module")
def explained(case):
    model, text = case
    (explanation,) = model.explain([text])
    return explanation


def support_without(model, text, prediction, triple):
    """Return the probability of a prediction when one triple is taken out."""
    head, graph = model.head, model.knowledge.graph
    number = [graph.triple(index) for index in range(len(graph))].index(triple)
    encode = partial(model.layers, fuse=head.reads_fusion, ask=head.reads_questions)
    return head.support_of(encode([text], [[number]]), prediction)[0]


def test_an_explanation_holds_the_prediction_itself(case, explained):
    model, text = case
    (prediction,) = model.predict([text])
    assert explained.text == text
    assert explained.prediction == prediction.value
    assert explained.probability == pytest.approx(prediction.probability, abs=1e-6)
    assert [value for value, _ in explained.ranked] == [value for value, _ in prediction.ranked]


def test_evidence_is_sorted_by_effect_and_bounded(explained):
    effects = [item.effect for item in explained.evidence]
    assert effects == sorted(effects, reverse=True)
    assert 0 < len(effects) <= MEASURED


def test_an_effect_is_the_measured_drop_in_the_probability_of_the_answer(case, explained):
    model, text = case
    for item in explained.evidence:
        without = support_without(model, text, explained.prediction, item.triple)
        assert item.effect == pytest.approx(explained.probability - without, abs=1e-4)


def test_the_triple_that_places_the_town_is_worth_something(explained):
    places = [item for item in explained.evidence if item.triple[1] == "located_in"]
    assert places[0].effect > 0.01


def test_links_show_what_was_found_and_where(case, explained):
    _, text = case
    (link,) = explained.links
    assert text[link.start : link.end] == link.text == link.entity == link.name
    assert link.text in ("Wels", "Kalmar")
    assert link.score == 1.0


def test_gates_show_pieces_of_the_text(case, explained):
    _, text = case
    assert all(text[gate.start : gate.end] == gate.text and 0 < gate.gate < 1 for gate in explained.gates)


def test_evidence_names_the_file_that_stated_it(tmp_path, encoder, triples, bundle, routing_folder):
    from roots_kg.graph.store import GraphBundle
    from roots_kg.graph.triples import KnowledgeGraph

    path = tmp_path / "towns.tsv"
    path.write_text("".join("\t".join(triple) + "\n" for triple in triples), encoding="utf-8")
    model = RootsModel(
        encoder, graph=GraphBundle(KnowledgeGraph.from_file(path), bundle.transe, bundle.config)
    )
    model.adapt(Task.load(routing_folder))
    (explanation,) = model.explain([TICKET])
    assert {item.source for item in explanation.evidence} == {str(path)}


def test_a_text_without_links_is_explained_without_evidence(case):
    model, _ = case
    (explanation,) = model.explain(["Nothing is known here."])
    assert explanation.links == explanation.evidence == explanation.gates == ()


def test_a_model_without_a_graph_explains_without_evidence(encoder, routing_folder):
    model = RootsModel(encoder)
    model.adapt(Task.load(routing_folder), shots=2)
    (explanation,) = model.explain([TICKET])
    assert explanation.links == explanation.evidence == explanation.gates == ()
    assert explanation.prediction == model.predict([TICKET])[0].value
