"""What every preprocessing step promises; a new step needs a sample here."""

import sys
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import get_args, get_type_hints

import pytest
from hypothesis import given
from hypothesis import strategies as st

from roots_kg.config import from_mapping, to_mapping
from roots_kg.encoding.preprocessing import Pipeline, Step


@dataclass(frozen=True)
class Sample:
    """What a step is checked with.

    Args:
        settings: beside the step's name.
        given: a text.
        wanted: what it becomes.
        idempotent: whether a second run changes nothing.
    """

    given: str
    wanted: str
    settings: dict = field(default_factory=dict)
    idempotent: bool = True


SAMPLES = {
    "unicode": Sample("Gra\u0308z", "Gr\xe4z", {"form": "NFC"}),
    # A second run would take the tags out that an entity of the first one spells.
    "markup": Sample("<p>Graz &amp; Linz</p>", "Graz & Linz", idempotent=False),
    "lower": Sample("GRAZ, Österreich", "graz, österreich"),
    # A second run has seen every text before.
    "deduplicate": Sample("Graz", "Graz", idempotent=False),
    "stop_words": Sample("The Mur is a river of Graz.", "Mur river Graz.", {"language": "en"}),
    "part_of_speech": Sample("Graz is big", "Graz", {"keep": ["NOUN"]}),
}
TEXTS = st.text(max_size=40) | st.text(st.sampled_from("<>&;!-/'\" aThe\n#x3\u0301"), max_size=30)


@dataclass(frozen=True)
class Settings:
    """A configuration with preprocessing in it."""

    preprocessing: tuple[Step, ...] = ()


class Capitalised:
    """What spaCy would load, as far as it is used: words with capitals are nouns."""

    pipe_names = ("tagger",)

    def __call__(self, text):
        words = text.split()
        return [SimpleNamespace(text=word, pos_="NOUN" * word.istitle(), is_space=False) for word in words]


@pytest.fixture(scope="module", params=sorted(SAMPLES))
def case(request):
    """The sample of a step, its settings, and a function that makes a pipeline of it alone."""
    sample = SAMPLES[request.param]
    read = from_mapping(Settings, {"preprocessing": [{"step": request.param, **sample.settings}]})
    spacy = SimpleNamespace(load=lambda model, exclude: Capitalised())
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, "spacy", spacy)
        yield SimpleNamespace(sample=sample, settings=read, make=lambda: Pipeline(read.preprocessing))


def test_every_step_has_a_sample():
    names = {get_args(get_type_hints(step)["step"])[0] for step in get_args(Step)}
    assert SAMPLES.keys() == names


def test_a_step_does_its_work(case):
    assert case.make()(case.sample.given) == case.sample.wanted


def test_settings_are_read_back_as_they_were(case):
    assert from_mapping(Settings, to_mapping(case.settings)) == case.settings


@given(text=TEXTS)
def test_any_text_becomes_a_text_that_is_not_blank_or_is_dropped(case, text):
    made = case.make()(text)
    assert made is None or made.strip()
    if made is not None and case.sample.idempotent:
        assert case.make()(made) == made


def test_a_blank_text_is_dropped(case):
    assert case.make()(" \n") is None
