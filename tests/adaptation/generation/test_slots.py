"""Names become slots and slots become names, exactly."""

import random
from itertools import pairwise

import pytest
import tokenizers
from hypothesis import given
from hypothesis import strategies as st

from roots_kg.adaptation.generation.slots import (
    Source,
    add_slots,
    contains,
    slot_tokens,
    slots_of,
    without_slots,
)

SLOTS = slot_tokens(3)
AIRPORT = 'Aarhus_Airport | cityServed | "Aarhus, Denmark"\nAarhus_Airport | runwayLength | 2702.0'


def test_names_are_marked_in_the_source_where_they_come_first():
    assert Source.read(AIRPORT, SLOTS).prompt == (
        "[slot0] Aarhus Airport | city served | [slot1] Aarhus, Denmark\n"
        "[slot0] | runway length | [slot2] 2702.0"
    )


def test_names_in_the_text_of_the_source_are_marked_too():
    source = Source.read("How long is it at Aarhus Airport?\n" + AIRPORT, SLOTS)
    assert source.prompt.startswith("How long is it at [slot0] Aarhus Airport?\n[slot0] | city served")


def test_names_are_hidden_in_the_target_and_filled_in_again():
    source = Source.read(AIRPORT, SLOTS)
    target = "Aarhus Airport serves Aarhus, Denmark; its runway has 2702.0 metres, not 12702.0."
    assert source.hide(target) == "[slot0] serves [slot1]; its runway has [slot2] metres, not 12702.0."
    assert source.fill(source.hide(target)) == target


def test_a_name_that_is_written_otherwise_stays_text():
    assert Source.read(AIRPORT, SLOTS).hide("The airport of aarhus.") == "The airport of aarhus."


def test_a_name_that_a_target_has_in_other_words_can_stand_in_the_source_without_its_slot():
    source = Source.read(AIRPORT, SLOTS)
    hidden = source.hide("Aarhus Airport has a runway of 2702.0 metres.")
    asking = source.asking_for(hidden, 1.0, random.Random(0))
    assert asking.prompt == (
        "[slot0] Aarhus Airport | city served | Aarhus, Denmark\n[slot0] | runway length | [slot2] 2702.0"
    )
    assert asking.hide("in Aarhus, Denmark") == "in [slot1]"
    assert source.asking_for(hidden, 0.0, random.Random(0)).prompt == source.prompt


def test_the_longest_name_is_taken():
    source = Source.read("York | in | England\nNew York | in | America", slot_tokens(4))
    assert (
        source.hide("New York is not York, and not Yorkshire.")
        == "[slot2] is not [slot0], and not Yorkshire."
    )


def test_names_beyond_the_slots_stay_text():
    source = Source.read("a | r | b\nc | r | d", SLOTS)
    assert source.hide("a b c d") == "[slot0] [slot1] [slot2] d"
    assert source.prompt == "[slot0] a | r | [slot1] b\n[slot2] c | r | d"


def test_a_slot_without_a_name_is_told_and_left_out():
    source = Source.read("a | r | b", SLOTS)
    assert source.is_complete("[slot0] and [slot1]")
    assert not source.is_complete("[slot2]")
    assert source.fill("[slot0] and [slot2]") == "a and "


def test_what_looks_like_a_slot_in_a_source_or_target_is_no_slot():
    source = Source.read("[slot0] a | r | b [slot1]", SLOTS)
    assert source.triples == (("a", "r", "b"),)
    assert source.hide("[slot1] b") == "  [slot1]"
    assert without_slots("[slot9]", SLOTS) == "[slot9]"


def test_without_slots_names_get_their_own_capitals():
    source = Source.read("Graz | located_in | Austria", ())
    assert source.prompt == "Graz | located in | Austria"
    assert source.fill("graz is in austria, not in grazia.") == "Graz is in Austria, not in grazia."
    assert Source.read("no triples", ()).fill("as it is") == "as it is"


