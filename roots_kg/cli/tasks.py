"""`roots tasks list`: the tasks of this workspace and the heads there are."""

from __future__ import annotations

import typer

from roots_kg.cli.output import JsonOption, print_json, table
from roots_kg.errors import RootsError
from roots_kg.registry import head_entries
from roots_kg.workspace import Workspace

app = typer.Typer(help="Tasks and heads.", no_args_is_help=True, rich_markup_mode=None)


@app.callback()
def _tasks() -> None:
    pass


@app.command("list")
def list_tasks(as_json: JsonOption = False) -> None:
    """List the tasks of this workspace and every head with where it comes from; runs no foreign code.

    Example: roots tasks list
    """
    from roots_kg.config import load_yaml

    workspace = Workspace.find()
    tasks = []
    for folder in workspace.task_folders():
        row = {"task": folder.name, "head": "", "description": "", "code": "", "error": ""}
        try:
            stated = load_yaml(folder / "task.yaml")
            row["head"], row["description"] = str(stated.get("head", "")), str(stated.get("description", ""))
        except RootsError as error:
            row["error"] = str(error)
        if (folder / "head.py").is_file():
            row["code"] = "head.py (runs only with --trust-task-code)"
        tasks.append(row)
    heads = [
        {"head": entry.name, "origin": entry.origin, "error": entry.error or ""}
        for entry in head_entries().values()
    ]
    if as_json:
        print_json({"workspace": workspace.root, "tasks": tasks, "heads": heads})
        return
    if tasks:
        rows = [[row["task"], row["head"], row["code"], row["error"] or row["description"]] for row in tasks]
        table(f"Tasks in {workspace.root}", ["task", "head", "code", "description"], rows)
    else:
        print(f"No tasks in {workspace.root}; `roots init DIR` makes a workspace for them.")
    print()
    table("Heads", ["head", "origin", ""], [[row["head"], row["origin"], row["error"]] for row in heads])
