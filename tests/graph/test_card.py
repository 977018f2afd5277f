"""The card of a graph is read strictly, compared with the graph, and travels with it."""

import pytest
import yaml

from roots_kg.errors import ConfigError
from roots_kg.graph.card import Card, Counts, card_problems, read_card
from roots_kg.graph.triples import KnowledgeGraph
from roots_kg.workspace import Workspace

CARD = {"source": "an atlas", "licence": "CC0-1.0", "counts": {"triples": 2, "by_relation": {"in": 2}}}


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "triples.tsv").write_text("Graz\tin\tAustria\nLinz\tin\tAustria\n")
    (tmp_path / "aliases.tsv").write_text("Graz\tGratz\n")
    (tmp_path / "card.yaml").write_text(yaml.safe_dump(CARD))
    return tmp_path


def read(folder, **change):
    (folder / "card.yaml").write_text(yaml.safe_dump(CARD | change))
    return read_card(folder / "card.yaml")


def test_a_card_is_read(folder):
    card = read_card(folder / "card.yaml")
    assert card == Card("an atlas", "CC0-1.0", counts=Counts(triples=2, by_relation={"in": 2}))


def test_the_card_of_the_bundled_graph_agrees_with_it():
    files = Workspace.find().graph_files("geography")
    graph = KnowledgeGraph.from_file(*files.triples, aliases=files.aliases, cards=[files.card])
    assert graph.cards[0].licence.startswith("Unicode-3.0")
    assert card_problems(graph.cards[0], graph) == []


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"license": "MIT"}, r"card.yaml: unknown key 'license' \(did you mean 'licence'\?\)"),
        ({"counts": {"triple": 3}}, r"unknown key 'triple' \(did you mean 'triples'\?\)"),
        ({"counts": {"triples": "many"}}, "triples: expected"),
        ({"licence": 3}, "licence: expected str, found 3"),
    ],
)
def test_what_a_card_does_not_know_is_refused_with_the_nearest(folder, change, message):
    with pytest.raises(ConfigError, match=message):
        read(folder, **change)


def test_a_card_must_name_source_and_licence(folder):
    (folder / "card.yaml").write_text("source: an atlas\n")
    with pytest.raises(ConfigError, match="the key 'licence' is missing"):
        read_card(folder / "card.yaml")


def test_every_count_that_disagrees_is_a_problem(folder):
    graph = KnowledgeGraph.from_file(folder / "triples.tsv", aliases=folder / "aliases.tsv")
    assert card_problems(read(folder), graph) == []
    counts = {"triples": 1000, "entities": 3, "relations": 2, "aliases": 0, "by_relation": {"in": 1, "of": 4}}
    assert card_problems(read(folder, counts=counts), graph) == [
        "the card counts 1,000 triples, the graph has 2",
        "the card counts 2 relations, the graph has 1",
        "the card counts 0 aliases, the graph has 1",
        "the card counts 1 triples of 'in', the graph has 2",
        "the card counts 4 triples of 'of', the graph has 0",
    ]


def test_the_counts_of_one_file_are_not_held_against_several(folder):
    (folder / "more.tsv").write_text("Wels\tin\tAustria\n")
    graph = KnowledgeGraph.from_file(
        folder / "triples.tsv", folder / "more.tsv", cards=[folder / "card.yaml"]
    )
    assert card_problems(graph.cards[0], graph) == []
