"""Tensors from safetensors files, whole or in shards; anything that would have to be unpickled is refused.

A pickle can run any code when it is read, so it never is: neither under its own name nor under that of a
safetensors file.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from roots_kg.errors import WeightsError
from roots_kg.files import not_a_file, read_small

__all__ = ["WEIGHTS", "read_json", "read_tensors", "weights_file"]

MAX_JSON_BYTES = 1 << 26
WEIGHTS, INDEX = "model.safetensors", "model.safetensors.index.json"
PICKLES = ("*.bin", "*.pt", "*.pth", "*.ckpt", "*.pkl")
PICKLE_STARTS = (b"PK\x03\x04", b"\x80")  # what torch.save writes now, and what it wrote before 2020

CONVERT = (
    "convert it where it can be trusted: "
    "`safetensors.torch.save_file(torch.load(FILE, weights_only=True), 'model.safetensors')`"
)


def weights_file(folder: Path) -> Path:
    """Return the file with the weights of a checkpoint folder, or the index of its shards.

    Raises:
        WeightsError: if there is neither; a pickle that is there in its place is named.
    """
    for name in (WEIGHTS, INDEX):
        if (folder / name).is_file():
            return folder / name
    for pattern in PICKLES:
        for pickle in sorted(folder.glob(pattern)):
            raise WeightsError("a pickle can run any code, so it is not read", path=pickle, hint=CONVERT)
    raise WeightsError(f"this folder has no {WEIGHTS}", path=folder)


def read_tensors(path: Path) -> dict[str, Tensor]:
    """Read the tensors of a safetensors file, or of all shards that an index names.

    Raises:
        WeightsError: if a file cannot be read, or a shard lacks a tensor that the index says it has.
    """
    if path.suffix != ".json":
        return _read(path)
    places = read_json(path).get("weight_map")
    if not isinstance(places, dict) or not all(isinstance(name, str) for name in places.values()):
        raise WeightsError("'weight_map' must map tensors to files", path=path)
    tensors: dict[str, Tensor] = {}
    for name in sorted(set(places.values())):
        if Path(name).name != name:
            raise WeightsError(f"the file {name!r} leaves the folder", path=path)
        shard = _read(path.parent / name)
        for tensor in (tensor for tensor, place in places.items() if place == name):
            if tensor not in shard:
                raise WeightsError(f"the tensor {tensor!r} is missing", path=path.parent / name)
        tensors |= shard
    return tensors


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON file that holds one mapping.

    Raises:
        WeightsError: if it is missing or holds something else.
    """
    if not path.exists():
        raise WeightsError(f"this folder has no {path.name}", path=path.parent)
    try:
        content = json.loads(read_small(path, MAX_JSON_BYTES, WeightsError).decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise WeightsError(f"cannot be read as JSON: {error}", path=path) from error
    if not isinstance(content, dict):
        raise WeightsError("expected a mapping", path=path)
    return content


def _read(path: Path) -> dict[str, Tensor]:
    problem = not_a_file(path)
    if problem is not None:
        raise WeightsError(f"cannot be read: {problem}", path=path)
    try:
        tensors: dict[str, Tensor] = load_file(path)
        return tensors
    except (SafetensorError, OSError) as error:
        if path.is_file() and _begins_like_a_pickle(path):
            message = "this is a pickle and no safetensors file; a pickle can run any code, so it is not read"
            raise WeightsError(message, path=path, hint=CONVERT) from error
        raise WeightsError(f"cannot be read as safetensors: {error}", path=path) from error


def _begins_like_a_pickle(path: Path) -> bool:
    with path.open("rb") as stream:
        return stream.read(4).startswith(PICKLE_STARTS)
