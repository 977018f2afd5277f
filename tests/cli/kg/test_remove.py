import shutil

import pytest

from roots_kg.graph.store import GraphBundle
from roots_kg.model import RootsModel

FACT = "Graz|located_in|Austria"


@pytest.fixture
def graph(towns, tmp_path):
    """A copy of the small graph's bundle that a test may change."""
    return shutil.copytree(towns, tmp_path / "graph")


def contents(folder):
    return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_remove_takes_a_triple_out_and_keeps_the_entities(roots, graph, bundle):
    found = roots("kg", "remove", graph, FACT, "--json").json
    assert found["metrics"] == {"removed": 1, "triples": 47, "entities_left_without_triples": 1}
    assert found["left_bare"] == ["Graz"]
    loaded = GraphBundle.load(graph)
    triples = [loaded.graph.triple(index) for index in range(len(loaded.graph))]
    assert ("Graz", "located_in", "Austria") not in triples
    assert loaded.graph.entities == bundle.graph.entities
    assert loaded.transe.entity.weight.equal(bundle.transe.entity.weight)


def test_a_person_sees_what_was_removed(roots, graph):
    result = roots("kg", "remove", graph, FACT, "Wels,located_in,Österreich")
    assert "- Graz · located_in · Austria\n- Wels · located_in · Austria\n" in result.out
    assert "removed                        2" in result.out


def test_a_triple_that_is_not_there_is_an_error_and_nothing_changes(roots, graph):
    before = contents(graph)
    result = roots("kg", "remove", graph, FACT, "Wels|located_in|Germany")
    assert (result.code, result.out) == (1, "")
    assert "the graph does not hold Wels · located_in · Germany" in result.err
    assert "it holds Wels · located_in · Austria" in result.err
    assert contents(graph) == before


def test_an_unknown_name_is_answered_with_the_nearest(roots, graph):
    result = roots("kg", "remove", graph, "Gratz|located_in|Austria")
    assert "no entity 'Gratz' (did you mean 'Graz'?)" in result.err


def test_a_dry_run_makes_no_change(roots, graph):
    before = contents(graph)
    result = roots("kg", "remove", graph, FACT, "--dry-run")
    assert "- Graz · located_in · Austria\n" in result.out
    assert "dry run, nothing was changed" in result.out
    assert contents(graph) == before


def test_what_a_file_added_the_same_file_removes(roots, graph, tmp_path):
    path = tmp_path / "more.tsv"
    path.write_text("Hallstatt\tlocated_in\tAustria\nHallstatt\tregion\tCentral Europe\n")
    before = GraphBundle.load(graph).graph
    assert roots("kg", "add", graph, "--from", path).code == 0
    found = roots("kg", "remove", graph, "--from", path, "--json").json
    assert (found["metrics"]["removed"], found["left_bare"]) == (2, ["Hallstatt"])
    after = GraphBundle.load(graph).graph
    assert [after.triple(index) for index in range(48)] == [before.triple(index) for index in range(48)]


@pytest.mark.parametrize("arguments", [(), (FACT, "--from", "x.tsv"), ("Graz",)])
def test_what_is_no_triple_is_wrong_use(roots, graph, arguments):
    assert roots("kg", "remove", graph, *arguments).code == 2


def test_a_removed_fact_is_no_evidence_at_the_next_prediction(roots, small_model, tmp_path):
    model = shutil.copytree(small_model, tmp_path / "model")
    text = "The parcel to Wels never arrived."
    fact = ("Wels", "located_in", "Austria")
    (before,) = RootsModel.from_pretrained(model).explain([text])
    assert fact in [item.triple for item in before.evidence]
    assert roots("kg", "remove", model, "|".join(fact)).code == 0
    (after,) = RootsModel.from_pretrained(model).explain([text])
    assert fact not in [item.triple for item in after.evidence]
    assert after.probability < before.probability
    assert roots("kg", "add", model, "|".join(fact)).code == 0
    (again,) = RootsModel.from_pretrained(model).explain([text])
    assert (again.prediction, again.probability) == (before.prediction, before.probability)
