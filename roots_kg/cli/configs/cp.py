"""`roots configs cp`: a copy of ready-made settings."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from roots_kg.cli.output import JsonOption, print_json
from roots_kg.cli.settings import ready_made
from roots_kg.errors import UsageError, nearest
from roots_kg.files import replacing
from roots_kg.workspace import Workspace


def copy_config(
    name: Annotated[str, typer.Argument(metavar="NAME", help="As `roots configs ls` shows it.")],
    target: Annotated[
        Path | None,
        typer.Argument(metavar="[FILE]", help="The file to write.  [default: configs/NAME.yaml]"),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Copy settings that come with this package, to change them; a file that is there stays.

    Example: roots configs cp pretrain configs/mine.yaml
    """
    known = {path.stem: path for path in ready_made().glob("*.yaml")}
    if name not in known:
        raise UsageError(f"there are no settings {name!r}", hint=nearest(name, known))
    target = target or Workspace.find().root / "configs" / f"{name}.yaml"
    if target.exists():
        raise UsageError("there is something already", path=target, hint="name another file")
    with replacing(target) as path:
        path.write_bytes(known[name].read_bytes())
    if as_json:
        print_json({"config": target})
        return
    print(f"The settings are in {target}; `roots configs validate {target}` checks what you change")
