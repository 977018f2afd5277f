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
