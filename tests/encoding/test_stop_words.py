import sys
from types import SimpleNamespace

import pytest

from roots_kg.encoding.stop_words import RemoveStopWords, stop_words
from roots_kg.errors import ConfigError, DataError


def strip(text, **settings):
    return RemoveStopWords(**settings).build()(text)


@pytest.mark.parametrize(
    ("language", "text", "wanted"),
    [
        ("en", "He said that the cat, and only the cat, didn’t sleep.", "said cat, cat, sleep."),
        ("de", "Der Fluss fließt durch die Stadt, und über die Brücke.", "Fluss fließt Stadt, Brücke."),
        ("fr", "Le chat n'est pas dans la maison où il était.", "chat maison."),
        ("es", "El río también pasa por la ciudad más grande.", "río pasa ciudad grande."),
    ],
)
def test_small_words_go_and_the_others_stay(language, text, wanted):
    assert strip(text, language=language) == wanted


def test_words_are_whole_words_however_their_letters_are_composed():
    assert strip("then thesis another-the a\u0301rea", language="en") == "thesis another- a\u0301rea"
    assert strip("cafe\u0301 o\u0300u\u0300 ou\u0300", language="fr") == "cafe\u0301 o\u0300u\u0300"


def test_lines_stay_lines():
    assert strip("The cat\nthe dog", language="en") == "cat\ndog"


@pytest.mark.parametrize("language", ["en", "de", "fr", "es"])
def test_the_built_in_lists_hold_words_in_lower_case(language):
    words = stop_words(language)
    assert len(words) > 100
    assert all(word == word.lower() for word in words)


def test_a_file_of_one_s_own_takes_the_place_of_a_language(tmp_path):
    path = tmp_path / "own.txt"
    path.write_text("\ufeffGraz\n\n Linz \n", encoding="utf-8")
    assert strip("From GRAZ to Linz", file=str(path)) == "From to"
    with pytest.raises(DataError, match="there is no such file"):
        strip("", file=str(tmp_path / "gone.txt"))


@pytest.mark.parametrize("language", ["xx", "english", "", "../en", "EN"])
def test_an_unknown_language_is_an_error_that_names_the_known_ones(language, monkeypatch):
    monkeypatch.setitem(sys.modules, "spacy", None)
    with pytest.raises(
        ConfigError, match=f"no stop words for the language '{language}' .*known: de, en, es, fr"
    ):
        RemoveStopWords(language=language).build()


def test_the_lists_of_spacy_are_used_where_it_is_installed(monkeypatch):
    for name in ("spacy", "spacy.lang", "spacy.lang.sl"):
        monkeypatch.setitem(sys.modules, name, SimpleNamespace())
    monkeypatch.setitem(sys.modules, "spacy.lang.sl.stop_words", SimpleNamespace(STOP_WORDS={"in", "Je"}))
    assert strip("Gradec je mesto in reka", language="sl") == "Gradec mesto reka"
