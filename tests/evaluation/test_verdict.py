import pytest

from roots_kg.evaluation.verdict import number, outcome, points, verdict
from roots_kg.intervals import Estimate

UP, FLAT, DOWN = Estimate(0.123, 0.1, 0.15), Estimate(0.01, -0.02, 0.04), Estimate(-0.05, -0.08, -0.02)


@pytest.mark.parametrize(("gain", "expected"), [(UP, "helps"), (FLAT, "unclear"), (DOWN, "hurts")])
def test_the_outcome_follows_from_the_interval(gain, expected):
    assert outcome(gain) == expected


def test_points_and_numbers_have_a_sign_where_they_need_one_and_no_minus_zero():
    assert points(UP) == "+12.3 points [10.0, 15.0]"
    assert points(DOWN) == "−5.0 points [−8.0, −2.0]"
    assert points(Estimate(-0.0001, -0.0002, 0.0)) == "+0.0 points [0.0, 0.0]"
    assert number(UP) == "0.123 [0.100, 0.150]"
    assert number(None) == "–"


def test_facts_that_count_are_told_from_a_graph_that_merely_helps():
    counts = verdict("f1_macro", UP, UP, None, stood_in=False)
    assert counts == (
        "The graph helps: +12.3 points [10.0, 15.0] of f1 macro against no graph. "
        "It is its facts that count: against a shuffled graph it is +12.3 points [10.0, 15.0]."
    )
    assert "cannot be shown to be why" in verdict("accuracy", UP, FLAT, None, stood_in=False)


def test_no_effect_and_harm_are_said_as_plainly():
    assert verdict("accuracy", FLAT, UP, None, stood_in=False) == (
        "No effect can be shown: +1.0 points [−2.0, 4.0] of accuracy against no graph."
    )
    assert verdict("accuracy", DOWN, UP, None, stood_in=False).startswith("The graph hurts: −5.0 points")


def test_it_is_said_when_plain_text_does_better_and_when_something_stands_in_for_no_graph():
    assert verdict("accuracy", UP, UP, DOWN, stood_in=False).endswith(
        "Its triples written in front of the text do better: +5.0 points [2.0, 8.0]."
    )
    assert "do better" not in verdict("accuracy", UP, UP, UP, stood_in=False)
    assert "against the nearest labelled text" in verdict("hits@1", UP, None, None, stood_in=True)
