"""A model that any release has saved is still read, and answers as it did: one is kept for each format."""

import json
from pathlib import Path

import pytest

from roots_kg.bundle import VERSION
from roots_kg.model import RootsModel

FORMATS = Path(__file__).parent / "formats"


def test_there_is_a_model_of_every_format():
    assert sorted(int(path.name) for path in FORMATS.iterdir()) == list(range(1, VERSION + 1))


@pytest.mark.parametrize("path", sorted(FORMATS.iterdir()), ids=lambda path: f"format {path.name}")
def test_a_model_of_each_format_answers_as_it_did(path):
    expected = json.loads((path / "expected.json").read_text(encoding="utf-8"))
    model = RootsModel.from_pretrained(path / "model")
    assert sorted(model.heads) == sorted(expected["predictions"])
    for name, predictions in expected["predictions"].items():
        for found, (value, probability) in zip(
            model.predict(expected["texts"], name), predictions, strict=True
        ):
            assert found.value == value
            assert found.probability == pytest.approx(probability, abs=1e-4)
