"""`roots configs ls`: what settings there are."""

from __future__ import annotations

import re
from itertools import takewhile
from pathlib import Path
from typing import Any

from roots_kg.cli.output import JsonOption, print_json, table
from roots_kg.cli.settings import KINDS, ready_made
from roots_kg.workspace import Workspace


def list_configs(as_json: JsonOption = False) -> None:
    """List the settings that come with this package, and those in the workspace's `configs/`.

    Example: roots configs ls
    """
    own = Workspace.find().root / "configs"
    folders = {"ready-made": ready_made()}
    if own.is_dir() and own.resolve() != folders["ready-made"]:
        folders["your own"] = own
    rows = [
        {"name": path.stem, "origin": origin, "path": path, **_told(path)}
        for origin, folder in folders.items()
        for path in sorted([*folder.glob("*.yaml"), *folder.glob("*.yml")])
    ]
    if as_json:
        print_json({"configs": rows})
        return
    columns = ["name", "origin", "command", "about"]
    table("", columns, [[row[column] for column in columns] for row in rows])
    print("\n`roots configs cp NAME` puts a copy into configs/, for you to change.")


def _told(path: Path) -> dict[str, Any]:
    """Return the kind of some settings, the verb that reads them, and how their comment begins."""
    from roots_kg.config import load_yaml
    from roots_kg.errors import ConfigError

    try:
        kind = KINDS.get(str(load_yaml(path).get("kind")))
    except ConfigError as error:
        return {"kind": None, "command": "", "about": f"cannot be read: {error.message}"}
    lines = path.read_text(encoding="utf-8").splitlines()
    comment = " ".join(line.lstrip("# ") for line in takewhile(lambda line: line.startswith("#"), lines))
    about = re.split(r"[:.;](?:\s|$)", comment, maxsplit=1)[0]
    known = (kind.name, kind.command) if kind is not None else (None, "")
    return {"kind": known[0], "command": known[1], "about": about}
