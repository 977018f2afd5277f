import contextlib
import io
import json
import pickle
import re
import tempfile
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file

from roots_kg.encoding.safetensors_files import read_json, read_tensors, weights_file
from roots_kg.errors import WeightsError


class Payload:
    """What is unpickled into a file on the disk."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (str(self.path), "w")


def zipped(payload):
    stream = io.BytesIO()
    torch.save({"weight": payload}, stream)
    return stream.getvalue()


@pytest.fixture(params=[pickle.dumps, zipped], ids=["plain", "zipped"])
def pickled(request, tmp_path):
    """A pickle that writes the file it is given with, once it is read."""
    trap = tmp_path / "trap"
    content = request.param(Payload(trap))
    yield content
    assert not trap.exists(), "the pickle was read"


def test_the_payload_would_leave_its_trace(tmp_path):
    pickle.loads(pickle.dumps(Payload(tmp_path / "trap"))).close()
    assert (tmp_path / "trap").exists()


def test_a_pickle_under_the_name_of_a_safetensors_file_is_refused_and_not_read(pickled, tmp_path):
    (tmp_path / "model.safetensors").write_bytes(pickled)
    with pytest.raises(WeightsError, match=r"model\.safetensors: this is a pickle.*save_file\(torch\.load"):
        read_tensors(weights_file(tmp_path))


def test_a_pickle_in_place_of_a_safetensors_file_is_refused_and_not_read(pickled, tmp_path):
    (tmp_path / "pytorch_model.bin").write_bytes(pickled)
    with pytest.raises(WeightsError, match=r"pytorch_model\.bin: a pickle can run any code.*convert it"):
        weights_file(tmp_path)


def test_a_safetensors_file_whose_header_has_the_length_of_a_pickles_start_is_read(tmp_path):
    weight = torch.arange(3.0)
    for size in range(100, 1000):
        save_file({"weight": weight}, tmp_path / "model.safetensors", metadata={"pad": "x" * size})
        if (tmp_path / "model.safetensors").read_bytes()[:2] == b"\x80\x02":
            break
    assert (tmp_path / "model.safetensors").read_bytes()[:2] == b"\x80\x02"
    assert torch.equal(read_tensors(tmp_path / "model.safetensors")["weight"], weight)


@settings(max_examples=60, deadline=None)
@given(
    content=st.one_of(
        st.binary(max_size=80), st.binary(max_size=60).map(lambda tail: b"\x20" + bytes(7) + tail)
    )
)
def test_whatever_bytes_stand_in_a_file_it_is_read_or_refused(content):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.safetensors"
        path.write_bytes(content)
        with contextlib.suppress(WeightsError):
            assert isinstance(read_tensors(path), dict)


@pytest.mark.parametrize("kept", [0, 4, 30, -3])
def test_a_truncated_file_is_named(tmp_path, kept):
    path = tmp_path / "model.safetensors"
    save_file({"weight": torch.zeros(8)}, path)
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(WeightsError, match=re.escape(f"{path}: cannot be read as safetensors")):
        read_tensors(path)


def test_a_folder_without_weights_says_so(tmp_path):
    with pytest.raises(WeightsError, match=r"this folder has no model\.safetensors"):
        weights_file(tmp_path)


@pytest.fixture
def sharded(tmp_path):
    """A checkpoint of two shards, and a function that writes another index."""
    save_file({"a": torch.zeros(2), "b": torch.ones(2)}, tmp_path / "model-1.safetensors")
    save_file({"c": torch.full((2,), 2.0)}, tmp_path / "model-2.safetensors")

    def write(**changes):
        places = {
            "a": "model-1.safetensors",
            "b": "model-1.safetensors",
            "c": "model-2.safetensors",
        } | changes
        path = tmp_path / "model.safetensors.index.json"
        path.write_text(json.dumps({"metadata": {}, "weight_map": places}))
        return path

    return write


def test_shards_are_read_together(sharded, tmp_path):
    sharded()
    tensors = read_tensors(weights_file(tmp_path))
    assert {name: value[0].item() for name, value in tensors.items()} == {"a": 0, "b": 1, "c": 2}


def test_a_missing_shard_is_named(sharded):
    with pytest.raises(WeightsError, match=r"model-3\.safetensors: cannot be read"):
        read_tensors(sharded(c="model-3.safetensors"))


def test_a_tensor_that_its_shard_lacks_is_named(sharded):
    with pytest.raises(WeightsError, match=r"model-1\.safetensors: the tensor 'c' is missing"):
        read_tensors(sharded(c="model-1.safetensors"))


@pytest.mark.parametrize("name", ["../model-1.safetensors", "/etc/passwd", "sub/model-1.safetensors"])
def test_an_index_cannot_name_a_file_outside_of_its_folder(sharded, name):
    with pytest.raises(WeightsError, match="leaves the folder"):
        read_tensors(sharded(c=name))


@pytest.mark.parametrize("content", ["[1]", '{"weight_map": ["a"]}', '{"weight_map": {"a": 3}}', "{", ""])
def test_a_damaged_index_is_named(tmp_path, content):
    path = tmp_path / "model.safetensors.index.json"
    path.write_text(content)
    with pytest.raises(WeightsError, match=re.escape(str(path))):
        read_tensors(path)


def test_a_settings_file_that_is_missing_or_no_mapping_is_named(tmp_path):
    with pytest.raises(WeightsError, match=r"this folder has no config\.json"):
        read_json(tmp_path / "config.json")
    (tmp_path / "config.json").write_bytes(b"\xff")
    with pytest.raises(WeightsError, match=r"config\.json: cannot be read as JSON"):
        read_json(tmp_path / "config.json")
