"""Words of groups are swapped whole, in their case and alike everywhere; what changes then is counted."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from roots_kg.adaptation.task import Task, read_records
from roots_kg.config import from_mapping
from roots_kg.errors import ConfigError, UsageError
from roots_kg.evaluation.bias import Kind, Swap, TermGroups, bias_report, load_groups, swapped_graph, work
from roots_kg.graph.linking import Linker
from roots_kg.graph.store import GraphBundle
from roots_kg.graph.triples import KnowledgeGraph
from roots_kg.model import RootsModel

GROUPS = load_groups()
GENDER = Swap("gender", GROUPS.kinds["gender"])
PAIRS = Swap("pairs", Kind({"a": ("he", "actor", "Mr"), "b": ("she", "actress", "Mrs")}, ordered=True))
POOLS = {"north": ("Molde", "Kalmar", "Bergen"), "south": ("Talca", "Wels"), "east": ("Kassel",)}
TOWNS = TermGroups({"towns": Kind(POOLS)})
WORDS = [written for word in PAIRS.counterparts for written in (word, f"x{word}", f"{word}s")]


@given(st.lists(st.one_of(st.sampled_from(WORDS), st.text(alphabet="aeh s.,'-_", max_size=4))))
def test_swapping_pairs_twice_returns_the_text(words):
    text = " ".join(words)
    assert PAIRS(PAIRS(text)) == text
    assert PAIRS.groups_in(PAIRS(text)) == {{"a": "b", "b": "a"}[group] for group in PAIRS.groups_in(text)}


@given(st.integers(0, 20))
def test_every_word_of_a_pool_becomes_one_of_another_group_and_no_two_the_same(seed):
    for name in ("women's names", "nationality"):
        kind = GROUPS.kinds[name]
        swap = Swap(name, kind, seed)
        became = {word: swap(word) for words in kind.groups.values() for word in words}
        assert sorted(became.values()) == sorted(became)
        owner = {word: group for group, words in kind.groups.items() for word in words}
        assert all(owner[word] != owner[other] for word, other in became.items())
        assert became == {word: Swap(name, kind, seed)(word) for word in became}


@pytest.mark.parametrize(
    ("text", "swapped"),
    [
        ("He said HE would, and he did.", "She said SHE would, and she did."),
        ("The theatre is there; she's here.", "The theatre is there; he's here."),
        ("the_man saw the man-made lake", "the_woman saw the woman-made lake"),
        ("Her key was in her bag, not hers.", "His key was in his bag, not his."),
        ("I told her. I gave her the key.", "I told him. I gave him the key."),
        ("His key; the other is his.", "Her key; the other is hers."),
        ("Mr Hill and MRS HILL", "Mrs Hill and MR HILL"),
        ("The nOt hE case", "The nOt hE case"),
    ],
)
def test_a_word_is_swapped_whole_in_its_case_and_by_what_follows_it(text, swapped):
    assert GENDER(text) == swapped


def test_a_name_without_its_capital_is_none_where_the_text_writes_capitals():
    swap = Swap("names", Kind({"a": ("Mark",), "b": ("Chen",)}, ordered=True))
    assert swap("Ask Mark to mark it.") == "Ask Chen to mark it."
    assert swap("ask mark") == "ask chen"
    assert swap.groups_in("We mark it.") == frozenset()


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ({"groups": {"a": ["x"]}}, "at least two groups, found 1"),
        ({"groups": {"a": ["x"], "b": []}}, "the group 'b' is empty"),
        ({"groups": {"a": ["x"], "b": ["X"]}}, "'X' stands in two groups, 'a' and 'b'"),
        ({"groups": {"a": ["x"], "b": [" "]}}, "' ' in the group 'b' is no word"),
        ({"ordered": True, "groups": {"a": ["x", "z"], "b": ["y"]}}, "'a' has 2, 'b' has 1"),
        ({"groups": {"a": ["x", "x"], "b": ["y", "z"]}}, "'x' stands twice"),
        ({"groups": {"a": ["x", "z"], "b": ["y"]}}, "the group 'a' has more than half"),
        ({"groups": {"a": ["x"], "b": ["y"]}, "pairs": True}, "unknown key 'pairs'"),
    ],
)
def test_groups_that_cannot_be_swapped_are_refused(kind, message):
    with pytest.raises(ConfigError, match=message) as caught:
        from_mapping(TermGroups, {"kinds": {"people": kind}}, path="words.yaml")
    assert "words.yaml" in str(caught.value)


def test_names_in_a_graph_are_swapped_and_nothing_else(bundle):
    graph = KnowledgeGraph.from_triples(
        [("Mr Hill", "knows", "Mrs Hill"), ("Q7", "knows", "Mr Hill"), ("Mr X", "knows", "Graz")],
        aliases={"Q7": ["The actor", "An actress"], "Mr X": ["X"]},
    )
    found = swapped_graph(GraphBundle(graph, bundle.transe, bundle.config, bundle.space), PAIRS)
    new = found.bundle.graph
    assert new.entities == ("Mrs Hill", "Mr Hill", "Q7", "Mrs X", "Graz")
    assert new.aliases == {"Q7": ("The actress", "An actor"), "Mrs X": ("X",)}
    assert (found.entities, len(found.keys)) == (4, 3)
    assert (new.head_id is graph.head_id, found.bundle.transe is bundle.transe) == (True, True)
    (mention,) = Linker(new).link("Ask Mrs X")
    assert mention.best.entity_id == graph.entity_id("Mr X")


def test_a_key_that_would_be_that_of_another_entity_stays_apart(bundle):
    one_way = Swap("pairs", Kind({"a": ("his", "him"), "b": ("her", "her")}, ordered=True))
    graph = KnowledgeGraph.from_triples([("his", "knows", "him"), ("her", "knows", "them")])
    new = swapped_graph(GraphBundle(graph, bundle.transe, bundle.config, bundle.space), one_way).bundle.graph
    assert len(set(new.entities)) == new.num_entities
    assert new.name(graph.entity_id("his")) == new.name(graph.entity_id("him")) == "her"


@pytest.fixture(scope="module")
def found(routing_model, routing_task):
    asked = []
    records = read_records(routing_task.test)
    report = bias_report(routing_model, records, TOWNS, progress=asked.append)
    return report, records, sum(asked)


def test_swapping_both_texts_and_graph_leaves_what_a_graph_says_of_them(found, routing_model):
    report, records, asked = found
    (kind,) = report.kinds
    assert asked <= work(routing_model, records, TOWNS)
    assert (kind.n, report.n) == (8, len(records))  # of the towns, four stand in the test texts
    assert kind.entities == 6
    places = {found.place: found for found in kind.places}
    assert places["texts"].flips > places["both"].flips
    assert places["graph"].flips > places["both"].flips
    assert places["texts"].shift.value < 0
    for place in kind.places:
        assert sum(label.flips for label in place.labels) == place.flips
        assert sum(group.n for group in place.groups) == kind.n
        assert place.flip_rate.low <= place.flips / kind.n <= place.flip_rate.high
        mean = sum(label.n * label.shift for label in place.labels) / kind.n
        assert mean == pytest.approx(place.shift.value)
    assert "| towns | texts |" in report.to_markdown()
    json.dumps(report.to_json())


def test_entities_that_answer_are_the_same_under_their_new_names(questions_model, questions_task):
    countries = {"a": ("Norway", "Sweden"), "b": ("Peru", "Chile")}
    records = read_records(questions_task.test)
    groups = TermGroups({"towns": Kind(POOLS), "countries": Kind(countries, ordered=True)})
    towns, named = bias_report(questions_model, records, groups).kinds
    places = {found.place: found for found in towns.places}
    assert places["both"].flips < places["texts"].flips
    assert (named.n, named.entities, named.places) == (0, 4, ())
    # the answers are those countries
    groups = TermGroups(
        {"all": Kind({"a": ("Norway", "Bergen", "Molde"), "b": ("Peru", "Puno", "Piura")}, True)}
    )
    (both,) = bias_report(questions_model, records, groups).kinds
    assert both.places[-1].flips == 0
    assert both.places[-1].before == both.places[-1].after


def test_without_a_graph_only_texts_are_swapped(encoder, routing_task):
    model = RootsModel(encoder)
    model.adapt(routing_task)
    report = bias_report(model, read_records(routing_task.test), TOWNS)
    (kind,) = report.kinds
    assert kind.entities is None
    assert [found.place for found in kind.places] == ["texts"]


def test_a_head_whose_answers_are_spans_is_refused(encoder, write_task, tmp_path):
    lines = [
        {"text": "Ask Emily now", "spans": [{"start": 4, "end": 9, "label": "PER"}]},
        {"text": "Call John", "spans": [{"start": 5, "end": 9, "label": "PER"}]},
    ]
    task = Task.load(write_task(tmp_path / "people", {"head": "tagging"}, lines, lines))
    model = RootsModel(encoder)
    model.adapt(task)
    with pytest.raises(UsageError, match="change with the words that are swapped"):
        bias_report(model, read_records(task.test))
