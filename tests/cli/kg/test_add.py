import shutil

import pytest

from roots_kg.graph.editing import add_triples
from roots_kg.graph.store import GraphBundle
from roots_kg.model import RootsModel


@pytest.fixture
def graph(towns, tmp_path):
    """A copy of the small graph's bundle that a test may change."""
    return shutil.copytree(towns, tmp_path / "graph")


def contents(folder):
    return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("mark", ["|", "\t", ",", " | "])
def test_add_puts_a_triple_into_the_bundle(roots, graph, mark):
    found = roots("kg", "add", graph, mark.join(("Graz", "region", "Scandinavia")), "--json").json
    assert found["metrics"] == {
        "added": 1,
        "already_there": 0,
        "new_entities": 0,
        "new_relations": 0,
        "triples": 49,
        "entities": 50,
        "relations": 3,
    }
    loaded = GraphBundle.load(graph).graph
    assert loaded.triple(48) == ("Graz", "region", "Scandinavia")
    assert loaded.sources[loaded.source_id[48]] == "added on the command line"


def test_a_new_entity_can_be_asked_about_at_once(roots, graph):
    found = roots("kg", "add", graph, "Hallstatt|located_in|Österreich", "--json").json
    assert found["new_entities"] == ["Hallstatt"]
    asked = ("kg", "complete", graph, "--head", "Hallstatt", "--relation", "located_in", "--include-known")
    assert roots(*asked, "--json").json["answers"][0]["entity"] == "Austria"
    assert "Hallstatt" in roots("kg", "similar", graph, "Linz", "-k", 10).out


def test_a_person_sees_what_was_added_and_what_is_new(roots, graph):
    result = roots(
        "kg", "add", graph, "Hallstatt|located_in|Austria", "Graz|located_in|Austria", "Lund|twin|Ulm"
    )
    assert result.code == 0
    assert "+ Hallstatt · located_in · Austria\n+ Lund · twin · Ulm\n" in result.out
    assert "already there  1" in result.out
    assert "new entities: 'Hallstatt'\n" in result.out
    assert "new relations, their vectors the mean of tail − head: 'twin'\n" in result.out
    assert "mean of all" not in result.out


def test_a_name_that_looks_misspelt_is_warned_about(roots, graph):
    result = roots("kg", "add", graph, "Graaz|located_in|Austria", "Wels|located-in|Austria", "--json")
    assert result.json["similar"] == {"Graaz": "Graz", "located-in": "located_in"}
    assert "warning: 'Graaz' is new, but there is 'Graz' (--no-new refuses new names)" in result.err


def test_new_names_are_refused_on_demand_and_nothing_is_changed(roots, graph):
    before = contents(graph)
    result = roots("kg", "add", graph, "Wels|region|Scandinavia", "Grazz|located_in|Austria", "--no-new")
    assert (result.code, result.out) == (1, "")
    assert "the graph has no entity 'Grazz' (did you mean 'Graz'?)" in result.err
    assert contents(graph) == before


def test_a_dry_run_shows_the_change_and_makes_none(roots, graph):
    before = contents(graph)
    result = roots("kg", "add", graph, "Hallstatt|located_in|Austria", "--dry-run")
    assert "+ Hallstatt · located_in · Austria\n" in result.out
    assert "dry run, nothing was changed" in result.out
    assert roots("kg", "add", graph, "Hallstatt|located_in|Austria", "--dry-run", "--json").json["dry_run"]
    assert contents(graph) == before


def test_what_is_there_already_is_reported_and_the_bundle_left_alone(roots, graph):
    before = contents(graph)
    metrics = roots("kg", "add", graph, "Graz|located_in|Austria", "--json").json["metrics"]
    assert (metrics["added"], metrics["already_there"]) == (0, 1)
    assert contents(graph) == before


def test_triples_and_names_come_from_files(roots, graph, tmp_path):
    (tmp_path / "more.csv").write_text("Q1,located_in,Austria\nQ1,region,Central Europe\nQ2,located_in,Q1\n")
    (tmp_path / "names.tsv").write_text("Q1\tHallstatt\nQ1\tHallstatt am See\nQ2\tBad Ischl\n")
    options = ("--from", tmp_path / "more.csv", "--aliases", tmp_path / "names.tsv")
    found = roots("kg", "add", graph, *options, "--json").json
    assert (found["metrics"]["added"], found["new_entities"], found["unplaced"]) == (3, ["Q1", "Q2"], [])
    loaded = GraphBundle.load(graph).graph
    assert loaded.triple(50) == ("Bad Ischl", "located_in", "Hallstatt")
    assert loaded.sources[loaded.source_id[50]] == str(tmp_path / "more.csv")


def test_names_for_triples_on_the_command_line_come_from_a_file(roots, graph, tmp_path):
    (tmp_path / "names.tsv").write_text("Q1\tHallstatt\nAustria\tRepublic of Austria\n")
    roots("kg", "add", graph, "Q1|located_in|Austria", "--aliases", tmp_path / "names.tsv")
    assert GraphBundle.load(graph).graph.triple(48) == ("Hallstatt", "located_in", "Austria")


