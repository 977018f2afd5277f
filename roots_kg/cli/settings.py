"""Settings of training runs: which kinds there are, what reads them, and where the ready-made ones lie."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from pkgutil import resolve_name
from typing import Any

from roots_kg.errors import ConfigError, nearest

__all__ = ["KINDS", "Kind", "print_settings", "ready_made", "settings_kind"]


@dataclass(frozen=True)
class Kind:
    """One kind of settings.

    Args:
        name: as the key `kind` states it.
        command: which verb reads them.
        home: where their dataclass is, as `module:name`.
    """

    name: str
    command: str
    home: str

    def settings(self) -> type[Any]:
        """Return the dataclass of such settings."""
        found: type[Any] = resolve_name(self.home)
        return found


KINDS = {
    kind.name: kind
    for kind in (
        Kind("transe", "roots kg train", "roots_kg.graph.transe:TransEConfig"),
        Kind("pretraining", "roots pretrain", "roots_kg.training.pretraining_config:PretrainingConfig"),
        Kind("fusion", "roots train", "roots_kg.training.fusion_config:FusionTrainingConfig"),
        Kind("generation", "roots train", "roots_kg.training.generation_config:GenerationTrainingConfig"),
        Kind("meta", "roots train", "roots_kg.training.meta_config:MetaTrainingConfig"),
    )
}


def settings_kind(settings: Mapping[str, Any], path: Path, command: str | None = None) -> Kind:
    """Return the kind that settings state.

    Args:
        settings: what is in a file.
        path: the file.
        command: the verb that is to read them; None for any.

    Raises:
        ConfigError: if they state none, or one that the verb does not read.
    """
    name = settings.get("kind")
    known = [kind.name for kind in KINDS.values() if command in (None, kind.command)]
    if name in known:
        return KINDS[str(name)]
    if name is None:
        hint = f"it is one of {', '.join(known)}"
        raise ConfigError("the key 'kind' is missing", path=path, hint=hint)
    if isinstance(name, str) and name in KINDS:
        hint = f"`{KINDS[name].command}` does"
        raise ConfigError(f"`{command}` does not read the kind {name!r}", path=path, hint=hint)
    raise ConfigError(f"unknown kind {name!r}", path=path, hint=nearest(str(name), known))


def print_settings(stated: Any) -> None:
    """Print settings as YAML, with all that they leave out."""
    import yaml

    from roots_kg.config import to_mapping

    print(yaml.safe_dump(to_mapping(stated), sort_keys=False, allow_unicode=True), end="")


def ready_made() -> Path:
    """Return the folder of the settings that come with this package."""
    package = Path(__file__).resolve().parents[1]
    installed = package / "configs"
    return installed if installed.is_dir() else package.parent / "configs"  # the latter in a checkout
