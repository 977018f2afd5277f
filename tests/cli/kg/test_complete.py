import pytest


def test_complete_finds_the_tail_or_the_head_and_leaves_the_known_out(roots, towns):
    command = ("kg", "complete", towns, "--relation", "located_in", "--json")
    tail = roots(*command, "--head", "Graz", "-k", 3, "--include-known").json["answers"]
    assert tail[0]["entity"] == "Austria"
    assert tail[0]["known"]
    assert [item["distance"] for item in tail] == sorted(item["distance"] for item in tail)
    unknown = roots(*command, "--head", "Graz", "-k", 3).json["answers"]
    assert len(unknown) == 3
    assert not {"Austria", "Graz"} & {item["entity"] for item in unknown}
    heads = roots(*command, "--tail", "Peru", "-k", 6, "--include-known").json["answers"]
    assert sum(item["known"] for item in heads) >= 4


def test_complete_takes_any_name_of_an_entity(roots, towns):
    command = ("kg", "complete", towns, "--relation", "currency", "-k", 1, "--include-known", "--json")
    first, second = (roots(*command, "--head", name).json["answers"] for name in ("Austria", "Österreich"))
    assert first == second
    assert first[0]["entity"] == "euro"


def test_complete_needs_either_head_or_tail(roots, towns):
    for given in ((), ("--head", "Graz", "--tail", "Peru")):
        result = roots("kg", "complete", towns, "--relation", "located_in", *given)
        assert (result.code, result.err) == (2, "error: name either --head or --tail\n")


def test_a_person_sees_a_table_with_the_question(roots, towns):
    command = ("kg", "complete", towns, "--relation", "located_in", "--include-known")
    tail, head = roots(*command, "--head", "Graz").out, roots(*command, "--tail", "Peru").out
    assert "(Graz, located_in, ?)" in tail
    assert "Austria" in tail
    assert "(?, located_in, Peru)" in head


def test_complete_says_how_near_the_known_answers_are(roots, towns):
    command = ("kg", "complete", towns, "--relation", "located_in", "--tail", "Peru")
    every = roots(*command, "-k", 100, "--include-known", "--json").json["answers"]
    known = [item["distance"] for item in every if item["known"]]
    found = roots(*command, "--json").json
    assert found["known"] == {"count": 6, "nearest": min(known), "farthest": max(known)}
    assert f"left out: 6 known, at distances from {min(known):.4f} to {max(known):.4f}" in roots(*command).out
    assert "left out" not in roots(*command, "--include-known").out
    nothing = ("kg", "complete", towns, "--relation", "currency", "--head", "Graz")
    assert roots(*nothing, "--json").json["known"] == {"count": 0, "nearest": None, "farthest": None}
    assert "left out" not in roots(*nothing).out


def test_complete_counts_the_triples_in_which_an_entity_has_that_place(roots, towns):
    command = ("kg", "complete", towns, "--relation", "located_in", "-k", 100, "--include-known", "--json")
    tails = {
        item["entity"]: item["triples_as_tail"] for item in roots(*command, "--head", "Graz").json["answers"]
    }
    assert (tails["Peru"], tails["Lund"]) == (6, 0)
    heads = {
        item["entity"]: item["triples_as_head"] for item in roots(*command, "--tail", "Peru").json["answers"]
    }
    assert (heads["Lund"], heads["Austria"]) == (1, 0)


def test_complete_asked_for_more_than_there_are_gives_all_but_the_entity_itself(roots, towns):
    command = ("kg", "complete", towns, "--relation", "located_in", "--head", "Graz", "-k", 1000, "--json")
    assert len(roots(*command, "--include-known").json["answers"]) == 49
    assert len(roots(*command).json["answers"]) == 48


@pytest.mark.parametrize("index", ["ivf", "hnsw"])
def test_complete_with_an_approximate_index_measures_as_the_exact_one(roots, towns, index):
    pytest.importorskip("faiss")
    command = ("kg", "complete", towns, "--relation", "located_in", "--head", "Graz", "-k", 100, "--json")
    exact = {item["entity"]: item for item in roots(*command).json["answers"]}
    found = roots(*command, "--index", index).json["answers"]
    assert found
    assert all(exact[item["entity"]] == item for item in found)


def test_complete_with_an_unknown_index_names_those_there_are(roots, towns):
    result = roots("kg", "complete", towns, "--relation", "located_in", "--head", "Graz", "--index", "flat")
    assert (result.code, result.err) == (
        2,
        "error: there is no index 'flat' (known: 'exact', 'hnsw', 'ivf')\n",
    )
