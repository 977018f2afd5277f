import sys
from types import SimpleNamespace

import pytest

from roots_kg.encoding.part_of_speech import TagPartsOfSpeech
from roots_kg.errors import ConfigError, UsageError

KINDS = {"the": "DET", "gulls": "NOUN", "sleep": "VERB", ".": "PUNCT", "\n": "SPACE"}


@pytest.fixture
def spacy(monkeypatch):
    """A stand-in for spaCy that knows one model, which knows a few words."""

    class Model:
        pipe_names = ("tok2vec", "tagger", "attribute_ruler")

        def __call__(self, text):
            words = text.replace("\n", " \n ").replace(".", " .").split(" ")
            return [
                SimpleNamespace(text=word, pos_=KINDS.get(word, ""), is_space=word.isspace())
                for word in words
                if word
            ]

    def load(model, exclude):
        if model != "small":
            raise OSError(f"[E050] Can't find model {model!r}.")
        return Model()

    monkeypatch.setitem(sys.modules, "spacy", SimpleNamespace(load=load))
    return Model


@pytest.mark.usefixtures("spacy")
def test_only_words_of_the_kinds_asked_for_are_kept():
    tag = TagPartsOfSpeech(model="small", keep=("NOUN", "VERB")).build()
    assert tag("the gulls\nsleep.") == "gulls sleep"


@pytest.mark.usefixtures("spacy")
def test_the_kind_is_written_behind_each_word():
    assert TagPartsOfSpeech(model="small", annotate=True).build()("the gulls\nfly.") == (
        "the_DET gulls_NOUN fly_X ._PUNCT"
    )
    assert TagPartsOfSpeech(model="small", keep=("NOUN",), annotate=True).build()("the gulls") == "gulls_NOUN"


@pytest.mark.usefixtures("spacy")
def test_a_model_that_is_not_installed_is_an_error_that_says_how_to_get_it():
    with pytest.raises(
        ConfigError, match=r"'en_core_web_sm' is not installed.*spacy download en_core_web_sm"
    ):
        TagPartsOfSpeech(annotate=True).build()


def test_a_model_that_does_not_tag_is_an_error(spacy):
    spacy.pipe_names = ("ner",)
    with pytest.raises(ConfigError, match="'small' does not tag parts of speech"):
        TagPartsOfSpeech(model="small", annotate=True).build()


def test_without_spacy_the_error_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "spacy", None)
    with pytest.raises(UsageError, match=r"spaCy, which is not installed.*roots-kg\[spacy\]"):
        TagPartsOfSpeech(annotate=True).build()


def test_spacy_itself_tags_by_a_rule():
    spacy = pytest.importorskip("spacy")
    model = spacy.blank("en")
    model.add_pipe("attribute_ruler").add([[{"LOWER": "gulls"}]], {"POS": "NOUN"})
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(spacy, "load", lambda name, exclude: model)
        assert TagPartsOfSpeech(model="small", annotate=True).build()("The gulls.") == "The_X gulls_NOUN ._X"
