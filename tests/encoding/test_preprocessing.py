import unicodedata
from dataclasses import dataclass

import pytest

from roots_kg.config import from_mapping
from roots_kg.encoding.markup import StripMarkup
from roots_kg.encoding.preprocessing import Deduplicate, LowerCase, NormalizeUnicode, Pipeline, Step
from roots_kg.encoding.stop_words import RemoveStopWords
from roots_kg.errors import ConfigError


@dataclass(frozen=True)
class Settings:
    preprocessing: tuple[Step, ...]


def test_steps_work_one_after_another():
    pipeline = Pipeline([StripMarkup(), LowerCase(), RemoveStopWords(language="en"), Deduplicate()])
    assert pipeline("<b>The</b> River &amp; the Town") == "river & town"
    assert pipeline("A river & a town") is None


def test_no_steps_change_nothing():
    assert Pipeline([])(" As it is\n") == " As it is\n"


@pytest.mark.parametrize("form", ["NFC", "NFD", "NFKC", "NFKD"])
def test_unicode_is_brought_into_the_form_asked_for(form):
    text = "Gr\xe4z Gra\u0308z ﬁn ²"
    assert Pipeline([NormalizeUnicode(form=form)])(text) == unicodedata.normalize(form, text)


def test_lower_case_keeps_the_spelling():
    assert Pipeline([LowerCase()])("STRASSE Straße ÉTÉ") == "strasse straße été"


def test_a_text_is_kept_the_first_time_only_and_each_pipeline_starts_anew():
    first, second = Pipeline([Deduplicate()]), Pipeline([Deduplicate()])
    assert [first(text) for text in ("a", "b", "a", "a ", "b")] == ["a", "b", None, "a ", None]
    assert second("a") == "a"


def test_half_a_surrogate_pair_is_a_text_like_any_other():
    pipeline = Pipeline([Deduplicate()])
    assert (pipeline("\ud800"), pipeline("\ud800")) == ("\ud800", None)


@pytest.mark.parametrize(
    ("step", "message"),
    [
        ({"step": "markdown"}, r"unknown step 'markdown' \(did you mean 'markup'\?\)"),
        ({"form": "NFC"}, "expected a mapping with the key 'step'"),
        ("lower", "expected a mapping with the key 'step'"),
        ({"step": ["lower"]}, "unknown step"),
        ({"step": "unicode", "form": "NFX"}, "form: unknown value 'NFX'"),
        ({"step": "unicode", "from": "NFC"}, r"unknown key 'from' \(did you mean 'form'\?\)"),
        ({"step": "stop_words"}, "needs a language or a file"),
        (
            {"step": "stop_words", "language": "en", "file": "own.txt"},
            "needs a language or a file, and not both",
        ),
        ({"step": "part_of_speech"}, "needs tags to `keep`"),
        (
            {"step": "part_of_speech", "keep": ["NOUNS"]},
            r"unknown part of speech 'NOUNS' \(did you mean 'NOUN'",
        ),
    ],
)
def test_a_step_that_is_wrongly_configured_is_an_error(step, message):
    with pytest.raises(ConfigError, match=message):
        from_mapping(Settings, {"preprocessing": [step]})
