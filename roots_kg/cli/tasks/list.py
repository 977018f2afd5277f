"""`roots tasks list`: what tasks and heads there are, where each comes from, and whether it is trusted."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from roots_kg.cli.output import JsonOption, print_json, table
from roots_kg.errors import RootsError, nearest
from roots_kg.registry import HeadEntry, head_entries
from roots_kg.trust import CodeFile, Trust, TrustStore
from roots_kg.workspace import Workspace

WAY = "--trust-task-code runs it"


def list_tasks(as_json: JsonOption = False) -> None:
    """List the tasks of this workspace and every head with where it comes from; runs no foreign code.

    Example: roots tasks list
    """
    workspace, store = Workspace.find(), TrustStore()
    entries = head_entries()
    codes = {folder.name: _code(folder, store) for folder in workspace.task_folders()}
    heads = [
        {"head": entry.name, "origin": entry.origin, "trust": "", "error": entry.error or ""}
        for entry in entries.values()
    ]
    for found in codes.values():
        if isinstance(found, tuple):
            heads += [_row(name, found, workspace, entries) for name in found[0].heads]
    tasks = [_task(folder, codes[folder.name], heads) for folder in workspace.task_folders()]
    if as_json:
        print_json({"workspace": workspace.root, "tasks": tasks, "heads": heads, "trusted_code": store.path})
        return
    if tasks:
        rows = [[row["task"], row["head"], row["code"], row["error"] or row["description"]] for row in tasks]
        table(f"Tasks in {workspace.root}", ["task", "head", "code", "description"], rows)
    else:
        print(f"No tasks in {workspace.root}; `roots init DIR` makes a workspace for them.")
    print()
    table(
        "Heads",
        ["head", "origin", ""],
        [[row["head"], row["origin"], row["error"] or row["trust"]] for row in heads],
    )
    if any(codes.values()):
        print(f"\nWhich code is trusted is remembered in {store.path}")


Code = tuple[CodeFile, Trust] | str | None
"""A task's code and whether it is trusted; or why it cannot be read; or None if it has none."""


def _code(folder: Path, store: TrustStore) -> Code:
    try:
        code = CodeFile.of_task(folder)
    except RootsError as error:
        return str(error)
    if code is None:
        return None
    try:
        return code, store.state(code)
    except RootsError as error:
        print(f"warning: {error}", file=sys.stderr)
        return code, "not trusted"


def _row(
    name: str, found: tuple[CodeFile, Trust], workspace: Workspace, entries: dict[str, HeadEntry]
) -> dict[str, Any]:
    """Return the row of a head that a task's code offers."""
    code, trust = found
    inside = code.path.is_relative_to(workspace.root)
    origin = str(code.path.relative_to(workspace.root) if inside else code.path)
    other = entries.get(name)
    error = f"the name is taken ({other.origin})" if other and other.origin != str(code.path) else ""
    return {"head": name, "origin": origin, "trust": _told(trust), "error": error}


def _task(folder: Path, code: Code, heads: Sequence[dict[str, Any]]) -> dict[str, str]:
    row = {"task": folder.name, "head": "", "description": "", "code": "", "error": ""}
    try:
        from roots_kg.config import load_yaml

        stated = load_yaml(folder / "task.yaml")
        row["head"], row["description"] = str(stated.get("head", "")), str(stated.get("description", ""))
    except RootsError as error:
        row["error"] = str(error)
    if isinstance(code, str):
        row["error"] = row["error"] or code
    elif code is not None:
        row["code"] = f"head.py: {_told(code[1])}"
    known = [head["head"] for head in heads if not head["error"]]
    if not row["error"] and row["head"] not in known and code is None:
        row["error"] = f"there is no head {row['head']!r} ({nearest(row['head'], known)})"
    return row


def _told(trust: Trust) -> str:
    return trust if trust == "trusted" else f"{trust}; {WAY}"
