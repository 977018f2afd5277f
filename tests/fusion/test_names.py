import pytest

from roots_kg.fusion.names import direction_names, relation_text


@pytest.mark.parametrize(
    ("relation", "words"),
    [
        ("located_in", "located in"),
        ("officialLanguage", "official language"),
        ("hasISOCode", "has ISO code"),
        ("http://dbpedia.org/ontology/birthPlace", "birth place"),
        ("http://www.w3.org/2002/07/owl#sameAs", "same as"),
        ("/location/country/official_language", "country official language"),
        ("Currency", "currency"),
        ("P31", "P31"),
        ("有", "有"),
        ("--", "--"),
    ],
)
def test_a_relation_is_read_as_words(relation, words):
    assert relation_text(relation) == words


def test_every_direction_has_a_name_of_its_own():
    assert direction_names(["located_in", "currency"]) == [
        "located in",
        "currency",
        "located in of",
        "currency of",
    ]
