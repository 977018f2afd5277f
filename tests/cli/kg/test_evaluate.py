def test_evaluate_ranks_both_sides_of_every_test_triple(roots, towns, tmp_path):
    test = tmp_path / "test.tsv"
    test.write_text("Graz\tlocated_in\tAustria\nLund\tlocated_in\tSweden\nAtlantis\tlocated_in\tPeru\n")
    found = roots("kg", "evaluate", towns, "--test", test, "--json").json
    assert (found["n"], found["unknown"], found["metrics"]["queries"]) == (3, 1, 6)
    for name in ("mrr", "hits_at_1", "hits_at_3", "hits_at_10"):
        assert 0 <= found["metrics"][name] <= 1
    assert found["metrics"]["hits_at_1"] <= found["metrics"]["hits_at_3"] <= found["metrics"]["hits_at_10"]
    assert "mrr" in roots("kg", "evaluate", towns, "--test", test).out


def test_evaluate_leaves_further_true_triples_out_of_the_ranking(roots, towns, bundle, tmp_path):
    (tmp_path / "test.tsv").write_text("Graz\tlocated_in\tCalama\n")
    others = [name for name in bundle.graph.entities if name != "Calama"]
    (tmp_path / "true.tsv").write_text("".join(f"Graz\tlocated_in\t{name}\n" for name in others))
    command = ("kg", "evaluate", towns, "--test", tmp_path / "test.tsv", "--json")
    plain, filtered = roots(*command).json, roots(*command, "--filter", tmp_path / "true.tsv").json
    assert plain["metrics"]["hits_at_1"] == 0
    assert filtered["metrics"]["hits_at_1"] == 0.5  # the tail is the only one left, the head is not
