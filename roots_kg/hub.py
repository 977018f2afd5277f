"""Models on the Hugging Face Hub, through the mixin of `huggingface_hub`; nothing is pickled or run."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from huggingface_hub import ModelHubMixin, constants, snapshot_download
from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

from roots_kg.errors import WeightsError

__all__ = ["SharedModel", "download"]

FILES = ("*.json", "*.safetensors", "*.md", "*.yaml", "*.csv", "*.png")
"""What is downloaded: a bundle has no other files."""


class _Saveable(Protocol):
    def save_pretrained(self, path: Path | str) -> None: ...


class SharedModel(ModelHubMixin):
    """What the mixin asks of a model, passed on to a `RootsModel`; `push_to_hub` is the mixin's.

    Args:
        model: an adapted model.
    """

    def __init__(self, model: _Saveable) -> None:
        self.model = model

    def _save_pretrained(self, save_directory: Path) -> None:
        self.model.save_pretrained(save_directory)


def download(name: str, revision: str | None = None) -> Path:
    """Return a folder with a model from the hub, which is downloaded unless it was before.

    Args:
        name: `owner/model`.
        revision: a branch, a tag or a commit.

    Raises:
        WeightsError: if there is no such model, or it was not downloaded and the hub cannot be reached.
    """
    folder = Path(constants.HF_HOME) / "roots-kg" / name.replace("/", "--") / (revision or "main")
    try:
        found = snapshot_download(name, revision=revision, local_dir=folder, allow_patterns=list(FILES))
    except LocalEntryNotFoundError as error:
        if (folder / "config.json").is_file():
            return folder
        message = f"the model {name!r} is neither here nor can the hub be reached"
        raise WeightsError(message, hint="name a folder, or try again with a network") from error
    except (HfHubHTTPError, HFValidationError) as error:
        message = " ".join(str(error).split())
        raise WeightsError(f"the model {name!r} cannot be had from the hub: {message}") from error
    return Path(found)
