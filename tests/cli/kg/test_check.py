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


@pytest.fixture
def odd_file(tmp_path):
    """A graph with something of everything that `check` looks for."""
    path = tmp_path / "odd.tsv"
    path.write_text(
        "Caf\u00e9\tin\tWien\nCafe\u0301\tin\tWien\nGraz\tin\tAustria\nWien\tin\tAustria\n"
        "New York\tIn\tUSA\nnew-york\tin\tUSA\nGraz\tnear\tGraz\nevil\t\x1b[31m\tx\n",
        encoding="utf-8",
    )
    return path


def test_check_tells_likely_duplicates_and_what_sets_them_apart(roots, odd_file):
    found = roots("kg", "check", odd_file, "--json").json
    assert [(group["difference"], group["keys"]) for group in found["duplicates"]] == [
        ("NFC/NFD", ["Caf\u00e9", "Cafe\u0301"]),
        ("spacing and punctuation", ["New York", "new-york"]),
    ]
    assert [group["keys"] for group in found["relation_duplicates"]] == [["in", "In"]]
    assert found["relations_seen_once"] == ["\x1b[31m", "In", "near"]
    metrics = found["metrics"]
    assert (metrics["likely_duplicate_entities"], metrics["likely_duplicate_relations"]) == (2, 1)
    assert (metrics["components"], metrics["entities_in_largest_component"]) == (3, 5)


def test_check_gives_the_cardinality_of_each_relation(roots, towns_file):
    found = roots("kg", "check", towns_file, "--json").json
    assert {item["relation"]: item["cardinality"] for item in found["relation_statistics"]} == {
        "located_in": "N-1",
        "currency": "1-1",
        "region": "N-1",
    }
    assert found["cardinalities"] == {"N-1": 2, "1-1": 1}
    located_in = found["relation_statistics"][0]
    assert (located_in["triples"], located_in["heads"], located_in["tails"]) == (36, 36, 6)
    assert (located_in["tails_per_head"], located_in["heads_per_tail"]) == (1, 6)
    assert located_in["example"] == ["Graz", "located_in", "Austria"]


def test_check_gives_the_distribution_of_the_degrees(roots, towns_file):
    found = roots("kg", "check", towns_file, "--json").json
    assert sum(item["entities"] for item in found["degree_histogram"]) == found["metrics"]["entities"]
    assert found["degree_quantiles"]["maximum"] == found["metrics"]["edges_per_entity_most"] == 8
    assert sum(int(size) * count for size, count in found["component_sizes"].items()) == 50


def test_check_shows_a_person_what_to_look_at_first(roots, odd_file):
    result = roots("kg", "check", odd_file)
    order = [
        "To look at",
        "Likely the same entity",
        "Likely the same relation",
        "Relations:",
        "Edges per entity",
    ]
    places = [result.out.index(title) for title in order]
    assert places == sorted(places)
    assert "'caf\\xe9', 'cafe\\u0301'" in result.out.lower()
    assert "\x1b" not in result.out
    assert max(map(len, result.out.splitlines())) <= 100


def test_check_cuts_long_lists_and_says_how_much_is_left(roots, tmp_path):
    path = tmp_path / "many.tsv"
    path.write_text("".join(f"Name {i}\tr{i}\tx\nname-{i}\tr{i}\ty\n" for i in range(30)))
    result = roots("kg", "check", path)
    assert "… and 20 more\n" in result.out
    assert "… and 10 more relations" in result.out
    assert max(map(len, result.out.splitlines())) <= 100
    assert len(roots("kg", "check", path, "--json").json["duplicates"]) == 30


def test_check_tells_shared_names_from_spellings(roots, tmp_path):
    path, aliases = tmp_path / "graph.tsv", tmp_path / "names.tsv"
    path.write_text("g1\tin\tx\ng2\tin\ty\n")
    aliases.write_text("g1\tGeorgia\ng2\tGeorgia\n")
    result = roots("kg", "check", path, "--aliases", aliases)
    assert "Names that several entities share: 1" in result.out
    assert "Likely the same" not in result.out
    assert "Nothing is wrong" in result.out


def test_check_finds_inverse_relations(roots, tmp_path):
    path = tmp_path / "graph.tsv"
    lines = [f"a{i}\tin\tb{i}\nb{i}\thas\ta{i}\na{i}\tnear\tb{i}\nb{i}\tnear\ta{i}\n" for i in range(4)]
    path.write_text("".join(lines))
    result = roots("kg", "check", path)
    assert "in ↔ has: 100% of the rarer one's are stated backwards too" in result.out
    assert "near: 100% of its triples are stated both ways" in result.out
    found = roots("kg", "check", path, "--json").json
    assert ("in", "has", 1) in [
        (pair["relation"], pair["inverse"], pair["share"]) for pair in found["inverses"]
    ]
    assert found["metrics"]["inverse_relations"] == len(found["inverses"])


def test_check_compares_a_graph_with_its_card(roots, tmp_path):
    folder = tmp_path / "knowledge" / "tiny"
    folder.mkdir(parents=True)
    (folder / "triples.tsv").write_text("a\tr\tb\nb\tr\tc\n")
    (folder / "card.yaml").write_text("source: me\nlicence: CC0-1.0\ncounts: {triples: 3, entities: 3}\n")
    found = roots("kg", "check", "tiny", "--json", cwd=tmp_path).json
    assert found["card_problems"] == ["the card counts 3 triples, the graph has 2"]
    assert "the card counts 3 triples, the graph has 2" in roots("kg", "check", "tiny", cwd=tmp_path).out
    assert roots("kg", "check", "geography", "--json").json["card_problems"] == []


def test_check_counts_the_values_of_entities(roots, tmp_path):
    pytest.importorskip("pyoxigraph")
    path = tmp_path / "graph.nt"
    path.write_text('<x:a> <x:in> <x:b> .\n<x:a> <x:size> "3" .\n<x:a> <x:motto> "ever"@la .\n')
    assert roots("kg", "check", path, "--json").json["metrics"]["values"] == 2
    assert "values of entities" in roots("kg", "check", path).out
    ignored = roots("kg", "check", path, "--literals", "ignore", "--json").json["metrics"]
    assert (ignored["values"], ignored["ignored_literals"]) == (0, 2)
    entities = roots("kg", "check", path, "--literals", "entities", "--json").json["metrics"]
    assert entities["triples"] == 3


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
