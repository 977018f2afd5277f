"""Reading graphs at the command line: what is forgiven, what is set aside and where, and what is kept."""

import gzip

import pytest

from roots_kg.graph.store import GraphBundle

TWINS = "Caf\u00e9\tr\tb\nCafe\u0301\tr\tb\n"


def check(roots, path, *options):
    return roots("kg", "check", path, *options, "--json")


@pytest.mark.parametrize(
    ("content", "triples", "entities"),
    [
        ("\ufeffa\tr\tb\nc\tr\td\n", 2, 4),
        ("a\tr\tb\r\nc\tr\td\r\n", 2, 4),
        ("a\tr\tb\na\tr\tb\n", 1, 2),
        ("a\tr\ta\na\tr\tb\n", 2, 2),
        ("a\tr\tb\na\tonce\tc\n", 2, 3),
        (TWINS, 2, 3),
    ],
    ids=["byte-order mark", "CRLF", "a triple twice", "a self-loop", "a relation once", "NFC and NFD"],
)
def test_what_is_odd_but_right_is_read(roots, tmp_path, content, triples, entities):
    path = tmp_path / "graph.tsv"
    path.write_bytes(content.encode())
    found = check(roots, path).json["metrics"]
    assert (found["triples"], found["entities"], found["bad_lines"]) == (triples, entities, 0)


def test_an_entity_that_only_test_has_counts_as_unknown(roots, towns, tmp_path):
    path = tmp_path / "test.tsv"
    path.write_text("Graz\tlocated_in\tAustria\nAtlantis\tlocated_in\tAustria\n")
    assert roots("kg", "evaluate", towns, "--test", path, "--json").json["unknown"] == 1


BAD = {
    "graph.tsv": (
        b"a\tr\tb\nbad\nc\tr\t\xff\n\0\tr\tb\nx\t\ty\n" + b"z" * 10_000_000 + b"\nc\tr\td\n",
        [2, 3, 4, 5, 6],
    ),
    "graph.tsv.gz": (gzip.compress(b"a\tr\tb\nc\tr\td\n" * 5000)[:-100], None),
    "graph.jsonl": (b'["a", "r", "b"]\n{"head": 1}\n["c", "r", "d"]\n' + b"[" * 99999, [2, 4]),
    "graph.nt": (
        b"<http://a> <http://r> <http://b> .\n<http://a> <http\n<http://c> <http://r> <http://d> .\n",
        [2],
    ),
    "graph.ttl": (b"<http://a> <http://r> <http://b>, <http://c> .\n<http://c> <http://r> <http", [2]),
}


@pytest.mark.parametrize("name", BAD)
def test_quarantine_goes_on_and_writes_what_it_set_aside(roots, tmp_path, name):
    content, lines = BAD[name]
    path = tmp_path / name
    path.write_bytes(content)
    assert check(roots, path).code == 1
    result = check(roots, path, "--on-error", "quarantine")
    target = tmp_path / f"{name}.rejects.tsv"
    rows = [line.split("\t", 3) for line in target.read_text("utf-8").splitlines()]
    assert rows[0] == ["file", "line", "reason", "content"]
    assert {row[0] for row in rows[1:]} == {str(path)}
    assert all(row[2] for row in rows[1:])
    if lines is not None:
        assert [int(row[1]) for row in rows[1:]] == lines
    assert result.json["metrics"]["triples"] == 2
    assert result.json["metrics"]["bad_lines"] == len(rows) - 1
    assert result.err.endswith(f" set aside in {target}\n")
    assert target.stat().st_size < 5000


def test_rejects_replace_an_earlier_file_of_rejects_and_nothing_else(roots, tmp_path):
    path, target = tmp_path / "graph.tsv", tmp_path / "notes.tsv"
    path.write_text("a\tr\tb\nbad\n")
    target.write_text("years of work")
    options = ("--on-error", "quarantine", "--rejects", target)
    refused = check(roots, path, *options)
    assert refused.code == 2
    assert "the rejects would replace this file, which holds something else" in refused.err
    assert target.read_text() == "years of work"
    target.unlink()
    for _ in range(2):
        assert check(roots, path, *options).code == 0
    assert len(target.read_text().splitlines()) == 2


def test_rejects_are_one_line_each_whatever_the_line_holds(roots, tmp_path):
    path = tmp_path / "graph.tsv"
    path.write_bytes(b"a\tr\tb\n\x1b[31m\x0b\xe2\x80\xa8\r\rbad\n")
    assert check(roots, path, "--on-error", "quarantine").code == 0
    lines = (tmp_path / "graph.tsv.rejects.tsv").read_text("utf-8").splitlines()
    assert len(lines) == 2
    assert lines[1].split("\t")[3] == r"\x1b[31m\x0b\u2028\r\rbad"


def test_names_values_and_the_card_travel_into_the_bundle(roots, tmp_path):
    folder = tmp_path / "knowledge" / "towns"
    folder.mkdir(parents=True)
    label = "<http://www.w3.org/2000/01/rdf-schema#label>"
    (folder / "triples.ttl").write_text(
        f'@prefix e: <http://e/> .\ne:graz e:in e:austria ; e:size 5 ; {label} "Graz"@de, "Gradec"@sl .\n'
    )
    (folder / "card.yaml").write_text("source: me\nlicence: CC0-1.0\n")
    out = tmp_path / "out"
    train = ("kg", "train", "towns", "--epochs", 1, "--dimension", 4, "--out", out)
    assert roots(*train, cwd=tmp_path).code == 0
    graph = GraphBundle.load(out).graph
    assert graph.name(0) == "Graz"
    assert [value.text for value in graph.values["http://e/graz"]] == ["5"]
    assert graph.cards[0].licence == "CC0-1.0"


def test_one_option_names_the_format_under_either_of_its_names(roots, tmp_path):
    path = tmp_path / "graph.data"
    path.write_text("a|r|b,s,c\n")
    for option in ("--format", "--delimiter"):
        assert check(roots, path, option, "comma").json["relations"] is not None
    path.write_text("<http://a> <http://r> <http://b> .\n")
    assert check(roots, path, "--format", "turtle").json["metrics"]["triples"] == 1
