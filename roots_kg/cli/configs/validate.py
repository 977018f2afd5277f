"""`roots configs validate`: settings files, checked whole."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from roots_kg.cli.output import JsonOption, print_json
from roots_kg.cli.settings import settings_kind


def validate_configs(
    files: Annotated[list[Path], typer.Argument(metavar="FILE...", help="YAML files of settings.")],
    as_json: JsonOption = False,
) -> None:
    """Check settings files without training anything; every one of them is looked at.

    Example: roots configs validate configs/mine.yaml
    """
    from roots_kg.config import from_mapping, load_yaml
    from roots_kg.errors import ConfigError

    found: list[dict[str, str | None]] = []
    code = 0
    for path in files:
        try:
            settings = load_yaml(path)
            kind = settings_kind(settings, path)
            from_mapping(kind.settings(), settings, path=path)
        except ConfigError as error:
            found.append({"path": str(path), "kind": None, "error": str(error)})
            print(f"error: {error}", file=sys.stderr)
            code = error.exit_code
            continue
        found.append({"path": str(path), "kind": kind.name, "error": None})
        if not as_json:
            print(f"{path}: good settings of the kind {kind.name}, for `{kind.command} --config {path}`")
    if as_json:
        print_json({"configs": found})
    if code:
        raise typer.Exit(code)