def test_triples_can_be_added_and_do_not_repeat():
    source = Source.read("Graz | in | Austria", SLOTS, [("Graz", "in", "Austria"), ("Graz", "near", "Wels")])
    assert source.triples == (("Graz", "in", "Austria"), ("Graz", "near", "Wels"))
    assert source.names == ("Graz", "Austria", "Wels")


NAMES = st.text("ab .,-", min_size=1, max_size=6).filter(
    lambda name: name.strip() == " ".join(name.split()) != ""
)


@given(st.lists(NAMES.map(str.strip), min_size=2, max_size=6, unique=True), st.text("ab .,-", max_size=30))
def test_hiding_and_filling_give_the_target_back(names, target):
    lines = [f"{head} | r | {tail}" for head, tail in pairwise(names)]
    source = Source.read("\n".join(lines), slot_tokens(4))
    assert source.fill(source.hide(target)) == target


@pytest.mark.parametrize(
    ("name", "written"),
    [
        ("Aarhus Airport", "aarhus airport"),
        ("J. V. Jones", "J.V. Jones"),
        ("Ardmore Airport (New Zealand)", "Ardmore Airport, New Zealand"),
        ("San Sebastián", "San Sebastian"),
        ("Paraná", "Parana"),
        ("Madrid–Barajas", "Madrid-Barajas"),
        ("25.0", "25"),
        ("140000.0 (square metres)", "140000 square metres"),
    ],
)
def test_a_name_that_is_written_a_little_otherwise_is_hidden_when_that_is_wanted(name, written):
    source = Source.read(f"{name} | r | x", SLOTS)
    assert source.hide(f"It is {written}.") == f"It is {written}."
    assert source.hide(f"It is {written}.", loosely=True) == "It is [slot0]."
    assert source.fill("It is [slot0].") == f"It is {name}."


@pytest.mark.parametrize(
    ("name", "written"),
    [
        ("Food", "food"),
        ("25.0", "25.5"),
        ("25.5", "25,5"),
        ("25.0", "250"),
        ("New York", "New Yorkers"),
        ("_", "-"),
    ],
)
def test_what_is_something_else_stays_text(name, written):
    source = Source.read(f"{name} | r | x", SLOTS)
    assert source.hide(f"It is {written}", loosely=True) == f"It is {written}"


@given(st.lists(NAMES.map(str.strip), min_size=2, max_size=6, unique=True), st.text("ab .,-", max_size=30))
def test_what_is_hidden_exactly_is_hidden_loosely_too(names, target):
    lines = [f"{head} | r | {tail}" for head, tail in pairwise(names)]
    source = Source.read("\n".join(lines), slot_tokens(8))
    if source.hide(target) != target:
        assert "[slot" in source.hide(target, loosely=True)


def test_triples_in_another_order_have_other_slots_and_the_same_names():
    source = Source.read("a | r | b\nc | r | d\ne | r | f", slot_tokens(6))
    orders = {source.reordered(random.Random(seed)).prompt for seed in range(20)}
    assert len(orders) == 6
    other = source.reordered(random.Random(1))
    assert sorted(other.triples) == sorted(source.triples)
    assert other.fill(other.hide("a b c d e f")) == "a b c d e f"


@pytest.mark.parametrize(
    ("text", "name", "there"),
    [
        ("It is 25 metres.", "25", True),
        ("It is 250 metres.", "25", False),
        ("(Aarhus)", "Aarhus", True),
        ("Aarhusian", "Aarhus", False),
        ("Washington, D.C. it is", "Washington, D.C.", True),
        ("aarhus", "Aarhus", False),
    ],
)
def test_whether_a_name_stands_in_a_text(text, name, there):
    assert contains(text, name) is there


def test_slots_are_tokens_of_their_own():
    tokenizer = tokenizers.Tokenizer(tokenizers.models.BPE({"a": 0, "[": 1}, []))
    assert slots_of(tokenizer.to_str()) == ()
    add_slots(tokenizer, 2)
    assert slots_of(tokenizer.to_str()) == slot_tokens(2)
    assert tokenizer.encode("a[slot1]a").tokens == ["a", "[slot1]", "a"]
