import pytest


def test_check_counts_the_bundled_graph(roots):
    found = roots("kg", "check", "geography", "--json").json
    assert found["metrics"]["triples"] == sum(found["relations"].values()) > 10_000
    assert found["metrics"]["bad_lines"] == found["metrics"]["duplicate_triples"] == 0
    assert found["metrics"]["entities_with_aliases"] > 1000
    assert len(found["files"]) == 1


def test_check_counts_duplicates_self_loops_and_edges(roots, tmp_path):
    path = tmp_path / "graph.csv"
    path.write_text("head,relation,tail\na,r,b\na,r,b\nb,s,b\nb,r,c\n")
    metrics = roots("kg", "check", path, "--json").json["metrics"]
    expected = {"triples": 3, "entities": 3, "relations": 2, "duplicate_triples": 1, "self_loops": 1}
    assert {name: metrics[name] for name in expected} == expected
    assert metrics["entity_with_most_edges"] == "b"
    assert metrics["edges_per_entity_most"] == 4


def test_check_sets_bad_lines_aside_with_their_reasons(roots, tmp_path):
    path = tmp_path / "graph.tsv"
    path.write_text("a\tr\tb\na\tr\n\tr\tc\nb\tr\tc\n")
    result = roots("kg", "check", path, "--on-error", "quarantine", "--json")
    assert (result.json["metrics"]["triples"], result.json["metrics"]["bad_lines"]) == (2, 2)
    rejects = (tmp_path / "graph.tsv.rejects.tsv").read_text().splitlines()
    assert [line.split("\t")[1:3] for line in rejects[1:]] == [
        ["2", "expected 3 columns, found 2"],
        ["3", "the head column is empty"],
    ]
    assert "2 bad lines were set aside" in result.err


def test_rejects_never_overwrite_what_is_being_read(roots, tmp_path):
    path = tmp_path / "graph.tsv"
    path.write_text("a\tb\nx\ty\tz\n")
    refused = roots("kg", "check", path, "--on-error", "quarantine", "--rejects", path)
    assert refused.code == 2
    assert "is being read" in refused.err
    assert path.read_text() == "a\tb\nx\ty\tz\n"
    nowhere = roots("kg", "check", path, "--on-error", "quarantine", "--rejects", tmp_path / "none" / "r.tsv")
    assert nowhere.code == 1
    assert "cannot be written" in nowhere.err


def test_check_shows_a_person_the_relations(roots, towns_file):
    result = roots("kg", "check", towns_file)
    assert result.code == 0
    assert "located_in" in result.out
    assert "36" in result.out


def test_several_files_become_one_graph(roots, tmp_path):
    (tmp_path / "one.tsv").write_text("a\tr\tb\n")
    (tmp_path / "two.csv").write_text("b,r,c\na,r,b\n")
    metrics = roots("kg", "check", tmp_path / "one.tsv", tmp_path / "two.csv", "--json").json["metrics"]
    assert (metrics["triples"], metrics["duplicate_triples"]) == (2, 1)


@pytest.mark.parametrize(
    ("option", "value", "choices"),
    [
        ("--on-error", "ignore", ("strict", "quarantine")),
        ("--delimiter", "semicolon", ("tab", "comma", "pipe")),
    ],
)
def test_an_unknown_choice_names_the_choices(roots, towns_file, option, value, choices):
    result = roots("kg", "check", towns_file, option, value)
    assert result.code == 2
    assert result.err.startswith("error: ")
    assert result.err.count("\n") == 1
    assert all(name in result.err for name in (repr(value), *choices))
