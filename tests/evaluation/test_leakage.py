from pathlib import Path

from roots_kg.adaptation.heads.base import Example
from roots_kg.adaptation.task import Record
from roots_kg.evaluation.leakage import Labelled, audit, labelled, shared_entities

GRAZ, BERGEN, CUSCO, ULM = 1, 2, 3, 4


def example(text, target, *entities):
    return Labelled(text, frozenset(entities), target)


TRAIN = [
    example("A parcel to Graz", "central", GRAZ),
    example("An invoice in Bergen", "nordic", BERGEN),
    example("Nothing is known here", "andes"),
]


def test_a_text_is_repeated_but_for_case_punctuation_and_spaces():
    test = [
        example("a PARCEL, to  Graz!", "nordic", GRAZ),
        example("A parcel to Ulm", "central", ULM),
        example("Nothing is known here", "andes"),
    ]
    assert audit(TRAIN, test).repeated == (0, 2)


def test_a_fact_is_stated_if_the_same_entity_had_the_same_label():
    test = [
        example("One more for Graz", "central", GRAZ),
        example("Graz again", "nordic", GRAZ),
        example("From Bergen to Cusco", "nordic", BERGEN, CUSCO),
        example("No name at all", "central"),
    ]
    found = audit(TRAIN, test)
    assert found.stated == (0, 2)
    assert (found.facts, found.facts_stated) == (4, 2)
    assert found.clean == [1, 3]
    assert (found.examples, found.training) == (4, 3)


def test_one_of_several_answers_is_a_fact_of_its_own():
    train = [example("Where is Graz?", frozenset({10, 11}), GRAZ)]
    test = [
        example("What lies around Graz?", frozenset({11, 12}), GRAZ),
        example("Graz?", frozenset({12}), GRAZ),
        example("Ulm?", frozenset({10}), ULM),
    ]
    found = audit(train, test)
    assert found.stated == (0,)
    assert (found.facts, found.facts_stated) == (3, 1)


def test_targets_of_any_kind_are_compared():
    train = [example("a", [{"start": 1, "label": "x"}], GRAZ), example("b", 3.5, ULM)]
    test = [example("c", [{"start": 1, "label": "x"}], GRAZ), example("d", 3.25, ULM)]
    assert audit(train, test).stated == (0,)


def test_test_examples_are_divided_by_whether_their_entities_are_known():
    test = [example("", "x", ULM), example("", "x", GRAZ, ULM), example("", "x"), example("", "x", CUSCO)]
    found = shared_entities(test, TRAIN)
    assert (found.unseen, found.seen, found.unlinked) == ((0, 3), (1,), (2,))
    assert shared_entities(test, []).unseen == (0, 1, 3)


def test_examples_are_linked_without_being_encoded(layers, bundle):
    texts = ["The parcel to Österreich never arrived.", "From Bergen to Cusco", "Nothing"]
    examples = [Example(text, "x", Record({}, Path("x"), 1)) for text in texts]
    names = [{bundle.graph.name(entity) for entity in found.entities} for found in labelled(layers, examples)]
    assert names == [{"Austria"}, {"Bergen", "Cusco"}, set()]
