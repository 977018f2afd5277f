import json

import pytest


def test_similar_lists_other_entities_by_distance(roots, towns):
    found = roots("kg", "similar", towns, "Graz", "-k", 5, "--json").json
    assert found["entity"] == "Graz"
    assert len(found["similar"]) == 5
    assert "Graz" not in [item["entity"] for item in found["similar"]]
    distances = [item["distance"] for item in found["similar"]]
    assert distances == sorted(distances)
    austrian = {"Linz", "Villach", "Bregenz", "Dornbirn", "Wels"}
    assert len(austrian & {item["entity"] for item in found["similar"]}) >= 3
    everything = roots("kg", "similar", towns, "Graz", "-k", 1000, "--json").json
    assert len(everything["similar"]) == 49


def test_json_keeps_names_as_they_are(roots, towns):
    result = roots("kg", "similar", towns, "Gävle", "--json")
    assert "Gävle" in result.out
    assert json.loads(result.out)["entity"] == "Gävle"


def test_a_person_sees_a_table(roots, towns):
    assert "nearest to Graz" in roots("kg", "similar", towns, "Graz").out


@pytest.mark.parametrize("index", ["exact", "ivf", "hnsw"])
def test_an_index_can_be_chosen(roots, towns, index):
    pytest.importorskip("faiss")
    found = roots("kg", "similar", towns, "Graz", "-k", 3, "--index", index, "--json").json["similar"]
    assert "Graz" not in [item["entity"] for item in found]
    every = roots("kg", "similar", towns, "Graz", "-k", 100, "--json").json["similar"]
    assert all(item in every for item in found)