def test_bad_lines_are_named_or_set_aside(roots, graph, tmp_path):
    path = tmp_path / "more.tsv"
    path.write_text("Graz\tregion\tScandinavia\nGraz\tregion\nLund\tregion\tCentral Europe\n")
    before = contents(graph)
    result = roots("kg", "add", graph, "--from", path)
    assert result.code == 1
    assert f"{path}:2: expected 3 columns" in result.err
    assert contents(graph) == before
    found = roots("kg", "add", graph, "--from", path, "--on-error", "quarantine", "--json").json
    assert found["metrics"]["added"] == 2
    assert (tmp_path / "more.tsv.rejects.tsv").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "give either triples or --from"),
        (["a|r|b", "--from", "x.tsv"], "give either triples or --from"),
        (["Graz", "located_in", "Austria"], "'Graz' (as one argument: 'Graz|located_in|Austria')"),
        (["Graz|located_in"], "not a triple of head, relation and tail: 'Graz|located_in'"),
        (["Graz||Austria"], "not a triple of head, relation and tail: 'Graz||Austria'"),
        (["a|r|b\nc|r|d"], "not a triple of head, relation and tail"),
        (["a|r|b\nc"], "not a triple of head, relation and tail"),
        (['a,"r,b'], "not a triple of head, relation and tail"),
        ([""], "not a triple of head, relation and tail: ''"),
        (["a|r|\udcff"], "a triple is not UTF-8"),
        (["a|r|b", "--delimiter", "comma"], "not a triple of head, relation and tail: 'a|r|b'"),
        (["a|r|b", "--delimiter", "turtle"], "unknown delimiter 'turtle'"),
    ],
)
def test_what_is_no_triple_is_wrong_use(roots, graph, arguments, message):
    before = contents(graph)
    result = roots("kg", "add", graph, *arguments)
    assert (result.code, result.out) == (2, "")
    assert message in result.err
    assert contents(graph) == before


def test_quotes_hold_commas_together(roots, graph):
    roots("kg", "add", graph, '"Washington, D.C.",located_in,"United ""States"""')
    assert GraphBundle.load(graph).graph.triple(48) == ("Washington, D.C.", "located_in", 'United "States"')


def test_a_stated_delimiter_leaves_the_others_in_names(roots, graph):
    roots("kg", "add", graph, "a|b,located_in,c|d", "--delimiter", "comma")
    assert GraphBundle.load(graph).graph.triple(48) == ("a|b", "located_in", "c|d")


def test_a_folder_that_is_no_bundle_is_refused(roots, tmp_path):
    result = roots("kg", "add", tmp_path, "a|r|b")
    assert result.code == 1
    assert "not a saved bundle" in result.err


def test_a_bundle_that_cannot_be_written_stays_as_it_was(roots, graph, monkeypatch):
    before = contents(graph)

    def fail(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("roots_kg.bundle._move_into_place", fail)
    result = roots("kg", "add", graph, "Hallstatt|located_in|Austria")
    assert (result.code, "No space left on device" in result.err) == (1, True)
    assert contents(graph) == before
    assert [path.name for path in graph.parent.iterdir()] == [graph.name]


def test_an_edit_that_happened_in_the_meantime_is_not_lost(roots, graph, monkeypatch):
    def meanwhile(bundle, triples, **options):
        monkeypatch.undo()
        assert roots("kg", "add", graph, "Hallstatt|located_in|Austria").code == 0
        return add_triples(bundle, triples, **options)

    monkeypatch.setattr("roots_kg.graph.editing.add_triples", meanwhile)
    result = roots("kg", "add", graph, "Bad Ischl|located_in|Austria")
    assert result.code == 1
    assert "another command has changed this graph in the meantime (run this one again)" in result.err
    assert GraphBundle.load(graph).graph.triple(48) == ("Hallstatt", "located_in", "Austria")


def test_an_added_fact_is_evidence_at_the_next_prediction(roots, small_model, tmp_path):
    model = shutil.copytree(small_model, tmp_path / "model")
    text = "The parcel to Hallstatt never arrived."
    (before,) = RootsModel.from_pretrained(model).explain([text])
    assert (before.links, before.evidence) == ((), ())
    found = roots("kg", "add", model, "Hallstatt|located_in|Austria", "--json").json
    assert found["bundle"] == str(model)
    (after,) = RootsModel.from_pretrained(model).explain([text])
    assert after.prediction == "central"
    assert after.evidence[0].triple == ("Hallstatt", "located_in", "Austria")
    assert after.evidence[0].source == "added on the command line"
    head = (model / "head-0.safetensors").read_bytes()
    assert head == (small_model / "head-0.safetensors").read_bytes()


def test_a_model_takes_a_new_relation_and_answers_what_it_has_learned_as_before(roots, two_tasks, tmp_path):
    model = shutil.copytree(two_tasks, tmp_path / "model")
    texts = ["The parcel to Kalmar never arrived.", "In which country is Kalmar?"]
    before = RootsModel.from_pretrained(model).predict_all(texts)
    found = roots("kg", "add", model, "Graz|twin_town|Ulm", "Hallstatt|twin_town|Graz", "--json").json
    assert (found["new_relations"], found["new_entities"]) == (["twin_town"], ["Hallstatt"])
    loaded = RootsModel.from_pretrained(model)
    for task, predictions in loaded.predict_all(texts).items():  # of which a new entity changes a little
        for own, known in zip(predictions, before[task], strict=True):
            assert own.value == known.value
            assert own.probability == pytest.approx(known.probability, abs=1e-3)
    (explained,) = loaded.explain(["A parcel to Hallstatt"], "routing")
    assert ("Hallstatt", "twin_town", "Graz") in [item.triple for item in explained.evidence]
    assert loaded.explain(["In which country is Hallstatt?"], "questions")[0].prediction
    loaded.save_pretrained(tmp_path / "again")
    assert RootsModel.from_pretrained(tmp_path / "again").predict_all(texts) == loaded.predict_all(texts)
