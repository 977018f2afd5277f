"""`roots init`: a new workspace."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from roots_kg.cli.output import JsonOption, print_json
from roots_kg.workspace import FOLDERS, Workspace


def init(
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="The folder to make it in.")],
    as_json: JsonOption = False,
) -> None:
    """Make a new workspace: folders for graphs, tasks and configurations.

    Example: roots init my-project
    """
    workspace = Workspace.create(directory)
    if as_json:
        print_json({"workspace": workspace.root, "folders": list(FOLDERS)})
        return
    print(f"A new workspace is at {workspace.root}")
    print(
        "  knowledge/NAME/triples.tsv   head<TAB>relation<TAB>tail, one triple a line (aliases.tsv beside it)"
    )
    print("  tasks/NAME/task.yaml         what to learn, with train.jsonl beside it")
    print("  configs/                     settings of training runs")
    print(f"Next: cd {directory} && roots kg check knowledge/NAME/triples.tsv")
