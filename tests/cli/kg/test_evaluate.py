import pytest

TEST = (
    "Graz\tlocated_in\tAustria\nLund\tlocated_in\tSweden\nAtlantis\tlocated_in\tPeru\nPeru\tcurrency\tsol\n"
)


@pytest.fixture
def test_file(tmp_path):
    path = tmp_path / "test.tsv"
    path.write_text(TEST)
    return path


def test_evaluate_ranks_both_sides_of_every_test_triple(roots, towns, test_file):
    found = roots("kg", "evaluate", towns, "--test", test_file, "--json").json
    assert (found["n"], found["unknown"], found["metrics"]["queries"]) == (4, 1, 8)
    for name in ("mrr", "hits_at_1", "hits_at_3", "hits_at_10"):
        assert 0 <= found["metrics"][name] <= 1
    assert found["metrics"]["hits_at_1"] <= found["metrics"]["hits_at_3"] <= found["metrics"]["hits_at_10"]
    assert 0 < found["metrics"]["amri"] <= 1
    assert "relations" not in found


def test_evaluate_leaves_further_true_triples_out_of_the_ranking(roots, towns, bundle, tmp_path):
    (tmp_path / "test.tsv").write_text("Graz\tlocated_in\tCalama\n")
    others = [name for name in bundle.graph.entities if name != "Calama"]
    (tmp_path / "true.tsv").write_text("".join(f"Graz\tlocated_in\t{name}\n" for name in others))
    command = ("kg", "evaluate", towns, "--test", tmp_path / "test.tsv", "--json")
    plain, filtered = roots(*command).json, roots(*command, "--filter", tmp_path / "true.tsv").json
    assert plain["metrics"]["hits_at_1"] == 0
    assert filtered["metrics"]["hits_at_1"] == 0.5  # the tail is the only one left, the head is not
    assert filtered["sides"]["tail"]["hits_at_1"] == 1
    assert filtered["sides"]["tail"]["amri"] is None  # nothing to tell apart
    assert filtered["sides"]["head"]["hits_at_1"] == 0


def test_the_whole_is_the_mean_of_its_sides_and_of_its_relations(roots, towns, test_file):
    found = roots("kg", "evaluate", towns, "--test", test_file, "--by-relation", "--json").json
    relations = found["relations"]
    assert {name: item["triples"] for name, item in relations.items()} == {"located_in": 3, "currency": 1}
    assert list(relations) == ["located_in", "currency"]  # the most frequent first
    for name in ("mrr", "hits_at_10", "mean_rank"):
        sides, parts = (
            found["sides"],
            [item["metrics"][name] * item["triples"] for item in relations.values()],
        )
        assert found["metrics"][name] == pytest.approx((sides["tail"][name] + sides["head"][name]) / 2)
        assert found["metrics"][name] == pytest.approx(sum(parts) / 4)
    for item in relations.values():
        of_sides = [item["sides"][side]["mrr"] for side in ("tail", "head")]
        assert item["metrics"]["mrr"] == pytest.approx(sum(of_sides) / 2)


def test_a_relation_that_the_graph_does_not_know_has_no_line_of_its_own(roots, towns, tmp_path):
    (tmp_path / "test.tsv").write_text("Graz\ttwinned_with\tLund\n")
    command = ("kg", "evaluate", towns, "--test", tmp_path / "test.tsv", "--by-relation")
    found = roots(*command, "--json").json
    assert (found["unknown"], found["relations"], found["metrics"]["amri"]) == (1, {}, 0)
    assert "1 of them name something that the graph does not know" in roots(*command).out


def test_a_person_sees_both_sides_and_on_request_the_relations(roots, towns, test_file):
    shown = roots("kg", "evaluate", towns, "--test", test_file).out
    for word in (
        "4 triples ranked among 50 entities",
        "MRR",
        "Hits@10",
        "AMRI",
        "both sides",
        "tails",
        "heads",
    ):
        assert word in shown
    assert "located_in" not in shown
    assert "located_in" in roots("kg", "evaluate", towns, "--test", test_file, "--by-relation").out
